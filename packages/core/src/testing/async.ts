/**
 * A layer whose every answer comes later, in an order that a seed decides: makes operations that run at the same time
 * interleave at every layer call, the same way at every run with the same seed.
 */
import type { Layer } from '../layer.js';
import { intercept } from './intercept.js';

/** Decides whose turn it is. One for all layers of an overlay. */
export class Scheduler {
  readonly #waiting: (() => void)[] = [];
  #state: number;
  #running = false;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Runs `work` at some later turn. */
  later<T>(work: () => T | PromiseLike<T>): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => {
      this.#waiting.push(() => {
        try {
          resolve(work());
        } catch (error) {
          reject(error);
        }
      });
    });
    if (!this.#running) void this.#run();
    return answer;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      // Some turns of the microtask queue, so that whoever got an answer can ask again before the next one is given.
      for (let turn = 0; turn < 12; turn++) await undefined;
      const [next] = this.#waiting.splice(this.#random(this.#waiting.length), 1);
      next?.();
    }
    this.#running = false;
  }

  /** xorshift32. */
  #random(below: number): number {
    let x = this.#state || 0x9e3779b9;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % below;
  }
}

/** The same layer, asynchronous: each call is made, and answered, when `scheduler` says so. */
export function asyncLayer<L extends Layer>(target: L, scheduler: Scheduler): L {
  return intercept(target, (_call, proceed) => scheduler.later(proceed));
}
