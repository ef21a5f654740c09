/**
 * Small files copied into the work directory before anybody asks for them, the main thread's side: it makes them while the
 * serving thread answers (copy-ahead.ts). Both see the words of each file, and only by its state do they know whose it is.
 */
import { type Attributes, isFsError, isRegular } from '@ovl/core';
import { copyRanges } from './host-file.js';
import {
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  close,
  openat,
  statxFd,
  startWriteBack,
  unlinkatOrErrno,
} from './syscalls.js';

/** What is larger takes longer than asking for it. */
const MAX_BYTES = 64 << 10;

/** A file's state, the first of its words. */
export const State = {
  /** Nobody has begun. */
  waiting: 0,
  /** The main thread's. */
  running: 1,
  /** There, with an open descriptor: the serving thread's. */
  staged: 2,
  /** Nothing was left of it. */
  failed: 3,
  /** The serving thread does without. */
  unwanted: 4,
} as const;

/** Words of each file: state, descriptor, and six for what its source was like. */
export const WORDS = 8;

/** What differs where a file is another one or was changed, as words. */
export function likeness({ ino, size, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec }: Attributes): number[] {
  return [ino | 0, size | 0, mtimeSec | 0, mtimeNsec, ctimeSec | 0, ctimeNsec];
}

export interface StagingTask {
  kind: 'stage';
  memory: SharedArrayBuffer;
  /** The work directory. */
  work: number;
  /** Permission bits that the copies will most likely need. */
  mode: number;
  /** The directories of their sources, which stay open until their state is no longer "waiting" or "running". */
  files: readonly { name: string; dirfd: number; source: string }[];
}

export function stageFiles({ memory, work, mode, files }: StagingTask): void {
  const words = new Int32Array(memory);
  for (const [i, { name, dirfd, source }] of files.entries()) {
    const at = i * WORDS;
    if (Atomics.compareExchange(words, at, State.waiting, State.running) !== State.waiting) continue;
    let state: number = State.failed;
    try {
      const staged = stageQuietly(work, name, mode, dirfd, source);
      if (staged === undefined) continue;
      words.set([staged.fd, ...likeness(staged.source)], at + 1);
      state = State.staged;
    } finally {
      Atomics.store(words, at, state);
      Atomics.notify(words, at);
    }
  }
}

interface Staged {
  fd: number;
  source: Attributes;
}

/** Who asks for the file finds out by himself what is wrong. */
function stageQuietly(work: number, name: string, mode: number, dirfd: number, source: string): Staged | undefined {
  try {
    const from = openat(dirfd, source, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const source = statxFd(from);
      if (!isRegular(source.mode) || source.size === 0 || source.size > MAX_BYTES) return undefined;
      const fd = stage(work, name, mode, from, source.size);
      return fd < 0 ? undefined : { fd, source };
    } finally {
      close(from);
    }
  } catch (error) {
    if (!isFsError(error)) throw error;
    return undefined;
  }
}

function stage(work: number, name: string, mode: number, from: number, size: number): number {
  const fd = openat(work, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, mode);
  let isWhole = false;
  try {
    isWhole = copyRanges(from, fd, size);
    startWriteBack(fd); // which has ended before somebody asks, mostly
  } finally {
    if (!isWhole) {
      close(fd);
      unlinkatOrErrno(work, name);
    }
  }
  return isWhole ? fd : -1;
}
