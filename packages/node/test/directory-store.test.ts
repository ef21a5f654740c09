// A directory as a key-value store: as a Map would do, over crashes at each byte of the journal; uppers in it.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runSync } from '@ovl/core';
import { kvLayer, mapStore, type StoreOperation } from '@ovl/core/kv';
import { ALL_CAPABILITIES, layerSuite, overlaySuite, populate, upperSuite } from '@ovl/core/testing';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { seedOfRun } from '../../../test/support/seed.js';
import { type DirectoryStore, directoryStore } from '../src/directory-store.js';
import { runner } from '../../../test/support/suite-runner.js';

/** In memory where there is such a place: what a sync costs is not what is tested. */
const base = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ovl-store-'));
afterAll(() => rmSync(base, { recursive: true }));
let places = 0;

function place(): string {
  const path = join(base, String(places++));
  mkdirSync(path);
  return path;
}

function fresh(path: string = join(place(), 'store')): DirectoryStore {
  const store = directoryStore(path);
  onTestFinished(() => store.close());
  return store;
}

const name = 'keys and values in a directory';
layerSuite({
  name,
  runner,
  capabilities: ALL_CAPABILITIES,
  layer(tree) {
    const layer = kvLayer(fresh());
    runSync(populate(layer, tree));
    return layer;
  },
});
upperSuite({ name, runner, capabilities: ALL_CAPABILITIES, upper: () => kvLayer(fresh()) });
overlaySuite({ name, runner, capabilities: ALL_CAPABILITIES, layer: () => kvLayer(fresh()) });

const key = fc.constantFrom(
  'a',
  'a/b',
  'a/b/c',
  'A',
  '%20',
  'x'.repeat(500),
  `${'x'.repeat(200)}/y`,
  `${'x'.repeat(200)}y`,
);
const operation: fc.Arbitrary<StoreOperation> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), key, value: fc.uint8Array({ maxLength: 20 }) }),
  fc.record({ kind: fc.constant('delete' as const), key }),
);
const batches = fc.array(fc.uniqueArray(operation, { selector: (one) => one.key, maxLength: 4 }), { maxLength: 6 });
const all = (store: Pick<DirectoryStore, 'get' | 'list'>): Record<string, number[]> =>
  Object.fromEntries(
    store
      .list('')
      .toSorted()
      .map((one) => [one, [...(store.get(one) as Uint8Array)]]),
  );

describe('a directory as a store', () => {
  it('holds what a Map holds, and so does one that is opened again', () => {
    const property = fc.property(batches, (list) => {
      const path = join(place(), 'store');
      const map = mapStore();
      let store = directoryStore(path);
      for (const batch of list) {
        store.batch(batch);
        map.batch(batch);
        expect(all(store)).toEqual(all(map));
        for (const prefix of ['a', 'a/', 'x', '%', 'zz']) {
          expect(store.list(prefix).toSorted()).toEqual(map.list(prefix).toSorted());
        }
      }
      store.close();
      expect(readFileSync(join(path, 'journal')).length).toBe(0);
      store = directoryStore(path);
      expect(all(store)).toEqual(all(map));
      for (const one of store.list('')) store.delete(one);
      store.close();
      expect(readdirSync(join(path, 'data'))).toEqual([]);
    });
    fc.assert(property, { seed: seedOfRun(), numRuns: 40 });
  });

  it('has all of a batch or none, wherever the journal was cut and whatever the files were like', () => {
    const path = join(place(), 'store');
    const store = directoryStore(path);
    store.batch([
      { kind: 'put', key: 'a/old', value: Uint8Array.of(1) },
      { kind: 'put', key: 'a/b', value: Uint8Array.of(2) },
    ]);
    const before = all(store);
    const kept = readFileSync(join(path, 'journal')).length;
    store.batch([
      { kind: 'delete', key: 'a/old' },
      { kind: 'put', key: 'a/b', value: Uint8Array.of(3, 3) },
      { kind: 'put', key: 'c', value: new Uint8Array(0) },
    ]);
    const after = all(store);
    const { length } = readFileSync(join(path, 'journal'));
    for (let cut = kept; cut <= length; cut++) {
      const copy = join(place(), 'copy');
      cpSync(path, copy, { recursive: true });
      truncateSync(join(copy, 'journal'), cut);
      // Files follow the journal in any order and in parts; those of a batch that is not in it have not begun to.
      if (cut === length) {
        writeFileSync(join(copy, 'data/a/b='), '');
        writeFileSync(join(copy, 'data/a/old='), 'torn');
      } else {
        writeFileSync(join(copy, 'data/a/b='), Uint8Array.of(2));
        writeFileSync(join(copy, 'data/a/old='), Uint8Array.of(1));
        rmSync(join(copy, 'data/c='));
      }
      const opened = directoryStore(copy);
      expect(all(opened), `cut at ${cut} of ${length}`).toEqual(cut === length ? after : before);
      opened.close();
    }
    store.close();
  });

  it('is open once at a time', () => {
    const path = join(place(), 'store');
    const store = directoryStore(path);
    expect(() => directoryStore(path)).toThrow(/^EBUSY/);
    store.close();
    expect(() => store.get('a')).toThrow(/^EIO/);
    directoryStore(path).close();
  });

  it('refuses keys that lead elsewhere, and a place where it cannot be', () => {
    const path = place();
    const store = fresh(join(path, 'store'));
    for (const bad of ['', '/', '../x', 'a/../../x', 'a//b', './a', 'a/.', 'é', 'a b', 'a+'])
      expect(() => store.put(bad, new Uint8Array(1)), bad).toThrow(/^EINVAL/);
    expect(existsSync(join(path, 'x'))).toBe(false);
    expect(store.list('')).toEqual([]);
    writeFileSync(join(path, 'file'), '');
    expect(() => directoryStore(join(path, 'file/store'))).toThrow(/^ENOTDIR/);
  });

  it('begins its journal anew when that has grown', () => {
    const path = join(place(), 'store');
    const store = fresh(path);
    for (let i = 0; i < 9; i++) store.put(`k/${i}`, new Uint8Array(1 << 20).fill(i));
    expect(readFileSync(join(path, 'journal')).length).toBeLessThan(2 << 20);
    expect(store.get('k/3')?.[5]).toBe(3);
  });

  it('keeps an upper over a restart', () => {
    const path = join(place(), 'store');
    mkdirSync(path);
    const file = { mode: 0o100644, uid: 0, gid: 0 };
    let store = directoryStore(path);
    const layer = kvLayer(store, { owner: 'me' });
    for (const one of ['a', 'ü', 'n'.repeat(255)]) {
      const { node } = layer.create({ dir: layer.root, name: one }, file);
      const opened = layer.openWritable(node);
      opened.write(new Uint8Array(100_000).fill(1), 0);
      opened.close();
    }
    // No close of the layer: as after a crash. Its lock is the same owner's.
    store.close();
    store = fresh(path);
    const again = kvLayer(store, { owner: 'me' });
    expect(
      again
        .readdir(again.root)
        .map(({ name: one }) => one)
        .toSorted(),
    ).toEqual(['a', 'n'.repeat(255), 'ü'].toSorted());
    expect(again.lookup(again.root, 'ü')?.attributes.size).toBe(100_000);
  });
});
