/**
 * What the serving thread does when nobody asks it anything. V8 collects garbage only when more is allocated: after the
 * kernel has forgotten much, memory would stay taken for as long as a mount is idle.
 */

/** Milliseconds without a request that make an idle moment. */
const QUIET_MS = 500;
/** Nodes forgotten that are worth a collection. */
const MANY = 10_000;

/** One for all mounts of the thread. */
export class Idle {
  #known = 0;
  #forgotten = 0;
  readonly #collect: () => void;

  constructor(collect: () => void) {
    this.#collect = collect;
  }

  /** The kernel came to know `nodes` more. */
  know(nodes: number): void {
    this.#known += nodes;
    if (nodes < 0) this.#forgotten -= nodes;
  }

  /** For how many milliseconds to wait before {@link use} has something to do; −1 if it has nothing. */
  get patience(): number {
    // What is left has to be looked at meanwhile: were it much, it would hold up whoever asks next.
    return this.#forgotten >= MANY && this.#forgotten >= 4 * this.#known ? QUIET_MS : -1;
  }

  use(): void {
    this.#forgotten = 0;
    this.#collect();
  }
}

let collectGarbage: (() => void) | undefined;

export const idle: Idle = new Idle(() => {
  // Loaded now: when a thread starts, somebody waits.
  process.getBuiltinModule('node:v8').setFlagsFromString('--expose-gc');
  collectGarbage ??= process.getBuiltinModule('node:vm').runInNewContext('gc') as () => void;
  collectGarbage();
  collectGarbage(); // now the pages that it emptied go back to the system
});
