import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { compare } from './compare.js';

const lower = 'open f a w,creat 0644\nblocks f 0 x 8192';

compare('mmap', [
  {
    what: 'shared: coherent with read and write, in both directions and between processes',
    lower,
    merged: `
      process b
      open f a rw
      mmap m f rw shared 8192 => ok
      b: open f a rw
      b: mmap m f rw shared 8192
      store m 10 mapped => ok
      pread f 9 8 => xmappedx
      b: load m 10 6 => mapped
      b: pread f 10 6 => mapped
      b: pwrite f 4096 written => 7
      load m 4096 8 => writtenx
      b: store m 0 B
      pread f 0 2 => Bx
      msync m 8192 => ok
      close f
      store m 100 after
      b: pread f 100 5 => after`,
    remounted: `
      open f a r
      pread f 10 6 => mapped
      pread f 4096 7 => written
      pread f 100 5 => after`,
    also: ({ upper }) => expect(readFileSync(`${upper}/a`).length).toBe(8192),
  },
  {
    what: 'of a lower file: what is written after the copy-up shows in a map made before',
    lower,
    merged: `
      open f a r
      mmap m f r shared 8192 => ok
      load m 0 4 => xxxx
      open g a rw
      pwrite g 0 new => 3
      load m 0 4 => newx
      mmap n g rw shared 8192
      store n 4 mapped
      load m 0 12 => newxmappedxx
      pread f 0 12 => newxmappedxx
      ftruncate g 4096 => ok
      fstat f size => 4096
      load m 4 6 => mapped`,
    differs: { kernel: 'documented as not POSIX: a map of the lower file stays with it' },
  },
  {
    what: 'private: keeps its own changes, and changes nothing',
    lower,
    merged: `
      open f a r
      mmap m f rw private 8192 => ok
      store m 0 mine
      load m 0 5 => minex
      pread f 0 5 => xxxxx
      mmap n f rw shared 8192 => EACCES
      stat a size => 8192`,
  },
  {
    what: 'of a file that has lost its name',
    lower,
    merged: `
      open f a rw
      mmap m f rw shared 8192
      unlink a => ok
      store m 0 still => ok
      pread f 0 6 => stillx
      close f
      load m 0 6 => stillx
      list . => (empty)`,
  },
]);
