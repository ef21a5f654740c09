import { compare } from './compare.js';

compare('files without a name', [
  {
    what: 'O_TMPFILE, written and given a name',
    lower: 'mkdir d 0755',
    merged: `
      open f d rw,tmpfile 0640 => ok
      pwrite f 0 hello => 5
      fstat f mode nlink size ino=f => 100640 nlink=0 5 same
      list d => (empty)
      linkfd f d/name => ok
      fstat f nlink ino=f => nlink=1 same
      stat d/name mode size ino=f => 100640 5 same
      linkempty f d/other => ok
      stat d/name nlink => nlink=2
      linkfd f d/name => EEXIST
      inodes d
      unlink d/name
      unlink d/other
      fstat f nlink size => nlink=0 5
      linkfd f d/again => ENOENT
      pread f 0 9 => hello`,
  },
  {
    what: "O_TMPFILE takes the umask, the directory's group and no name with O_EXCL",
    lower: 'mkdir d 0755\nmkdir s 0755\nchown s 0 100\nchmod s 02775',
    merged: `
      umask 027
      open f d rw,tmpfile,excl 0666 => ok
      fstat f mode => 100640
      linkfd f d/name => ENOENT
      open g s rw,tmpfile 0666 => ok
      fstat g owner => 0:100
      open h d r,tmpfile 0666 => EINVAL
      open i d/none rw,tmpfile 0666 => ENOENT`,
  },
  {
    what: 'one that has been given a name over a deleted lower file',
    lower: 'open f a w,creat 0644\npwrite f 0 lower',
    merged: `
      unlink a => ok
      open f . rw,tmpfile 0600 => ok
      pwrite f 0 new => 3
      linkfd f a => ok
      stat a mode nlink size => 100600 nlink=1 3`,
    remounted: `
      stat a mode nlink size => 100600 nlink=1 3
      open f a r
      pread f 0 9 => new`,
  },
  {
    what: 'who may not write the directory makes none in it',
    lower: 'mkdir d 0755\nmkdir e 0777\nchmod e 0777',
    merged: `
      process bob 1000
      bob: open f d rw,tmpfile 0644 => EACCES
      bob: open f e rw,tmpfile 0644 => ok
      bob: fstat f owner mode => 1000:1000 100644
      bob: linkfd f e/mine => ok
      bob: linkfd f d/mine => EACCES
      stat e/mine owner nlink => 1000:1000 nlink=1`,
  },
]);
