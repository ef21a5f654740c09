/**
 * What an object looks like: `Attributes` is a flat `statx`, kept flat (seconds and nanoseconds apart) because a
 * bigint per time would cost more than the rest of a `stat` together. Also the file types and mode bits of POSIX.
 */

export const S_IFMT = 0o170000;
/** Type bits of a FIFO. */
export const S_IFIFO = 0o010000;
/** Type bits of a character device. */
export const S_IFCHR = 0o020000;
/** Type bits of a directory. */
export const S_IFDIR = 0o040000;
/** Type bits of a block device. */
export const S_IFBLK = 0o060000;
/** Type bits of a regular file. */
export const S_IFREG = 0o100000;
/** Type bits of a symbolic link. */
export const S_IFLNK = 0o120000;
/** Type bits of a socket. */
export const S_IFSOCK = 0o140000;
/** The set-user-id bit of a mode. */
export const S_ISUID = 0o4000;
/** The set-group-id bit of a mode. */
export const S_ISGID = 0o2000;
/** The sticky bit of a mode. */
export const S_ISVTX = 0o1000;

/** A directory entry's type as `readdir` reports it (`d_type`): the mode's type bits shifted right by 12. */
export type EntryType = number;
/** `d_type`: the layer does not say. */
export const DT_UNKNOWN = 0;
/** `d_type` of a FIFO. */
export const DT_FIFO = 1;
/** `d_type` of a character device. */
export const DT_CHR = 2;
/** `d_type` of a directory. */
export const DT_DIR = 4;
/** `d_type` of a block device. */
export const DT_BLK = 6;
/** `d_type` of a regular file. */
export const DT_REG = 8;
/** `d_type` of a symbolic link. */
export const DT_LNK = 10;
/** `d_type` of a socket. */
export const DT_SOCK = 12;

/** What `statx` answers for one object. A layer hands out a copy: the receiver may change it. */
export interface Attributes {
  /** Number of the file system the object lies on, unique among the layers of one overlay. */
  dev: number;
  /** Inode number on that file system. */
  ino: number;
  /** Type and permission bits. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  /** Device number in Linux's 32-bit encoding, see {@link makedev}; 0 for other types. */
  rdev: number;
  /** Bytes. */
  size: number;
  /** Allocated blocks of 512 bytes. */
  blocks: number;
  /** Preferred I/O size in bytes. */
  blksize: number;
  atimeSec: number;
  atimeNsec: number;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
}

/** A moment, as `struct timespec` has it. */
export interface Time {
  /** Seconds since the epoch, may be negative. */
  sec: number;
  /** 0 … 999,999,999. */
  nsec: number;
}

/** What `setattr` changes; absent members stay as they are. ctime always moves to now. */
export interface AttributeChange {
  /** Permission bits only; the type never changes. */
  mode?: number;
  uid?: number;
  gid?: number;
  /** New length in bytes (truncate, or extend with a hole). */
  size?: number;
  atime?: Time | 'now';
  mtime?: Time | 'now';
}

/** What `statfs` answers: room and objects of the file system that a layer, or the upper, lies on. */
export interface FileSystemStatistics {
  /** Block size in bytes, the unit of `blocks`, `bfree` and `bavail`. */
  bsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  namelen: number;
}

/** Whether a mode is a directory's, by its type bits. */
export function isDirectory(mode: number): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

/** Whether a mode is a regular file's, by its type bits. */
export function isRegular(mode: number): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

/** Whether a mode is a symbolic link's, by its type bits. */
export function isSymlink(mode: number): boolean {
  return (mode & S_IFMT) === S_IFLNK;
}

/** Linux's 32-bit `dev_t` (new_encode_dev): 12 bits of major, 20 of minor. */
export function makedev(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** The major number in a `dev_t` of {@link makedev}. */
export function major(dev: number): number {
  return (dev >>> 8) & 0xfff;
}

/** The minor number in a `dev_t` of {@link makedev}. */
export function minor(dev: number): number {
  return (dev & 0xff) | ((dev >>> 12) & 0xfff00);
}
