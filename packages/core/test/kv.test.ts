// The key-value layer: the suites over a Map, at once and later; what its store holds after a crash at each batch, after a
// failure at each call, after a batch that failed and was done all the same; two writers.
import { type Layer, Overlay, runAsync, runSync, S_IFDIR, S_IFREG } from '@ovl/core';
import { type KeyValueLayer, kvLayer, mapStore, type Store } from '@ovl/core/kv';
import {
  ALL_CAPABILITIES,
  apply,
  arbitraryLayers,
  arbitraryOperations,
  canonical,
  concrete,
  DEFAULT_OPTIONS,
  type FileOperation,
  layerSuite,
  Model,
  OverlayDriver,
  overlaySuite,
  populate,
  Scheduler,
  snapshot,
  type TreeSpec,
  upperSuite,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { given, inStep, parameters, sameTree, TIMEOUT } from './worlds.js';
import { runner } from '../../../test/support/suite-runner.js';

const SMALL = { chunkSize: 512 };

type Stored = Map<string, Uint8Array>;

/** A store that answers when the scheduler says so. */
function late(store: Store<'sync'>, scheduler: Scheduler): Store {
  return {
    get: (key) => scheduler.later(() => store.get(key)),
    put: (key, value) => scheduler.later(() => store.put(key, value)),
    delete: (key) => scheduler.later(() => store.delete(key)),
    list: (prefix) => scheduler.later(() => store.list(prefix)),
    batch: (operations) => scheduler.later(() => store.batch(operations)),
  };
}

/** A store that asks `before` at each change; what it throws is what the store throws, before or after doing it. */
function watched(store: Store<'sync'>, before: () => void, after: () => void = () => {}): Store<'sync'> {
  const change = <T>(work: () => T): T => {
    before();
    const answer = work();
    after();
    return answer;
  };
  return {
    ...store,
    put: (key, value) => change(() => store.put(key, value)),
    delete: (key) => change(() => store.delete(key)),
    batch: (operations) => change(() => store.batch(operations)),
  };
}

const open = (stored: Stored): KeyValueLayer<'sync'> => kvLayer(mapStore(stored), { ...SMALL, lock: 'take' });

/** The keys of objects that nobody can reach. */
function unreachable(stored: Stored): string[] {
  const inos = new Set(['1', '2']);
  for (const key of stored.keys()) {
    const [kind, , entry] = key.split('/');
    if (kind === 'e') inos.add((entry as string).split('.')[0] as string);
  }
  return [...stored.keys()].filter((key) => /^[eics]\//.test(key) && !inos.has(key.split('/')[1] as string));
}

for (const isLate of [false, true]) {
  const name = isLate ? 'keys and values, answering later' : 'keys and values';
  const make = async (): Promise<KeyValueLayer> =>
    isLate ? await kvLayer(late(mapStore(), new Scheduler(7)), SMALL) : kvLayer(mapStore(), SMALL);
  layerSuite({
    name,
    runner,
    capabilities: ALL_CAPABILITIES,
    async layer(tree) {
      const layer = await make();
      await runAsync(populate(layer, tree));
      return layer;
    },
  });
  upperSuite({ name, runner, capabilities: ALL_CAPABILITIES, upper: make });
  overlaySuite({ name, runner, capabilities: ALL_CAPABILITIES, layer: make });
}

const overlayOver = (upper: Layer, lower: readonly Layer[]): OverlayDriver =>
  new OverlayDriver(runSync(Overlay.open({ upper: upper as KeyValueLayer<'sync'>, lower })), {
    mode: 'sync',
    inodes: 'keep',
  });

const lowerOf = (trees: readonly TreeSpec[]): Layer[] =>
  trees.map((tree) => {
    const layer = open(new Map());
    runSync(populate(layer, tree));
    return layer;
  });

/** The model without contents: what was not synced may be missing after a crash, and nothing else. */
const shape = (seen: Awaited<ReturnType<typeof snapshot>>): unknown =>
  canonical(
    Object.fromEntries(
      Object.entries(seen).map(([path, { content: _content, ...rest }]) => [
        path,
        { ...rest, stat: undefined, size: undefined },
      ]),
    ) as unknown as typeof seen,
  );

/** Runs operations until the store's `after`-th change, which is not made any more (or made, and its answer lost). */
async function cutAt(
  trees: readonly TreeSpec[],
  operations: readonly FileOperation[],
  after: number,
  cut: 'before' | 'after',
): Promise<number> {
  const stored: Stored = new Map();
  open(stored).close();
  let changes = Number.NEGATIVE_INFINITY;
  let isCut = false;
  const lower = lowerOf(trees);
  const die = (): void => {
    if (isCut) throw new Error('the machine is off');
  };
  const upper = kvLayer(
    watched(
      mapStore(stored),
      () => {
        if (cut === 'before' && changes === after) isCut = true;
        die();
        changes++;
      },
      () => {
        if (cut === 'after' && changes > after) isCut = true;
        die();
      },
    ),
    { lock: 'take' },
  );
  changes = 0;
  const driver = overlayOver(upper, lower);
  const model = new Model(trees);
  let old = model.clone();
  for (const pattern of operations) {
    const operation = concrete(model.paths(), pattern);
    old = model.clone();
    await apply(model, operation);
    await apply(driver, operation);
    if (isCut) break;
  }
  if (!isCut) return changes;
  const reopened = overlayOver(open(stored), lower);
  const found = shape(await snapshot(reopened));
  for (const one of [old, model]) one.closeAll();
  const [before, now] = [shape(await snapshot(old)), shape(await snapshot(model))];
  if (JSON.stringify(found) !== JSON.stringify(before)) expect(found, 'neither the old view nor the new').toEqual(now);
  expect(unreachable(stored), 'left behind').toEqual([]);
  return changes;
}

/** One change of the store fails once, having been made or not; everything goes on afterwards. */
async function failAt(
  trees: readonly TreeSpec[],
  operations: readonly FileOperation[],
  after: number,
  when: 'before' | 'after',
): Promise<number> {
  const stored: Stored = new Map();
  let changes = Number.NEGATIVE_INFINITY;
  let hasFailed = false;
  const fail = (at: number): void => {
    if (hasFailed || at !== after) return;
    hasFailed = true;
    throw new Error('connection lost');
  };
  const store = watched(
    mapStore(stored),
    () => when === 'before' && fail(changes),
    () => {
      if (when === 'after') fail(changes);
      changes++;
    },
  );
  const lower = lowerOf(trees);
  const upper = kvLayer(store, SMALL);
  changes = 0;
  const driver = overlayOver(upper, lower);
  let model = new Model(trees);
  for (const pattern of operations) {
    const operation = concrete(model.paths(), pattern);
    const old = model.clone();
    const failedBefore = hasFailed;
    const expected = await apply(model, operation);
    const actual = await apply(driver, operation);
    if (failedBefore || !hasFailed) {
      expect({ operation, result: actual }).toEqual({ operation, result: expected });
      continue;
    }
    if ('ok' in actual) continue;
    const seen = JSON.stringify(canonical(await snapshot(driver)));
    if (seen === JSON.stringify(canonical(await snapshot(old)))) model = old;
    else
      expect(seen, `neither view of ${JSON.stringify(operation)}`).toBe(
        JSON.stringify(canonical(await snapshot(model))),
      );
    if (operation.kind === 'open' || operation.kind === 'close') {
      await apply(driver, { kind: 'close', slot: operation.slot });
      await apply(model, { kind: 'close', slot: operation.slot });
    }
  }
  for (const slot of [0, 1]) await apply(driver, { kind: 'close', slot });
  model.closeAll();
  hasFailed = true;
  upper.close();
  await sameTree(overlayOver(open(stored), lower), model, 'reopened');
  expect(unreachable(stored), 'left behind').toEqual([]);
  return changes;
}

describe('keys and values: crashes and failures', () => {
  const layers = given(arbitraryLayers(fc, DEFAULT_OPTIONS));

  it('a crash at each change leaves the old view or the new one, and nothing behind', TIMEOUT, async () => {
    const property = fc.asyncProperty(
      layers,
      given(arbitraryOperations(fc, { min: 1, max: 6 })),
      fc.constantFrom('before' as const, 'after' as const),
      async (trees, operations, cut) => {
        const changes = await cutAt(trees, operations, Number.POSITIVE_INFINITY, cut);
        for (let after = 0; after < changes; after++) await cutAt(trees, operations, after, cut);
      },
    );
    await fc.assert(property, parameters(8));
  });

  it('a change that fails, made or not, leaves the old view or the new one, and all goes on', TIMEOUT, async () => {
    const property = fc.asyncProperty(
      layers,
      given(arbitraryOperations(fc, { min: 1, max: 6 })),
      fc.constantFrom('before' as const, 'after' as const),
      async (trees, operations, when) => {
        const changes = await failAt(trees, operations, Number.POSITIVE_INFINITY, when);
        for (let after = 0; after < changes; after++) await failAt(trees, operations, after, when);
      },
    );
    await fc.assert(property, parameters(8));
  });

  it('does what the model does, and a reopened one as well', TIMEOUT, async () => {
    const property = fc.asyncProperty(
      layers,
      given(arbitraryOperations(fc, { min: 5, max: 30 })),
      async (trees, operations) => {
        const stored: Stored = new Map();
        const lower = lowerOf(trees);
        const driver = overlayOver(open(stored), lower);
        const model = new Model(trees);
        for (const operation of operations) {
          await inStep(driver, model, operation);
          runSync(driver.overlay.sync());
          await sameTree(overlayOver(open(new Map(stored)), lower), model, 'reopened');
        }
        await sameTree(driver, model, 'in the end');
      },
    );
    await fc.assert(property, parameters(25));
  });
});

describe('keys and values', () => {
  const FILE = { mode: S_IFREG | 0o644, uid: 0, gid: 0 };
  const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

  it('a random file keeps its bytes, whatever the chunks', TIMEOUT, () => {
    const at = fc.nat(3000);
    const step = fc.oneof(
      fc.record({ kind: fc.constant('write' as const), at, length: fc.integer({ min: 1, max: 1500 }) }),
      fc.record({ kind: fc.constant('truncate' as const), at }),
      fc.record({ kind: fc.constant('punch' as const), at, length: fc.integer({ min: 1, max: 1500 }) }),
      fc.record({ kind: fc.constant('zero' as const), at, length: fc.integer({ min: 1, max: 1500 }) }),
      fc.constant({ kind: 'save' as const }),
      fc.constant({ kind: 'reopen' as const }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const stored: Stored = new Map();
        let layer = open(stored);
        let { node } = layer.create({ dir: layer.root, name: 'f' }, FILE);
        let expected = new Uint8Array(0);
        let value = 0;
        const grow = (size: number): void => {
          const grown = new Uint8Array(Math.max(size, expected.length));
          grown.set(expected);
          expected = grown;
        };
        for (const one of steps) {
          const file = layer.openWritable(node);
          if (one.kind === 'write') {
            const data = bytes(one.length, (value = (value % 255) + 1));
            file.write(data, one.at);
            grow(one.at + one.length);
            expected.set(data, one.at);
          } else if (one.kind === 'truncate') {
            layer.setattr(node, { size: one.at });
            grow(one.at);
            expected = expected.slice(0, one.at);
          } else if (one.kind === 'punch' || one.kind === 'zero') {
            const isPunch = one.kind === 'punch';
            file.allocate({ keepSize: isPunch, punchHole: isPunch, zeroRange: !isPunch }, one.at, one.length);
            if (!isPunch) grow(one.at + one.length);
            expected.fill(0, one.at, one.at + one.length);
          } else file.fsync('all');
          if (one.kind === 'reopen') {
            layer = open(stored);
            node = layer.lookup(layer.root, 'f')?.node as typeof node;
          }
          const got = bytes(expected.length + 10, 0xee);
          const size = layer.open(node).read(got, 0);
          expect(size).toBe(expected.length);
          expect(Buffer.compare(got.subarray(0, size), expected)).toBe(0);
          // What `seek` calls a hole reads as zeros, and all chunks that are stored are known.
          let position = 0;
          while (position < size) {
            const hole = layer.open(node).seek(position, 'hole');
            let data = size;
            try {
              data = layer.open(node).seek(hole, 'data');
            } catch {}
            expect(expected.subarray(hole, data).every((byte) => byte === 0)).toBe(true);
            position = Math.max(data, position + 1);
          }
        }
        layer.commit({ kind: 'unlink', from: { dir: layer.root, name: 'f' }, occupant: 'non-directory' });
        expect(unreachable(stored)).toEqual([]);
      }),
      parameters(150),
    );
  });

  it('copy-up is one batch, and so is every change of names', () => {
    let batches = 0;
    const store = mapStore();
    const upper = kvLayer({ ...store, batch: (operations) => (batches++, store.batch(operations)) });
    const count = (action: () => void): number => {
      const before = batches;
      action();
      return batches - before;
    };
    expect(
      count(() => {
        const { node } = upper.stage(FILE);
        const file = upper.openWritable(node);
        file.write(bytes(300_000, 1), 0);
        file.order?.();
        file.close();
        upper.setxattr(node, 'user.k', bytes(1, 1));
        upper.setattr(node, { mode: 0o600, mtime: { sec: 1, nsec: 2 } });
        upper.commit({ kind: 'link', node, to: { dir: upper.root, name: 'f' }, over: 'nothing' });
      }),
    ).toBe(1);
    expect(count(() => upper.create({ dir: upper.root, name: 'g' }, FILE))).toBe(1);
    expect(
      count(() => upper.commit({ kind: 'unlink', from: { dir: upper.root, name: 'f' }, occupant: 'non-directory' })),
    ).toBe(1);
  });

  it('a large staged file goes to the store as it grows, and is swept if it gets no name', () => {
    const stored: Stored = new Map();
    const layer = open(stored);
    const empty = stored.size;
    const { node } = layer.stage(FILE);
    const file = layer.openWritable(node);
    for (let i = 0; i < 40; i++) file.write(bytes(512, 1), i * 512);
    expect([...stored.keys()].filter((key) => key.startsWith('c/')).length).toBeGreaterThan(20);
    const crashed = new Map(stored);
    open(crashed);
    expect(unreachable(crashed)).toEqual([]);
    layer.discard(node);
    layer.sync();
    expect(stored.size).toBe(empty);
  });

  it('an unlinked file that is open stays readable, and is swept after a crash', () => {
    const stored: Stored = new Map();
    const layer = open(stored);
    const { node } = layer.create({ dir: layer.root, name: 'f' }, FILE);
    const file = layer.openWritable(node);
    file.write(bytes(2000, 7), 0);
    layer.commit({ kind: 'unlink', from: { dir: layer.root, name: 'f' }, occupant: 'non-directory', keep: node });
    const buffer = new Uint8Array(2000);
    expect(file.read(buffer, 0)).toBe(2000);
    expect(buffer.every((byte) => byte === 7)).toBe(true);
    const crashed = new Map(stored);
    open(crashed);
    expect(unreachable(crashed)).toEqual([]);
    layer.release(node);
    layer.sync();
    expect(unreachable(stored)).toEqual([]);
  });

  it('a second writer is refused, names whose turn it is, and may take it', () => {
    const stored: Stored = new Map();
    const store = mapStore(stored);
    const layer = kvLayer(store, { owner: 'one' });
    expect(() => kvLayer(store, { owner: 'two' })).toThrow(/^EBUSY.*locked by one/);
    expect(kvLayer(store, { owner: 'two', access: 'read' }).readdir).toBeTypeOf('function');
    expect(kvLayer(store, { owner: 'one' }).xattrPrefix).toBe('trusted.overlay.');
    expect(kvLayer(store, { owner: 'two', lock: 'take' }).xattrPrefix).toBe('trusted.overlay.');
    layer.close();
    expect(kvLayer(store, { owner: 'three' }).xattrPrefix).toBe('trusted.overlay.');
  });

  it('a layer opened for reading changes nothing', () => {
    const stored: Stored = new Map();
    expect(() => kvLayer(mapStore(stored), { access: 'read' })).toThrow(/^EINVAL/);
    expect(stored.size).toBe(0);
    open(stored).close();
    const before = [...stored];
    const layer = kvLayer(mapStore(stored), { access: 'read' });
    const { root } = layer;
    expect(() => layer.create({ dir: root, name: 'f' }, FILE)).toThrow(/^EROFS/);
    expect(() => layer.stage(FILE)).toThrow(/^EROFS/);
    expect(() => layer.setattr(root, { mode: 0 })).toThrow(/^EROFS/);
    expect(() => layer.openWritable(root)).toThrow(/^EROFS/);
    layer.close();
    expect([...stored]).toEqual(before);
  });

  it('names the key that holds no inode, no entry, no format', () => {
    const stored: Stored = new Map();
    const layer = open(stored);
    layer.create({ dir: layer.root, name: 'f' }, FILE);
    const broken = (key: string, text: string, use: (layer: KeyValueLayer<'sync'>) => unknown): void => {
      const copy = new Map(stored).set(key, new TextEncoder().encode(text));
      expect(() => use(open(copy)), `${key}: ${text}`).toThrow(new RegExp(`^E(IO|INVAL): .*'${key}'`));
    };
    for (const text of ['', '{}', '[1]', '[1,2,3,4,5,6,7,8,9,10,11,12,"",[0.5],[]]', 'null'])
      broken('i/3', text, (opened) => opened.lookup(opened.root, 'f'));
    broken('e/1/f', '', (opened) => opened.readdir(opened.root));
    broken('e/1/7.8.f', '', (opened) => opened.readdir(opened.root));
    broken('format', '{"version":2}', () => undefined);
    broken('next', 'x', () => undefined);
  });

  it('a lost chunk is an error, not zeros', () => {
    const stored: Stored = new Map();
    const layer = open(stored);
    const { node } = layer.create({ dir: layer.root, name: 'f' }, FILE);
    const file = layer.openWritable(node);
    file.write(bytes(1000, 1), 0);
    file.close();
    stored.delete('c/3/0');
    const again = open(stored);
    const found = again.lookup(again.root, 'f');
    expect(() => again.open(found?.node as object).read(new Uint8Array(1000), 0)).toThrow(/^EIO/);
  });

  it('numbers are never given twice', () => {
    const stored: Stored = new Map();
    const seen = new Set<number>();
    for (let round = 0; round < 3; round++) {
      const layer = open(stored);
      for (let i = 0; i < 1500; i++) {
        const { attributes } = layer.create({ dir: layer.root, name: `${round}-${i}` }, FILE);
        expect(seen.has(attributes.ino)).toBe(false);
        seen.add(attributes.ino);
      }
    }
    const layer = open(stored);
    expect(layer.readdir(layer.root).length).toBe(4500);
    expect(
      layer.create({ dir: layer.root, name: 'd' }, { mode: S_IFDIR | 0o755, uid: 0, gid: 0 }).attributes.nlink,
    ).toBe(2);
  });

  it('changes made at the same time over a slow store are all made', async () => {
    const stored: Stored = new Map();
    const layer = await kvLayer(late(mapStore(stored), new Scheduler(11)), SMALL);
    const names = Array.from({ length: 40 }, (_, i) => `f${i}`);
    const write = async (name: string): Promise<void> => {
      const { node } = await layer.create({ dir: layer.root, name }, FILE);
      const file = await layer.openWritable(node);
      await file.write(bytes(700, 1), 0);
      await file.close();
    };
    await Promise.all(names.map(write));
    const again = open(stored);
    expect(
      again
        .readdir(again.root)
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(names.toSorted());
    for (const name of names) expect(again.lookup(again.root, name)?.attributes.size).toBe(700);
  });
});
