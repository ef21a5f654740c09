/**
 * The FUSE kernel protocol's numbers (include/uapi/linux/fuse.h, 7.41): opcodes, flags, sizes and offsets of structures.
 * Offsets are in 32-bit words, because messages are read and built through Uint32Arrays; requests are counted from the
 * start of the message, so the arguments begin at {@link ARGUMENT}. Nothing here knows what an overlay is.
 */

export const MAJOR = 7;
/** The newest minor version whose replies we build: 41 is the last with anything that we use. */
export const MINOR = 41;

export const Opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  create: 35,
  interrupt: 36,
  destroy: 38,
  ioctl: 39,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  syncfs: 50,
  tmpfile: 51,
  copyFileRange64: 53,
} as const;

/** `struct fuse_in_header`, in words. */
export const Header = { length: 0, opcode: 1, unique: 2, nodeid: 4, uid: 6, gid: 7, pid: 8 } as const;
/** Where a request's own structure starts, in words and in bytes. */
export const ARGUMENT = 10;
export const ARGUMENT_BYTES = 40;

/** Where a reply's own structure starts, in words and in bytes. */
export const REPLY = 4;
export const REPLY_BYTES = 16;

/** Sizes of structures in bytes. */
export const ENTRY_BYTES = 128;
export const ATTR_OUT_BYTES = 104;
export const OPEN_BYTES = 16;
export const INIT_BYTES = 64;
export const STATFS_BYTES = 80;
export const DIRENT_BYTES = 24;
export const WRITE_DATA_BYTES = 80;

/** `fuse_out_header.error` of a message that answers no request. */
export const NotifyCode = { invalInode: 2 } as const;
/** With the header. */
export const NOTIFY_INVAL_INODE_BYTES = 40;

/** INIT flags that we know a use for. */
export const Init = {
  asyncRead: 1 << 0,
  atomicOTrunc: 1 << 3,
  exportSupport: 1 << 4,
  bigWrites: 1 << 5,
  dontMask: 1 << 6,
  autoInvalData: 1 << 12,
  doReaddirplus: 1 << 13,
  asyncDio: 1 << 15,
  writebackCache: 1 << 16,
  noOpenSupport: 1 << 17,
  parallelDirops: 1 << 18,
  posixAcl: 1 << 20,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  noOpendirSupport: 1 << 24,
  handleKillprivV2: 1 << 28,
  setxattrExt: 1 << 29,
  initExt: 1 << 30,
} as const;

/** INIT flags of the second word (`flags2`), which {@link Init.initExt} announces. */
export const Init2 = { passthrough: 1 << 5 } as const;

const PAGE_BYTES = 4096;
/** Pages in the largest request: 1 MiB, the most that Linux grants without a sysctl. */
export const MAX_PAGES = 256;
/** Bytes of data in the largest READ or WRITE. */
export const MAX_DATA_BYTES: number = MAX_PAGES * PAGE_BYTES;

export const Fopen = { keepCache: 1 << 1, cacheDir: 1 << 3, passthrough: 1 << 7 } as const;
/** In OPEN and CREATE: drop the set-id bits if the file is truncated. */
export const OPEN_KILL_SUIDGID = 1 << 0;
export const WRITE_KILL_SUIDGID = 1 << 2;
export const FSYNC_FDATASYNC = 1 << 0;

/** `fuse_setattr_in.valid`. */
export const Fattr = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  killSuidgid: 1 << 11,
} as const;

/** `open` flags that reach a FUSE server; Linux numbers them alike on the architectures that Node runs on. */
export const O_ACCMODE = 0o3;
export const O_WRONLY = 0o1;
export const O_RDWR = 0o2;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;
/** In SETXATTR of an access ACL: drop the set-group-id bit, which is not the caller's to keep. */
export const SETXATTR_ACL_KILL_SGID = 1 << 0;
/** Linux's limits on an attribute's value and on the list of names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`), in bytes. */
export const XATTR_MAX_BYTES = 65536;

export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;
export const FALLOC_ZERO_RANGE = 16;

export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
