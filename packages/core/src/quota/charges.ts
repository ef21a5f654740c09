/**
 * What is known of the objects that are in use: files open for writing, objects that are staged, and those that stay usable after
 * their last name. Of all others nothing is kept; the layer says what they take when they go.
 */
import { type Attributes, isDirectory } from '../attributes.js';
import { isWhiteoutDevice } from '../format.js';
import type { LayerNode } from '../layer.js';
import { Mutex } from '../lock.js';
import type { Account, Usage } from './account.js';
import { BLOCK, type Extent } from './room.js';

/** An object in use. */
export interface Charge {
  readonly ino: number;
  /** What the layer said last; `blocks` is what is charged. Undefined until the object is first changed. */
  extent: Extent | undefined;
  /** Whether no name is left, or there is none yet: what it takes is given back by its last user. */
  isNameless: boolean;
  users: number;
  /** Serialises what changes its data. */
  readonly lock: Mutex;
}

export class Charges {
  readonly #account: Account;
  /** What this layer has of the account. */
  readonly own: Usage = { bytes: 0, inodes: 0 };
  readonly #inUse = new Map<number, Charge>();
  readonly #inos = new WeakMap<LayerNode, number>();
  /** Those that `release` or `discard` lets go of, once each. */
  readonly #held = new WeakMap<LayerNode, Charge>();

  /** Staged whiteouts: a layer may keep all of them as one object, so they are told apart by their nodes. */
  readonly #whiteouts = new WeakSet<LayerNode>();

  constructor(account: Account) {
    this.#account = account;
  }

  add(bytes: number, inodes: number): void {
    this.#account.charge(bytes, inodes);
    this.own.bytes += bytes;
    this.own.inodes += inodes;
  }

  /** The number of a node's object, if that is known and it is no directory with a name. */
  ino(node: LayerNode): number | undefined {
    return this.#inos.get(node);
  }

  number(node: LayerNode, ino: number): number {
    this.#inos.set(node, ino);
    return ino;
  }

  enter(ino: number): Charge {
    let charge = this.#inUse.get(ino);
    if (charge === undefined) {
      charge = { ino, extent: undefined, isNameless: false, users: 0, lock: new Mutex() };
      this.#inUse.set(ino, charge);
    }
    charge.users++;
    return charge;
  }

  leave(charge: Charge): void {
    if (--charge.users > 0) return;
    this.#inUse.delete(charge.ino);
    if (charge.isNameless) this.add(-(charge.extent?.blocks ?? 0) * BLOCK, -1);
  }

  /** Keeps an object in use until {@link letGo} of this node. */
  hold(node: LayerNode, charge: Charge): void {
    if (this.#held.has(node)) this.leave(charge);
    else this.#held.set(node, charge);
  }

  letGo(node: LayerNode): void {
    if (this.#whiteouts.delete(node)) this.add(0, -1);
    const charge = this.#held.get(node);
    if (charge === undefined) return;
    this.#held.delete(node);
    this.leave(charge);
  }

  /** A staged object is in use until it has a name or {@link letGo} is told of it. */
  staged(node: LayerNode, attributes: Attributes): void {
    if (isWhiteoutDevice(attributes)) {
      this.add(0, 1);
      this.#whiteouts.add(node);
      return;
    }
    this.add(attributes.blocks * BLOCK, 1);
    const charge = this.enter(this.number(node, attributes.ino));
    charge.isNameless = true;
    this.settle(charge, attributes);
    this.hold(node, charge);
  }

  /** A staged object has its first name, or any other one more. What directories take from then on is measured with their names. */
  named(node: LayerNode): void {
    this.#whiteouts.delete(node);
    const charge = this.#inUse.get(this.#inos.get(node) ?? -1);
    this.#inos.delete(node);
    if (charge !== undefined) charge.isNameless = false;
    this.letGo(node);
  }

  /** Charges what an object takes now in place of what it took. */
  settle(charge: Charge, now: Extent): void {
    const { size, blocks, blksize } = now;
    this.add((blocks - (charge.extent?.blocks ?? blocks)) * BLOCK, 0);
    charge.extent = { size, blocks, blksize };
  }

  /** A name of an object is gone. Each whiteout counts, also where they share an object. */
  removed(attributes: Attributes): void {
    const { ino, size, blocks, blksize, mode, nlink } = attributes;
    if (isWhiteoutDevice(attributes)) return this.add(0, -1);
    if (!isDirectory(mode) && nlink > 1) return;
    const charge = this.#inUse.get(ino);
    if (charge === undefined) return this.add(-blocks * BLOCK, -1);
    charge.isNameless = true;
    charge.extent ??= { size, blocks, blksize };
  }

  /** Replaces the sum by one that was counted: of what has names, and of what is in use without one. */
  replace(counted: Usage): void {
    const sum = { ...counted };
    for (const { isNameless, extent } of this.#inUse.values()) {
      if (!isNameless) continue;
      sum.bytes += (extent?.blocks ?? 0) * BLOCK;
      sum.inodes++;
    }
    this.add(sum.bytes - this.own.bytes, sum.inodes - this.own.inodes);
  }

  /** The layer is gone, with all that it took. */
  close(): void {
    this.add(-this.own.bytes, -this.own.inodes);
  }
}
