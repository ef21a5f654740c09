import { statSync } from 'node:fs';
import { expect } from 'vitest';
import { compare } from './compare.js';

const twoOfEach = `
  open f a w,creat 0644
  pwrite f 0 A
  open g b w,creat 0644
  pwrite g 0 B
  mkdir d 0755
  mkdir e 0755
  open h d/in-d w,creat 0644
  open i e/in-e w,creat 0644`;

compare('rename', [
  {
    what: 'NOREPLACE',
    lower: twoOfEach,
    merged: `
      rename a b noreplace => EEXIST
      rename a d noreplace => EEXIST
      rename a d/a noreplace => ok
      rename d c noreplace => ok
      rename none x noreplace => ENOENT
      list . => b c e
      list c => a in-d`,
    remounted: 'list . => b c e\nlist c => a in-d',
  },
  {
    what: 'EXCHANGE of files, of directories, and of both',
    lower: twoOfEach,
    merged: `
      stat a ino=a
      stat d ino=d
      rename a b exchange => ok
      stat b ino=a => same
      rename d e exchange => ok
      stat e ino=d => same
      list d => in-e
      list e => in-d
      rename a e exchange => ok
      list a => in-d
      rename a none exchange => ENOENT
      rename d d/x exchange => ENOENT
      rename a a/in-d exchange => EINVAL
      mkdir new 0755
      open f new/f w,creat 0644
      rename new d exchange => ok
      list d => f
      list new => in-e`,
    remounted: 'list . => a b d e new\nlist a => in-d\nlist d => f\nlist new => in-e',
  },
  {
    what: 'over what is there: files, empty directories, full ones',
    lower: `${twoOfEach}\nmkdir empty 0755`,
    merged: `
      rename a b => ok
      list . => b d e empty
      rename d e => ENOTEMPTY
      rename d empty => ok
      list . => b e empty
      list empty => in-d
      rename b e => EISDIR
      rename e b => ENOTDIR
      rename e e/in-e => EINVAL
      rename e/in-e e => ENOTEMPTY
      unlink e/in-e
      rename empty e => ok
      list e => in-d`,
    remounted: 'list . => b e\nlist e => in-d',
  },
  {
    what: 'what is open stays open under its new name and when it is replaced',
    lower: twoOfEach,
    merged: `
      open f a rw
      open g b r
      rename a b => ok
      fstat g nlink size => nlink=0 1
      pread g 0 9 => B
      pwrite f 1 more => 4
      fstat f nlink => nlink=1
      stat b size => 5
      pread f 0 9 => Amore`,
    differs: { kernel: 'it shows the link count of the lower file' },
  },
  {
    what: 'two names of one file: nothing happens',
    merged: `
      open f a w,creat 0644
      link a b => ok
      rename a b => ok
      list . => a b
      rename a a => ok
      stat a nlink => nlink=2`,
  },
  {
    what: 'who may not write a directory moves nothing in it or into it',
    lower:
      'mkdir mine 0777\nchmod mine 0777\nmkdir yours 0755\nopen f mine/f w,creat 0644\nopen g yours/g w,creat 0644',
    merged: `
      process bob 1000
      bob: rename mine/f yours/f => EACCES
      bob: rename yours/g mine/g => EACCES
      bob: rename mine/f mine/h => ok
      list mine => h`,
  },
  {
    what: 'WHITEOUT moves, and leaves a whiteout: the name is absent',
    lower: twoOfEach,
    merged: `
      open f new w,creat 0644
      rename a c whiteout => ok
      rename new moved whiteout => ok
      rename d dir whiteout => ok
      rename b c noreplace,whiteout => EEXIST
      rename b b2 noreplace,whiteout => ok
      rename b2 c exchange,whiteout => EINVAL
      list . => b2 c dir e moved
      list dir => in-d
      stat a mode => ENOENT
      stat new mode => ENOENT
      open g new w,creat 0640 => ok
      stat new mode => 100640
      unlink new => ok
      rename e/in-e e/x whiteout
      unlink e/x => ok
      list e => (empty)
      rmdir e => ok`,
    remounted: `
      list . => b2 c dir moved
      stat a mode => ENOENT
      open f a w,creat 0600 => ok
      stat a mode => 100600`,
    differs: {
      plain: 'it shows the whiteout as a device 0:0, which no overlay shows',
      kernel: 'it refuses the flag (EINVAL)',
    },
    also: ({ upper }) => {
      const isWhiteout = (name: string): boolean => {
        const { mode, rdev } = statSync(`${upper}/${name}`);
        return (mode & 0o170000) === 0o020000 && rdev === 0;
      };
      expect(['a', 'b'].map(isWhiteout)).toEqual([true, true]);
    },
  },
]);
