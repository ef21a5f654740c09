// The oracle's own test: it finds no difference where there is none, and the difference where there is one.
import { expect, test } from 'vitest';
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
