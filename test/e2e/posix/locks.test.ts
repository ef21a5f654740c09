import { compare } from './compare.js';

const lower = 'open f a w,creat 0644\npwrite f 0 0123456789';

compare('several processes', [
  {
    what: 'flock, across a copy-up',
    lower,
    merged: `
      process b
      process c
      open f a r => ok
      flock f sh => ok
      b: open f a rw => ok
      b: flock f ex => EAGAIN
      b: flock f sh => ok
      flock f un => ok
      b: flock f ex => ok
      c: open f a r
      c: flock f sh => EAGAIN
      b: close f
      c: flock f sh => ok`,
  },
  {
    what: 'POSIX locks, across a copy-up',
    lower,
    merged: `
      process b
      open f a rw => ok
      setlk f write 0 5 => ok
      b: open f a rw => ok
      b: setlk f read 4 2 => EAGAIN
      b: getlk f read 4 2 => write
      b: setlk f write 5 5 => ok
      setlk f write 3 4 => EAGAIN
      b: getlk f write 6 1 => free
      setlk f none 0 5 => ok
      b: setlk f write 0 0 => ok
      getlk f write 100 1 => write
      b: close f
      getlk f write 100 1 => free`,
  },
  {
    what: 'locks of an open file',
    lower,
    merged: `
      process b
      open f a rw
      open g a rw
      ofdlk f write 0 5 => ok
      ofdlk g write 0 5 => EAGAIN
      b: open f a r
      b: ofdlk f read 0 5 => EAGAIN
      b: ofdlk f read 5 5 => ok
      close f
      ofdlk g read 0 5 => ok`,
  },
  {
    what: 'O_EXCL has one winner',
    lower,
    merged: `
      process b
      process c
      b: open f lock w,creat,excl 0644 => ok
      c: open f lock w,creat,excl 0644 => EEXIST
      open f a w,creat,excl 0644 => EEXIST
      b: unlink lock => ok
      c: open f lock w,creat,excl 0644 => ok
      symlink nowhere dangling
      open g dangling w,creat,excl 0644 => EEXIST
      unlink a => ok
      open h a w,creat,excl 0600 => ok
      stat a mode => 100600
      mkdir d 0755
      open i d w,creat,excl 0644 => EEXIST`,
  },
  {
    what: 'an open file lives on without a name, for those who have it',
    lower: `${lower}\nmkdir d 0755\nopen g d/f w,creat 0644`,
    merged: `
      process b
      open f a rw => ok
      b: open f a r => ok
      fstat f ino=a
      unlink a => ok
      b: fstat f nlink size => nlink=0 10
      pwrite f 0 new => 3
      b: pread f 0 5 => new34
      b: stat a mode => ENOENT
      fchmod f 0600 => ok
      fstat f mode nlink ino=a => 100600 nlink=0 same
      linkfd f again => ENOENT
      open g a rw,creat 0644 => ok
      fstat g size => 0
      pread f 0 5 => new34
      open d d r,directory
      unlink d/f
      rmdir d => ok
      fstat d mode => 40755
      list . => a`,
    differs: { kernel: 'it copies up nothing that has lost its name' },
  },
]);

const writers = ['b', 'c', 'd'];

compare('O_APPEND', [
  {
    what: 'from several processes, by turns',
    lower: 'open f log w,creat 0644\nappends f z 3',
    merged: `
      ${writers.map((name) => `process ${name}`).join('\n')}
      ${writers.map((name) => `${name}: open f log w,append`).join('\n')}
      ${Array.from({ length: 3 }, () => writers.map((name) => `${name}: write f 0123456789abcdef => 16`).join('\n')).join('\n')}
      stat log size => ${16 * 12}
      open g log r
      pread g 48 16 => 0123456789abcdef
      truncate log 16
      b: write f 0123456789abcdef
      stat log size => 32`,
  },
  {
    what: 'from several processes at once: nothing is lost or torn',
    lower: 'open f log w,creat 0644',
    merged: `
      run sh -c ${quote(`for n in e f g h; do ($CALLS append log $n 500) & done; wait`)} => ok
      open f log r
      records f => 2000 records, 0 broken`,
    remounted: 'open f log r\nrecords f => 2000 records, 0 broken',
  },
]);

/** As one word of a script. */
function quote(text: string): string {
  return text.replaceAll(' ', '\\x20');
}
