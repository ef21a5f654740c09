/**
 * What a client may ask of a file system, as data: so that a sequence can be generated, shrunk, printed and sent to the
 * process that carries it out. Names are in core's encoding (names.ts), paths are relative to the mount's root or to an
 * open directory.
 */
import type { MountOptions } from '../../packages/node/src/options.js';

/** `at`: the slot of an open directory; an empty slot, and no slot, mean the root of the mount. */
export interface Path {
  at?: number;
  path: string;
}

/** Seconds and nanoseconds since the epoch. Anything before {@link NOW_BEGINS} counts as set on purpose. */
export type TimeSpec = [sec: number, nsec: number] | 'now' | 'omit';

/** Times from here on are those of the test run itself, so only "recent" is compared. */
export const NOW_BEGINS = 1_600_000_000;

/** In place of a link count that is not compared. */
export const MAY_HAVE_NO_NAME = 'may have no name';

export interface OpenMode {
  access: 'r' | 'w' | 'rw';
  create?: 'if-absent' | 'exclusive';
  truncate?: true;
  append?: true;
}

export type SpecialType = 'file' | 'fifo' | 'char' | 'block' | 'socket';

/** `as`: the caller's user and group, root if absent. */
export type Operation = Action & { as?: number };

type Action =
  | { op: 'open'; slot: number; path: Path; open: OpenMode; mode: number }
  | { op: 'opendir'; slot: number; path: Path }
  | { op: 'close'; slot: number }
  | { op: 'pread'; slot: number; offset: number; length: number }
  | { op: 'pwrite'; slot: number; offset: number; length: number; fill: number }
  | { op: 'ftruncate'; slot: number; size: number }
  | { op: 'fallocate'; slot: number; mode: number; offset: number; length: number }
  | { op: 'lseek'; slot: number; offset: number; whence: 'data' | 'hole' }
  | { op: 'fsync'; slot: number }
  | { op: 'fstat'; slot: number }
  | { op: 'fchmod'; slot: number; mode: number }
  | { op: 'fchown'; slot: number; uid: number; gid: number }
  | { op: 'futimens'; slot: number; atime: TimeSpec; mtime: TimeSpec }
  | { op: 'fsetxattr'; slot: number; name: string; value: string; flags: number }
  | { op: 'flistxattr'; slot: number }
  | { op: 'freaddir'; slot: number }
  | { op: 'copy'; from: number; fromOffset: number; to: number; toOffset: number; length: number }
  | { op: 'create'; path: Path; mode: number }
  | { op: 'write'; path: Path; offset: number; length: number; fill: number }
  | { op: 'append'; path: Path; length: number; fill: number }
  | { op: 'overwrite'; path: Path; length: number; fill: number }
  | { op: 'read'; path: Path }
  | { op: 'truncate'; path: Path; size: number }
  | { op: 'mkdir'; path: Path; mode: number }
  | { op: 'mknod'; path: Path; type: SpecialType; mode: number; rdev: number }
  | { op: 'symlink'; target: string; path: Path }
  | { op: 'link'; from: Path; to: Path }
  | { op: 'unlink'; path: Path }
  | { op: 'rmdir'; path: Path }
  | { op: 'rename'; from: Path; to: Path; flags: number }
  | { op: 'chmod'; path: Path; mode: number }
  | { op: 'chown'; path: Path; uid: number; gid: number }
  | { op: 'utimens'; path: Path; atime: TimeSpec; mtime: TimeSpec }
  | { op: 'setxattr'; path: Path; name: string; value: string; flags: number }
  | { op: 'getxattr'; path: Path; name: string }
  | { op: 'removexattr'; path: Path; name: string }
  | { op: 'listxattr'; path: Path }
  | { op: 'readlink'; path: Path }
  | { op: 'readdir'; path: Path }
  | { op: 'stat'; path: Path };

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;
export const FALLOC_ZERO_RANGE = 16;

/** What a layer is made of before the mount. Entries whose parent is no directory, or that exist, are left out. */
export interface TreeEntry {
  path: string;
  node: TreeNode;
  uid: number;
  gid: number;
  mtime: [sec: number, nsec: number];
  xattrs: Record<string, string>;
}

export type TreeNode =
  | { type: 'directory'; mode: number; opaque: boolean }
  | { type: 'file'; mode: number; chunks: { offset: number; length: number; fill: number }[]; size: number }
  | { type: 'symlink'; target: string }
  | { type: 'fifo' | 'socket'; mode: number }
  | { type: 'char' | 'block'; mode: number; rdev: number }
  /** Another name of the entry at `to` in the same layer. */
  | { type: 'link'; to: string }
  /** A character device 0:0. */
  | { type: 'whiteout' };

/** The topmost first. */
export type Layers = TreeEntry[][];

/** One experiment. */
export interface Case {
  layers: Layers;
  /** Applied by the kernel before the experiment; what it wrote is then the topmost lower layer. */
  history: Operation[];
  umask: number;
  /** Between two phases both sides are unmounted and go on with what *the other one* wrote. */
  phases: Operation[][];
  /** What mounts of ours are mounted with: that makes no difference to be seen. */
  mount?: MountedWith;
}

/** The options that decide how files are opened, read and copied up. */
export type MountedWith = Pick<MountOptions, 'lazyCopyUp' | 'noOpen' | 'passthrough'>;

/** What an operation answered: an errno's name, or a value that is equal on two equal file systems. */
export type Result = { errno: string } | { value: unknown };

/** One object of a tree, as compared. */
export interface Seen {
  path: string;
  stat: unknown;
  content?: string;
  target?: string;
  xattrs: Record<string, string> | string;
  /** The first path with the same inode number, for files with several names. */
  sameAs?: string;
  /** Whether the directory gave the inode number that stat gives. */
  ino: 'agrees' | 'differs';
}
