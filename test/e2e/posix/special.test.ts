import { compare } from './compare.js';

compare('special files', [
  {
    what: 'FIFOs carry data between processes, made below or above',
    lower: 'mknod below fifo 0644',
    merged: `
      process b
      stat below mode => 10644
      open f below rw,nonblock => ok
      b: open f below w,nonblock => ok
      b: write f through => 7
      run head -c 7 below => through
      mknod above fifo 0600 => ok
      stat above mode nlink size => 10600 nlink=1 0
      b: open g above w,nonblock => ENXIO
      open h above rw,nonblock => ok
      b: open g above w,nonblock => ok
      chmod below 0600 => ok
      link above too => ok
      stat too mode nlink => 10600 nlink=2
      rename above moved => ok
      unlink below => ok
      list . => moved too`,
    remounted: 'list . => moved too\nstat moved mode nlink => 10600 nlink=2',
  },
  {
    what: 'sockets connect by name',
    lower: 'bind s below',
    merged: `
      process b
      bind s above => ok
      stat above mode => 140755
      b: connect above => ok
      rename above moved => ok
      b: connect moved => ok
      b: connect above => ENOENT
      b: connect below => ECONNREFUSED
      chmod moved 0700 => ok
      b: connect moved => ok
      unlink below => ok
      bind t below => ok
      b: connect below => ok
      open f below r => ENXIO`,
    remounted: 'stat moved mode => 140700\nlist . => below moved',
  },
  {
    what: 'devices work, made below or above, and keep their numbers through copy-up',
    lower: 'chmod . 0777\nmknod null char 0666 1 3\nmknod zero char 0666 1 5\nmknod disk block 0600 259 1048575',
    merged: `
      process bob 1000
      stat null mode rdev => 20644 1,3
      stat disk mode rdev => 60600 259,1048575
      open f null rw => ok
      write f gone => 4
      pread f 0 5 => (empty)
      chmod null 0666 => ok
      stat null mode rdev => 20666 1,3
      bob: open g null w => ok
      bob: write g gone => 4
      mknod full char 0666 1 7 => ok
      open h full w => ok
      write h x => ENOSPC
      open z zero r
      pread z 0 2 => \\x00\\x00
      bob: mknod mine char 0666 1 3 => EPERM
      mknod file file 0640 => ok
      stat file mode => 100640
      rename disk d => ok
      unlink null => ok
      list . => d file full zero`,
    remounted: 'list . => d file full zero\nstat d mode rdev => 60600 259,1048575\nstat full mode rdev => 20644 1,7',
  },
  {
    what: 'a device 0:0 is a whiteout, and nobody makes one',
    merged: 'mknod w char 0600 0 0 => EPERM\nlist . => (empty)',
    differs: { plain: 'it knows no whiteouts' },
  },
]);
