import { readdirSync, statSync } from 'node:fs';
import { expect } from 'vitest';
import { compare } from './compare.js';

const MIB = 1 << 20;
const GIB = 1 << 30;

compare('space and holes', [
  {
    what: 'fallocate in every mode that FUSE carries',
    lower: 'open f a w,creat 0644\nblocks f 0 x 65536',
    merged: `
      open f a rw => ok
      fallocate f none 65536 65536 => ok
      fstat f size => 131072
      fallocate f keep 131072 65536 => ok
      fstat f size blocks => 131072 blocks=384
      fallocate f punch,keep 4096 8192 => ok
      fstat f size blocks => 131072 blocks=368
      pread f 4094 6 => xx\\x00\\x00\\x00\\x00
      seek f hole 0 => 4096
      seek f data 4096 => 12288
      fallocate f zero 20480 4096 => ok
      pread f 20479 3 => x\\x00\\x00
      fallocate f zero,keep 200000 4096 => ok
      fstat f size => 131072
      fallocate f zero 200000 4096 => ok
      fstat f size => 204096
      fallocate f punch 0 4096 => EOPNOTSUPP
      fallocate f none 0 0 => EINVAL
      open g a r
      fallocate g none 0 4096 => EBADF`,
    remounted: 'stat a size => 204096',
  },
  {
    what: 'and in those that it refuses before we are asked',
    lower: 'open f a w,creat 0644\nblocks f 0 x 65536',
    merged: `
      open f a rw
      fallocate f collapse 0 4096 => EOPNOTSUPP
      fallocate f insert 0 4096 => EOPNOTSUPP
      fallocate f unshare 0 4096 => EOPNOTSUPP
      fstat f size => 65536`,
    differs: { plain: 'fs/fuse/file.c lets other modes through to nobody', kernel: 'the same' },
  },
  {
    what: 'holes of a lower file are kept by copy-up',
    lower: `
      open f a w,creat 0644
      blocks f 0 x 4096
      blocks f ${8 * MIB} y 4096
      blocks f ${16 * MIB} z 4096
      ftruncate f ${32 * MIB}`,
    merged: `
      open f a r
      seek f hole 0 => 4096
      seek f data 4096 => ${8 * MIB}
      chmod a 0600 => ok
      seek f data 4096 => ${8 * MIB}
      open g a rw
      seek g hole ${8 * MIB} => ${8 * MIB + 4096}
      seek g data ${16 * MIB + 4096} => ENXIO
      seek g hole ${17 * MIB} => ${17 * MIB}
      seek g data ${32 * MIB} => ENXIO
      fstat g size blocks => ${32 * MIB} blocks=24
      pwrite g ${24 * MIB} more => 4
      seek g data ${16 * MIB + 4096} => ${24 * MIB}`,
    differs: { kernel: 'its copy-up keeps a leading hole only' },
  },
  {
    what: 'files of more than 4 GiB',
    lower: `open f a w,creat 0644\npwrite f ${5 * GIB} far\nftruncate f ${6 * GIB}`,
    merged: `
      open f a rw => ok
      fstat f size => ${6 * GIB}
      pread f ${5 * GIB} 3 => far
      seek f data 0 => ${5 * GIB}
      pwrite f ${5 * GIB - 2} __ => 2
      pread f ${5 * GIB - 3} 6 => \\x00__far
      pwrite f ${7 * GIB} end => 3
      fstat f size => ${7 * GIB + 3}
      fallocate f punch,keep ${5 * GIB - 4096} 8192 => ok
      pread f ${5 * GIB} 3 => \\x00\\x00\\x00
      ftruncate f ${4 * GIB + 1} => ok
      fstat f size => ${4 * GIB + 1}
      truncate a ${9 * GIB} => ok
      stat a size => ${9 * GIB}`,
    remounted: `stat a size => ${9 * GIB}`,
    differs: { kernel: 'its copy-up would write 6 GiB' },
    also: ({ upper }) => expect(statSync(`${upper}/a`).blocks).toBeLessThan(1024),
  },
  {
    what: 'copy_file_range within a file, between files and from a lower one',
    lower: `open f a w,creat 0644\npwrite f 0 0123456789\nblocks f ${2 * MIB} x 65536\nopen g lower w,creat 0644\npwrite g 0 lower`,
    merged: `
      open a a rw
      open low lower r
      open new new rw,creat 0644
      copy low 0 new 0 5 => 5
      pread new 0 9 => lower
      copy a 2 new 3 100000000 => ${2 * MIB + 65536 - 2}
      fstat new size => ${2 * MIB + 65536 + 1}
      pread new 0 14 => low23456789\\x00\\x00\\x00
      pread new ${2 * MIB} 4 => \\x00xxx
      copy a 0 a 4096 10 => 10
      pread a 4096 10 => 0123456789
      copy a 0 a 5 10 => EINVAL
      copy low 5 new 0 10 => 0
      copy a 0 low 0 10 => EBADF
      open app new w,append
      copy low 0 app 0 5 => EBADF
      pread low 0 9 => lower`,
    remounted: `open f new r\npread f 0 4 => low2`,
    also: ({ upper }) => expect(readdirSync(upper).toSorted()).toEqual(['a', 'new']),
  },
  {
    what: 'O_DIRECT',
    lower: 'open f a w,creat 0644\nblocks f 0 x 16384',
    merged: `
      open r a r,direct => ok
      pread r 4096 4096 => ${'x'.repeat(200)}
      open f a rw,direct => ok
      blocks f 4096 y 4096 => 4096
      blocks f 16384 z 8192 => 8192
      fstat f size => 24576
      open g a r
      pread g 4095 2 => xy
      pread r 16384 4096 => ${'z'.repeat(200)}
      pread r 24576 4096 => (empty)
      open n new w,creat,direct 0644 => ok
      blocks n 0 n 4096 => 4096
      stat new size => 4096`,
  },
  {
    what: 'truncation, open and by path, of what is only below',
    lower:
      'open f a w,creat 0644\npwrite f 0 0123456789\nopen g b w,creat 0644\npwrite g 0 0123456789\nopen h c w,creat 0644\npwrite h 0 data',
    merged: `
      open r a r
      truncate a 4 => ok
      pread r 0 20 => 0123
      truncate a 6 => ok
      pread r 0 20 => 0123\\x00\\x00
      open f b rw,trunc => ok
      fstat f size => 0
      open g c r
      open h c w,trunc
      pread g 0 9 => (empty)
      ftruncate g 1 => EINVAL
      truncate none 1 => ENOENT
      truncate . 1 => EISDIR`,
    remounted: 'stat a size => 6\nstat b size => 0',
  },
  {
    what: 'statfs is that of the file system below',
    merged: 'statvfs .\nstatvfs none => ENOENT',
  },
]);
