/**
 * Bulk work that goes on beside the serving thread, which must not be held by it: the main thread, whose event loop is
 * free, has it done by threads of libuv's pool, and puts the results into memory that both threads see. The serving thread
 * never runs its event loop, so it looks there.
 */
import { fdatasync, fsync, read, write } from 'node:fs';
import { promisify } from 'node:util';
import { FsError, type Job, errnoOf, isFsError } from '@ovl/core';
import { type StagingTask, stageFiles } from './staging-beside.js';
import { bindAsync, errorOf } from './libc.js';

/** What to do with descriptors, which are the process's. */
export type BesideTask =
  | StagingTask
  | { kind: 'copy'; slot: number; from: number; to: number; position: number; length: number }
  | { kind: 'order' | 'data' | 'all'; slot: number; to: number }
  /** Keep the mount from being unmounted unawares, or do so no more. */
  | { kind: Hold; slot: number };

/** "give-up": what the mount is held for cannot be done, so it is let go if it is unmounted already, lazily. */
export type Hold = 'hold' | 'let-go' | 'give-up';

type SlotTask = Exclude<BesideTask, StagingTask>;

/** Tasks under way at one time. */
const SLOTS = 128;
// Two words each.
const FREE = 0;
const RUNNING = 1;
const DONE = 2;

export function besideMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOTS * 8);
}

/** The serving thread's side. */
export class Beside {
  readonly #words: Int32Array;
  readonly #post: (task: BesideTask) => void;

  constructor(memory: SharedArrayBuffer, post: (task: BesideTask) => void) {
    this.#words = new Int32Array(memory);
    this.#post = post;
  }

  /** Has small files made that nobody waits for; what becomes of them is in the task's own memory. */
  stage(task: StagingTask): void {
    this.#post(task);
  }

  /** Begins a task. The descriptors stay open until it has ended. Throws EAGAIN if there are too many. */
  begin(task: (slot: number) => SlotTask): BesideJob {
    for (let slot = 0; slot < SLOTS; slot++) {
      if (Atomics.compareExchange(this.#words, slot * 2, FREE, RUNNING) !== FREE) continue;
      this.#post(task(slot));
      return new BesideJob(this.#words, slot);
    }
    throw new FsError('EAGAIN', { syscall: 'copy-up' });
  }
}

export class BesideJob implements Job {
  readonly #words: Int32Array;
  readonly #slot: number;
  #result: number | FsError | undefined;

  constructor(words: Int32Array, slot: number) {
    this.#words = words;
    this.#slot = slot;
  }

  poll(): number | FsError | undefined {
    if (this.#result === undefined && Atomics.load(this.#words, this.#slot * 2) === DONE) {
      const result = Atomics.load(this.#words, this.#slot * 2 + 1);
      this.#result = result < 0 ? errorOf(-result, 'copy-up') : result;
      Atomics.store(this.#words, this.#slot * 2, FREE);
    }
    return this.#result;
  }

  wait(ms = Infinity): void {
    while (this.poll() === undefined) {
      if (Atomics.wait(this.#words, this.#slot * 2, RUNNING, ms) === 'timed-out') return;
    }
  }
}

/** The main thread's side: carries a task out. `hold` is for the tasks of these names. */
export function runBeside(memory: SharedArrayBuffer, task: BesideTask, hold: (how: Hold) => void): void {
  if (task.kind === 'stage') return stageFiles(task);
  const words = new Int32Array(memory);
  const ended = (result: number): void => {
    Atomics.store(words, task.slot * 2 + 1, result);
    Atomics.store(words, task.slot * 2, DONE);
    Atomics.notify(words, task.slot * 2);
  };
  carryOut(task, hold).then(ended, (error: unknown) => ended(errnoFor(error)));
}

/** The negative errno of what Node or we threw. */
function errnoFor(error: unknown): number {
  if (isFsError(error)) return error.errno;
  const { errno } = error as NodeJS.ErrnoException;
  return typeof errno === 'number' && errno < 0 ? errno : -errnoOf('EIO');
}

type Copy = (from: number, fromAt: Uint8Array, to: number, toAt: Uint8Array, length: number, flags: number) => number;
const copyFileRange = bindAsync<Copy>('int64_t copy_file_range(int, void *, int, void *, uint64_t, uint)');
const syncFileRange = bindAsync<(fd: number, at: number, length: number, flags: number) => number>(
  'int sync_file_range(int, int64_t, int64_t, uint)',
);
const SYNC_FILE_RANGE_WRITE = 2;
const SYNC_FILE_RANGE_WRITE_AND_WAIT = 7;

async function carryOut(task: SlotTask, hold: (how: Hold) => void): Promise<number> {
  switch (task.kind) {
    case 'hold':
    case 'let-go':
    case 'give-up':
      hold(task.kind);
      return 0;
    case 'copy':
      return await copy(task.from, task.to, task.position, task.length);
    case 'order':
      // errno is another thread's by now; what write-back reports is EIO or ENOSPC, and the first is told of both.
      if ((await syncFileRange(task.to, 0, 0, SYNC_FILE_RANGE_WRITE_AND_WAIT)) < 0)
        throw new FsError('EIO', { syscall: 'sync_file_range' });
      return 0;
    case 'data':
      await promisify(fdatasync)(task.to);
      return 0;
    case 'all':
      await promisify(fsync)(task.to);
      return 0;
  }
}

/** Returns the bytes copied, fewer at the end of the source. */
async function copy(from: number, to: number, position: number, length: number): Promise<number> {
  let done = 0;
  while (done < length) {
    const fromAt = new Uint8Array(BigInt64Array.of(BigInt(position + done)).buffer);
    const toAt = new Uint8Array(BigInt64Array.of(BigInt(position + done)).buffer);
    const copied = await copyFileRange(from, fromAt, to, toAt, length - done, 0);
    if (copied === 0) break;
    // Between two file systems, or an error that only who asks again learns.
    if (copied < 0) return done + (await copyByHand(from, to, position + done, length - done));
    done += copied;
  }
  // What is written early need not be waited for later, and memory does not fill with it.
  await syncFileRange(to, position, done, SYNC_FILE_RANGE_WRITE);
  return done;
}

const BUFFER_SIZE = 1 << 20;

async function copyByHand(from: number, to: number, position: number, length: number): Promise<number> {
  const buffer = Buffer.allocUnsafe(Math.min(BUFFER_SIZE, length));
  let done = 0;
  while (done < length) {
    const wanted = Math.min(buffer.length, length - done);
    const { bytesRead } = await promisify(read)(from, buffer, 0, wanted, position + done);
    if (bytesRead === 0) break;
    for (let put = 0; put < bytesRead; ) {
      put += (await promisify(write)(to, buffer, put, bytesRead - put, position + done + put)).bytesWritten;
    }
    done += bytesRead;
  }
  return done;
}
