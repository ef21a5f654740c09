/**
 * What an object looks like: `Attributes` is a flat `statx`, kept flat (seconds and nanoseconds apart) because a
 * bigint per time would cost more than the rest of a `stat` together. Also the file types and mode bits of POSIX.
 */

export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;

/** A directory entry's type as `readdir` reports it (`d_type`): the mode's type bits shifted right by 12. */
export type EntryType = number;
export const DT_UNKNOWN = 0;
export const DT_FIFO = 1;
export const DT_CHR = 2;
export const DT_DIR = 4;
export const DT_BLK = 6;
export const DT_REG = 8;
export const DT_LNK = 10;
export const DT_SOCK = 12;

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

export function isDirectory(mode: number): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

export function isRegular(mode: number): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

export function isSymlink(mode: number): boolean {
  return (mode & S_IFMT) === S_IFLNK;
}

/** Linux's 32-bit `dev_t` (new_encode_dev): 12 bits of major, 20 of minor. */
export function makedev(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

export function major(dev: number): number {
  return (dev >>> 8) & 0xfff;
}

export function minor(dev: number): number {
  return (dev & 0xff) | ((dev >>> 12) & 0xfff00);
}
