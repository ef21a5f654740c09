import { diff, memoryLayer, Overlay, runSync, S_IFDIR, S_IFREG, syncFs } from '@ovl/core';
import { expect, it } from 'vitest';

function open() {
  const lower = [
    memoryLayer({ from: { top: 'tt', dir: { x: '12345' } } }),
    memoryLayer({ from: { dir: { y: '1', sub: { z: 'zz' } }, gone: { a: 'a', b: 'b' }, swap: { old: '123' } } }),
  ];
  const upper = memoryLayer();
  return {
    fs: syncFs(runSync(Overlay.open<'sync'>({ lower, upper }))),
    changes: () => runSync(diff({ upper, lower })),
  };
}

it('lists what was added, changed and deleted, with sizes', () => {
  const { fs, changes } = open();
  fs.writeFileSync('/dir/new', 'four');
  fs.appendFileSync('/dir/x', '67');
  fs.unlinkSync('/dir/y');
  for (const name of ['a', 'b']) fs.unlinkSync(`/gone/${name}`);
  fs.rmdirSync('/gone');
  expect(changes()).toEqual([
    { path: '/dir/new', kind: 'added', type: S_IFREG, size: 4, previousSize: 0, storedBytes: 512 },
    { path: '/dir/x', kind: 'changed', type: S_IFREG, size: 7, previousSize: 5, storedBytes: 512 },
    { path: '/dir/y', kind: 'deleted', type: S_IFREG, size: 0, previousSize: 1, storedBytes: 0 },
    { path: '/gone', kind: 'deleted', type: S_IFDIR, size: 0, previousSize: 0, storedBytes: 0 },
  ]);
});

it('names the old contents of a directory that was replaced', () => {
  const { fs, changes } = open();
  fs.unlinkSync('/swap/old');
  fs.rmdirSync('/swap');
  fs.mkdirSync('/swap');
  fs.writeFileSync('/swap/fresh', '');
  expect(changes().map(({ kind, path }) => `${kind} ${path}`)).toEqual([
    'changed /swap',
    'added /swap/fresh',
    'deleted /swap/old',
  ]);
});

it('says where a directory was moved from, and does not list what came along', () => {
  const { fs, changes } = open();
  fs.renameSync('/dir', '/moved');
  fs.writeFileSync('/moved/sub/added', '1');
  expect(changes().map(({ kind, path, renamedFrom }) => [kind, path, renamedFrom])).toEqual([
    ['deleted', '/dir', undefined],
    ['added', '/moved', '/dir'],
    ['added', '/moved/sub', undefined],
    ['added', '/moved/sub/added', undefined],
  ]);
});

it('is empty for an untouched upper and for a change that was taken back', () => {
  const { fs, changes } = open();
  expect(changes()).toEqual([]);
  fs.writeFileSync('/dir/sub/t', '');
  fs.unlinkSync('/dir/sub/t');
  expect(changes()).toEqual([]);
});
