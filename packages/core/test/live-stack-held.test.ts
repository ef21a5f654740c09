// What a push or a pop means for who holds something, what is refused, who is told, and what it costs.
import {
  type Inode,
  type Layer,
  type MemoryLayer,
  memoryLayer,
  metacopies,
  type OverlayChange,
  runAsync,
  runSync,
} from '@ovl/core';
import { extents, sparseMemoryLayer } from '@ovl/core/extents';
import { createFs } from '@ovl/core/fs';
import { pop, push, SnapshotOverlay, snapshotOverlay } from '@ovl/core/snapshots';
import {
  asyncLayer,
  canonical,
  dir,
  faultLayer,
  file,
  OverlayDriver,
  Scheduler,
  snapshot,
  symlink,
  type TreeSpec,
} from '@ovl/core/testing';
import { expect, it } from 'vitest';
import { worldOf } from './worlds.js';

const layer = (tree: TreeSpec): MemoryLayer => worldOf([tree]).lower[0] as MemoryLayer;
const open = (...lower: Layer<'sync'>[]): SnapshotOverlay<'sync'> => snapshotOverlay({ lower, upper: memoryLayer() });
const find = (view: SnapshotOverlay, path: string): Inode => {
  let inode = view.root;
  for (const name of path.split('/').filter(Boolean)) inode = runSync(view.lookup(inode, name))?.inode as Inode;
  return inode;
};
const hold = (view: SnapshotOverlay, path: string): Inode => {
  const inode = find(view, path);
  view.retain(inode);
  return inode;
};
const viewOf = async (view: SnapshotOverlay): Promise<Record<string, unknown>> =>
  canonical(await snapshot(new OverlayDriver(view, { mode: 'sync', inodes: 'forget' })));
const failure = (code: string, path?: string) =>
  expect.objectContaining(path === undefined ? { code } : { code, path, cause: expect.any(Error) });

it('a layer goes on top of the lower ones, below another, and out again', () => {
  const [a, b, c] = [layer({ f: file('a') }), layer({ f: file('b') }), layer({ f: file('c'), g: file('c') })];
  const view = open(b);
  const fs = createFs(view);
  expect(fs.readFileSync('/f', 'utf8')).toBe('b');
  runSync(push(view, a));
  expect(fs.readFileSync('/f', 'utf8')).toBe('a');
  runSync(push(view, c, { under: b }));
  expect([fs.readFileSync('/f', 'utf8'), fs.readFileSync('/g', 'utf8')]).toEqual(['a', 'c']);
  expect(view.lower).toEqual([a, b, c]);
  expect(runSync(pop(view))).toBe(a);
  expect(runSync(pop(view, b))).toBe(b);
  expect([fs.readFileSync('/f', 'utf8'), view.lower]).toEqual(['c', [c]]);
  expect(runSync(pop(view))).toBe(c);
  expect([fs.readdirSync('/'), view.lower]).toEqual([[], []]);
});

it('what was changed stays changed: files, whiteouts, opaque directories, renamed ones', () => {
  const view = open(layer({ d: dir({ old: file('') }), e: dir({ x: file('') }), gone: file('') }));
  const fs = createFs(view);
  fs.rmSync('/gone');
  fs.rmSync('/d', { recursive: true });
  fs.mkdirSync('/d');
  fs.writeFileSync('/mine', 'mine');
  fs.renameSync('/e', '/moved');
  const more = { gone: file(''), d: dir({ more: file('') }), e: dir({ y: file('') }), mine: file('theirs') };
  runSync(push(view, layer(more)));
  expect([fs.existsSync('/gone'), fs.readdirSync('/d'), fs.existsSync('/e')]).toEqual([false, [], false]);
  expect([fs.readFileSync('/mine', 'utf8'), fs.readdirSync('/moved').sort()]).toEqual(['mine', ['x', 'y']]);
});

it('a directory made in the place of a removed one shows nothing of it when the layer is back', () => {
  const base = layer({ d: dir({ old: file('') }) });
  const view = open(base);
  const fs = createFs(view);
  fs.rmSync('/d', { recursive: true });
  runSync(pop(view));
  fs.mkdirSync('/d');
  runSync(push(view, base));
  expect(fs.readdirSync('/d')).toEqual([]);
});

it('an open file of a layer that is popped is read to its end, as one that was removed', () => {
  const view = open(layer({ f: file('below') }));
  const fs = createFs(view);
  const above = layer({ f: file('above'), d: dir({ g: file('deep') }), w: file('w') });
  runSync(push(view, above));
  const [f, g, w] = [fs.openSync('/f', 'r'), fs.openSync('/d/g', 'r'), fs.openSync('/w', 'r+')];
  runSync(pop(view));
  const read = (fd: number): string => {
    const buffer = new Uint8Array(20);
    return new TextDecoder().decode(buffer.subarray(0, fs.readSync(fd, buffer, 0, 20, 0)));
  };
  expect([fs.readFileSync('/f', 'utf8'), fs.existsSync('/d'), fs.existsSync('/w')]).toEqual(['below', false, true]);
  expect([read(f), read(g), read(w)]).toEqual(['above', 'deep', 'w']);
  expect([f, g, w].map((fd) => fs.fstatSync(fd).nlink)).toEqual([0, 0, 1]);
  fs.writeSync(w, 'W');
  fs.appendFileSync('/f', '!');
  expect([read(f), fs.readFileSync('/w', 'utf8'), fs.readFileSync('/f', 'utf8')]).toEqual(['above', 'W', 'below!']);
  runSync(push(view, above)); // and is the same again once it is back
  runSync(pop(view));
  for (const fd of [f, g, w]) fs.closeSync(fd);
});

it('a layer that was popped is asked nothing more once its files are closed', () => {
  const above = faultLayer(layer({ f: file('f'), d: dir() }));
  const view = open(above.layer as Layer<'sync'>);
  const [f, d] = [hold(view, '/f'), hold(view, '/d')];
  const handle = runSync(view.open(f, { read: true, write: false, append: false, truncate: false }));
  runSync(pop(view));
  expect(() => runSync(view.getattr(d))).toThrow(failure('ESTALE'));
  expect(runSync(view.getattr(f)).nlink).toBe(0);
  runSync(view.release(handle));
  expect(above.openFiles).toBe(0);
  const { calls } = above;
  expect(() => runSync(view.getattr(f))).toThrow(failure('ESTALE'));
  expect(() => runSync(view.getattr(d))).toThrow(failure('ESTALE'));
  expect(above.calls).toBe(calls);
  for (const inode of [f, d]) view.forget(inode);
  expect(view.inodeCount).toBe(1);
});

it('what a change does not touch stays the same inode, with its number', () => {
  const base = { d: dir({ f: file('f'), l: symlink('f') }), e: dir(), h: file('h') };
  const view = open(layer(base));
  const fs = createFs(view);
  fs.appendFileSync('/h', '!');
  fs.linkSync('/h', '/e/h2');
  const paths = ['/d', '/d/f', '/d/l', '/e', '/h', '/e/h2'];
  const held = paths.map((path) => hold(view, path));
  const numbers = held.map((inode) => runSync(view.getattr(inode)).ino);
  const same = (): void => {
    expect(held.map((inode) => runSync(view.getattr(inode)).ino)).toEqual(numbers);
    expect(paths.map((path) => find(view, path))).toEqual(held);
  };
  runSync(push(view, layer({ d: dir({ more: file('') }), x: file('') })));
  runSync(push(view, layer({ d: dir({ more: file('2') }) }))); // twice, and nobody looked between
  expect(fs.readFileSync('/d/more', 'utf8')).toBe('2');
  same();
  runSync(pop(view));
  runSync(pop(view));
  same();
  runSync(pop(view)); // what only the last layer had is gone; what is in the upper is not
  expect(() => runSync(view.getattr(held[0] as Inode))).toThrow(failure('ESTALE'));
  expect([find(view, '/h'), find(view, '/e/h2')]).toEqual([held[4], held[4]]);
  for (const inode of held) view.forget(inode);
  expect(view.inodeCount).toBeLessThanOrEqual(3); // directories worked in last
});

it('what is not fit is refused, and nothing has changed', async () => {
  const base = layer({ f: file('f') });
  const view = open(base);
  const before = runSync(view.checkpoint(memoryLayer()));
  const fork = runSync(view.fork(before, memoryLayer()));
  const seen = await viewOf(view);
  const future = layer({});
  future.setxattr(future.root, 'trusted.overlay.future', new Uint8Array(0));
  for (const used of [view.upper, base, before.layer, fork.upper]) {
    expect(() => runSync(push(view, used as Layer<'sync'>))).toThrow(failure('EBUSY'));
  }
  expect(() => runSync(push(view, future))).toThrow(failure('EOPNOTSUPP'));
  expect(() => runSync(push(view, layer({}), { under: layer({}) }))).toThrow(failure('EINVAL'));
  for (const none of [view.upper, before.layer, layer({})]) {
    expect(() => runSync(pop(view, none as Layer<'sync'>))).toThrow(failure('EINVAL'));
  }
  expect([await viewOf(view), view.lower]).toEqual([seen, [base]]);
  runSync(pop(view));
  expect(() => runSync(pop(view))).toThrow(failure('EINVAL'));
});

it.each([
  ['metacopies', memoryLayer, metacopies('make')],
  ['extents', sparseMemoryLayer, extents({ chunk: 4 })],
])('no file loses its data, or gets another: %s', async (_name, upper, metacopy) => {
  const base = layer({ d: dir({ f: file('0123456789'), whole: file('w') }) });
  const view = snapshotOverlay({ lower: [base], upper: upper(), metacopy });
  const fs = createFs(view);
  fs.chmodSync('/d/f', 0o600);
  fs.renameSync('/d', '/e');
  runSync(view.checkpoint(upper()));
  const seen = await viewOf(view);
  const cover = (): MemoryLayer => layer({ d: dir({ f: file('abcdefghij') }) });
  expect(() => runSync(pop(view))).toThrow(failure('EBUSY', '/e/f'));
  expect(() => runSync(push(view, cover()))).toThrow(failure('EBUSY', '/e/f'));
  expect(await viewOf(view)).toEqual(seen);
  runSync(push(view, layer({ d: dir({ g: file('') }), d2: dir() })));
  runSync(push(view, cover(), { under: base }));
  expect(fs.readFileSync('/e/f', 'utf8')).toBe('0123456789');
  fs.writeFileSync('/e/f', fs.readFileSync('/e/f')); // as the error advises
  runSync(push(view, cover()));
  while (view.lower.length > 0) runSync(pop(view));
  expect([fs.readFileSync('/e/f', 'utf8'), fs.readdirSync('/e')]).toEqual(['0123456789', ['f']]);
});

it('a file with part of its data below is the same for who had it open before a change and who opens it after', () => {
  const lower = [layer({ f: file('0123456789abcdef') })];
  const view = snapshotOverlay({ lower, upper: sparseMemoryLayer(), metacopy: extents({ chunk: 4 }) });
  const fs = createFs(view);
  const before = fs.openSync('/f', 'r+');
  fs.writeSync(before, 'A', 0);
  runSync(push(view, layer({ g: file('') })));
  const after = fs.openSync('/f', 'r+');
  fs.writeSync(before, 'B', 5);
  fs.writeSync(after, 'C', 10);
  const read = (fd: number): string => {
    const buffer = new Uint8Array(16);
    return new TextDecoder().decode(buffer.subarray(0, fs.readSync(fd, buffer, 0, 16, 0)));
  };
  const expected = 'A1234B6789Cbcdef';
  expect([read(before), read(after), fs.readFileSync('/f', 'utf8')]).toEqual([expected, expected, expected]);
  for (const fd of [before, after]) fs.closeSync(fd);
  expect(() => runSync(pop(view, lower[0] as MemoryLayer))).toThrow(failure('EBUSY', '/f'));
});

it('checkpoints keep what was written; the layers below are as they are', () => {
  const closed: string[] = [];
  const named = (name: string, tree: TreeSpec = {}): MemoryLayer =>
    Object.assign(layer(tree), { close: () => void closed.push(name) });
  const view = open(named('base', { f: file('base') }));
  const fs = createFs(view);
  fs.writeFileSync('/mine', '1');
  const first = runSync(view.checkpoint(named('second')));
  const tools = named('tools', { mine: file('theirs'), tool: file('tool') });
  runSync(push(view, tools)); // below what was written before the checkpoint, too
  fs.writeFileSync('/mine', '2');
  const names = (of: SnapshotOverlay<'sync'>): string[] => createFs(of).readdirSync('/').sort();
  expect(names(view)).toEqual(['f', 'mine', 'tool']);
  const fork = runSync(view.fork(first, named('fork')));
  expect(runSync(view.rollback(named('third'), first))).toHaveLength(1);
  expect([fs.readFileSync('/mine', 'utf8'), names(view), names(fork)]).toEqual([
    '1',
    ['f', 'mine', 'tool'],
    ['f', 'mine', 'tool'],
  ]);
  expect(runSync(pop(view))).toBeUndefined(); // the fork has it
  expect([names(view), names(fork)]).toEqual([
    ['f', 'mine'],
    ['f', 'mine', 'tool'],
  ]);
  expect(runSync(pop(fork))).toBe(tools);
  runSync(view.rollback(named('fourth')));
  expect(fs.readFileSync('/mine', 'utf8')).toBe('1');
  runSync(view.close());
  runSync(fork.close());
  expect(closed).toEqual(['fourth', 'fork', 'base']);
});

it('who listens is told once, and may look at once', () => {
  const view = open(layer({ f: file('1') }));
  const fs = createFs(view);
  const told: unknown[] = [];
  view.subscribe(({ type, dir: at, name }: OverlayChange) =>
    told.push([type, at === view.root, name, fs.readdirSync('/')]),
  );
  runSync(push(view, layer({ g: file('') })));
  runSync(pop(view));
  runSync(view.rollback(memoryLayer()));
  expect(() => runSync(pop(view, layer({})))).toThrow(failure('EINVAL'));
  expect(told).toEqual([
    ['layers', true, undefined, ['f', 'g']],
    ['layers', true, undefined, ['f']],
    ['layers', true, undefined, ['f']],
  ]);
});

it('watchers hear that any name may have changed', async () => {
  const view = open(layer({ d: dir({ f: file('1') }) }));
  const { promises } = createFs(view);
  const watched = promises.watch('/d')[Symbol.asyncIterator]();
  const first = watched.next();
  await promises.stat('/');
  runSync(push(view, layer({ d: dir({ f: file('2') }) })));
  expect(await first).toEqual({ done: false, value: { eventType: 'rename', filename: null } });
  const second = watched.next();
  await promises.writeFile('/d/f', '3');
  expect((await second).value).toMatchObject({ filename: 'f' });
  await watched.return?.();
});

it('operations under way end on one stack or the other', async () => {
  for (let seed = 1; seed <= 25; seed++) {
    const scheduler = new Scheduler(seed);
    const late = <L extends Layer>(target: L): L => asyncLayer(target, scheduler);
    const names = (prefix: string): TreeSpec =>
      Object.fromEntries(['a', 'b', 'c'].map((name) => [`${prefix}${name}`, file(prefix)]));
    const below = late<Layer>(layer({ d: dir({ ...names('below'), log: file('') }), f: file('0') }));
    const above = late<Layer>(layer({ d: dir(names('above')), f: file('1') }));
    const view = await runAsync(SnapshotOverlay.open({ lower: [below], upper: late(memoryLayer()) }));
    const driver = new OverlayDriver(view, { mode: 'async', inodes: 'forget' });
    const perform = (operation: Parameters<typeof driver.perform>[0]): Promise<unknown> =>
      Promise.resolve(driver.perform(operation));
    const words = Array.from({ length: 8 }, (_, i) => `${i}|`);
    const churn = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        await runAsync(push(view, above));
        await runAsync(pop(view));
      }
    };
    const seen = await Promise.all([
      ...words.map(() => perform({ kind: 'readdir', path: '/d' })),
      ...words.map(() => perform({ kind: 'read', path: '/f' })),
      ...words.map((text) => perform({ kind: 'append', path: '/d/log', text })),
      churn(),
    ]);
    for (const listing of seen.slice(0, 8) as string[][]) {
      expect([4, 7], `seed ${seed}: ${listing}`).toContain(listing.length);
    }
    for (const content of seen.slice(8, 16)) expect(['0', '1'], `seed ${seed}`).toContain(content);
    const log = (await perform({ kind: 'read', path: '/d/log' })) as string;
    expect(log.split('|').sort().join(), `seed ${seed}`).toBe(['', ...words.map((word) => word[0])].sort().join());
  }
});

it('costs layers, not files: the same layer calls however much is there, known and held', () => {
  const cost = (files: number): number[] => {
    const tree = (): TreeSpec =>
      Object.fromEntries(Array.from({ length: files }, (_, i) => [`d${i}`, dir({ f: file('x'), g: file('y') })]));
    const counted = [tree(), tree(), tree()].map((each) => faultLayer(layer(each)));
    const [a, b, c] = counted.map((each) => each.layer as Layer<'sync'>) as [
      Layer<'sync'>,
      Layer<'sync'>,
      Layer<'sync'>,
    ];
    const upper = faultLayer(memoryLayer());
    const view = snapshotOverlay({ lower: [a, b], upper: upper.layer as MemoryLayer });
    const fs = createFs(view);
    for (let i = 0; i < files; i++) {
      fs.writeFileSync(`/d${i}/f`, 'mine');
      hold(view, `/d${i}/f`);
      hold(view, `/d${i}/g`);
    }
    let before = 0;
    const calls = (act: () => unknown): number => {
      before = [...counted, upper].reduce((sum, each) => sum + each.calls, 0);
      act();
      return [...counted, upper].reduce((sum, each) => sum + each.calls, 0) - before;
    };
    return [
      calls(() => runSync(push(view, c))),
      calls(() => runSync(push(view, runSync(pop(view, b)) as Layer<'sync'>, { under: a }))),
      calls(() => runSync(pop(view))),
    ];
  };
  const [few, many] = [cost(5), cost(400)];
  expect(many).toEqual(few);
  expect(Math.max(...few)).toBeLessThan(20);
});

it('changes by the thousand leave the view, held inodes and memory as they were', () => {
  const view = open(layer({ d: dir({ f: file('base') }) }));
  const fs = createFs(view);
  const f = hold(view, '/d/f');
  const other = layer({ d: dir({ g: file('') }), x: dir({ y: file('') }) });
  for (let i = 0; i < 2000; i++) {
    runSync(push(view, other, i % 3 === 0 ? { under: view.lower[0] as Layer<'sync'> } : {}));
    if (i % 7 === 0) expect(fs.readdirSync('/d')).toHaveLength(2);
    runSync(pop(view, other));
  }
  expect([find(view, '/d/f'), fs.readdirSync('/')]).toEqual([f, ['d']]);
  view.forget(f);
  expect(view.inodeCount).toBeLessThanOrEqual(3);
});

it('a layer that fails meanwhile leaves everything as it was', async () => {
  const trees: TreeSpec[] = [{ d: dir({ f: file('0123456789') }) }, { d: dir({ g: file('g') }) }];
  for (let at = 0; ; at++) {
    const [base, above] = trees.map((tree) => faultLayer(layer(tree))) as [
      ReturnType<typeof faultLayer<MemoryLayer>>,
      ReturnType<typeof faultLayer<MemoryLayer>>,
    ];
    const upper = faultLayer(memoryLayer());
    const layers = { lower: [base.layer], upper: upper.layer, metacopy: metacopies('make') };
    const view = snapshotOverlay(layers);
    createFs(view).chmodSync('/d/f', 0o600);
    const held = hold(view, '/d/f');
    const before = await viewOf(view);
    const armed = [base, above, upper][at % 3] as typeof base;
    armed.arm(Math.floor(at / 3), 'EIO');
    let failed = false;
    try {
      runSync(push(view, above.layer));
    } catch (error) {
      failed = true;
      expect(error).toMatchObject({ code: 'EIO' });
    }
    armed.disarm();
    if (failed) {
      expect(await viewOf(view), `call ${at}`).toEqual(before);
      runSync(push(view, above.layer));
    }
    expect(find(view, '/d/f')).toBe(held);
    expect(createFs(view).readdirSync('/d').sort()).toEqual(['f', 'g']);
    if (at > 60) break;
  }
});
