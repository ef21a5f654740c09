// An upper as a sealed layer shows what the upper showed, and explanations agree with what lookups find.
import {
  FsError,
  inodeIndex,
  type Layer,
  memoryLayer,
  Overlay,
  overlay,
  runAsync,
  runSync,
  S_IFMT,
  type UpperLayer,
} from '@ovl/core';
import { commit, diff, explain, type Explanation } from '@ovl/core/changes';
import { extents, sparseMemoryLayer } from '@ovl/core/extents';
import { createFs } from '@ovl/core/fs';
import {
  apply,
  arbitraryLayers,
  arbitraryOperations,
  asyncLayer,
  concrete,
  dir,
  file,
  type FileOperation,
  Model,
  OverlayDriver,
  Scheduler,
  type TreeSpec,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { given, KINDS, open, parameters, seen, TIMEOUT, type World, worldOf } from './worlds.js';

const worlds = KINDS.filter(({ options }) => options.index === undefined);

async function changed(
  trees: readonly TreeSpec[],
  operations: readonly FileOperation[],
  options: object,
): Promise<World & { merged: Overlay; model: Model }> {
  const world = worldOf(trees);
  const driver = open(world, {}, options);
  const model = new Model(trees);
  for (const pattern of operations) {
    const operation = concrete(model.paths(), pattern);
    await apply(model, operation);
    await apply(driver, operation);
  }
  for (const slot of [0, 1]) await apply(driver, { kind: 'close', slot });
  return { ...world, merged: driver.overlay, model };
}

describe('a committed upper', () => {
  for (const { kind, layers, options } of worlds) {
    it(`shows the same over the same layers (${kind})`, TIMEOUT, async () => {
      const property = fc.asyncProperty(
        given(arbitraryLayers(fc, layers)),
        given(arbitraryOperations(fc, { min: 1, max: 12 })),
        async (trees, operations) => {
          const { merged, lower } = await changed(trees, operations, options);
          const expected = await seen(merged);
          const sealed = runSync(commit(merged));
          const fs = createFs(merged as Overlay<'sync'>);
          fs.writeFileSync('/later', 'later');
          const above = runSync(Overlay.open({ ...options, lower: [sealed, ...lower] }));
          expect(await seen(above)).toEqual(expected);
          // And as the upper of another overlay.
          const upper = memoryLayer();
          fs.unlinkSync('/later');
          runSync(commit(merged, upper as UpperLayer));
          expect(await seen(open({ upper, lower }, {}, options).overlay)).toEqual(expected);
          const left = runSync(diff(above, { older: merged, directoryTimes: 'report' }));
          expect(left.filter(({ path }) => path !== '/').flatMap(({ differs }) => differs)).toEqual([]);
        },
      );
      await fc.assert(property, parameters(60));
    });
  }

  it('has the bytes that a file has of its own beside those below', () => {
    const lower = memoryLayer({ from: { f: 'x'.repeat(10) } });
    const options = { lower: [lower], metacopy: extents({ chunk: 2 }) };
    const merged = overlay({ ...options, upper: sparseMemoryLayer() });
    const descriptor = createFs(merged).openSync('/f', 'r+');
    createFs(merged).writeSync(descriptor, 'y', 4);
    createFs(merged).closeSync(descriptor);
    const sealed = runSync(commit(merged));
    const { node } = sealed.lookup(sealed.root, 'f') as { node: object };
    expect(sealed.getxattr(node, 'trusted.overlay.metacopy')?.[0]).toBe(0x65);
    const above = overlay({ ...options, lower: [sealed, lower] });
    expect(createFs(above).readFileSync('/f', 'utf8')).toBe('xxxxyxxxxx');
  });

  it('comes from layers that answer later, too', async () => {
    const { lower, upper, merged } = await changed(
      [{ a: dir({ x: file('x') }) }],
      [{ kind: 'rename', from: '/a', to: '/b' }],
      {},
    );
    const scheduler = new Scheduler(3);
    const slow = await runAsync(
      Overlay.open({
        lower: lower.map((layer) => asyncLayer<Layer>(layer, scheduler)),
        upper: asyncLayer<UpperLayer>(upper, scheduler),
      }),
    );
    const sealed = await runAsync(commit(slow));
    expect(await seen(overlay({ lower: [sealed, ...lower] }))).toEqual(await seen(merged));
  });

  it('is refused where it would not be whole', () => {
    const code = (act: () => unknown): string => {
      try {
        act();
      } catch (error) {
        return (error as FsError).code;
      }
      return '';
    };
    const lower = memoryLayer({ from: { a: 'a' } });
    expect(code(() => runSync(commit(overlay({ lower: [lower] }))))).toBe('EINVAL');
    const merged = overlay({ lower: [lower], upper: memoryLayer() });
    expect(code(() => runSync(commit(merged, memoryLayer({ from: { b: '' } }))))).toBe('ENOTEMPTY');
    expect(code(() => runSync(commit(merged, memoryLayer({ xattrPrefix: 'user.overlay.' }))))).toBe('EINVAL');
    const { lower: linked } = worldOf([{ a: file('x', { inode: 1 }), b: file('x', { inode: 1 }) }]);
    const indexed = overlay({ lower: linked, upper: memoryLayer(), index: inodeIndex('on') });
    expect(runSync(commit(indexed)).root).toBeDefined();
    createFs(indexed).writeFileSync('/a', 'both names');
    expect(code(() => runSync(commit(indexed)))).toBe('EOPNOTSUPP');
  });
});

describe('an explanation', () => {
  it('agrees with what a lookup finds', TIMEOUT, async () => {
    const property = fc.asyncProperty(
      given(arbitraryLayers(fc)),
      given(arbitraryOperations(fc, { min: 0, max: 8 })),
      async (trees, operations) => {
        const { merged, model, lower, upper } = await changed(trees, operations, {});
        const paths = new Set([...model.paths(), ...new Model(trees).paths()].map(({ path }) => path));
        for (const stack of [merged, runSync(Overlay.open({ lower: [upper, ...lower] }))]) {
          const driver = new OverlayDriver(stack, { mode: 'sync', inodes: 'keep' });
          for (const path of paths) {
            const { shown, layers, shadowedBytes } = runSync(explain(stack, path));
            const stat = await apply(driver, { kind: 'stat', path });
            const layer = shown === undefined ? undefined : layers[shown];
            const found = 'ok' in stat ? (stat.ok as { mode: number; size?: number }) : undefined;
            expect({ path, type: layer?.type }).toEqual({ path, type: found && found.mode & S_IFMT });
            if (layer?.type === 0o100000) expect(layer.size, path).toBe(found?.size);
            const hidden = layers.filter(({ status }) => status === 'hidden');
            expect(hidden.every(({ cause }) => cause !== undefined)).toBe(true);
            expect(shadowedBytes).toBe(hidden.reduce((sum, { size = 0 }) => sum + size, 0));
          }
        }
      },
    );
    await fc.assert(property, parameters(60));
  });

  const brief = ({ layers }: Explanation): string[] =>
    layers.map(({ status, path, cause }) => {
      return [status, path, ...(cause === undefined ? [] : [cause.kind, cause.layer, cause.path])].join(' ');
    });

  it('says what hides what', () => {
    const lower = [
      memoryLayer({ from: { d: { x: 'upper x' }, gone: 'g' } }),
      memoryLayer({ from: { d: { x: 'x', y: 'yy' }, old: { deep: { z: 'zzz' } } } }),
    ];
    const merged = overlay({ lower, upper: memoryLayer() });
    const fs = createFs(merged);
    const about = (path: string): Explanation => runSync(explain(merged, path));
    expect(about('/d/x')).toMatchObject({ shown: 1, shadowedBytes: 1 });
    expect(brief(about('/d/x'))).toEqual(['absent /d/x', 'shown /d/x', 'hidden /d/x covered 1 /d/x']);
    expect(brief(about('/'))).toEqual(['shown /', 'merged /', 'merged /']);
    fs.unlinkSync('/gone');
    expect(brief(about('/gone'))).toEqual(['whiteout /gone', 'hidden /gone whiteout 0 /gone', 'absent /gone']);
    fs.rmSync('/d', { recursive: true });
    fs.mkdirSync('/d');
    expect(brief(about('/d/y'))).toEqual(['absent /d/y', 'absent /d/y', 'hidden /d/y opaque 0 /d']);
    expect(about('/d').layers[0]).toMatchObject({ status: 'shown', opaque: true });
    fs.renameSync('/old/deep', '/moved');
    expect(about('/moved')).toMatchObject({ shown: 0, layers: [{ redirect: '/old/deep' }, {}, { path: '/old/deep' }] });
    expect(brief(about('/moved/z'))).toEqual(['absent /moved/z', 'absent /old/deep/z', 'shown /old/deep/z']);
    expect(about('/old/deep/z')).toMatchObject({ shown: undefined, renamedTo: '/moved/z', shadowedBytes: 3 });
    expect(about('/nothing/at/all')).toMatchObject({ shown: undefined, shadowedBytes: 0 });
    const sealed = overlay({ lower: [runSync(commit(merged)), ...lower] });
    expect(runSync(explain(sealed, '/old/deep', { older: overlay({ lower }) })).renamedTo).toBe('/moved');
  });
});
