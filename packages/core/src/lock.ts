/**
 * Serialises operations that interleave on asynchronous layers. Over synchronous layers no operation is ever suspended,
 * so a lock is always free and costs two assignments.
 *
 * Order, so that nothing deadlocks: an inode's lock (its data, its copy-up) before the namespace lock, and never a second
 * inode's lock under the first; copy-up of what an operation needs therefore comes before that operation's own lock.
 */
import type { Operation } from './run.js';

export class Mutex {
  #held = false;
  #queue: (() => void)[] | undefined;

  /** Runs `operation` alone; those who wait are served in order of arrival. */
  *hold<T>(operation: Operation<T>): Operation<T> {
    if (this.#held) {
      this.#queue ??= [];
      const queue = this.#queue;
      yield new Promise<void>((resolve) => queue.push(resolve)); // the lock is handed over still held
    }
    this.#held = true;
    try {
      return yield* operation;
    } finally {
      const next = this.#queue?.shift();
      if (next === undefined) this.#held = false;
      else next();
    }
  }
}
