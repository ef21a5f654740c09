// What `fsck` says of an upper: nothing of those that the kernel, fuse-overlayfs and we wrote; each fault by its kind; and
// that a repair changes nothing but what it names.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { runSync } from '@ovl/core';
import { dir, file, populate } from '@ovl/core/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { type FsckFinding, type FsckOptions, fsck } from '../src/fsck.js';
import { hostUpper } from '../src/host-upper.js';
import { AT_FDCWD, setxattr } from '../src/syscalls.js';
import { isRoot, temporary } from './host-support.js';

interface Place {
  base: string;
  lower: string;
  upper: string;
  work: string;
  merged: string;
}

function place(): Place {
  const base = temporary();
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => {
    mkdirSync(`${base}/${name}`);
    return `${base}/${name}`;
  }) as [string, string, string, string];
  return { base, lower, upper, work, merged };
}

function shell(script: string, { base, lower, upper, work, merged }: Place): string {
  return execFileSync('sh', ['-euc', script, 'sh', lower, upper, work, merged], { cwd: base, encoding: 'utf8' });
}

const mark = (path: string, name: string, value: string | Uint8Array): void =>
  setxattr(AT_FDCWD, path, `trusted.overlay.${name}`, typeof value === 'string' ? Buffer.from(value) : value);

function check({ lower, upper, work }: Place, options: Partial<FsckOptions> = {}): FsckFinding[] {
  return fsck({ upper, work, lower: [lower], ...options });
}

/** Kind and path below the base. */
const brief = (findings: readonly FsckFinding[], { base }: Place): [string, string][] =>
  findings.map(({ kind, path }) => [kind, path.slice(base.length + 1)]);

const WORK_OF_ALL_KINDS = `
  cd "$4"
  rm deleted; rm -r gone; mkdir gone; echo new > gone/new; mv moved renamed; mkdir -p a/b; mv nested/dir a/b/dir
  chmod 600 touched; ln linked link; echo x >> linked; echo x > a/file; ln -s nowhere a/symlink; mkfifo a/fifo
  mv renamed/inner renamed/inner2; rm hard1; echo more >> hard2; echo y > touched2; rm touched2; mkdir deleted`;

function lowerOfAllKinds(at: Place): void {
  const script = `cd "$1"; mkdir -p gone/deep moved nested/dir; for f in deleted gone/f gone/deep/f moved/inner nested/dir/f \\
    touched linked hard1; do echo "$f" > "$f"; done; ln hard1 hard2; ln hard1 hard3`;
  shell(script, at);
}

const KERNEL_FLAVOURS = [
  'redirect_dir=on,index=off,metacopy=off',
  'redirect_dir=on,index=on,metacopy=on',
  'redirect_dir=on,index=on,nfs_export=on,metacopy=off',
];

test.for(KERNEL_FLAVOURS)('an upper of the kernel, with %s, is clean', (options, ctx) => {
  requireOrSkip(ctx, isRoot, 'mounting overlayfs needs root');
  const at = place();
  lowerOfAllKinds(at);
  const layers = `lowerdir=${at.lower},upperdir=${at.upper},workdir=${at.work}`;
  execFileSync('mount', ['-t', 'overlay', 'o', '-o', `${layers},${options}`, at.merged]);
  try {
    expect(() => check(at)).toThrow(/using this directory; unmount it first/);
    shell(WORK_OF_ALL_KINDS, at);
  } finally {
    execFileSync('umount', [at.merged]);
  }
  expect(brief(check(at), at)).toEqual([]);
  expect(brief(fsck({ upper: at.upper }), at)).toEqual([]);
});

test('an upper of fuse-overlayfs is clean', (ctx) => {
  requireOrSkip(ctx, isRoot, 'root');
  requireOrSkip(ctx, spawnSync('fuse-overlayfs', ['--version']).status === 0, 'fuse-overlayfs');
  const at = place();
  lowerOfAllKinds(at);
  const layers = `lowerdir=${at.lower},upperdir=${at.upper},workdir=${at.work}`;
  execFileSync('fuse-overlayfs', ['-o', layers, at.merged], { stdio: 'ignore' });
  try {
    shell(WORK_OF_ALL_KINDS, at);
  } finally {
    execFileSync('umount', [at.merged]);
  }
  expect(brief(check(at), at)).toEqual([]);
});

describe('each fault by its kind', () => {
  const cases: [kind: string, path: string, make: (at: Place) => void, repaired: boolean][] = [
    ['dangling-whiteout', 'upper/w', ({ upper }) => whiteoutAt(`${upper}/w`), true],
    [
      'dangling-whiteout',
      'upper/opaque/w',
      ({ upper }) => whiteoutAt(`${made(`${upper}/opaque`, { opaque: 'y' })}/w`),
      true,
    ],
    ['leftover', 'work/work/#1', ({ work }) => mkdirSync(`${work}/work/#1/deep`, { recursive: true }), true],
    ['leftover', 'work/index/#2', ({ work }) => writeFileSync(`${index(work)}/#2`, ''), true],
    ['orphaned-index', `work/index/${HANDLE}`, ({ work }) => entry(work, 'U-1'), true],
    ['malformed-index', 'work/index/xyz', ({ work }) => writeFileSync(`${index(work)}/xyz`, ''), false],
    ['malformed-index', `work/index/${HANDLE}`, ({ work }) => writeFileSync(`${index(work)}/${HANDLE}`, ''), false],
    ['unknown-attribute', 'upper', ({ upper }) => mark(upper, 'future', '1'), false],
    ['unknown-attribute', 'upper/d', ({ upper }) => made(`${upper}/d`, { future: '1' }), false],
    ['malformed-attribute', 'upper/d', ({ upper }) => made(`${upper}/d`, { opaque: 'yes' }), false],
    ['malformed-attribute', 'upper/f', ({ upper }) => written(`${upper}/f`, { nlink: '3' }), false],
    ['malformed-attribute', 'upper/f', ({ upper }) => written(`${upper}/f`, { origin: new Uint8Array(30) }), false],
    ['misplaced-attribute', 'upper/f', ({ upper }) => written(`${upper}/f`, { opaque: 'y' }), true],
    ['misplaced-attribute', 'upper/f', ({ upper }) => written(`${upper}/f`, { whiteout: 'y' }), true],
    ['misplaced-attribute', 'upper/d', ({ upper }) => made(`${upper}/d`, { metacopy: '' }), true],
    ['misplaced-attribute', 'upper/d', ({ upper }) => made(`${upper}/d`, { uuid: '0123456789abcdef' }), true],
    ['malformed-redirect', 'upper/d', ({ upper }) => made(`${upper}/d`, { redirect: '/a//b' }), false],
    ['malformed-redirect', 'upper/d', ({ upper }) => made(`${upper}/d`, { redirect: `/${'x'.repeat(300)}` }), false],
    ['missing-redirect', 'upper/d', ({ upper }) => made(`${upper}/d`, { redirect: 'nowhere' }), false],
    ['missing-redirect', 'upper/d', ({ upper }) => made(`${upper}/d`, { redirect: '/file' }), false],
    ['malformed-metacopy', 'upper/f', ({ upper }) => written(`${upper}/f`, { metacopy: 'abc' }), false],
    [
      'malformed-metacopy',
      'upper/f',
      ({ upper }) => written(`${upper}/f`, { metacopy: new Uint8Array([0, 5, 0, 1, 7]) }),
      false,
    ],
    ['missing-data', 'upper/f', ({ upper }) => truncateSync(written(`${upper}/f`, { metacopy: '' }), 100_000), false],
    [
      'dirty-volatile',
      'work/work/incompat/volatile',
      ({ work }) => mkdirSync(`${work}/work/incompat/volatile/dirty`, { recursive: true }),
      false,
    ],
    [
      'unknown-feature',
      'work/work/incompat/future',
      ({ work }) => mkdirSync(`${work}/work/incompat/future`, { recursive: true }),
      false,
    ],
  ];

  test.for(cases)('%s: %s', ([kind, path, make, repaired], ctx) => {
    requireOrSkip(ctx, isRoot, 'trusted attributes and devices take root');
    const at = place();
    writeFileSync(`${at.lower}/file`, 'lower');
    const sound = `cd "$2"; mknod file c 0 0; mkdir dir; echo x > dir/f; ln -s f dir/link; ln -s / dir/root`;
    shell(sound, at);
    make(at);
    const tree = (): string => shell('find "$1" "$2" "$3" -printf "%p %y %m %s %T@\\n" | sort', at);
    const before = tree();
    const found = check(at);
    expect(brief(found, at)).toEqual([[kind, path]]);
    expect(found[0]).toMatchObject({ repairable: repaired, repaired: false });
    expect(tree()).toBe(before);

    expect(check(at, { repair: 'safe' })).toEqual([{ ...found[0], repaired }]);
    expect(brief(check(at), at)).toEqual(repaired ? [] : [[kind, path]]);
    const isGone = repaired && kind !== 'misplaced-attribute';
    expect(existsSync(`${at.base}/${path}`)).toBe(!isGone);
    expect(shell('cd "$2"; cat dir/f; ls dir', at)).toBe('x\nf\nlink\nroot\n');
  });

  test('a `.wh.` form beside devices', (ctx) => {
    requireOrSkip(ctx, isRoot, 'devices take root');
    const at = place();
    writeFileSync(`${at.lower}/file`, '');
    writeFileSync(`${at.upper}/.wh.x`, '');
    expect(brief(check(at), at)).toEqual([]);
    whiteoutAt(`${at.upper}/file`);
    expect(brief(check(at), at)).toEqual([['mixed-whiteouts', 'upper/.wh.x']]);
  });
});

const HANDLE = `00fb1d0001${'00'.repeat(16)}${'0be020002cfa157c'}`;

function index(work: string): string {
  mkdirSync(`${work}/index`, { recursive: true });
  return `${work}/index`;
}

/** An entry of the index that no upper file is a link of. */
function entry(work: string, nlink: string): void {
  written(`${index(work)}/${HANDLE}`, { origin: Buffer.from(HANDLE, 'hex'), nlink });
}

function whiteoutAt(path: string): void {
  execFileSync('mknod', [path, 'c', '0', '0']);
}

function made(path: string, marks: Record<string, string | Uint8Array>): string {
  mkdirSync(path);
  for (const [name, value] of Object.entries(marks)) mark(path, name, value);
  return path;
}

function written(path: string, marks: Record<string, string | Uint8Array>): string {
  writeFileSync(path, 'data');
  for (const [name, value] of Object.entries(marks)) mark(path, name, value);
  return path;
}

test('an entry of the index that lower names still lead to is kept', (ctx) => {
  requireOrSkip(ctx, isRoot, 'trusted attributes take root');
  const at = place();
  entry(at.work, 'L+0');
  expect(brief(check(at), at)).toEqual([]);
});

test('without the layers below, what depends on them is not judged', (ctx) => {
  requireOrSkip(ctx, isRoot, 'devices take root');
  const at = place();
  whiteoutAt(`${at.upper}/w`);
  made(`${at.upper}/d`, { redirect: 'nowhere' });
  truncateSync(written(`${at.upper}/f`, { metacopy: '' }), 100_000);
  whiteoutAt(`${made(`${at.upper}/closed`, { opaque: 'y' })}/w`);
  made(`${at.upper}/closed/moved`, { redirect: '/elsewhere' });
  whiteoutAt(`${at.upper}/closed/moved/w`); // an absolute redirect leads out of an opaque directory
  expect(brief(fsck({ upper: at.upper, work: at.work }), at)).toEqual([['dangling-whiteout', 'upper/closed/w']]);
});

test('no link and no mount in an upper leads a repair out of it', (ctx) => {
  requireOrSkip(ctx, isRoot, 'root');
  const at = place();
  const outside = `${at.base}/outside`;
  mkdirSync(outside);
  whiteoutAt(`${outside}/w`);
  symlinkSync(outside, `${at.upper}/link`);
  mkdirSync(`${at.upper}/mounted`);
  mkdirSync(`${at.work}/work`);
  symlinkSync(outside, `${at.work}/work/#1`);
  symlinkSync(outside, `${at.work}/index`);
  execFileSync('mount', ['--bind', outside, `${at.upper}/mounted`]);
  onTestFinished(() => void spawnSync('umount', ['-l', `${at.upper}/mounted`]));
  const findings = check(at, { repair: 'safe' });
  expect(findings.filter(({ repaired }) => repaired).map(({ path }) => path)).toEqual([`${at.work}/work/#1`]);
  expect(readdirSync(outside)).toEqual(['w']);
});

test('a deep tree, and names that are no text', (ctx) => {
  requireOrSkip(ctx, isRoot, 'devices take root');
  const at = place();
  const script = `cd "$2"; mknod "$(printf 'a\\377')" c 0 0; i=0; while [ $i -lt 300 ]; do mkdir -p dddddddddddddddddddd; cd -P dddddddddddddddddddd; i=$((i+1)); done; mknod w c 0 0`;
  shell(script, at);
  const found = check(at, { repair: 'safe' });
  expect(found.map(({ kind, repaired }) => [kind, repaired])).toEqual([
    ['dangling-whiteout', true],
    ['dangling-whiteout', true],
  ]);
  expect(found[0]?.path).toBe(`${at.upper}/a\udcff`);
  expect(check(at)).toEqual([]);
});

test('an upper of ours, also with userxattr, is clean', () => {
  const at = place();
  const upper = hostUpper({ upper: at.upper, work: at.work, userxattr: true });
  expect(() => fsck({ upper: at.upper })).toThrow(/another overlay is using this directory/);
  runSync(populate(upper, { d: dir({ f: file('x') }, { opaque: 'y' }) }));
  upper.close?.();
  expect(fsck({ upper: at.upper, work: at.work, lower: [at.lower], userxattr: true })).toEqual([]);
  expect(readFileSync(`${at.upper}/d/f`, 'utf8')).toBe('x');
});

test('what is missing', () => {
  const at = place();
  const exitCodeOf = (options: FsckOptions): unknown => {
    try {
      fsck(options);
    } catch (error) {
      return (error as { exitCode: unknown }).exitCode;
    }
    return undefined;
  };
  expect(exitCodeOf({ upper: `${at.base}/none` })).toBe(3);
  expect(exitCodeOf({ upper: at.upper, work: `${at.base}/none` })).toBe(3);
  expect(exitCodeOf({ upper: at.upper, work: at.upper })).toBe(3);
  expect(exitCodeOf({ upper: at.upper, lower: [`${at.base}/none`] })).toBe(3);
});
