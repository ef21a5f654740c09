// Every namespace change on a real file system: the names afterwards, the nodes afterwards, nothing left in the work directory.
import { lstatSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import {
  DT_DIR,
  DT_REG,
  type LayerNode,
  type Occupant,
  type Place,
  S_IFCHR,
  S_IFDIR,
  S_IFREG,
  type UpperLayer,
} from '@ovl/core';
import { describe, expect, test } from 'vitest';
import { planArrival, planMove } from '../src/host-commit.js';
import { type Bench, codeOf, freshUpper, gid, makeDir, makeFile, readAll, temporary, uid } from './host-support.js';

const NOREPLACE = 1;
const EXCHANGE = 2;
const WHITEOUT = 4;

describe('plans', () => {
  test.each([
    [DT_REG, 'nothing', NOREPLACE, false],
    [DT_REG, 'whiteout', 0, false],
    [DT_REG, 'non-directory', 0, false],
    [DT_REG, 'directory', EXCHANGE, true],
    [DT_DIR, 'nothing', NOREPLACE, false],
    [DT_DIR, 'whiteout', EXCHANGE, true],
    [DT_DIR, 'non-directory', EXCHANGE, true],
    [DT_DIR, 'directory', EXCHANGE, true],
  ] as const)('arrival of type %d over %s', (type, over, flags, displaced) => {
    expect(planArrival(type, over)).toEqual({ flags, displaced });
  });

  test.each([
    [DT_REG, 'nothing', 'nothing', NOREPLACE, false],
    [DT_REG, 'nothing', 'whiteout', WHITEOUT | NOREPLACE, false],
    [DT_REG, 'whiteout', 'nothing', 0, false],
    [DT_REG, 'whiteout', 'whiteout', EXCHANGE, false],
    [DT_REG, 'non-directory', 'nothing', 0, false],
    [DT_REG, 'non-directory', 'whiteout', WHITEOUT, false],
    [DT_DIR, 'nothing', 'nothing', NOREPLACE, false],
    [DT_DIR, 'nothing', 'whiteout', WHITEOUT | NOREPLACE, false],
    [DT_DIR, 'whiteout', 'nothing', EXCHANGE, true],
    [DT_DIR, 'whiteout', 'whiteout', EXCHANGE, false],
    [DT_DIR, 'directory', 'nothing', 0, false],
    [DT_DIR, 'directory', 'whiteout', WHITEOUT, false],
  ] as const)('move of type %d over %s leaving %s', (type, over, leave, flags, displaced) => {
    expect(planMove(type, over, leave)).toEqual({ flags, displaced });
  });
});

const whiteoutAt = ({ upper }: Bench, dir: LayerNode, name: string): void => {
  upper.create({ dir, name }, { mode: S_IFCHR, uid: 0, gid: 0, rdev: 0 });
};

const isWhiteout = (path: string): boolean => {
  const stat = lstatSync(path);
  return stat.isCharacterDevice() && stat.rdev === 0;
};

/** Puts what `over` says at the name; a directory holds a whiteout, as one that looks empty may. */
function occupy(bench: Bench, dir: LayerNode, name: string, over: Occupant, content: 'empty' | 'whiteout'): void {
  if (over === 'whiteout') whiteoutAt(bench, dir, name);
  else if (over === 'non-directory') makeFile(bench.upper, dir, name, 'old');
  else if (over === 'directory') {
    const made = makeDir(bench.upper, dir, name);
    if (content === 'whiteout') whiteoutAt(bench, made, 'gone');
  }
}

const stagedObjects: [string, (upper: UpperLayer<'sync'>) => LayerNode][] = [
  ['file', (upper) => upper.stage({ mode: S_IFREG | 0o600, uid, gid }).node],
  ['directory', (upper) => upper.stage({ mode: S_IFDIR | 0o700, uid, gid }).node],
  ['whiteout', (upper) => upper.stage({ mode: S_IFCHR, uid, gid, rdev: 0 }).node],
];

/** What may be in the work directory when nothing is staged: the master whiteout. */
const leftovers = ({ work }: Bench): string[] => readdirSync(work).filter((name) => !isWhiteout(`${work}/${name}`));

describe.each(stagedObjects)('a staged %s', (kind, stage) => {
  test.each(['nothing', 'whiteout', 'non-directory', 'directory'] as const)('arrives over %s', (over) => {
    const bench = freshUpper();
    const { upper, dir, work } = bench;
    const parent = makeDir(upper, upper.root, 'p');
    occupy(bench, parent, 'name', over, 'whiteout');
    const node = stage(upper);
    const { ino } = upper.getattr(node);
    upper.commit({ kind: 'link', node, to: { dir: parent, name: 'name' }, over });
    expect(lstatSync(`${dir}/p/name`).ino).toBe(ino);
    expect(upper.getattr(node).ino).toBe(ino);
    expect(readdirSync(`${dir}/p`)).toEqual(['name']);
    expect(leftovers(bench)).toEqual([]);
    expect(readdirSync(work).length).toBeLessThanOrEqual(1);
    if (kind === 'directory') makeFile(upper, node, 'inside');
  });
});

describe('link', () => {
  test('a claim of "nothing" that is wrong replaces nothing', () => {
    const bench = freshUpper();
    const { upper } = bench;
    const file = makeFile(upper, upper.root, 'f', 'here');
    const { node } = upper.stage({ mode: S_IFREG | 0o600, uid, gid });
    expect(
      codeOf(() => upper.commit({ kind: 'link', node, to: { dir: upper.root, name: 'f' }, over: 'nothing' })),
    ).toBe('EEXIST');
    expect(readAll(upper, file)).toBe('here');
    upper.discard(node);
    expect(leftovers(bench)).toEqual([]);
  });

  test.each(['nothing', 'whiteout'] as const)('a further name over %s', (over) => {
    const bench = freshUpper();
    const { upper, dir } = bench;
    const node = makeFile(upper, makeDir(upper, upper.root, 'd'), 'f', 'shared');
    occupy(bench, upper.root, 'g', over, 'empty');
    upper.commit({ kind: 'link', node, to: { dir: upper.root, name: 'g' }, over });
    expect(lstatSync(`${dir}/g`).ino).toBe(lstatSync(`${dir}/d/f`).ino);
    expect(upper.getattr(node).nlink).toBe(2);
    expect(leftovers(bench)).toEqual([]);
  });
});

describe('unlink', () => {
  test('of each kind, also of a directory that holds whiteouts and forgotten trees', () => {
    const bench = freshUpper();
    const { upper, dir } = bench;
    for (const occupant of ['whiteout', 'non-directory', 'directory'] as const) {
      for (const content of ['empty', 'whiteout'] as const) {
        occupy(bench, upper.root, 'x', occupant, content);
        upper.commit({ kind: 'unlink', from: { dir: upper.root, name: 'x' }, occupant });
        expect(readdirSync(dir)).toEqual([]);
      }
    }
    expect(
      codeOf(() => upper.commit({ kind: 'unlink', from: { dir: upper.root, name: 'x' }, occupant: 'directory' })),
    ).toBe('ENOENT');
    expect(leftovers(bench)).toEqual([]);
  });

  test('of a tree deeper than PATH_MAX, the stack and the descriptor cache', () => {
    const bench = freshUpper();
    const { upper, dir } = bench;
    const top = makeDir(upper, upper.root, 'top');
    let at = top;
    for (let depth = 0; depth < 6000; depth++) at = makeDir(upper, at, 'd'.repeat(20));
    const file = makeFile(upper, at, 'f', 'deep');
    expect(upper.readdir(top).length).toBe(1); // whose descriptor was dropped on the way
    expect(readAll(upper, file)).toBe('deep');
    upper.commit({ kind: 'unlink', from: { dir: upper.root, name: 'top' }, occupant: 'directory' });
    expect(readdirSync(dir)).toEqual([]);
    expect(leftovers(bench)).toEqual([]);
  });
});

describe('rename', () => {
  const cases = (['file', 'directory'] as const).flatMap((kind) =>
    (['nothing', 'whiteout', kind === 'file' ? 'non-directory' : 'directory'] as const).flatMap((over) =>
      (['nothing', 'whiteout'] as const).map((leave) => [kind, over, leave] as const),
    ),
  );

  test.each(cases)('of a %s over %s leaving %s', (kind, over, leave) => {
    const bench = freshUpper();
    const { upper, dir } = bench;
    const fromDir = makeDir(upper, upper.root, 'from');
    const toDir = makeDir(upper, upper.root, 'to');
    const node = kind === 'file' ? makeFile(upper, fromDir, 'a', 'moved') : makeDir(upper, fromDir, 'a');
    const inner = kind === 'directory' ? makeFile(upper, node, 'inner', 'inner') : undefined;
    occupy(bench, toDir, 'b', over, 'empty');
    const { ino } = upper.getattr(node);
    upper.commit({
      kind: 'rename',
      node,
      from: { dir: fromDir, name: 'a' },
      to: { dir: toDir, name: 'b' },
      over,
      leave,
    });
    expect(lstatSync(`${dir}/to/b`).ino).toBe(ino);
    expect(readdirSync(`${dir}/from`)).toEqual(leave === 'whiteout' ? ['a'] : []);
    if (leave === 'whiteout') expect(isWhiteout(`${dir}/from/a`)).toBe(true);
    expect(upper.getattr(node).ino).toBe(ino);
    if (kind === 'file') expect(readAll(upper, node)).toBe('moved');
    if (inner !== undefined) expect(readAll(upper, inner)).toBe('inner');
    expect(leftovers(bench)).toEqual([]);
  });

  test('of a directory moves what is below it, whether its descriptor is open or not', () => {
    const { upper } = freshUpper();
    const a = makeDir(upper, upper.root, 'a');
    const b = makeDir(upper, a, 'b');
    const open = makeFile(upper, b, 'f', 'one');
    const found = upper.lookup(upper.root, 'a')?.node as LayerNode; // a second node, with no descriptor yet
    const rename = (node: LayerNode, from: Place, to: Place): void =>
      upper.commit({ kind: 'rename', node, from, to, over: 'nothing', leave: 'nothing' });
    rename(a, { dir: upper.root, name: 'a' }, { dir: upper.root, name: 'z' });
    expect(readAll(upper, open)).toBe('one');
    rename(found, { dir: upper.root, name: 'z' }, { dir: upper.root, name: 'y' });
    expect(readAll(upper, upper.lookup(upper.lookup(found, 'b')?.node as LayerNode, 'f')?.node as LayerNode)).toBe(
      'one',
    );
    expect(codeOf(() => rename(found, { dir: upper.root, name: 'y' }, { dir: b, name: 'loop' }))).toBe('EINVAL');
  });

  test('over a directory that holds something is ENOTEMPTY', () => {
    const bench = freshUpper();
    const { upper } = bench;
    const node = makeDir(upper, upper.root, 'a');
    occupy(bench, upper.root, 'b', 'directory', 'whiteout');
    const rename = (): void =>
      upper.commit({
        kind: 'rename',
        node,
        from: { dir: upper.root, name: 'a' },
        to: { dir: upper.root, name: 'b' },
        over: 'directory',
        leave: 'nothing',
      });
    expect(codeOf(rename)).toBe('ENOTEMPTY');
    upper.commit({
      kind: 'link',
      node: upper.stage({ mode: S_IFDIR | 0o700, uid, gid }).node,
      to: { dir: upper.root, name: 'b' },
      over: 'directory',
    });
    rename();
    expect(leftovers(bench)).toEqual([]);
  });
});

test('exchange swaps a file and a directory, and their nodes', () => {
  const { upper, dir } = freshUpper();
  const parent = makeDir(upper, upper.root, 'p');
  const file = makeFile(upper, upper.root, 'a', 'file');
  const tree = makeDir(upper, parent, 'b');
  makeFile(upper, tree, 'inner', 'inner');
  upper.commit({
    kind: 'exchange',
    a: { dir: upper.root, name: 'a', node: file },
    b: { dir: parent, name: 'b', node: tree },
  });
  expect(readFileSync(`${dir}/p/b`, 'utf8')).toBe('file');
  expect(readFileSync(`${dir}/a/inner`, 'utf8')).toBe('inner');
  expect(readAll(upper, file)).toBe('file');
  expect(upper.readdir(tree).map((entry) => entry.name)).toEqual(['inner']);
  makeFile(upper, tree, 'more');
  expect(readdirSync(`${dir}/a`).sort()).toEqual(['inner', 'more']);
});

test('changes between many directories keep both descriptors of a call', () => {
  const base = temporary();
  mkdirSync(`${base}/x`);
  const { upper, dir } = freshUpper(base);
  const dirs = Array.from({ length: 300 }, (_, i) => makeDir(upper, upper.root, `${i}`));
  let node = makeFile(upper, dirs[0] as LayerNode, 'f', 'traveller');
  for (let i = 0; i + 1 < dirs.length; i++) {
    upper.commit({
      kind: 'rename',
      node,
      from: { dir: dirs[i] as LayerNode, name: 'f' },
      to: { dir: dirs[i + 1] as LayerNode, name: 'f' },
      over: 'nothing',
      leave: 'nothing',
    });
    node = upper.lookup(dirs[i + 1] as LayerNode, 'f')?.node as LayerNode;
  }
  expect(readFileSync(`${dir}/299/f`, 'utf8')).toBe('traveller');
});
