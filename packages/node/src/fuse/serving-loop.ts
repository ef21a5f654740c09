/**
 * The loop of the serving thread: waits for a request of any of its mounts, has it answered, and stays with that mount while
 * its requests follow each other, for a bounded number of them, so that no mount starves the others. One mount's long
 * operation does hold the others up. Commands come by a socket that is waited for like the mounts.
 */
import { errnoOf } from '@ovl/core';
import { PollSet, readInto } from '../syscalls.js';
import { idle } from './idle.js';
import { Receiver } from './receive.js';
import type { Later } from './later.js';
import { type Session, answerRequest, laterOf } from './session.js';

const EINTR = errnoOf('EINTR');
const EAGAIN = errnoOf('EAGAIN');
const ENOENT = errnoOf('ENOENT');
const ENODEV = errnoOf('ENODEV');

/** How many requests a mount has answered before the others, and commands, are looked at. */
const TURN = 32;

interface Served {
  session: Session;
  receiver: Receiver;
  later: Later;
  /** When it has something to do without a request, by `performance.now()`. */
  due: number;
}

export class ServingLoop {
  /** The socket that says that there is a command. */
  readonly #bell: number;
  readonly #commands: () => void;
  readonly #rung: Buffer = Buffer.alloc(64);
  #served: readonly Served[] = [];
  #poll: PollSet;

  /** `bell` has bytes to read whenever `commands` is to be called, which may {@link add} a mount. */
  constructor(bell: number, commands: () => void) {
    this.#bell = bell;
    this.#commands = commands;
    this.#poll = new PollSet([bell]);
  }

  add(session: Session): void {
    const { fd, server } = session;
    const receiver = new Receiver(fd, server.wire.input, server.idleWork);
    this.#set([...this.#served, { session, receiver, later: laterOf(session), due: Infinity }]);
  }

  /** Returns when no mount is left. */
  run(): void {
    let unfinished: readonly Served[] = [];
    while (this.#served.length > 0) {
      this.#wait(unfinished.length === 0 ? this.#patience() : 0);
      const ready = this.#served.filter((_, i) => this.#poll.isReady(i + 1));
      if (this.#poll.isReady(0)) {
        readInto(this.#bell, this.#rung, this.#rung.length);
        this.#commands();
      }
      const more = ready.filter((each) => this.#turn(each, each.receiver.take()) === 'unfinished');
      for (const each of unfinished) {
        if (!ready.includes(each) && this.#turn(each, each.receiver.follow()) === 'unfinished') more.push(each);
      }
      unfinished = more;
      for (const each of this.#served) if (each.due <= performance.now()) this.#workOf(each);
    }
  }

  /** At most `ms`; idle moments are used. */
  #wait(ms: number): void {
    const { patience } = idle;
    if (patience < 0 || patience >= ms) this.#poll.wait(ms);
    else if (!this.#poll.wait(patience)) idle.use();
  }

  /** How long nobody has anything to do without a request, in milliseconds. */
  #patience(): number {
    let due = Infinity;
    for (const served of this.#served) due = Math.min(due, served.due);
    return due === Infinity ? due : Math.max(0, due - performance.now());
  }

  #workOf(served: Served): void {
    try {
      served.later.work();
      postpone(served);
    } catch (error) {
      this.#remove(served, error);
    }
  }

  /** Has requests answered from this one on; `length` is what the receiver said. */
  #turn(served: Served, length: number): 'waiting' | 'unfinished' {
    const { session, receiver } = served;
    for (let answered = 0, next = length; ; next = receiver.follow()) {
      if (next === -EAGAIN) {
        postpone(served);
        return receiver.hasWork ? 'unfinished' : 'waiting';
      }
      // ENOENT: the request was interrupted before it could be read
      if (next === -ENOENT || next === -EINTR) continue;
      if (next < 0) {
        this.#remove(served, next === -ENODEV ? undefined : new Error(`cannot read from /dev/fuse: errno ${-next}`));
        return 'waiting';
      }
      try {
        answerRequest(session, served.later);
      } catch (error) {
        this.#remove(served, error);
        return 'waiting';
      }
      if (++answered === TURN) {
        postpone(served);
        return 'unfinished';
      }
    }
  }

  #remove(served: Served, error: unknown): void {
    this.#set(this.#served.filter((each) => each !== served));
    served.session.ended(error);
  }

  #set(served: readonly Served[]): void {
    this.#served = served;
    this.#poll = new PollSet([this.#bell, ...served.map(({ session }) => session.fd)]);
  }
}

/** After a request or some work: more work only when there was no request for a while. */
function postpone(served: Served): void {
  const { later } = served;
  served.due = later.isIdle ? Infinity : performance.now() + later.patience;
}
