import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { run } from '../../../packages/node/test/mount-support.js';
import { compare } from './compare.js';

const tree = `
  open f a w,creat 0644
  pwrite f 0 data
  mkdir d 0755
  open g d/b w,creat 0644
  symlink a l
  mknod p fifo 0644
  mkdir d/e 0755`;

compare('inodes', [
  {
    what: 'st_ino is d_ino, unique, and the same after copy-up, rename and remount',
    lower: tree,
    merged: `
      inodes . => 6 entries, 0 differ, 0 twice
      stat a ino=a
      stat d ino=d
      stat d/b ino=b
      stat l ino=l
      stat p ino=p
      open f a rw
      pwrite f 0 changed
      chmod d 0700
      utimens l 1 1 1 1
      chmod p 0600
      chown d/b 5 5
      stat a ino=a => same
      stat d ino=d => same
      stat d/b ino=b => same
      stat l ino=l => same
      stat p ino=p => same
      rename a d/a => ok
      stat d/a ino=a => same
      fstat f ino=a => same
      rename d/e f
      inodes . => 6 entries, 0 differ, 0 twice
      inodes d => 4 entries, 0 differ, 0 twice
      open n new w,creat 0644
      mkdir newdir 0755
      inodes . => 8 entries, 0 differ, 0 twice`,
    remounted: `
      inodes . => 8 entries, 0 differ, 0 twice
      inodes d => 4 entries, 0 differ, 0 twice`,
  },
  {
    what: 'link counts',
    lower: 'mkdir d 0755\nopen f only w,creat 0644',
    merged: `
      open f a w,creat 0644
      link a b => ok
      link a d/c => ok
      stat b nlink => nlink=3
      stat a ino=a
      stat d/c ino=a => same
      unlink a => ok
      stat b nlink => nlink=2
      open g new w,creat 0644
      rename new b => ok
      fstat f nlink => nlink=1
      stat d/c nlink ino=a => nlink=1 same
      link d b => EEXIST
      link d x => EPERM
      link only second => ok
      stat only nlink ino=o => nlink=2 same
      stat second nlink ino=o => nlink=2 same
      symlink a l
      link l m => ok
      stat m mode nlink => 120777 nlink=2
      mkdir e 0755
      mkdir e/f 0755
      stat e nlink => nlink=3
      rmdir e/f
      stat e nlink => nlink=2`,
    remounted: `
      stat d/c nlink => nlink=1
      stat only nlink ino=o => nlink=2 same
      stat second nlink ino=o => nlink=2 same
      stat m nlink => nlink=2`,
  },
  {
    what: 'times in nanoseconds, kept by copy-up and across a remount',
    lower: `
      open f a w,creat 0644
      utimens a 1500000000 123456789 1400000000 987654321
      mkdir d 0755
      open g d/b w,creat 0644
      utimens d 7 7 -5 999999999
      symlink a l
      utimens l 1 2 3 4
      utimens d/b 0 1 4294967297 5`,
    merged: `
      stat a atime mtime => 1500000000.123456789 1400000000.987654321
      stat d mtime => -5.999999999
      stat l mtime => 3.000000004
      stat d/b mtime => 4294967297.000000005
      chmod a 0600
      stat a atime mtime => 1500000000.123456789 1400000000.987654321
      chmod d/b 0600
      stat d mtime => -5.999999999
      utimens l 1 2 -2 4
      stat l mtime => -2.000000004
      utimens a 1 999999999 2 1 => ok
      stat a atime mtime => 1.999999999 2.000000001
      setx d user.x y
      stat d mtime => -5.999999999`,
    remounted: `
      stat a atime mtime => 1.999999999 2.000000001
      stat d mtime => -5.999999999
      stat l mtime => -2.000000004
      stat d/b mtime => 4294967297.000000005`,
  },
]);

// A second lower layer, on a file system of its own, whose inode numbers are those of the first as likely as not.
const other = join(tmpdir(), `ovl-posix-other-${process.pid}`);
function makeOther(): string[] {
  if (!existsSync(other)) {
    mkdirSync(other);
    if (run('mount', ['-t', 'tmpfs', 'tmpfs', other]).status !== 0) throw new Error('cannot mount a tmpfs');
    for (let i = 0; i < 100; i++) writeFileSync(join(other, `other-${i}`), 'x');
  }
  return [other];
}
afterAll(() => {
  run('umount', [other]);
  rmSync(other, { recursive: true, force: true });
});

compare(
  'layers on several file systems',
  [
    {
      what: 'numbers are unique and stable across copy-up and rename',
      lower: `open f a w,creat 0644\n${Array.from({ length: 20 }, (_, i) => `open f${i} here-${i} w,creat 0644`).join('\n')}`,
      merged: `
        inodes .. => 103 entries, 0 differ, 0 twice
        inodes . => 23 entries, 0 differ, 0 twice
        stat ../other-5 ino=five
        stat ../other-6 ino=six
        chmod ../other-5 0600 => ok
        stat ../other-5 ino=five => same
        rename ../other-6 six
        stat six ino=six => same
        open x ../new w,creat 0644
        chmod a 0600
        inodes .. => 103 entries, 0 differ, 0 twice
        inodes . => 24 entries, 0 differ, 0 twice`,
      remounted: 'inodes .. => 103 entries, 0 differ, 0 twice\ninodes . => 24 entries, 0 differ, 0 twice',
      differs: { plain: 'it has no second layer', user: 'to copy up what belongs to somebody else takes root' },
    },
  ],
  { below: makeOther },
);
