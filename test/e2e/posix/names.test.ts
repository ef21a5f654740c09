import { compare } from './compare.js';

const longest = 'n'.repeat(255);
/** 63 × 4 + 3 bytes. */
const wide = `${'\\xf0\\x9f\\x98\\x80'.repeat(63)}abc`;

compare('names and paths', [
  {
    what: 'of 255 bytes, and no longer',
    lower: `open f ${longest} w,creat 0644\nmkdir d 0755\nopen g d/${wide} w,creat 0644`,
    merged: `
      stat ${longest} mode => 100644
      stat ${longest}n mode => ENAMETOOLONG
      chmod ${longest} 0600 => ok
      list d
      rename d/${wide} ${wide} => ok
      unlink ${longest} => ok
      stat ${longest} mode => ENOENT
      mkdir ${longest} 0755 => ok
      open f ${longest}/${longest} w,creat 0644 => ok
      rename ${longest} d/${longest} => ok
      list d/${longest} => ${'n'.repeat(200)}
      open g ${longest}n w,creat 0644 => ENAMETOOLONG
      mkdir ${longest}n 0755 => ENAMETOOLONG
      symlink ${'t'.repeat(4095)} l => ok
      symlink ${'t'.repeat(4096)} m => ENAMETOOLONG
      stat l size => 4095`,
    remounted: `stat d/${longest}/${longest} mode => 100644\nstat ${wide} mode => 100644\nstat l size => 4095`,
  },
  {
    what: 'that are no UTF-8, of every byte there is',
    lower:
      'open f \\xff\\xfe w,creat 0644\npwrite f 0 raw\nmkdir \\x80 0755\nopen g \\x80/\\xc3( w,creat 0644\nsymlink \\xff\\xfe l',
    merged: `
      list . => l \\x80 \\xff\\xfe
      open f \\xff\\xfe rw => ok
      pread f 0 9 => raw
      pwrite f 3 ! => 1
      list \\x80 => \\xc3(
      rename \\x80 \\xed\\xa0\\x80 => ok
      list \\xed\\xa0\\x80 => \\xc3(
      readlink l => \\xff\\xfe
      symlink \\xfftarget \\xfelink => ok
      readlink \\xfelink => \\xfftarget
      open g a\\x09b\\x0ac\\x01 w,creat 0644 => ok
      unlink \\xed\\xa0\\x80/\\xc3( => ok
      stat \\xff\\xfe size => 4
      stat \\xef\\xbf\\xbd\\xef\\xbf\\xbd size => ENOENT
      setx \\xff\\xfe user.\\xff value => ok
      getx \\xff\\xfe user.\\xff => value
      list .`,
    remounted: `
      list . => a\\x09b\\x0ac\\x01 l \\xed\\xa0\\x80 \\xfelink \\xff\\xfe
      list \\xed\\xa0\\x80 => (empty)
      stat \\xff\\xfe size => 4`,
  },
  {
    what: 'deeper than PATH_MAX',
    lower: 'deep make 60',
    merged: `
      deep touch 60 => 100644
      deep look 60 => 100644
      deep touch 59 => 100644`,
    remounted: 'deep look 60 => 100644\ndeep look 59 => 100644',
  },
  {
    what: 'symbolic links in a loop, in a chain, and out of the mount',
    lower: `
      symlink a b
      symlink b a
      symlink self self
      mkdir d 0755
      symlink ../d d/up
      open f f w,creat 0644
      symlink /proc/self/status out
      ${Array.from({ length: 41 }, (_, i) => `symlink ${i === 0 ? 'f' : `chain${i - 1}`} chain${i}`).join('\n')}`,
    merged: `
      open x a r => ELOOP
      open x self/y r => ELOOP
      open x self w,creat 0644 => ELOOP
      chmod a 0600 => ELOOP
      stat a mode => 120777
      open x chain39 r => ok
      open x chain40 r => ELOOP
      open x d/up/up/up/../f r => ok
      open x out r => ok
      open x b r,nofollow => ELOOP
      readlink self => self
      unlink a => ok
      open x b w,creat 0644 => ok
      stat a mode => 100644
      symlink loop2 loop1
      symlink loop1 loop2
      rename loop1 d/up => ok
      mkdir self 0755 => EEXIST`,
    remounted: 'open x d/up r => ENOENT\nopen x self r => ELOOP',
  },
]);

const LONG = 'nothing is opened but the directory, and it takes long';

compare(
  'a directory of 100,000 entries',
  [
    {
      what: 'read while entries are removed',
      lower: 'mkdir d 0755\ncrowd d make 95000',
      merged: `
        crowd d make 100000 95000 => 5000 made
        crowd d remove 100000 => 100000 listed, 10000 removed
        crowd d look 100000 => 90000 listed, 0 removed
        stat d/file-0 mode => ENOENT
        stat d/file-1 mode => 100644`,
      remounted: 'crowd d look 100000 => 90000 listed, 0 removed',
      differs: { 'no-open': LONG, all: LONG, user: LONG },
    },
  ],
  { on: 'tmpfs' },
);
