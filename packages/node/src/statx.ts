/**
 * `statx`, the hottest call of a host layer: into one buffer for life, decoded into the flat `Attributes`. The struct's
 * layout is the same on every architecture, which `struct stat`'s is not.
 */
import { type Attributes, makedev } from '@ovl/core';
import { type CString, bind, cString, errno, errorOf, fixedBuffer } from './libc.js';

/** The name itself, not what a symbolic link points to. */
export const AT_SYMLINK_NOFOLLOW = 0x100;
/** An empty path means the descriptor itself; it may be an O_PATH one. */
export const AT_EMPTY_PATH = 0x1000;
const AT_NO_AUTOMOUNT = 0x800;
const STATX_BASIC_STATS = 0x7ff;
const STATX_MNT_ID = 0x1000;
const STATX_ATTR_MOUNT_ROOT = 0x2000;
const TWO_TO_32 = 0x1_0000_0000;

const statx = bind<(dirfd: number, path: CString, flags: number, mask: number, buffer: Uint8Array) => number>(
  'int statx(int, const char *, int, uint, void *)',
);
const buffer = fixedBuffer(256);
const words = new Uint32Array(buffer.buffer);
const signed = new Int32Array(buffer.buffer);

/** The attributes of `name` in `dirfd` (of the descriptor itself with AT_EMPTY_PATH), or the positive errno. */
export function statxOrErrno(dirfd: number, name: string, flags: number): Attributes | number {
  if (statx(dirfd, name === '' ? name : cString(name), flags | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, buffer) < 0) {
    return errno();
  }
  return {
    dev: makedev(words[34] as number, words[35] as number),
    ino: (words[9] as number) * TWO_TO_32 + (words[8] as number),
    mode: (words[7] as number) & 0xffff,
    nlink: words[4] as number,
    uid: words[5] as number,
    gid: words[6] as number,
    rdev: makedev(words[32] as number, words[33] as number),
    size: (words[11] as number) * TWO_TO_32 + (words[10] as number),
    blocks: (words[13] as number) * TWO_TO_32 + (words[12] as number),
    blksize: words[1] as number,
    atimeSec: (signed[17] as number) * TWO_TO_32 + (words[16] as number),
    atimeNsec: words[18] as number,
    mtimeSec: (signed[29] as number) * TWO_TO_32 + (words[28] as number),
    mtimeNsec: words[30] as number,
    ctimeSec: (signed[25] as number) * TWO_TO_32 + (words[24] as number),
    ctimeNsec: words[26] as number,
  };
}

/** The attributes of `name` in `dirfd`, never following a symbolic link. */
export function statxAt(dirfd: number, name: string): Attributes {
  const found = statxOrErrno(dirfd, name, AT_SYMLINK_NOFOLLOW);
  if (typeof found === 'number') throw errorOf(found, 'statx', name);
  return found;
}

/** The attributes of an open descriptor, O_PATH ones included. */
export function statxFd(fd: number): Attributes {
  const found = statxOrErrno(fd, '', AT_EMPTY_PATH);
  if (typeof found === 'number') throw errorOf(found, 'statx');
  return found;
}

/** Which mount a descriptor lies on, and whether it is that mount's root. */
export function mountOf(fd: number): { id: number; isRoot: boolean } {
  if (statx(fd, '', AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, buffer) < 0) throw errorOf(errno(), 'statx');
  return {
    id: (words[37] as number) * TWO_TO_32 + (words[36] as number),
    isRoot: ((words[2] as number) & STATX_ATTR_MOUNT_ROOT) !== 0,
  };
}
