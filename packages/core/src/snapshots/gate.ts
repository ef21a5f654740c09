/**
 * Keeps operations and changes of the stack apart: any number of operations at a time, or one change of the stack alone.
 * A change waits for a moment at which no operation is under way, but those that come until then still go ahead: one may be
 * a part of another that is under way. Over synchronous layers nothing ever waits here; whoever changes the stack from within an operation (in a change listener)
 * would wait for himself, and is told so by `runSync`.
 */
import { Mutex } from '../lock.js';
import type { Operation } from '../run.js';

export class Gate {
  #running = 0;
  #idle: (() => void) | undefined;
  #shut: Promise<void> | undefined;
  readonly #changes = new Mutex();

  /** Runs an operation once no change of the stack is under way. */
  *pass<T>(operation: Operation<T>): Operation<T> {
    while (this.#shut !== undefined) yield this.#shut;
    this.#running++;
    try {
      return yield* operation;
    } finally {
      this.#running--;
      if (this.#running === 0) this.#idle?.();
    }
  }

  /** Runs a change of the stack alone. */
  alone<T>(change: Operation<T>): Operation<T> {
    return this.#changes.hold(this.#whenIdle(change));
  }

  *#whenIdle<T>(change: Operation<T>): Operation<T> {
    // Whoever is woken first may have begun another operation by the time that this one goes on.
    while (this.#running > 0) yield new Promise<void>((resolve) => (this.#idle = resolve));
    let open = (): void => undefined;
    this.#shut = new Promise((resolve) => (open = resolve));
    try {
      return yield* change;
    } finally {
      this.#shut = this.#idle = undefined;
      open();
    }
  }
}
