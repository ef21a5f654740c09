// Who may open an upper and when, and what a crash leaves behind.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { S_IFCHR } from '@ovl/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { hostUpper } from '../src/host-upper.js';
import { kernelOverlayDirectories } from '../src/upper-guard.js';
import { codeOf, freshUpper, gid, isRoot, makeFile, temporary, uid } from './host-support.js';

function directories(): { upper: string; work: string; base: string } {
  const base = temporary();
  mkdirSync(`${base}/upper`);
  mkdirSync(`${base}/work`);
  return { upper: `${base}/upper`, work: `${base}/work`, base };
}

const messageOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  return '';
};

/** Opens and closes: what a test can do that only wants to know whether it works. */
const tryOpen = (options: { upper: string; work: string }): void => hostUpper(options).close?.();

describe('placement', () => {
  test('equal, or one in the other: EINVAL; other file systems: EXDEV; not there: ENOENT', () => {
    const { upper, work, base } = directories();
    mkdirSync(`${upper}/a/b`, { recursive: true });
    mkdirSync(`${work}/a/b`, { recursive: true });
    expect(codeOf(() => tryOpen({ upper, work: upper }))).toBe('EINVAL');
    expect(codeOf(() => tryOpen({ upper, work: `${upper}/a/b` }))).toBe('EINVAL');
    expect(codeOf(() => tryOpen({ upper: `${work}/a/b`, work }))).toBe('EINVAL');
    expect(codeOf(() => tryOpen({ upper, work: `${base}/none` }))).toBe('ENOENT');
    expect(codeOf(() => tryOpen({ upper, work: '/proc' }))).toBe('EXDEV');
  });

  test('two mounts of one file system are apart too', (ctx) => {
    requireOrSkip(ctx, isRoot, 'mounting needs root');
    const { upper, work, base } = directories();
    mkdirSync(`${base}/bound`);
    execFileSync('mount', ['--bind', work, `${base}/bound`]);
    onTestFinished(() => void execFileSync('umount', ['-l', `${base}/bound`]));
    expect(codeOf(() => tryOpen({ upper, work: `${base}/bound` }))).toBe('EXDEV');
  });
});

describe('locks', () => {
  test('each directory has one owner, here and in other processes, until it closes', () => {
    const { upper, work, base } = directories();
    mkdirSync(`${base}/other`);
    const first = hostUpper({ upper, work });
    expect(messageOf(() => tryOpen({ upper, work: `${base}/other` }))).toMatch(
      `EBUSY: resource busy or locked '${upper}'`,
    );
    expect(messageOf(() => tryOpen({ upper: `${base}/other`, work }))).toMatch(
      `EBUSY: resource busy or locked '${work}'`,
    );
    expect(() => execFileSync('flock', ['-n', upper, 'true'])).toThrow();
    first.close?.();
    execFileSync('flock', ['-n', upper, 'true']);
    tryOpen({ upper, work });
  });

  test('a failed opening holds nothing', () => {
    const { upper, work, base } = directories();
    mkdirSync(`${work}/work/incompat/volatile`, { recursive: true });
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 3; i++) {
      expect(codeOf(() => tryOpen({ upper, work }))).toBe('EINVAL');
      expect(codeOf(() => tryOpen({ upper, work: `${base}/none` }))).toBe('ENOENT');
    }
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  test("a mount of the kernel's overlayfs, under names with blanks, commas and colons", (ctx) => {
    requireOrSkip(ctx, isRoot, 'mounting overlayfs needs root');
    const base = temporary();
    const at = (name: string): string => `${base}/a ${name}, b:c\\d`;
    for (const name of ['lower', 'upper', 'work', 'merged', 'free']) mkdirSync(at(name));
    const escaped = (name: string): string => at(name).replace(/[\\,:]/g, '\\$&');
    const options = `lowerdir=${escaped('lower')},upperdir=${escaped('upper').replace(/\\:/g, ':')},workdir=${escaped('work').replace(/\\:/g, ':')}`;
    execFileSync('mount', ['-t', 'overlay', 'o', '-o', options, at('merged')]);
    onTestFinished(() => execFileSync('sh', ['-c', 'umount "$1" || true', 'sh', at('merged')]) as never);
    expect(messageOf(() => tryOpen({ upper: at('upper'), work: at('free') }))).toMatch('EBUSY');
    expect(messageOf(() => tryOpen({ upper: at('free'), work: at('work') }))).toMatch(at('merged'));
    execFileSync('umount', [at('merged')]);
    tryOpen({ upper: at('upper'), work: at('work') });
    execFileSync('mount', ['-t', 'overlay', 'o', '-o', options, at('merged')]); // and the kernel takes it back
  });

  test("a mount of the kernel's overlayfs by relative paths does not lock what is called the same here", (ctx) => {
    requireOrSkip(ctx, isRoot, 'mounting overlayfs needs root');
    const there = directories();
    const here = directories();
    const script =
      'cd "$1"; mkdir lower merged; mount -t overlay o -o lowerdir=lower,upperdir=upper,workdir=work merged';
    execFileSync('sh', ['-ec', script, 'sh', there.base]);
    onTestFinished(() => void execFileSync('umount', [`${there.base}/merged`]));
    const before = process.cwd();
    process.chdir(here.base);
    try {
      tryOpen({ upper: 'upper', work: 'work' });
    } finally {
      process.chdir(before);
    }
  });

  test('mountinfo', () => {
    const line =
      '100 97 0:45 / /m\\040p rw,relatime shared:5 - overlay o rw,lowerdir=/a\\:b:/c,upperdir=/u\\040x\\134,y,workdir=w,uuid=on';
    expect(kernelOverlayDirectories(`${line}\n22 27 0:21 / /proc rw - proc upperdir=/x rw\n`)).toEqual([
      { path: '/u x,y', mountPoint: '/m p' },
      { path: 'w', mountPoint: '/m p' },
    ]);
  });
});

describe('marks of other mounts', () => {
  test.each([
    ['volatile', /volatile.*discard/],
    ['unheard-of', /do not know/],
  ])('incompat/%s', (name, message) => {
    const { upper, work } = directories();
    mkdirSync(`${work}/work/incompat/${name}/dirty`, { recursive: true });
    expect(messageOf(() => tryOpen({ upper, work }))).toMatch(message);
    expect(existsSync(`${work}/work/incompat/${name}/dirty`)).toBe(true);
  });

  test('an empty incompat is nothing', () => {
    const { upper, work } = directories();
    mkdirSync(`${work}/work/incompat`, { recursive: true });
    tryOpen({ upper, work });
  });

  test('markVolatile: kept at the end, and refused until it is removed', () => {
    const { upper, work } = directories();
    const first = hostUpper({ upper, work });
    first.markVolatile();
    first.markVolatile();
    first.close?.();
    expect(codeOf(() => tryOpen({ upper, work }))).toBe('EINVAL');
    rmSync(`${work}/work/incompat/volatile`, { recursive: true });
    tryOpen({ upper, work });
  });
});

describe('the work directory', () => {
  test('has the mode that the kernel gives it, or one that we can use', () => {
    const { work } = freshUpper();
    expect(statSync(work).mode & 0o7777).toBe(uid === 0 ? 0 : 0o700);
  });

  test('left without permissions is made usable again', () => {
    const { upper, work } = directories();
    mkdirSync(`${work}/work`, { mode: 0 });
    tryOpen({ upper, work });
  });

  test('leftovers of a crash are removed: files, whiteouts, trees, links but not what they point to', () => {
    const { upper, work, base } = directories();
    mkdirSync(`${base}/outside/sub`, { recursive: true });
    writeFileSync(`${base}/outside/f`, 'precious');
    mkdirSync(`${work}/work/#1/#2/#3`, { recursive: true });
    mkdirSync(`${work}/work/#9/closed/below`, { recursive: true, mode: 0o700 });
    writeFileSync(`${work}/work/#1/f`, '');
    writeFileSync(`${work}/work/#1/#2/f`, '');
    linkSync(`${base}/outside/f`, `${work}/work/#a`);
    symlinkSync('../../outside', `${work}/work/#b`);
    symlinkSync('../../../../outside', `${work}/work/#1/#2/link`);
    execFileSync('mkfifo', [`${work}/work/#c`]);
    execFileSync('mknod', [`${work}/work/#d`, 'c', '0', '0']);
    execFileSync('chmod', ['0', `${work}/work/#9/closed`]);
    const opened = hostUpper({ upper, work });
    expect(stagedIn(`${work}/work`)).toEqual([]);
    opened.close?.();
    expect(readdirSync(`${work}/work`)).toEqual([]);
    expect(readFileSync(`${base}/outside/f`, 'utf8')).toBe('precious');
    expect(existsSync(`${base}/outside/sub`)).toBe(true);
  });

  test('a link in its place is refused, not followed', () => {
    const { upper, work, base } = directories();
    mkdirSync(`${base}/outside`);
    writeFileSync(`${base}/outside/f`, '');
    symlinkSync(`${base}/outside`, `${work}/work`);
    expect(codeOf(() => tryOpen({ upper, work }))).toBe('ENOTDIR');
    expect(readdirSync(`${base}/outside`)).toEqual(['f']);
  });

  test('a mount in it is refused, not emptied', (ctx) => {
    requireOrSkip(ctx, isRoot, 'mounting needs root');
    for (const place of ['work', 'work/#1', 'work/#1/deep']) {
      const { upper, work, base } = directories();
      mkdirSync(`${work}/${place}`, { recursive: true });
      mkdirSync(`${base}/outside`);
      writeFileSync(`${base}/outside/f`, '');
      execFileSync('mount', ['--bind', `${base}/outside`, `${work}/${place}`]);
      try {
        expect(codeOf(() => tryOpen({ upper, work }))).toBe('EBUSY');
        expect(readdirSync(`${base}/outside`)).toEqual(['f']);
      } finally {
        execFileSync('umount', ['-l', `${work}/${place}`]);
      }
    }
  });

  test('is as good as new after a crash in the middle of staging', () => {
    const { upper, work, base } = directories();
    const first = hostUpper({ upper, work });
    first.stage({ mode: 0o100600, uid, gid });
    first.stage({ mode: S_IFCHR, uid: 0, gid: 0, rdev: 0 });
    // What a crash leaves, and without the locks.
    execFileSync('cp', ['-a', base, `${base}-after`]);
    const after = `${base}-after`;
    onTestFinished(() => void execFileSync('rm', ['-rf', after]));
    first.close?.();
    const second = hostUpper({ upper: `${after}/upper`, work: `${after}/work` });
    expect(stagedIn(`${after}/work/work`)).toEqual([]);
    second.close?.();
  });
});

/** All but the whiteout that others will be links of. */
const stagedIn = (work: string): string[] =>
  readdirSync(work).filter((name) => !lstatSync(`${work}/${name}`).isCharacterDevice());

test('a file system without whiteouts says so', (ctx) => {
  requireOrSkip(ctx, isRoot, 'mounting needs root');
  const base = temporary();
  try {
    execFileSync('mount', ['-t', 'ramfs', 'ramfs', base]);
  } catch {
    requireOrSkip(ctx, false, 'no ramfs');
  }
  onTestFinished(() => void execFileSync('umount', ['-l', base]));
  mkdirSync(`${base}/upper`);
  mkdirSync(`${base}/work`);
  const message = messageOf(() => tryOpen({ upper: `${base}/upper`, work: `${base}/work` }));
  expect(message).toMatch(/EOPNOTSUPP.*lacks RENAME_/);
});

test('userxattr is taken at its word', () => {
  const { upper, work } = directories();
  const opened = hostUpper({ upper, work, userxattr: true });
  expect(opened.xattrPrefix).toBe('user.overlay.');
  opened.close?.();
});

test('the kernel mounts what we wrote, and sees it', (ctx) => {
  requireOrSkip(ctx, isRoot, 'mounting overlayfs needs root');
  const base = temporary();
  mkdirSync(`${base}/lower/d`, { recursive: true });
  mkdirSync(`${base}/merged`);
  writeFileSync(`${base}/lower/f`, '');
  const { upper } = freshUpper(base);
  upper.create({ dir: upper.root, name: 'f' }, { mode: S_IFCHR, uid: 0, gid: 0, rdev: 0 });
  makeFile(upper, upper.root, 'new', 'new');
  upper.close?.();
  const options = `lowerdir=${base}/lower,upperdir=${base}/upper,workdir=${base}/workdir`;
  execFileSync('mount', ['-t', 'overlay', 'o', '-o', options, `${base}/merged`]);
  try {
    expect(readdirSync(`${base}/merged`).sort()).toEqual(['d', 'new']);
    expect(lstatSync(`${base}/merged/new`).size).toBe(3);
  } finally {
    execFileSync('umount', [`${base}/merged`]);
  }
});
