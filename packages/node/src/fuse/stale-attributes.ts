/**
 * Attributes that the kernel has and does not believe. After it has read a directory it asks for the directory's attributes
 * once more, because of the access time: after a walk through a tree, one request a directory. Where many directories lie in one,
 * it is had to forget that one's listing instead. To read it again takes a few requests, and they bring the attributes of all.
 */
import type { Inode } from '@ovl/core';
import { writeFrom } from '../syscalls.js';
import { NOTIFY_INVAL_INODE_BYTES, NotifyCode } from './protocol.js';

/** Fewer requests saved are not worth it. */
const MIN_DIRECTORIES = 8;
/** To look an entry up once more, for its listing, costs this part of a request. */
const ENTRIES_A_REQUEST = 4;

export class StaleAttributes {
  readonly #device: number;
  /** How many of its directories were read to their end, by directory. */
  readonly #read = new Map<Inode, number>();
  /**
   * Directories read from their start and not yet to their end: a listing that is forgotten while the kernel puts it together
   * is never kept again.
   */
  readonly #begun = new WeakSet<Inode>();
  readonly #message: Buffer = Buffer.alloc(NOTIFY_INVAL_INODE_BYTES);
  #isFresh = false;

  /** `device` is where the kernel is told. */
  constructor(device: number) {
    this.#device = device;
    this.#message.writeUInt32LE(NOTIFY_INVAL_INODE_BYTES, 0);
    this.#message.writeInt32LE(NotifyCode.invalInode, 4);
  }

  /** Whether {@link refresh} may have something to do. */
  get isPending(): boolean {
    return this.#isFresh;
  }

  /** A directory is read from its start. */
  begun(dir: Inode): void {
    this.#begun.add(dir);
  }

  /** A directory was read to its end. What the walk is through with, or has left, is dealt with. */
  ended(dir: Inode): void {
    this.#begun.delete(dir);
    this.#finish(dir);
    const parent = dir.dentry?.dir;
    if (parent === undefined) return;
    this.#isFresh = true;
    const read = this.#read.get(parent);
    this.#read.set(parent, (read ?? 0) + 1);
    if (read === undefined) this.#leaveFor(parent);
  }

  /** When nobody has asked for anything for a while. */
  refresh(): void {
    this.#isFresh = false;
    for (const dir of this.#read.keys()) if (!this.#begun.has(dir)) this.#finish(dir);
  }

  #leaveFor(dir: Inode): void {
    const above = new Set<Inode>();
    for (let at: Inode | undefined = dir; at !== undefined; at = at.dentry?.dir) above.add(at);
    for (const left of this.#read.keys()) if (!above.has(left)) this.#finish(left);
  }

  #finish(dir: Inode): void {
    const read = this.#read.get(dir);
    if (read === undefined) return;
    this.#read.delete(dir);
    const entries = dir.listing?.size ?? Infinity;
    const isWorthIt = read >= MIN_DIRECTORIES && entries <= read * ENTRIES_A_REQUEST;
    if (isWorthIt && !this.#begun.has(dir)) this.#forgetListing(dir.id);
  }

  /** The kernel may have forgotten more than that (ENOENT). */
  #forgetListing(nodeid: number): void {
    // struct fuse_notify_inval_inode_out { u64 ino; s64 off; s64 len }: all that is kept of its content
    this.#message.writeBigUInt64LE(BigInt(nodeid), 16);
    writeFrom(this.#device, this.#message, NOTIFY_INVAL_INODE_BYTES);
  }
}
