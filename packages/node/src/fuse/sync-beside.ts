/**
 * `fsync` beside the serving thread, so that nobody waits for somebody else's data to reach the disk. The main thread has it
 * done by libuv's pool and writes the reply itself. That costs two more wake-ups, which a database would feel at each
 * transaction, so what promises to be quick is done at once. Decides which is which.
 */
import { fdatasync, fsync } from 'node:fs';
import type { OpenHandle, UpperFile } from '@ovl/core';
import { close, duplicate, statxFd, writeFrom } from '../syscalls.js';
import { Header, REPLY_BYTES } from './protocol.js';
import type { Wire } from './wire.js';

export type SyncScope = 'data' | 'all';

/** For the main thread. */
export interface SyncTask {
  /** The task's own descriptor: the file may be closed meanwhile where the mount has been given up. */
  fd: number;
  scope: SyncScope;
  /** Of the request, in two words. */
  unique: readonly [low: number, high: number];
}

/** A file of this size has little to write. */
const SMALL_BYTES = 1 << 20;
/** What was synced so shortly before has little to write, too, however large it is. */
const RECENT_MS = 50;
/** A sync at once that took longer waited for other files' data: the next ones would. */
const SLOW_MS = 10;
const SLOW_FOR_MS = 1000;

/** The serving thread's side. Times are in milliseconds, of any one clock. */
export class SyncsBeside {
  readonly #post: (task: SyncTask) => void;
  readonly #started = new WeakMap<OpenHandle, number>();
  #besideUntil = -Infinity;

  constructor(post: (task: SyncTask) => void) {
    this.#post = post;
  }

  /** Where to sync the file now; `size` is asked for if it matters. */
  choose(handle: OpenHandle, size: () => number, now: number): 'at-once' | 'beside' {
    const recently = now - (this.#started.get(handle) ?? -Infinity) < RECENT_MS;
    if (now < this.#besideUntil) return 'beside';
    return recently || size() < SMALL_BYTES ? 'at-once' : 'beside';
  }

  /** One has been begun, or done, that was not put off until a copy is complete: an attempt that was says nothing. */
  began(handle: OpenHandle, now: number): void {
    this.#started.set(handle, now);
  }

  /** How long one took that was done at once. */
  took(ms: number, now: number): void {
    if (ms > SLOW_MS) this.#besideUntil = now + SLOW_FOR_MS;
  }

  /** Has the file synced and the request on the wire answered. False, and nothing done, if the file has no descriptor. */
  begin({ fd }: Pick<UpperFile, 'fd'>, scope: SyncScope, wire: Wire): boolean {
    if (fd === undefined) return false;
    this.#post({ fd: duplicate(fd), scope, unique: [wire.u32(Header.unique), wire.u32(Header.unique + 1)] });
    return true;
  }
}

export function sizeOf({ file: { fd } }: OpenHandle): number {
  return fd === undefined ? 0 : statxFd(fd).size;
}

/** The main thread's side: carries a task out and answers on the device, then closes the descriptor and calls `done`. */
export function carryOutSync(device: number, { fd, scope, unique }: SyncTask, done: () => void): void {
  (scope === 'data' ? fdatasync : fsync)(fd, (error) => {
    // struct fuse_out_header { u32 len; s32 error; u64 unique }
    const reply = Int32Array.of(REPLY_BYTES, error?.errno ?? 0, ...unique);
    writeFrom(device, new Uint8Array(reply.buffer), REPLY_BYTES);
    close(fd);
    done();
  });
}
