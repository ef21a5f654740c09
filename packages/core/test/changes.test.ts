// What differs between two states: kinds, aspects, renames, links, and how it is iterated.
import {
  type Entry,
  type FsError,
  inodeIndex,
  type Layer,
  type MemoryLayer,
  memoryLayer,
  MemoryObject,
  metacopies,
  Overlay,
  type OverlayOptions,
  overlay,
  runAsync,
  runSync,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  setxattr,
  exchange,
  type UpperLayer,
} from '@ovl/core';
import { type Change, changes, diff, type DiffOptions, iterateAsync, iterateSync, summarize } from '@ovl/core/changes';
import { createFs, type Fs } from '@ovl/core/fs';
import { asyncLayer, Scheduler } from '@ovl/core/testing';
import { expect, it } from 'vitest';

interface World {
  lower: MemoryLayer[];
  upper: MemoryLayer;
  merged: Overlay<'sync'>;
  fs: Fs;
}

function open(options: object = {}): World {
  const lower = [
    memoryLayer({ from: { top: 'tt', dir: { x: '12345' } } }),
    memoryLayer({
      from: {
        dir: { y: '1', sub: { z: 'zz' } },
        gone: { a: 'a', b: 'b' },
        swap: { old: '123' },
        link: new MemoryObject('top', { mode: S_IFLNK | 0o777 }),
      },
    }),
  ];
  const upper = memoryLayer();
  const merged = overlay({ lower, upper, ...options });
  return { lower, upper, merged, fs: createFs(merged) };
}

const list = (merged: Overlay<'sync'>, options?: DiffOptions<'sync'>): string[] =>
  runSync(diff(merged, options)).map(brief);

function brief({ kind, path, from, differs, linkOf }: Change): string {
  const notes = [from && `from ${from}`, linkOf && `link of ${linkOf}`, ...differs.filter((each) => each !== 'mtime')];
  return [kind, path, ...notes.filter((note) => note !== undefined)].join(' ');
}

it('lists what was added, modified and deleted, with sizes', () => {
  const { fs, merged } = open();
  fs.writeFileSync('/dir/new', 'four');
  fs.appendFileSync('/dir/x', '67');
  fs.unlinkSync('/dir/y');
  fs.rmSync('/gone', { recursive: true });
  const found = runSync(diff(merged));
  expect(
    found.map(({ path, kind, type, size, previousSize, storedBytes }) => {
      return { path, kind, type, size, previousSize, storedBytes };
    }),
  ).toEqual([
    { path: '/dir/new', kind: 'added', type: S_IFREG, size: 4, previousSize: 0, storedBytes: 512 },
    { path: '/dir/x', kind: 'modified', type: S_IFREG, size: 7, previousSize: 5, storedBytes: 512 },
    { path: '/dir/y', kind: 'deleted', type: S_IFREG, size: 0, previousSize: 1, storedBytes: 0 },
    { path: '/gone', kind: 'deleted', type: S_IFDIR, size: 0, previousSize: 0, storedBytes: 0 },
  ]);
  const counts = { added: 1, modified: 1, metadata: 0, renamed: 0, replaced: 0, deleted: 2 };
  expect(summarize(found)).toEqual({ counts, size: 11, previousSize: 6, storedBytes: 1024 });
  expect(list(merged, { deletions: 'expand' }).slice(3)).toEqual([
    'deleted /gone',
    'deleted /gone/a',
    'deleted /gone/b',
  ]);
});

it('opens both versions', () => {
  const { fs, merged } = open();
  fs.writeFileSync('/dir/x', 'new');
  fs.renameSync('/dir', '/moved');
  const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
  const change = runSync(diff(merged)).find(({ path }) => path === '/moved/x') as Required<Change>;
  expect([change.before.path, change.after.path]).toEqual(['/dir/x', '/moved/x']);
  expect([text(runSync(change.before.content())), text(runSync(change.after.content()))]).toEqual(['12345', 'new']);
  fs.unlinkSync('/moved/x');
  expect(() => runSync(change.after.content())).toThrow('ENOENT');
});

it('names the old contents of a directory that was replaced', () => {
  const { fs, merged } = open();
  fs.rmSync('/swap', { recursive: true });
  fs.mkdirSync('/swap');
  fs.writeFileSync('/swap/fresh', '');
  expect(list(merged)).toEqual(['replaced /swap', 'added /swap/fresh', 'deleted /swap/old']);
});

it('tells one type from another', () => {
  const { fs, merged } = open();
  fs.rmSync('/swap', { recursive: true });
  fs.writeFileSync('/swap', 'file now');
  fs.unlinkSync('/link');
  fs.mkdirSync('/link');
  fs.writeFileSync('/link/in', '');
  const found = runSync(diff(merged));
  expect(found.map(brief)).toEqual(['replaced /link', 'added /link/in', 'replaced /swap']);
  expect(found.map(({ previousType }) => previousType)).toEqual([S_IFLNK, undefined, S_IFDIR]);
});

it('says which attributes differ where the content does not', () => {
  for (const options of [{}, { metacopy: metacopies('make') }]) {
    const { fs, merged } = open(options);
    fs.chmodSync('/dir/x', 0o600);
    fs.chownSync('/top', 5, 6);
    fs.chmodSync('/dir/sub', 0o700);
    fs.utimesSync('/dir/y', 1, 2);
    const [top, x] = [merged.root, runSync(merged.lookup(merged.root, 'dir'))?.inode as typeof merged.root];
    runSync(merged.perform(setxattr, top, 'user.k', Uint8Array.of(1)));
    runSync(merged.perform(setxattr, x, 'user.k', Uint8Array.of(1)));
    const found = runSync(diff(merged));
    expect(found.map(({ kind, path, differs }) => [kind, path, ...differs])).toEqual([
      ['metadata', '/', 'mtime', 'xattrs'],
      ['metadata', '/dir', 'xattrs'],
      ['metadata', '/dir/sub', 'mode'],
      ['metadata', '/dir/x', 'mode'],
      ['metadata', '/dir/y', 'mtime'],
      ['metadata', '/top', 'owner'],
    ]);
  }
});

it('is empty for an untouched upper, for a change taken back and for a copy that equals what it was made of', () => {
  const { fs, merged } = open();
  expect(list(merged)).toEqual([]);
  fs.writeFileSync('/dir/sub/t', '');
  fs.unlinkSync('/dir/sub/t');
  const { attributes } = runSync(merged.lookup(merged.root, 'top')) as Entry;
  fs.writeFileSync('/top', 'tt');
  const [sec, nsec] = [attributes.mtimeSec, attributes.mtimeNsec];
  const { inode } = runSync(merged.lookup(merged.root, 'top')) as Entry;
  expect(list(merged)).toEqual(['metadata /top']); // its time
  runSync(merged.setattr(inode, { mtime: { sec, nsec } }));
  expect(list(merged)).toEqual([]);
  fs.writeFileSync('/top', 'uu');
  runSync(merged.setattr(inode, { mtime: { sec, nsec } }));
  expect(list(merged)).toEqual(['modified /top content']);
  expect(list(merged, { content: 'times' })).toEqual([]);
});

it('reports the times of directories where they are asked for', () => {
  const { fs, merged } = open();
  fs.utimesSync('/dir/sub', 1, 2);
  expect(list(merged)).toEqual([]);
  const found = runSync(diff(merged, { directoryTimes: 'report' }));
  expect(found.map(({ kind, path, differs }) => [kind, path, ...differs])).toEqual([
    ['metadata', '/', 'mtime'],
    ['metadata', '/dir/sub', 'mtime'],
  ]);
});

it('says where a directory was moved from, and lists what differs in it only', () => {
  const { fs, merged } = open();
  fs.renameSync('/dir', '/moved');
  fs.writeFileSync('/moved/sub/added', '1');
  fs.unlinkSync('/moved/y');
  const found = runSync(diff(merged));
  expect(found.map(brief)).toEqual(['renamed /moved from /dir', 'added /moved/sub/added', 'deleted /moved/y']);
  expect(found.map(({ basePath }) => basePath)).toEqual(['/moved', '/dir/sub/added', '/dir/y']);
  expect(list(merged, { renames: 'expand' })).toEqual([
    'deleted /dir',
    'added /moved',
    'added /moved/sub',
    'added /moved/sub/added',
    'added /moved/sub/z',
    'added /moved/x',
  ]);
});

it('finds renamed files, what was moved out of a deleted directory, and an exchange', () => {
  const { fs, merged } = open();
  fs.renameSync('/top', '/bottom');
  fs.appendFileSync('/bottom', '!');
  fs.renameSync('/dir/sub', '/deep');
  fs.rmSync('/dir', { recursive: true });
  runSync(merged.perform(exchange, merged.root, 'gone', merged.root, 'swap'));
  expect(list(merged)).toEqual([
    'renamed /bottom from /top content',
    'renamed /deep from /dir/sub',
    'deleted /dir',
    'renamed /gone from /swap',
    'renamed /swap from /gone',
  ]);
});

it('finds what was moved over what was deleted, and within what was moved', () => {
  const { fs, merged } = open();
  fs.rmSync('/swap', { recursive: true });
  fs.renameSync('/dir', '/swap');
  fs.renameSync('/swap/sub', '/swap/inner');
  fs.mkdirSync('/dir');
  expect(list(merged)).toEqual([
    'added /dir',
    'deleted /swap',
    'renamed /swap from /dir',
    'renamed /swap/inner from /dir/sub',
  ]);
});

it('names further names of one object', () => {
  const { fs, merged } = open();
  fs.writeFileSync('/new', 'n');
  fs.linkSync('/new', '/dir/new');
  fs.linkSync('/top', '/b');
  expect(list(merged)).toEqual([
    'added /b',
    'added /dir/new',
    'added /new link of /dir/new',
    'metadata /top link of /b links',
  ]);
});

it('compares two states over common layers', () => {
  const { lower, merged, fs } = open();
  fs.writeFileSync('/dir/x', 'one');
  fs.renameSync('/dir', '/moved');
  const other = overlay({ lower, upper: memoryLayer() });
  createFs(other).writeFileSync('/dir/x', 'two');
  expect(list(other, { older: merged })).toEqual(['renamed /dir from /moved', 'modified /dir/x content']);
  const copies = overlay({ lower: open().lower });
  const times = runSync(diff(copies, { older: overlay({ lower }) }));
  expect(times.every(({ differs }) => differs.join() === 'mtime')).toBe(true);
});

it('throws EINVAL where there is nothing to compare with', () => {
  const { lower } = open();
  const code = (): string => {
    try {
      runSync(diff(overlay({ lower })));
    } catch (error) {
      return (error as FsError).code;
    }
    return '';
  };
  expect(code()).toBe('EINVAL');
});

it('lists everything of an upper without layers below', () => {
  const merged = overlay({ lower: [], upper: memoryLayer() });
  createFs(merged).mkdirSync('/a');
  expect(list(merged)).toEqual(['added /a']);
});

it('is a stream, over synchronous layers and others, that may be left early', async () => {
  const { lower, upper, fs, merged } = open({ index: inodeIndex('on') });
  fs.writeFileSync('/dir/x', 'one');
  fs.unlinkSync('/top');
  for (const change of iterateSync(changes(merged))) {
    expect(brief(change)).toBe('modified /dir/x content');
    break;
  }
  const before = merged.inodeCount;
  expect([...iterateSync(changes(merged))].map(brief)).toEqual(['modified /dir/x content', 'deleted /top']);
  expect(merged.inodeCount).toBeLessThanOrEqual(before);
  const scheduler = new Scheduler(7);
  const slow: OverlayOptions = {
    lower: lower.map((layer) => asyncLayer<Layer>(layer, scheduler)),
    upper: asyncLayer<UpperLayer>(upper, scheduler),
  };
  const later = await runAsync(Overlay.open(slow));
  const seen: string[] = [];
  for await (const change of iterateAsync(changes(later))) seen.push(brief(change));
  expect(seen).toEqual(['modified /dir/x content', 'deleted /top']);
  expect((await runAsync(diff(later))).map(brief)).toEqual(seen);
  expect(() => [...iterateSync(changes(later))]).toThrow('an asynchronous layer answered');
});
