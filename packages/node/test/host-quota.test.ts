// A quota over a directory of the host: what is charged is what du counts, and what does not fit leaves nothing.
import { spawnSync } from 'node:child_process';
import { overlay, runSync } from '@ovl/core';
import { quota } from '@ovl/core/quota';
import {
  arbitraryLayers,
  arbitraryOperations,
  apply,
  concrete,
  Model,
  OverlayDriver,
  populate,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { given, parameters, TIMEOUT } from '../../core/test/worlds.js';
import { createFs } from '../src/fs/fs.js';
import { hostLayer } from '../src/host-layer.js';
import { freshUpper, temporary } from './host-support.js';

/** What du says of a directory: bytes that are allocated, and objects; of whiteouts, which may be one object, each name counts. */
function du(dir: string): { bytes: number; inodes: number } {
  const { stdout } = spawnSync('find', [dir, '-type', 'c', '-printf', '%i\n']);
  const whiteouts = stdout.toString().split('\n').slice(0, -1);
  const shared = whiteouts.length - new Set(whiteouts).size;
  const say = (...args: string[]): number =>
    Number.parseInt(spawnSync('du', ['-s', ...args, dir]).stdout.toString(), 10);
  return { bytes: say('-B1'), inodes: say('--inodes') + shared };
}

it('charges what du counts, whatever is done', TIMEOUT, async () => {
  const stacks = given(arbitraryLayers(fc));
  const operations = given(arbitraryOperations(fc, { min: 5, max: 25 }));
  const limits = fc.record({ bytes: fc.constantFrom(0, 20_000, 60_000), inodes: fc.integer({ min: 1, max: 25 }) });
  const property = fc.asyncProperty(stacks, operations, limits, async (trees, all, { bytes, inodes }) => {
    const { upper: inner, dir } = freshUpper();
    const upper = quota(inner, { bytes: du(dir).bytes + bytes, inodes });
    const lower = trees.map((tree) => {
      const below = freshUpper();
      runSync(populate(below.upper, tree));
      return hostLayer(below.dir);
    });
    const view = overlay({ lower, upper });
    const driver = new OverlayDriver(view, { mode: 'sync', inodes: 'keep' });
    const model = new Model(trees);
    for (const pattern of all) {
      const operation = concrete(model.paths(), pattern);
      const result = await apply(driver, operation);
      if (!('error' in result && result.error === 'EDQUOT')) await apply(model, operation);
      const { usage } = upper;
      expect(runSync(upper.recount()), JSON.stringify(operation)).toEqual(usage);
    }
    for (const slot of [0, 1]) await apply(driver, { kind: 'close', slot });
    expect(upper.usage).toEqual(du(dir));
  });
  await fc.assert(property, parameters(20));
});

it('data, holes and copies on a real file system', () => {
  const { upper: inner, dir } = freshUpper();
  const empty = du(dir).bytes;
  const upper = quota(inner, { bytes: empty + 65_536 });
  const below = temporary();
  spawnSync('sh', ['-c', 'head -c 100000 /dev/zero >big; truncate -s 1G holes; printf x >>holes'], { cwd: below });
  const fs = createFs(overlay({ lower: [hostLayer(below)], upper }));
  expect(() => fs.appendFileSync('/big', 'x')).toThrow(expect.objectContaining({ code: 'EDQUOT' }));
  expect(upper.usage).toEqual(du(dir));
  expect(fs.statSync('/big').size).toBe(100_000);
  fs.appendFileSync('/holes', 'y'); // of a gibibyte only what is data is copied
  expect(fs.statSync('/holes').size).toBe(2 ** 30 + 2);
  const fd = fs.openSync('/holes', 'r+');
  fs.writeSync(fd, Buffer.alloc(8192), 0, 8192, 2 ** 20);
  for (let at = 0; at < 7; at++) fs.writeSync(fd, Buffer.alloc(4096), 0, 4096, at * 8192);
  expect(() => fs.writeSync(fd, Buffer.alloc(65_536), 0, 65_536, 2 ** 24)).toThrow(/EDQUOT/);
  fs.writeSync(fd, Buffer.alloc(8192), 0, 8192, 2 ** 20);
  fs.unlinkSync('/holes');
  expect(upper.usage.bytes).toBeGreaterThan(empty + 8192);
  fs.closeSync(fd);
  expect(upper.usage).toEqual(du(dir));
});
