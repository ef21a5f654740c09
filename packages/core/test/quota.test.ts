// A layer with a quota passes the suites of one without; what is charged equals a count at any moment, whatever was done; and
// what does not fit is refused whole, also when many write at the same time.
import {
  isDirectory,
  isFsError,
  memoryLayer,
  type MemoryLayer,
  overlay,
  promisesFs,
  runSync,
  type UpperLayer,
} from '@ovl/core';
import { sparseMemoryLayer } from '@ovl/core/extents';
import { createFs } from '@ovl/core/fs';
import { kvLayer, mapStore } from '@ovl/core/kv';
import { quota, type QuotaLayer } from '@ovl/core/quota';
import { snapshotOverlay } from '@ovl/core/snapshots';
import {
  ALL_CAPABILITIES,
  apply,
  arbitraryLayers,
  arbitraryOperations,
  asyncLayer,
  concrete,
  faultLayer,
  layerSuite,
  Model,
  overlaySuite,
  populate,
  Scheduler,
  type TestRunner,
  upperSuite,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seedOfRun } from '../../../test/support/seed.js';
import { rawTree } from '../src/testing/overlay/world.js';
import { given, KINDS, open, parameters, TIMEOUT, worldOf } from './worlds.js';

const runner: TestRunner = { describe, it, skip: (name, reason) => it(name, (context) => context.skip(reason)) };
const PLENTY = { bytes: 2 ** 30, inodes: 1_000_000 };

const smallChunks = (): UpperLayer<'sync'> => kvLayer(mapStore(), { chunkSize: 512 });
const UPPERS: readonly [string, () => UpperLayer<'sync'>, holes: true | string][] = [
  ['memory', memoryLayer, 'the memory layer reports one run of data'],
  ['memory with holes', sparseMemoryLayer, true],
  ['keys and values', smallChunks, true],
];

for (const [kind, make, holes] of UPPERS) {
  const capabilities = { ...ALL_CAPABILITIES, holes };
  const upper = (): QuotaLayer<'sync'> => quota(make(), PLENTY);
  const name = `quota over ${kind}`;
  layerSuite({
    name,
    runner,
    capabilities,
    layer(tree) {
      const layer = upper();
      runSync(populate(layer, tree));
      return layer;
    },
  });
  upperSuite({ name, runner, capabilities, upper });
  overlaySuite({ name, runner, capabilities, layer: upper });
  upperSuite({
    name: `${name}, answering later`,
    runner,
    capabilities,
    upper: async () => await quota(asyncLayer<UpperLayer>(make(), new Scheduler(7)), PLENTY),
  });
}

/** What the objects of a tree take, counted without the code under test. */
function counted(layer: UpperLayer<'sync'>): { bytes: number; inodes: number } {
  const seen = new Map<number, number>();
  const visit = (node: object): void => {
    const { ino, blocks, mode } = layer.getattr(node);
    seen.set(ino, blocks * 512);
    if (!isDirectory(mode)) return;
    for (const { name } of layer.readdir(node)) visit((layer.lookup(node, name) as { node: object }).node);
  };
  visit(layer.root);
  return { bytes: [...seen.values()].reduce((a, b) => a + b, 0), inodes: seen.size };
}

describe('what is charged is what a count gives', () => {
  const stacks = given(arbitraryLayers(fc));
  const operations = given(arbitraryOperations(fc, { min: 1, max: 30 }));
  const limits = fc.record({
    bytes: fc.oneof(fc.integer({ min: 0, max: 6000 }), fc.constant(PLENTY.bytes)),
    inodes: fc.oneof(fc.integer({ min: 1, max: 25 }), fc.constant(PLENTY.inodes)),
  });
  for (const [kind, make] of UPPERS) {
    for (const { kind: options, options: overlayOptions } of KINDS.filter(
      ({ options }) => options.index === undefined,
    )) {
      it(`over ${kind}, ${options}`, TIMEOUT, async () => {
        const holds = async (
          trees: Parameters<typeof worldOf>[0],
          all: Parameters<typeof concrete>[1][],
          limit: { bytes: number; inodes: number },
          inodes: 'keep' | 'forget',
        ): Promise<void> => {
          const inner = make();
          const upper = quota(inner, limit);
          const driver = open({ upper, lower: worldOf(trees).lower }, { inodes }, overlayOptions);
          const model = new Model(trees);
          for (const pattern of all) {
            const operation = concrete(model.paths(), pattern);
            const result = await apply(driver, operation);
            // What was refused for want of room only is left out of the model, which has all the room there is.
            if (!('error' in result && result.error === 'EDQUOT')) await apply(model, operation);
            const { usage } = upper;
            expect(runSync(upper.recount()), JSON.stringify(operation)).toEqual(usage);
            expect(usage.bytes).toBeLessThanOrEqual(limit.bytes);
            expect(usage.inodes).toBeLessThanOrEqual(limit.inodes);
          }
          for (const slot of [0, 1]) await apply(driver, { kind: 'close', slot });
          expect(upper.ownUsage).toEqual(counted(inner));
        };
        const property = fc.asyncProperty(stacks, operations, limits, fc.constantFrom('keep', 'forget'), holds);
        await fc.assert(property, parameters(60));
      });
    }
  }

  it('truncation, holes, files that are open without a name, hard links', () => {
    const upper = quota(sparseMemoryLayer(), { bytes: 1 << 20, inodes: 4 });
    const fs = createFs(overlay({ lower: [memoryLayer()], upper }));
    fs.writeFileSync('/a', new Uint8Array(300_000));
    expect(upper.usage).toEqual({ bytes: 300_032, inodes: 2 });
    fs.truncateSync('/a', 1000);
    expect(upper.usage.bytes).toBe(1024);
    fs.truncateSync('/a', 2 ** 40); // a hole of a tebibyte
    fs.linkSync('/a', '/b');
    const fd = fs.openSync('/a', 'r+');
    fs.writeSync(fd, new Uint8Array(1), 0, 1, 2 ** 39);
    expect(upper.usage).toEqual({ bytes: counted(upper).bytes, inodes: 2 });
    expect(upper.usage.bytes).toBeLessThan(200_000);
    fs.unlinkSync('/a');
    fs.unlinkSync('/b');
    expect(upper.usage.inodes).toBe(2);
    fs.writeSync(fd, new Uint8Array(100_000), 0, 100_000, 0);
    expect(upper.usage.bytes).toBeGreaterThan(100_000);
    fs.closeSync(fd);
    expect(upper.usage).toEqual({ bytes: 0, inodes: 1 });
  });

  it('over an error of the layer, at each call', () => {
    for (let after = 0, isDone = false; !isDone; after++) {
      const inner = memoryLayer();
      const faulty = faultLayer<UpperLayer<'sync'>>(inner);
      const upper = quota(faulty.layer, PLENTY);
      const fs = createFs(overlay({ lower: [memoryLayer({ from: { f: 'below', d: { e: '' } } })], upper }));
      const steps = [
        () => fs.appendFileSync('/f', 'x'.repeat(5000)),
        () => fs.renameSync('/d', '/g'),
        () => fs.unlinkSync('/f'),
        () => fs.mkdirSync('/d'),
      ];
      faulty.arm(after, 'EIO');
      for (const step of steps) {
        try {
          step();
        } catch (error) {
          if (!isFsError(error, 'EIO', 'EEXIST')) throw error; // what a step that failed left there
        }
      }
      isDone = faulty.failed === undefined;
      faulty.disarm();
      // A layer that does not say what came of a change is thought to hold as much as it may.
      const { usage } = upper;
      const there = counted(inner);
      expect(usage.bytes, `failed: ${faulty.failed}`).toBeGreaterThanOrEqual(there.bytes);
      expect(usage.inodes, `failed: ${faulty.failed}`).toBe(there.inodes);
      if (faulty.failed !== 'getattr') expect(usage.bytes, `failed: ${faulty.failed}`).toBe(there.bytes);
    }
  });
});

describe('at the limit', () => {
  it('a copy-up that does not fit is EDQUOT and leaves nothing', () => {
    const lower = memoryLayer({ from: { d: { big: 'b'.repeat(10_000) } } });
    const upper = quota(memoryLayer(), { bytes: 9000 });
    const fs = createFs(overlay({ lower: [lower], upper }));
    expect(() => fs.appendFileSync('/d/big', 'x')).toThrow(
      expect.objectContaining({ code: 'EDQUOT', errno: -122, path: '/d/big' }),
    );
    expect(rawTree(upper)).toEqual(rawTree(quota(memoryLayer({ from: { d: {} } }), {})));
    expect(upper.usage).toEqual({ bytes: 0, inodes: 2 }); // the directory, which fitted
    expect(fs.readFileSync('/d/big', 'utf8')).toBe('b'.repeat(10_000));
    fs.writeFileSync('/d/big', 'small'); // its old content is not copied
    expect(upper.usage.bytes).toBe(512);
  });

  it('a write goes in whole or not at all; overwriting and removing go on', () => {
    const upper = quota(memoryLayer(), { bytes: 2048, inodes: 3 });
    const fs = createFs(overlay({ lower: [memoryLayer({ from: { below: '' } })], upper }));
    fs.writeFileSync('/a', 'a'.repeat(2000));
    expect(() => fs.appendFileSync('/a', 'b'.repeat(49))).toThrow(expect.objectContaining({ code: 'EDQUOT' }));
    expect(fs.readFileSync('/a', 'utf8')).toBe('a'.repeat(2000));
    fs.appendFileSync('/a', 'b'.repeat(48));
    const fd = fs.openSync('/a', 'r+');
    fs.writeSync(fd, new Uint8Array(2048), 0, 2048, 0);
    fs.closeSync(fd);
    fs.mkdirSync('/d');
    for (const make of [() => fs.mkdirSync('/e'), () => fs.symlinkSync('x', '/e'), () => fs.unlinkSync('/below')]) {
      expect(make).toThrow(expect.objectContaining({ code: 'EDQUOT' })); // also a whiteout is an object
    }
    fs.linkSync('/a', '/d/a');
    fs.rmSync('/d', { recursive: true });
    fs.unlinkSync('/below');
    fs.unlinkSync('/a');
    expect(upper.usage).toEqual({ bytes: 0, inodes: 2 });
  });

  it('limits are lowered and raised', () => {
    const upper = quota(memoryLayer({ from: { a: 'a'.repeat(1000) } }), {});
    const fs = createFs(overlay({ lower: [], upper }));
    upper.limits = { bytes: 512 };
    expect(() => fs.writeFileSync('/b', 'b')).toThrow(expect.objectContaining({ code: 'EDQUOT' }));
    fs.truncateSync('/a', 100);
    upper.limits = { bytes: 1024 };
    fs.writeFileSync('/b', 'b');
    expect(upper.usage).toEqual({ bytes: 1024, inodes: 3 });
  });

  it('twenty who write at the same time: each has all or nothing, and all of the room is used', TIMEOUT, async () => {
    const first = seedOfRun();
    for (let seed = first; seed < first + 10; seed++) {
      for (const [kind, make] of UPPERS) {
        const scheduler = new Scheduler(seed);
        const inner = make();
        const upper = await quota(asyncLayer<UpperLayer>(inner, scheduler), { bytes: 10_240, inodes: 1000 });
        const lower = asyncLayer(memoryLayer({ from: { log: 'l'.repeat(1024) } }), scheduler);
        const view = await overlay({ lower: [lower], upper });
        const fs = promisesFs(view);
        const writes = Array.from({ length: 20 }, (_, i) =>
          i % 2 ? fs.appendFile('/log', 'x'.repeat(1024)) : fs.writeFile(`/f${i}`, 'y'.repeat(1024)),
        );
        const results = await Promise.allSettled(writes);
        const message = `seed ${seed}, ${kind}`;
        const refused = results.filter((result) => result.status === 'rejected');
        for (const { reason } of refused) expect(reason, message).toMatchObject({ code: 'EDQUOT' });
        let bytes = 0;
        for (const name of await fs.readdir('/')) {
          const { size } = await fs.stat(`/${name}`);
          expect(size % 1024, `${message}: ${name}`).toBe(0);
          bytes += size;
        }
        expect(bytes, message).toBe((20 - refused.length + (counted(inner).bytes > 0 ? 1 : 0)) * 1024);
        expect(upper.usage, message).toEqual(counted(inner));
        expect(upper.usage.bytes, message).toBe(10_240);
      }
    }
  });
});

it('statfs shows the limits and what is left, as project quotas do', async () => {
  const upper = quota(memoryLayer(), { bytes: 40_960, inodes: 10 });
  const fs = createFs(overlay({ lower: [memoryLayer()], upper }));
  fs.writeFileSync('/a', new Uint8Array(10_000));
  expect(fs.statfsSync('/')).toMatchObject({ bsize: 4096, blocks: 10, bfree: 7, bavail: 7, files: 10, ffree: 8 });
  const roomy = { blocks: 2 ** 32, bfree: 2 ** 32, files: 2 ** 32, ffree: 2 ** 32 };
  expect(quota(memoryLayer(), {}).statfs()).toMatchObject(roomy);
});

it('is told what is used, or counts it', () => {
  const inner = (): MemoryLayer => memoryLayer({ from: { d: { f: 'x'.repeat(600) } } });
  expect(quota(inner(), {}).usage).toEqual({ bytes: 1024, inodes: 3 });
  const told = quota(inner(), { used: { bytes: 5120, inodes: 7 } });
  expect(told.usage).toEqual({ bytes: 5120, inodes: 7 });
  expect(runSync(told.recount())).toEqual({ bytes: 1024, inodes: 3 });
});

it('refuses limits that are none', () => {
  for (const bytes of [-1, 1.5, Number.NaN]) {
    expect(() => quota(memoryLayer(), { bytes })).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  }
  const shareWith = quota(memoryLayer(), {});
  expect(() => quota(memoryLayer(), { bytes: 1, shareWith })).toThrow(/limits beside shareWith/);
});

it('one quota for all checkpoints: rolled back, its room is free again', () => {
  const first = quota(memoryLayer(), { bytes: 4096 });
  const fresh = (): QuotaLayer<'sync'> => quota(memoryLayer(), { shareWith: first });
  const view = snapshotOverlay({ lower: [memoryLayer()], upper: first });
  const fs = createFs(view);
  fs.writeFileSync('/a', 'a'.repeat(2048));
  const kept = runSync(view.checkpoint(fresh()));
  fs.writeFileSync('/b', 'b'.repeat(2048));
  expect(first.usage.bytes).toBe(4096);
  expect(() => fs.appendFileSync('/a', 'a')).toThrow(expect.objectContaining({ code: 'EDQUOT' }));
  for (const dropped of runSync(view.rollback(fresh(), kept))) dropped.close?.();
  expect(first.usage).toEqual({ bytes: 2048, inodes: 3 });
  fs.writeFileSync('/c', 'c'.repeat(2048));
  expect(fs.readdirSync('/')).toEqual(['a', 'c']);
});
