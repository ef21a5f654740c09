// The oracle's own test: it finds no difference where there is none, and the difference where there is one.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { bundleDriver, Driver, mountsBelow } from './child.js';
import { Comparison, Difference } from './compare.js';
import { findNoDifference, withBase } from './property.js';
import { requireKernel } from './requirements.js';

const redirects = { userxattr: false, redirectDir: true };
const none = { userxattr: false, redirectDir: false };

test('the kernel agrees with itself', { timeout: 300_000 }, async (ctx) => {
  requireKernel(ctx);
  await findNoDifference({ kinds: ['kernel', 'kernel'], flavour: redirects, on: 'tmpfs', runs: 60, limitMs: 15_000 });
});

test('two mounts that answer one operation differently are told apart', async (ctx) => {
  requireKernel(ctx);
  await withBase('tmpfs', async (base) => {
    const comparison = await Comparison.start(base, ['kernel', 'kernel'], [redirects, none]);
    const directory = { type: 'directory', mode: 0o755, opaque: false } as const;
    const lower = [{ path: 'a', node: directory, uid: 0, gid: 0, mtime: [1, 1] as [number, number], xattrs: {} }];
    const rename = { op: 'rename', from: { path: 'a' }, to: { path: 'b' }, flags: 0 } as const;
    try {
      const same = comparison.run({ layers: [lower], history: [], umask: 0, phases: [[]] });
      await expect(same).resolves.toBeUndefined();
      const different = comparison.run({ layers: [lower], history: [], umask: 0, phases: [[rename]] });
      await expect(different).rejects.toThrow(Difference);
    } finally {
      await comparison.end();
    }
  });
});

test('a mount that does not answer fails the run and is cleared away', async (ctx) => {
  requireKernel(ctx);
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse is missing');
  const bundle = await bundleDriver();
  const [server, driver] = [new Driver(bundle.file), new Driver(bundle.file, 2000)];
  let held = '';
  try {
    await withBase('tmpfs', async (base) => {
      held = base;
      const [lower, upper, work, merged] = ['l', 'u', 'w', 'm'].map((name) => join(base, name));
      const place = {
        lower: [lower as string],
        upper: upper as string,
        work: work as string,
        merged: merged as string,
      };
      for (const path of [...place.lower, place.upper, place.work, place.merged]) mkdirSync(path);
      await server.ask('serve', { place, flavour: redirects });
      await driver.ask('open', { kind: 'ovl', place, flavour: redirects });
      server.freeze();
      await sleep(200); // a signal reaches the threads one by one
      const mkdir = { op: 'mkdir', path: { path: 'a' }, mode: 0o755 } as const;
      await expect(driver.ask('run', { operations: [mkdir], umask: 0 })).rejects.toThrow('no answer');
      await driver.kill([base]);
      await server.kill();
    });
    expect(mountsBelow(held)).toEqual([]);
  } finally {
    await Promise.all([driver.kill(), server.kill()]);
    bundle.remove();
  }
});
