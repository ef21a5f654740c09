/** What a client (client.ts) can be asked: name → [argument, answer]. */
import type { FileOperation, Result, Snapshot, TreeSpec } from '@ovl/core/testing';

/** Directories of one overlay. Lower ones topmost first. */
export interface Place {
  lower: string[];
  upper: string;
  work: string;
  merged: string;
}

/**
 * When a daemon is killed: so long after the operation with this index began. With `disk`, the ext4 mounted there is shut
 * down at the same moment: what had not reached the disk by then is lost, as when the power fails.
 */
export interface Kill {
  pid: number;
  at: number;
  afterUs: number;
  disk?: string;
}

/** A file too large for the model: random bytes, made from its seed. */
export interface LargeFile {
  name: string;
  bytes: number;
  seed: number;
}

/** All that is compared of a directory of large files. */
export type LargeView = { name: string; mode: number; bytes: number; hash: string }[];

export interface Requests {
  /** Fills the empty directory `root`. */
  build: [{ root: string; tree: TreeSpec }, void];
  buildLarge: [{ root: string; files: LargeFile[] }, void];
  /** The results of the operations that were answered. The one after them was in flight, or was not begun. */
  run: [{ merged: string; operations: FileOperation[]; kill: Kill }, Result[]];
  /** "kernel": of the kernel's overlayfs on these directories, mounted for it; otherwise of what is mounted there. */
  view: [{ place: Place; by: 'ovl' | 'kernel' }, Snapshot];
  largeView: [{ place: Place; by: 'ovl' | 'kernel' }, LargeView];
  /** A hash of all that a directory holds: also of times and of attributes that an overlay hides. */
  digest: [{ root: string }, string];
}
