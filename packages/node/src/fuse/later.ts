/**
 * What is done between requests: copy-ups that go on after their answer, and requests that have to wait for one while the
 * others do not.
 */
import { runSync } from '@ovl/core';
import type { BesideJob } from '../beside.js';
import { Header } from './protocol.js';
import type { Server } from './server.js';

/** Milliseconds without a request after which there is time for copies of files of which only attributes changed. */
const QUIET_MS = 10;
/** Milliseconds after which one of these is made after each request. */
const OLD_MS = 1000;
/** Milliseconds without a request after which a walk through the tree is over. */
const WALKED_MS = 2;
/** Milliseconds between looks at what is being done beside. */
const LOOK_MS = 1;
/** Milliseconds that the main thread gets to hold the mount: it may itself be waiting for an answer. */
const HOLD_MS = 20;
/** Milliseconds between attempts to give up. */
const GIVE_UP_MS = 1000;

export class Later {
  readonly #server: Server;
  readonly #answer: () => void;
  /** Requests, in the order of their arrival. */
  #parked: Uint8Array[] = [];
  #isQuiet = false;
  #isHeld = false;
  #holding: BesideJob | undefined;
  #gaveUpAt = -Infinity;

  /** `answer` answers the request on the wire, or parks it again. */
  constructor(server: Server, answer: () => void) {
    this.#server = server;
    this.#answer = answer;
  }

  /** Whether there is nothing to do but to wait for a request. */
  get isIdle(): boolean {
    const { lazy, staleAttributes, ahead } = this.#server;
    if (this.#parked.length > 0 || lazy?.hasWork === true) return false;
    return staleAttributes?.isPending !== true && ahead?.isEmpty !== false;
  }

  /** How long to wait for a request before {@link work}, in milliseconds. */
  get patience(): number {
    if (this.#server.lazy?.isCopying === true) return LOOK_MS;
    if (this.#isQuiet || this.#parked.length > 0) return 0;
    return this.#server.staleAttributes?.isPending === true ? WALKED_MS : QUIET_MS;
  }

  /** Before a reply: while the upper lacks what was answered, the mount is held; after it, no longer than that. */
  guard(): void {
    const { lazy, beside } = this.#server;
    if (lazy === undefined || beside === undefined || lazy.isEmpty !== this.#isHeld) return;
    this.#isHeld = !lazy.isEmpty;
    this.#holding?.poll(); // what came too late gives back what it had
    this.#holding = beside.begin((slot) => ({ kind: this.#isHeld ? 'hold' : 'let-go', slot }));
    this.#holding.wait(HOLD_MS);
  }

  /** No request came for as long as there was patience. */
  work(): void {
    const { staleAttributes } = this.#server;
    if (staleAttributes?.isPending === true) return staleAttributes.refresh();
    this.#isQuiet = true;
    if (this.#server.lazy?.hasWork !== true) this.#server.ahead?.drop(); // what is done next may be what was guessed
    this.#workOnce();
    this.#retry();
  }

  /** A request was answered: what waits for long has its turn even if they never end. */
  served(): void {
    const { lazy } = this.#server;
    if (lazy === undefined) return;
    this.#isQuiet = false;
    const { oldest } = lazy;
    if (lazy.isCopying || (oldest !== undefined && Date.now() - oldest > OLD_MS)) this.#workOnce();
    if (this.#parked.length > 0) this.#retry();
  }

  #workOnce(): void {
    const { lazy, overlay } = this.#server;
    if (lazy?.hasWork !== true) return;
    runSync(overlay.perform((stack) => lazy.work(stack)));
    this.guard();
    if (this.#isHeld && lazy.isHopeless) this.#giveUp();
  }

  /** Nobody but the hold may keep the mount: without it that ends, and what could not be done is told and dropped (`drain`). */
  #giveUp(): void {
    const { beside } = this.#server;
    const now = performance.now();
    if (beside === undefined || now - this.#gaveUpAt < GIVE_UP_MS) return;
    this.#gaveUpAt = now;
    this.#holding?.poll(); // as above
    this.#holding = beside.begin((slot) => ({ kind: 'give-up', slot }));
  }

  /** Keeps the request on the wire until it can be answered. */
  park(): void {
    const { wire } = this.#server;
    this.#parked.push(Uint8Array.from(wire.input.subarray(0, wire.u32(Header.length))));
  }

  #retry(): void {
    const waiting = this.#parked; // some may have to wait again
    this.#parked = [];
    for (const message of waiting) {
      this.#server.wire.input.set(message);
      this.#answer();
    }
  }
}
