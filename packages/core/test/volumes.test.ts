// Volumes: what the kernel's bind mounts are not asked (test/differential/volumes.test.ts compares with them): what is busy,
// changes told, checkpoints below, asynchronous trees, which errors `mount` has, and the types.
import {
  copyRange,
  createTmpfile,
  exchange,
  type Layer,
  listxattr,
  memoryLayer,
  type MemoryTree,
  Overlay,
  overlay,
  promisesFs,
  runAsync,
  runSync,
  setxattr,
  syncFs,
  type UpperLayer,
} from '@ovl/core';
import { createFs, type Fs } from '@ovl/core/fs';
import { snapshotOverlay } from '@ovl/core/snapshots';
import { asyncLayer, Scheduler } from '@ovl/core/testing';
import { type VolumeOverlay, volumes } from '@ovl/core/volumes';
import { expect, it } from 'vitest';
import { Context } from '../src/fs/context.js';
import { type WatchEvent, watchPath } from '../src/fs/watch.js';

const treeOf = (from: MemoryTree): Overlay<'sync'> => overlay({ lower: [memoryLayer({ from })], upper: memoryLayer() });
const refused = (code: string): unknown => expect.objectContaining({ code });

interface World {
  view: VolumeOverlay<'sync'>;
  fs: Fs;
  cache: Overlay<'sync'>;
}

function world(): World {
  const view = volumes(treeOf({ src: { 'main.js': 'run()' }, cache: { old: 'covered' }, hosts: 'base' }));
  const cache = treeOf({ npm: { pkg: 'data' }, hosts: 'cache' });
  runSync(view.mount('/cache', cache));
  return { view, fs: createFs(view), cache };
}

const watching = (view: Overlay, path: string, listener: (event: WatchEvent) => void): (() => void) =>
  runSync(watchPath(new Context(view, 'sync'), path, { recursive: true }, listener));

const inodeAt = (view: Overlay, path: string) =>
  path
    .split('/')
    .filter(Boolean)
    .reduce((dir, name) => runSync(view.lookup(dir, name))?.inode ?? dir, view.root);

it('writes go to the tree and not to the layers', () => {
  const { view, fs, cache } = world();
  fs.writeFileSync('/cache/npm/new', 'n');
  fs.appendFileSync('/src/main.js', ';');
  expect(syncFs(cache).readFileSync('/npm/new', 'utf8')).toBe('n');
  expect(createFs(view.base).readdirSync('/cache')).toEqual(['old']);
  expect(fs.readdirSync('/', { recursive: true })).toContain('cache/npm/new');
  expect(fs.realpathSync('/cache/npm/../npm/pkg')).toBe('/cache/npm/pkg');
  expect(fs.statSync('/cache').dev).not.toBe(fs.statSync('/').dev);
  expect(fs.globSync('/cache/**/p*')).toEqual(['/cache/npm/pkg']);
  fs.cpSync('/cache/npm', '/copied', { recursive: true });
  expect(fs.readFileSync('/copied/pkg', 'utf8')).toBe('data');
  expect(() => fs.rmSync('/cache', { recursive: true })).toThrow(refused('EBUSY'));
  expect(fs.readdirSync('/cache')).toEqual([]);
});

it('is busy while something is in use, or mounted, in it', () => {
  const { view, fs } = world();
  const unmount = (): void => runSync(view.unmount('/cache'));
  const fd = fs.openSync('/cache/npm/pkg', 'r+');
  expect(unmount).toThrow(refused('EBUSY'));
  fs.closeSync(fd);
  const stop = watching(view, '/cache/npm', () => {});
  expect(unmount).toThrow(refused('EBUSY'));
  stop();
  runSync(view.mount('/cache/npm', treeOf({ inner: '' })));
  expect(view.volumes.map(({ path }) => path)).toEqual(['/cache', '/cache/npm']);
  expect(unmount).toThrow(refused('EBUSY'));
  runSync(view.unmount('/cache/npm'));
  unmount();
  expect(fs.readdirSync('/cache')).toEqual(['old']);
  expect(unmount).toThrow(refused('EINVAL'));
});

it('lazily: goes from view with what is in it, and open files stay', () => {
  const { view, fs, cache } = world();
  runSync(view.mount('/cache/npm', treeOf({ inner: '' })));
  const fd = fs.openSync('/cache/hosts', 'r+');
  runSync(view.unmount('/cache', { lazy: true }));
  expect(view.volumes).toEqual([]);
  expect(fs.readdirSync('/cache')).toEqual(['old']);
  fs.writeSync(fd, 'CACHE');
  fs.closeSync(fd);
  expect(syncFs(cache).readFileSync('/hosts', 'utf8')).toBe('CACHE');
  runSync(view.mount('/cache', cache, { readOnly: true }));
  expect(fs.readdirSync('/cache/npm')).toEqual(['pkg']);
  runSync(view.unmount('/cache'));
});

it('a file, and parts of one tree at several places', () => {
  const { view, fs, cache } = world();
  runSync(view.unmount('/cache'));
  runSync(view.mount('/hosts', cache, { from: '/hosts' }));
  runSync(view.mount('/cache', cache, { from: '/npm' }));
  expect([fs.readFileSync('/hosts', 'utf8'), fs.readdirSync('/cache')]).toEqual(['cache', ['pkg']]);
  expect(() => fs.renameSync('/hosts', '/x')).toThrow(refused('EBUSY'));
  expect(() => fs.linkSync('/hosts', '/x')).toThrow(refused('EXDEV'));
  expect(() => fs.linkSync('/hosts', '/cache/x')).toThrow(refused('EXDEV')); // one tree, and two mounts
  expect(fs.realpathSync('/cache/pkg')).toBe('/cache/pkg');
  for (const [at, tree, from] of [
    ['/src', cache, '/'], // holds what is mounted
    ['/src', cache, '/npm'],
    ['/src', view.base, '/'],
    ['/', treeOf({}), '/'],
    ['/hosts', treeOf({ f: '' }), '/f'],
  ] as const) {
    expect(() => runSync(view.mount(at, tree, { from }))).toThrow(refused('EBUSY'));
  }
  const other = treeOf({ f: '' });
  expect(() => runSync(view.mount('/src', other, { from: '/f' }))).toThrow(refused('ENOTDIR'));
  expect(() => runSync(view.mount('/none', other))).toThrow(refused('ENOENT'));
  expect(() => runSync(view.mount('/src', other, { from: '/none' }))).toThrow(refused('ENOENT'));
  expect(() => runSync(view.mount('/src', volumes(other)))).toThrow(refused('EINVAL'));
});

it('a read-only volume takes no change, by whatever operation', () => {
  const { view, fs, cache } = world();
  runSync(view.unmount('/cache'));
  runSync(view.mount('/cache', cache, { readOnly: true }));
  const [dir, file] = [inodeAt(view, '/cache/npm'), inodeAt(view, '/cache/npm/pkg')];
  for (const change of [
    () => fs.writeFileSync('/cache/npm/pkg', ''),
    () => fs.truncateSync('/cache/npm/pkg'),
    () => fs.mkdirSync('/cache/d'),
    () => fs.unlinkSync('/cache/npm/pkg'),
    () => fs.rmdirSync('/cache/npm'),
    () => fs.renameSync('/cache/npm', '/cache/x'),
    () => fs.linkSync('/cache/npm/pkg', '/cache/x'),
    () => fs.symlinkSync('x', '/cache/x'),
    () => fs.chmodSync('/cache', 0o700),
    () => fs.utimesSync('/cache', 1, 1),
    () => fs.accessSync('/cache', fs.constants.W_OK),
    () => runSync(view.perform(setxattr, file, 'user.k', new Uint8Array(1))),
    () => runSync(view.perform(exchange, dir, 'pkg', dir, 'pkg')),
    () => runSync(view.perform(createTmpfile, dir, { mode: 0o100600, uid: 0, gid: 0 })),
    () => runSync(view.setattr(file, { size: 0 })),
  ]) {
    expect(change).toThrow(refused('EROFS'));
  }
  fs.accessSync('/cache', fs.constants.R_OK);
  fs.accessSync('/src', fs.constants.W_OK);
  expect(runSync(view.perform(listxattr, file))).toEqual([]);
  expect(syncFs(cache).readFileSync('/npm/pkg', 'utf8')).toBe('data');
});

it('operations that only some adapters need know the trees, too', () => {
  const { view, fs, cache } = world();
  const made = runSync(view.perform(createTmpfile, inodeAt(view, '/cache'), { mode: 0o100644, uid: 0, gid: 0 }));
  expect(() => runSync(view.link(made.inode, view.root, 'x'))).toThrow(refused('EXDEV'));
  runSync(view.link(made.inode, inodeAt(view, '/cache'), 'made'));
  expect(syncFs(cache).readdirSync('/')).toEqual(['hosts', 'made', 'npm']);
  expect(() => runSync(view.perform(exchange, view.root, 'cache', view.root, 'src'))).toThrow(refused('EBUSY'));
  expect(() => runSync(view.perform(exchange, view.root, 'src', inodeAt(view, '/cache'), 'npm'))).toThrow(
    refused('EXDEV'),
  );
  fs.writeFileSync('/copy', '');
  const flags = { read: true, write: true, append: false, truncate: false };
  const [from, to] = ['/cache/npm/pkg', '/copy'].map((path) => runSync(view.open(inodeAt(view, path), flags)));
  if (from === undefined || to === undefined) throw new Error('not opened');
  expect(runSync(view.perform(copyRange, from, 1, to, 0, 100))).toBe(3);
  for (const handle of [from, to]) runSync(view.release(handle));
  expect(fs.readFileSync('/copy', 'utf8')).toBe('ata');
});

it('tells of changes in all trees as the view names them', () => {
  const { view, fs, cache } = world();
  runSync(view.mount('/hosts', treeOf({ d: { f: '' } }), { from: '/d/f' }));
  const events: string[] = [];
  const stop = watching(view, '/', ({ eventType, filename }) => events.push(`${eventType} ${String(filename)}`));
  fs.writeFileSync('/cache/npm/pkg', 'x');
  syncFs(cache).unlinkSync('/npm/pkg'); // past the view
  fs.appendFileSync('/hosts', 'x');
  fs.chmodSync('/cache', 0o700);
  runSync(view.unmount('/hosts'));
  runSync(view.mount('/src', treeOf({})));
  fs.mkdirSync('/src/d');
  stop();
  fs.mkdirSync('/src/e');
  expect([...new Set(events)]).toEqual([
    'change cache/npm/pkg',
    'rename cache/npm/pkg',
    'change hosts',
    'change cache',
    'rename hosts',
    'rename src',
    'rename src/d',
  ]);
});

it('the base goes on having checkpoints, and a volume is not part of them', () => {
  const base = snapshotOverlay({ lower: [memoryLayer({ from: { v: {}, f: '1' } })], upper: memoryLayer() });
  const view = volumes(base);
  runSync(view.mount('/v', treeOf({})));
  const fs = createFs(view);
  const before = runSync(base.checkpoint(memoryLayer()));
  for (const path of ['/f', '/v/kept']) fs.appendFileSync(path, '2');
  runSync(base.rollback(memoryLayer(), before));
  expect([fs.readFileSync('/f', 'utf8'), fs.readFileSync('/v/kept', 'utf8')]).toEqual(['1', '2']);
});

it('asynchronous trees: many at the same time, mounted and unmounted meanwhile', async () => {
  const scheduler = new Scheduler(11);
  const late = (from: MemoryTree): Promise<Overlay> => {
    const upper = asyncLayer<UpperLayer>(memoryLayer(), scheduler);
    return runAsync(Overlay.open({ lower: [asyncLayer<Layer>(memoryLayer({ from }), scheduler)], upper }));
  };
  const base = await late({ v: { covered: '' }, d: { e: {} } });
  const tree = await late({ log: '' });
  const view = volumes<'async'>(base);
  const fs = promisesFs(view);
  await runAsync(view.mount('/v', tree));
  const writes = Array.from({ length: 20 }, (_, i) => fs.appendFile('/v/log', `${i}\n`));
  const busy = runAsync(view.unmount('/v'));
  await expect(busy).rejects.toMatchObject({ code: 'EBUSY' });
  await Promise.all([...writes, runAsync(view.mount('/d/e', treeOf({ f: 'x' })))]);
  expect((await fs.readFile('/v/log', 'utf8')).split('\n')).toHaveLength(21);
  expect(await fs.readFile('/d/e/f', 'utf8')).toBe('x');
  await runAsync(view.unmount('/v'));
  expect(await fs.readdir('/v')).toEqual(['covered']);
  await runAsync(view.close());
});

it('the synchronous face takes synchronous trees only', () => {
  const view = volumes(treeOf({ d: {} }));
  const either = volumes<'async'>(view.base);
  runSync(either.mount('/d', treeOf({ f: 'x' })));
  // @ts-expect-error: something in it may be asynchronous
  expect(syncFs(either).readdirSync('/d')).toEqual(['f']);
  const late: Overlay = treeOf({});
  // @ts-expect-error: a tree that may be asynchronous, in a synchronous view
  const mounting = view.mount('/d', late);
  expect(mounting).toBeDefined();
});
