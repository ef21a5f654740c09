import { compare } from './compare.js';

/** `security.capability` with CAP_NET_RAW permitted and effective (struct vfs_cap_data, revision 2). */
const CAP_NET_RAW = `01000002${'00200000'}${'00000000'.repeat(3)}`;

const setId = `
  open f a w,creat 0755
  pwrite f 0 0123456789
  chmod a 06777
  open g s w,creat 0644
  chmod s 02666`;

compare('permissions', [
  {
    what: 'a write takes set-id bits away, unless root writes',
    lower: setId,
    merged: `
      process bob 1000
      open f a rw
      pwrite f 0 x => 1
      stat a mode => 106777
      bob: open f a rw => ok
      bob: pwrite f 0 x => 1
      stat a mode => 100777
      chmod a 06777
      bob: write f y => 1
      stat a mode => 100777
      chmod a 04777
      bob: pwrite f 3 z
      stat a mode => 100777`,
    remounted: 'stat a mode => 100777',
  },
  {
    what: 'so do truncation, fallocate, copy_file_range and chown',
    lower: `${setId}\nopen h mine w,creat 0755\nchown mine 1000 1000\nchmod mine 06755\nchmod . 0777`,
    merged: `
      process bob 1000
      bob: truncate a 5 => ok
      stat a mode size => 100777 5
      chmod a 06777
      bob: open f a w,trunc => ok
      stat a mode => 100777
      chmod a 06777
      bob: open f a rw
      bob: ftruncate f 3
      stat a mode => 100777
      chmod a 06777
      bob: fallocate f none 0 100 => ok
      stat a mode => 100777
      chmod a 06777
      bob: open g mine r
      bob: copy f 0 f 50 3 => 3
      stat a mode => 100777
      stat mine mode => 106755
      bob: chown mine 1000 1000 => ok
      stat mine mode => 100755
      chmod mine 06745
      chown mine 1000 5
      stat mine mode
      chmod . 0755`,
  },
  {
    what: 'a set-group-id bit that marks locking stays with a change of owner',
    lower: setId,
    merged: `
      chmod s 02644
      chown s 0 5 => ok
      stat s mode owner => 102644 0:5
      chown s 5 5
      stat s mode`,
  },
  {
    what: 'set-group-id directories, and who may set the bit',
    lower: 'mkdir d 0755\nchown d 1000 5\nchmod d 02775',
    merged: `
      process bob 1000
      umask 0
      mkdir d/sub 0755 => ok
      open f d/file w,creat 0644
      stat d/sub mode owner => 42755 0:5
      stat d/file mode owner => 100644 0:5
      bob: open g d/mine w,creat 0644
      stat d/mine owner => 1000:5
      bob: chmod d/mine 02755 => ok
      stat d/mine mode => 100755
      bob: open h d/other w,creat 02755
      stat d/other mode`,
  },
  {
    what: 'a directory whose group and set-group-id bit change between what is made in it',
    lower: 'mkdir d 0755',
    merged: `
      umask 0
      open f d/a w,creat 0644
      chown d 0 5
      open f d/b w,creat 0644
      chmod d 02755
      open f d/c w,creat 0644
      mkdir d/e 0755
      chown d 0 6
      chmod d 02755
      open f d/g w,creat 0644
      symlink t d/h
      chmod d 0755
      open f d/i w,creat 0644
      stat d/a owner => 0:0
      stat d/b owner => 0:0
      stat d/c owner => 0:5
      stat d/e mode owner => 42755 0:5
      stat d/g owner => 0:6
      stat d/h owner => 0:6
      stat d/i owner => 0:0`,
  },
  {
    what: 'a file just made: without a capability until it gets one, by any of its names, and what takes its name has none',
    merged: `
      process bob 1000
      chmod . 0777
      open f a rw,creat 0644
      pwrite f 0 x => 1
      getx a security.capability => ENODATA
      sethex a security.capability ${CAP_NET_RAW} => ok
      gethex a security.capability => ${CAP_NET_RAW}
      link a b
      gethex b security.capability => ${CAP_NET_RAW}
      unlink a
      gethex b security.capability => ${CAP_NET_RAW}
      open g a rw,creat 0644
      pwrite g 0 y => 1
      getx a security.capability => ENODATA
      pwrite f 0 z => 1
      getx b security.capability => ENODATA
      sethex b security.capability ${CAP_NET_RAW} => ok
      rename b a
      gethex a security.capability => ${CAP_NET_RAW}
      chown a 1000 1000
      getx a security.capability => ENODATA
      sethex a security.capability ${CAP_NET_RAW} => ok
      truncate a 0
      getx a security.capability => ENODATA
      removex a security.capability => ENODATA`,
    remounted: 'getx a security.capability => ENODATA',
  },
  {
    what: 'a sticky directory',
    lower: `
      mkdir d 0777
      chmod d 01777
      open f d/root w,creat 0666
      chmod d/root 0666
      open g d/bob w,creat 0666
      chown d/bob 1000 1000
      mkdir d/rootdir 0777
      chmod d/rootdir 0777`,
    merged: `
      process bob 1000
      process eve 1001
      bob: unlink d/root => EPERM
      bob: rename d/root d/x => EPERM
      bob: rename d/rootdir d/x => EPERM
      bob: rename d/bob d/root => EPERM
      bob: rmdir d/rootdir => EPERM
      eve: unlink d/bob => EPERM
      eve: rename d/bob d/x => EPERM
      bob: open f d/new w,creat 0644
      eve: unlink d/new => EPERM
      bob: rename d/bob d/mine => ok
      bob: unlink d/mine => ok
      bob: unlink d/new => ok
      unlink d/root => ok
      stat d mode => 41777`,
  },
  {
    what: 'file capabilities: set, in force, kept by copy-up, lost by a write and a change of owner',
    lower: `
      run cp /proc/self/exe none
      run sh -c cp\\x20$CALLS\\x20program
      chmod program 0755
      sethex program security.capability ${CAP_NET_RAW} => ok`,
    merged: `
      process bob 1000
      bob: run ./program identity => uid 1000 0000000000002000|
      utimens program 1 1 1 1 => ok
      gethex program security.capability => ${CAP_NET_RAW}
      bob: run ./program identity => uid 1000 0000000000002000|
      bob: sethex program security.capability ${CAP_NET_RAW} => EPERM
      open f program rw
      pwrite f 0 \\x7f => 1
      close f
      getx program security.capability => ENODATA
      bob: run ./program identity => uid 1000 0000000000000000|
      sethex program security.capability ${CAP_NET_RAW} => ok
      chown program 0 5
      getx program security.capability => ENODATA
      sethex program security.capability ${CAP_NET_RAW} => ok
      stat program size ino=p
      open g program rw
      ftruncate g 1000000
      close g
      getx program security.capability => ENODATA
      chmod program 04755
      bob: run ./program identity`,
    remounted: `
      process bob 1000
      stat program mode => 104755
      bob: run ./program identity`,
  },
  {
    what: 'owners, groups and modes decide',
    lower: `
      open f a w,creat 0640
      chown a 1000 5
      open g b w,creat 0604
      chown b 0 1000
      mkdir locked 0700
      open h locked/f w,creat 0644`,
    merged: `
      process bob 1000
      process ann 1001 5
      bob: access a rw => ok
      ann: access a r => ok
      ann: access a w => EACCES
      bob: access b r => EACCES
      ann: access b r => ok
      bob: access locked/f r => EACCES
      bob: stat locked/f mode => EACCES
      bob: chmod a 0600 => ok
      ann: access a r => EACCES
      bob: chmod b 0666 => EPERM
      bob: chown a 1001 1001 => EPERM
      bob: chown a 1000 1000 => ok
      bob: utimens b 1 1 1 1 => EPERM
      bob: unlink a => EACCES
      bob: mkdir d 0755 => EACCES
      bob: truncate b 0 => EACCES`,
  },
]);
