/**
 * Waiting for the next request. A client that works through many files sends one request as soon as it has the answer to the
 * last, and to wake a processor that has gone to sleep meanwhile takes several times as long as to answer. So the thread
 * looks again for a moment before it sleeps, as long as that mostly finds something.
 */
import { availableParallelism } from 'node:os';
import { errnoOf } from '@ovl/core';
import { idle } from './idle.js';
import { readInto, setWaiting, waitReadable } from '../syscalls.js';

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

export class Receiver {
  readonly #fd: number;
  readonly #input: Uint8Array;
  readonly #idleWork: IdleWork | undefined;
  readonly #lookAhead = new LookAhead();
  /** On the only processor there is, looking would keep the client from running. */
  readonly #alone: boolean = availableParallelism() < 2;
  #waiting: 'blocking' | 'nonblocking' = 'blocking';

  /** `fd` is a FUSE device, whose O_NONBLOCK flag is the receiver's from now on; `input` gets each request. */
  constructor(fd: number, input: Uint8Array, idleWork?: IdleWork) {
    this.#fd = fd;
    this.#input = input;
    this.#idleWork = idleWork;
  }

  /** As {@link next}, but EAGAIN if there is none within `ms`. */
  within(ms: number): number {
    if (this.#idleWork?.isPending === true) {
      const length = this.#work(this.#idleWork);
      if (length !== -EAGAIN) return length;
    }
    this.#setWaiting('nonblocking');
    if (ms > 0 && this.#lookAhead.worthwhile && !this.#alone) {
      const length = this.#look(ms);
      if (length !== -EAGAIN) return length;
    } else {
      const length = readInto(this.#fd, this.#input, this.#input.length);
      if (length !== -EAGAIN || ms === 0) return length;
      waitReadable(this.#fd, ms);
      this.#lookAhead.slept();
    }
    return readInto(this.#fd, this.#input, this.#input.length);
  }

  /** The length of the next request, or a negative errno; EAGAIN and EINTR among them mean that there is none yet. */
  next(): number {
    if (this.#alone) {
      this.#setWaiting('blocking');
      return readInto(this.#fd, this.#input, this.#input.length);
    }
    if (this.#idleWork?.isPending === true) {
      const length = this.#work(this.#idleWork);
      if (length !== -EAGAIN) return length;
    }
    if (!this.#lookAhead.worthwhile) {
      this.#setWaiting('blocking');
      if (idle.patience >= 0) this.#wait();
      const length = readInto(this.#fd, this.#input, this.#input.length);
      this.#lookAhead.slept();
      return length;
    }
    this.#setWaiting('nonblocking');
    return this.#look();
  }

  #work(work: IdleWork): number {
    this.#setWaiting('nonblocking');
    for (;;) {
      const length = readInto(this.#fd, this.#input, this.#input.length);
      if (length !== -EAGAIN || !work.isPending) return length;
      work.step();
    }
  }

  #look(ms?: number): number {
    let length = readInto(this.#fd, this.#input, this.#input.length);
    if (length !== -EAGAIN) return length; // several clients: nothing learnt
    const start = performance.now();
    let looked = 0;
    do {
      length = readInto(this.#fd, this.#input, this.#input.length);
      looked = performance.now() - start;
    } while (length === -EAGAIN && looked < LOOK_MS);
    if (length === -EAGAIN) {
      this.#lookAhead.foundNothing(looked);
      if (ms === undefined) this.#wait();
      else waitReadable(this.#fd, ms);
    } else if (looked < CROWDED_MS) this.#lookAhead.found();
    else this.#lookAhead.foundNothing(looked);
    return length;
  }

  /** However long it takes; idle moments are used. */
  #wait(): void {
    while (!waitReadable(this.#fd, idle.patience)) idle.use();
  }

  #setWaiting(how: 'blocking' | 'nonblocking'): void {
    if (this.#waiting === how) return;
    setWaiting(this.#fd, how);
    this.#waiting = how;
  }
}
