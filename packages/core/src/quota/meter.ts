/**
 * Makes changes and charges what came of them: asks the layer what an object takes, sees to it that there is room for what it may
 * grow by, and asks again afterwards, each under the lock of what is changed.
 */
import { type Attributes, isDirectory } from '../attributes.js';
import { isFsError } from '../errors.js';
import type { LayerNode, UpperLayer } from '../layer.js';
import { Mutex } from '../lock.js';
import { type Mode, type Operation, wait } from '../run.js';
import type { Account } from './account.js';
import type { Charge, Charges } from './charges.js';
import { BLOCK, type Extent } from './room.js';

/** By how many bytes a change may let a file grow; what costs more to find out is left while there is enough `left`. */
export type Room = (extent: Extent, left: number) => Operation<number>;

export class Meter<M extends Mode = Mode> {
  readonly inner: UpperLayer<M>;
  readonly account: Account;
  readonly charges: Charges;
  /** For names and for what directories take. */
  readonly names: Mutex = new Mutex();

  constructor(inner: UpperLayer<M>, account: Account, charges: Charges) {
    this.inner = inner;
    this.account = account;
    this.charges = charges;
  }

  /** A change of an object that is found by its node. */
  *changeObject<T>(node: LayerNode, change: Operation<T>, room: (extent: Extent) => number): Operation<T> {
    let ino = this.charges.ino(node);
    if (ino === undefined) {
      const attributes = yield* wait<Attributes>(this.inner.getattr(node));
      if (isDirectory(attributes.mode)) return yield* this.names.hold(this.measured([node], change));
      ino = this.charges.number(node, attributes.ino);
    }
    const charge = this.charges.enter(ino);
    try {
      // oxlint-disable-next-line require-yield
      return yield* this.changeData(node, charge, change, function* (extent) {
        return room(extent);
      });
    } finally {
      this.charges.leave(charge);
    }
  }

  /** Makes a change for which there is room, and charges what came of it, also where it failed. */
  changeData<T>(node: LayerNode, charge: Charge, change: Operation<T>, room: Room): Operation<T> {
    return charge.lock.hold(this.#changeLocked(node, charge, change, room));
  }

  *#changeLocked<T>(node: LayerNode, charge: Charge, change: Operation<T>, room: Room): Operation<T> {
    charge.extent ??= yield* wait<Attributes>(this.inner.getattr(node));
    let bytes = yield* room(charge.extent, this.account.left('bytes'));
    // Others may have taken of it while that was found out.
    if (bytes > 0 && bytes > this.account.left('bytes')) bytes = yield* room(charge.extent, -1);
    const giveBack = this.account.reserve({ bytes }, 'write');
    try {
      return yield* change;
    } finally {
      yield* this.#settle(node, charge, bytes);
      giveBack();
    }
  }

  *#settle(node: LayerNode, charge: Charge, bytes: number): Operation<void> {
    const now = yield* answerOf<Attributes>(() => this.inner.getattr(node));
    if (now !== undefined) return this.charges.settle(charge, now);
    // The most that it may be, until it is closed.
    const extent = charge.extent as Extent;
    this.charges.settle(charge, { ...extent, blocks: extent.blocks + Math.ceil(bytes / BLOCK) });
  }

  /** Makes a change of directories, under the lock for names, and charges what they grow by. */
  *measured<T>(directories: readonly LayerNode[], change: Operation<T>): Operation<T> {
    const before = new Map<number, { node: LayerNode; blocks: number }>();
    for (const node of directories) {
      const { ino, blocks } = yield* wait<Attributes>(this.inner.getattr(node));
      before.set(ino, { node, blocks });
    }
    const answer = yield* change;
    for (const { node, blocks } of before.values()) {
      const now = yield* answerOf<Attributes>(() => this.inner.getattr(node));
      if (now !== undefined) this.charges.add((now.blocks - blocks) * BLOCK, 0);
    }
    return answer;
  }
}

/**
 * What a layer says after a change, or undefined where it cannot: the change is made, so this is no error of it. It happens to
 * what lost its name unkept, too.
 */
function* answerOf<T>(call: () => T | PromiseLike<T>): Operation<T | undefined> {
  try {
    return yield* wait(call());
  } catch (error) {
    if (!isFsError(error)) throw error;
    return undefined;
  }
}

/** A call of a layer as an operation, made when that begins. */
export function* later<T>(call: () => T | PromiseLike<T>): Operation<T> {
  return yield* wait(call());
}
