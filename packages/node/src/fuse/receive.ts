/**
 * Waiting for the next request. A client that works through many files sends one request as soon as it has the answer to the
 * last, and to wake a processor that has gone to sleep meanwhile takes several times as long as to answer. So the thread
 * looks again for a moment before it sleeps, as long as that mostly finds something.
 */
import { availableParallelism } from 'node:os';
import { errnoOf } from '@ovl/core';
import { readInto, setNonblocking } from '../syscalls.js';

const EAGAIN = errnoOf('EAGAIN');

/** How long to look: beyond it, sleeping costs less than it takes from others. */
const LOOK_MS = 0.05;
/** A look that takes longer was interrupted by somebody who needs the processor. */
const CROWDED_MS = 0.2;

const MAX_CREDIT = 16;
/** How much a vain look counts against a successful one. */
const VAIN = 4;
/** Requests received asleep before one more try. Tries in vain make it longer, for each takes {@link LOOK_MS}. */
const FIRST_RETRY = 32;
const LAST_RETRY = 8192;

/** When to look: by what looking has brought so far. */
export class LookAhead {
  #credit = VAIN;
  #retryAfter = FIRST_RETRY;
  #asleep = 0;

  /** Whether to look before sleeping. */
  get worthwhile(): boolean {
    return this.#credit > 0;
  }

  found(): void {
    if (this.#credit < MAX_CREDIT) this.#credit++;
    else this.#retryAfter = FIRST_RETRY;
  }

  /** After `ms` of looking. */
  foundNothing(ms: number): void {
    this.#credit = ms > CROWDED_MS ? 0 : this.#credit - VAIN;
    if (this.#credit <= 0) this.#retryAfter = Math.min(this.#retryAfter * 2, LAST_RETRY);
  }

  /** A request came while looking was not worthwhile. */
  slept(): void {
    if (++this.#asleep < this.#retryAfter) return;
    this.#asleep = 0;
    this.#credit = VAIN;
  }
}

/** What can be done while nobody asks for anything. */
export interface IdleWork {
  readonly isPending: boolean;
  /** A part of it, short enough that whoever asks meanwhile can wait. */
  step(): void;
}

/** The first that is pending. */
export class OneAfterAnother implements IdleWork {
  readonly #works: readonly (IdleWork | undefined)[];

  constructor(...works: readonly (IdleWork | undefined)[]) {
    this.#works = works;
  }

  get isPending(): boolean {
    for (const work of this.#works) if (work?.isPending === true) return true;
    return false;
  }

  step(): void {
    this.#works.find((work) => work?.isPending)?.step();
  }
}

/** How many parts are done before other mounts are looked at. */
const STEPS = 32;

/** The requests of one mount. */
export class Receiver {
  readonly #fd: number;
  readonly #input: Uint8Array;
  readonly #idleWork: IdleWork | undefined;
  readonly #lookAhead = new LookAhead();
  /** On the only processor there is, looking would keep the client from running. */
  readonly #alone: boolean = availableParallelism() < 2;

  /** `fd` is a FUSE device, which does not block from now on; `input` gets each request. */
  constructor(fd: number, input: Uint8Array, idleWork?: IdleWork) {
    this.#fd = fd;
    this.#input = input;
    this.#idleWork = idleWork;
    setNonblocking(fd);
  }

  /** Whether {@link follow} has something to do even if no request comes. */
  get hasWork(): boolean {
    return !this.#alone && this.#idleWork?.isPending === true;
  }

  /** After a wait: the length of the request that has come, or a negative errno, EAGAIN for none. */
  take(): number {
    const length = this.#read();
    if (length >= 0 && !this.#alone && !this.#lookAhead.worthwhile) this.#lookAhead.slept();
    return length;
  }

  /** After a reply: the length of the next request if it is worthwhile to look for it and it comes at once; else as above. */
  follow(): number {
    if (this.#alone) return -EAGAIN;
    if (this.hasWork) {
      const length = this.#work(this.#idleWork as IdleWork);
      if (length !== -EAGAIN || this.hasWork) return length;
    }
    return this.#lookAhead.worthwhile ? this.#look() : -EAGAIN;
  }

  #work(work: IdleWork): number {
    for (let steps = 0; ; steps++) {
      const length = this.#read();
      if (length !== -EAGAIN || !work.isPending || steps === STEPS) return length;
      work.step();
    }
  }

  #look(): number {
    let length = this.#read();
    if (length !== -EAGAIN) return length; // several clients: nothing learnt
    const start = performance.now();
    let looked = 0;
    do {
      length = this.#read();
      looked = performance.now() - start;
    } while (length === -EAGAIN && looked < LOOK_MS);
    if (length === -EAGAIN || looked >= CROWDED_MS) this.#lookAhead.foundNothing(looked);
    else this.#lookAhead.found();
    return length;
  }

  #read(): number {
    return readInto(this.#fd, this.#input, this.#input.length);
  }
}
