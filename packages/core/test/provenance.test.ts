// Where objects came from: told right through everything that happens to them, or told to be unknown.
import { inodeIndex, type Layer, memoryLayer, MemoryObject, type Overlay, overlay, runAsync, runSync } from '@ovl/core';
import { commit, diff, type Place, type Provenance, provenance, provenances } from '@ovl/core/changes';
import { extents, sparseMemoryLayer } from '@ovl/core/extents';
import { createFs } from '@ovl/core/fs';
import { kvLayer, mapStore } from '@ovl/core/kv';
import { serializedLayer, serializeUpper } from '@ovl/core/serial';
import { SnapshotOverlay } from '@ovl/core/snapshots';
import { tarLayer } from '@ovl/core/tar';
import {
  apply,
  arbitraryLayers,
  arbitraryOperations,
  asyncLayer,
  concrete,
  file,
  Model,
  Scheduler,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { tarOf } from './tar-writer.js';
import { given, KINDS, open, parameters, TIMEOUT, worldOf } from './worlds.js';

const about = (merged: Overlay<'sync'>, path: string): Provenance => runSync(provenance(merged, path));
const brief = ({ kind, from, changed }: Provenance): string =>
  [kind, ...from.map(({ layer, path }) => `${layer}:${path}`), changed].join(' ');
const identity = ({ layer, ino }: Place): string => `${layer}:${ino}`;

describe('provenance', () => {
  // The numbers that an overlay shows follow an object through copy-up and renames: they say what came from where.
  for (const { kind, layers, options, upper: makeUpper } of KINDS.filter(
    ({ options }) => options.index === undefined,
  )) {
    it(`is that of the object that had the number before (${kind})`, TIMEOUT, async () => {
      const property = fc.asyncProperty(
        given(arbitraryLayers(fc, layers)),
        given(arbitraryOperations(fc, { min: 1, max: 14 })),
        async (trees, operations) => {
          const world = worldOf(trees, makeUpper);
          const driver = open(world, {}, options);
          const merged = driver.overlay as Overlay<'sync'>;
          const fs = createFs(merged);
          const model = new Model(trees);
          const before = new Map<number, string>();
          for (const { path } of model.paths())
            if (path !== '/') before.set(fs.lstatSync(path).ino, identity(about(merged, path).shown));
          for (const pattern of operations) {
            const operation = concrete(model.paths(), pattern);
            await apply(model, operation);
            await apply(driver, operation);
          }
          for (const slot of [0, 1]) await apply(driver, { kind: 'close', slot });
          const paths = model.paths().map(({ path }) => path);
          const reopened = open(world, {}, options).overlay as Overlay<'sync'>;
          for (const view of [merged, reopened]) {
            const found = runSync(provenances(view, paths));
            expect(found.map(({ path }) => path)).toEqual(paths);
            for (const { path, kind, shown, from } of found) {
              if (path === '/') continue;
              const source = before.get(fs.lstatSync(path).ino);
              const told = kind === 'lower' ? shown : from[0];
              expect({ path, kind, source: told && identity(told) }).toEqual({
                path,
                kind: source === undefined ? 'created' : shown.layer > 0 ? 'lower' : 'copied',
                source,
              });
            }
          }
        },
      );
      await fc.assert(property, parameters(60));
    });
  }

  it('tells the path below, and what was changed', () => {
    const lower = [
      memoryLayer({ from: { top: 't' } }),
      memoryLayer({
        from: { d: { x: 'x', y: 'y', deep: { z: 'z' } }, top: 'hidden', s: new MemoryObject('d', { mode: 0o120777 }) },
      }),
    ];
    const merged = overlay({ lower, upper: memoryLayer() });
    const fs = createFs(merged);
    fs.chmodSync('/top', 0o600);
    fs.writeFileSync('/d/x', 'new');
    fs.renameSync('/d', '/moved');
    fs.renameSync('/moved/y', '/elsewhere');
    fs.writeFileSync('/moved/y', 'another');
    fs.utimesSync('/moved/deep/z', 1, 1);
    fs.renameSync('/moved/deep', '/deep');
    fs.renameSync('/s', '/t');
    fs.mkdirSync('/new');
    const told = runSync(diff(merged)).map(({ path }) => path);
    expect(runSync(provenances(merged, told)).map((one) => `${one.path}: ${brief(one)}`)).toEqual([
      '/deep: copied 2:/d/deep nothing',
      '/deep/z: copied 2:/d/deep/z metadata',
      '/elsewhere: copied 2:/d/y nothing',
      '/moved: copied 2:/d nothing',
      '/moved/x: copied 2:/d/x content',
      '/moved/y: created nothing',
      '/new: created nothing',
      '/t: copied 2:/s nothing',
      '/top: copied 1:/top metadata',
    ]);
    expect(brief(about(overlay({ lower }), '/d/x'))).toBe('lower nothing');
    expect(about(merged, '/elsewhere').from[0]?.ino).toBe(
      lower[1]?.lookup(lower[1].lookup(lower[1].root, 'd')?.node as object, 'y')?.attributes.ino,
    );
    expect(brief(runSync(provenance(merged, '/elsewhere', { search: 'names' })))).toBe('unknown unknown');
    expect(() => about(merged, '/gone')).toThrow(/^ENOENT: .*'\/gone'/);
  });

  it('a removed name that is made again is created, whatever is below', () => {
    const lower = [memoryLayer({ from: { f: 'f', d: { x: 'x' } } })];
    const merged = overlay({ lower, upper: memoryLayer() });
    const fs = createFs(merged);
    fs.unlinkSync('/f');
    fs.writeFileSync('/f', 'f');
    fs.rmSync('/d', { recursive: true });
    fs.mkdirSync('/d');
    fs.writeFileSync('/d/x', 'x');
    expect(['/f', '/d', '/d/x'].map((path) => brief(about(merged, path)))).toEqual(Array(3).fill('created nothing'));
  });

  it('of files with several names: kept by the index; without one nothing is recorded, which is told', () => {
    const { lower } = worldOf([{ a: file('x', { inode: 1 }), b: file('x', { inode: 1 }), c: file('c') }]);
    const indexed = overlay({ lower, upper: memoryLayer(), index: inodeIndex('on') });
    createFs(indexed).appendFileSync('/a', '!');
    createFs(indexed).renameSync('/b', '/d');
    expect(brief(about(indexed, '/a'))).toBe('copied 1:/a content');
    expect(brief(about(indexed, '/d'))).toMatch(/^copied 1:\/[ab] content$/);
    expect(about(indexed, '/a').shown.layer).toBe(0);
    const other = overlay({ lower, upper: memoryLayer(), index: inodeIndex('on') });
    createFs(other).appendFileSync('/a', '!');
    expect(brief(about(other, '/b'))).toMatch(/^copied 1:\/[ab] content$/);
    const plain = overlay({ lower, upper: memoryLayer() });
    createFs(plain).appendFileSync('/a', '!');
    createFs(plain).appendFileSync('/c', '!');
    createFs(plain).linkSync('/c', '/e');
    expect(['/a', '/b', '/c', '/e'].map((path) => brief(about(plain, path)))).toEqual([
      'unknown unknown',
      'lower nothing',
      'copied 1:/c content',
      'copied 1:/c content',
    ]);
  });

  it('tells how many bytes are still below', () => {
    const lower = [memoryLayer({ from: { f: 'x'.repeat(100) } })];
    const merged = overlay({ lower, upper: sparseMemoryLayer(), metacopy: extents({ chunk: 16 }) });
    const fs = createFs(merged);
    fs.chmodSync('/f', 0o600);
    expect(about(merged, '/f')).toMatchObject({ changed: 'metadata', data: { own: 0, below: 100 } });
    const descriptor = fs.openSync('/f', 'r+');
    fs.writeSync(descriptor, 'y', 20);
    fs.closeSync(descriptor);
    expect(about(merged, '/f')).toMatchObject({
      changed: 'content',
      differs: ['content', 'mode', 'mtime'],
      data: { own: 16, below: 84 },
    });
    fs.renameSync('/f', '/g');
    expect(about(merged, '/g')).toMatchObject({ from: [{ path: '/f' }], data: { own: 16, below: 84 } });
  });

  it('goes on through layers that were uppers: committed, serialised, sealed by a checkpoint', () => {
    const base = memoryLayer({ from: { a: 'a', b: 'b', d: { x: 'x' } } });
    const first = overlay({ lower: [base], upper: memoryLayer() });
    const fs = createFs(first);
    fs.appendFileSync('/a', '1');
    fs.renameSync('/b', '/c');
    fs.renameSync('/d', '/e');
    fs.writeFileSync('/n', 'n');
    const sealed = [
      runSync(commit(first)),
      serializedLayer(Buffer.concat([...serializeUpper(first)])),
    ] as Layer<'sync'>[];
    for (const layer of sealed) {
      const second = overlay({ lower: [layer, base], upper: memoryLayer() });
      expect(brief(about(second, '/c'))).toBe('copied 2:/b nothing');
      expect(brief(about(second, '/n'))).toBe('lower nothing');
      createFs(second).appendFileSync('/a', '2');
      createFs(second).renameSync('/c', '/f');
      createFs(second).appendFileSync('/n', '2');
      createFs(second).appendFileSync('/e/x', '2');
      expect(['/a', '/f', '/n', '/e', '/e/x'].map((path) => brief(about(second, path)))).toEqual([
        'copied 1:/a 2:/a content',
        'copied 1:/c 2:/b nothing',
        'copied 1:/n content',
        'copied 1:/e 2:/d nothing',
        'copied 2:/d/x content',
      ]);
    }
    const kept = runSync(SnapshotOverlay.open({ lower: [base], upper: memoryLayer() })) as SnapshotOverlay<'sync'>;
    createFs(kept).renameSync('/b', '/c');
    runSync(kept.checkpoint(memoryLayer()));
    createFs(kept).appendFileSync('/c', '2');
    expect(brief(about(kept, '/c'))).toBe('copied 1:/c 2:/b content');
  });

  it('is unknown, and never something else, where the layers are others now', () => {
    const from = { f: 'f', g: 'g', d: { x: 'x' } };
    const upper = memoryLayer();
    const before = createFs(overlay({ lower: [memoryLayer({ from })], upper }));
    before.appendFileSync('/f', '!');
    before.renameSync('/g', '/h');
    before.chmodSync('/d', 0o700);
    const merged = overlay({ lower: [memoryLayer({ from })], upper });
    expect(['/f', '/h', '/d'].map((path) => brief(about(merged, path)))).toEqual(Array(3).fill('unknown unknown'));
    upper.setxattr(upper.lookup(upper.root, 'f')?.node as object, 'trusted.overlay.origin', new Uint8Array(0));
    expect(brief(about(merged, '/f'))).toBe('unknown unknown');
    // The layer in between is gone: what it was copied from there is not.
    const archive = overlay({
      lower: [tarLayer(tarOf({ name: 't', data: 't' }, { name: 'u', data: 'u' }))],
      upper: memoryLayer(),
    });
    createFs(archive).appendFileSync('/t', '!');
    expect(brief(about(archive, '/t'))).toBe('unknown unknown');
    expect(brief(about(archive, '/u'))).toBe('lower nothing');
  });

  it('takes no object in memory for one of an earlier process that had its numbers', async () => {
    const layers: Layer<'sync'>[] = [];
    const uppers = [];
    for (const content of ['one', 'other']) {
      vi.resetModules(); // as a new process: layers are numbered from 1 again
      const { memoryLayer } = await import('@ovl/core');
      layers.push(memoryLayer({ from: { f: content } }) as Layer<'sync'>);
      uppers.push(memoryLayer({ dev: 100 }));
    }
    expect(layers.map((layer) => layer.getattr(layer.root).dev)).toEqual([1, 1]);
    const [before, now] = layers as [Layer<'sync'>, Layer<'sync'>];
    const [upper] = uppers as [ReturnType<typeof memoryLayer>];
    createFs(overlay({ lower: [before], upper })).appendFileSync('/f', '!');
    expect(brief(about(overlay({ lower: [before], upper }), '/f'))).toBe('copied 1:/f content');
    expect(brief(about(overlay({ lower: [now], upper }), '/f'))).toBe('unknown unknown');
  });

  it('is kept by a key-value store, opened again, and by layers that answer later', async () => {
    const [below, above] = [new Map<string, Uint8Array>(), new Map<string, Uint8Array>()];
    const make = kvLayer(mapStore(below));
    createFs(overlay({ lower: [], upper: make })).mkdirSync('/d');
    createFs(overlay({ lower: [], upper: make })).writeFileSync('/d/x', 'x');
    make.close();
    const opened = (): Overlay<'sync'> =>
      overlay({
        lower: [kvLayer(mapStore(below), { access: 'read' })],
        upper: kvLayer(mapStore(above), { lock: 'take' }),
      });
    createFs(opened()).renameSync('/d/x', '/y');
    expect(brief(about(opened(), '/y'))).toBe('copied 1:/d/x nothing');
    const lower = memoryLayer({ from: { d: { x: 'x' } } });
    const upper = memoryLayer();
    createFs(overlay({ lower: [lower], upper })).renameSync('/d/x', '/y');
    const scheduler = new Scheduler(5);
    const late = await overlay({ lower: [asyncLayer<Layer>(lower, scheduler)], upper: asyncLayer(upper, scheduler) });
    expect(brief(await runAsync(provenance(late as Overlay, '/y')))).toBe('copied 1:/d/x nothing');
  });
});
