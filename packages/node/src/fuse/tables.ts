/**
 * What the kernel holds of us: inodes by node id, with the number of lookups that it will give back by FORGET, and open
 * files and directories by handle. Both shrink as the kernel lets go, so memory follows what is in use, not what was
 * ever visited.
 */
import { FsError, type Inode, type Overlay } from '@ovl/core';
import { idle } from './idle.js';
import type { NodeFiles } from './node-files.js';

/** Kept nodes are looked through for removed ones when they have doubled, and not below this number. */
const MIN_SWEEP = 1024;
/** Above every inode's own id. */
const FIRST_RENUMBERED = 2 ** 48;

/** Node ids are given in sequence and never again: a page of them goes when its last one is forgotten. */
const PAGE = 512;

interface Page {
  readonly inodes: (Inode | undefined)[];
  size: number;
}

/** A map from node ids, of a quarter of the size. */
class NodePages {
  readonly #pages = new Map<number, Page>();
  size = 0;

  get(id: number): Inode | undefined {
    return this.#pages.get(Math.floor(id / PAGE))?.inodes[id % PAGE];
  }

  /** Of an id that is not there yet. */
  add(id: number, inode: Inode): void {
    const number = Math.floor(id / PAGE);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = { inodes: Array.from({ length: PAGE }), size: 0 };
      this.#pages.set(number, page);
    }
    page.inodes[id % PAGE] = inode;
    page.size++;
    this.size++;
  }

  /** Of an id that is there. */
  delete(id: number): void {
    const number = Math.floor(id / PAGE);
    const page = this.#pages.get(number) as Page;
    page.inodes[id % PAGE] = undefined;
    if (--page.size === 0) this.#pages.delete(number);
    this.size--;
  }
}

export class NodeTable {
  readonly #overlay: Overlay;
  /** The kernel's lookups are counted as the inode's references: nobody else holds any. */
  readonly #held = new NodePages();
  /** Where the kernel opens files without asking. Set before it knows any. */
  files: NodeFiles | undefined;
  readonly #keep: 'while-known' | 'while-named';
  /** What the kernel has forgotten and may ask for all the same. */
  readonly #exported = new Set<Inode>();
  /** Ids that inodes have in place of their own. */
  readonly #renumbered = new Map<Inode, number>();
  #nextNumber = FIRST_RENUMBERED;
  #sweepAt = MIN_SWEEP;

  /** `keep`: until the kernel forgets a node, or as long as its object has a name, so that file handles find it. */
  constructor(overlay: Overlay, keep: 'while-known' | 'while-named' = 'while-known') {
    this.#overlay = overlay;
    this.#keep = keep;
    this.hold(overlay.root); // the kernel has the root without asking, and never gives it back
  }

  get size(): number {
    return this.#held.size;
  }

  /** After the unmount. */
  close(): void {
    idle.know(-this.size);
  }

  /** Throws ESTALE for an id that the kernel should not have. */
  get(nodeid: number): Inode {
    const inode = this.#held.get(nodeid);
    if (inode === undefined) throw new FsError('ESTALE');
    if (inode.isNameless && this.#exported.has(inode)) {
      this.#drop(inode);
      throw new FsError('ESTALE');
    }
    return inode;
  }

  /** Counts a lookup: every reply with an entry is one. Returns the node id. */
  hold(inode: Inode): number {
    if (this.#exported.size > 0 && this.#exported.delete(inode)) return inode.id; // our own reference becomes the kernel's
    this.#overlay.retain(inode);
    if (inode.references === 1) {
      this.#held.add(inode.id, inode);
      idle.know(1);
      this.files?.hold(inode);
    }
    return this.#renumbered.get(inode) ?? inode.id;
  }

  /** Whether {@link renumber} has taken the id away from its inode. The kernel may still have it for a while. */
  isRetired(nodeid: number): boolean {
    if (this.#renumbered.size === 0 || nodeid >= FIRST_RENUMBERED) return false;
    const inode = this.#held.get(nodeid);
    return inode !== undefined && this.#renumbered.has(inode);
  }

  /** Gives an inode another id, once: whoever asks for its name next gets to know another object of the kernel's. */
  renumber(inode: Inode): void {
    if (this.#renumbered.has(inode)) return;
    this.#renumbered.set(inode, this.#nextNumber);
    this.#held.add(this.#nextNumber++, inode);
  }

  forget(nodeid: number, lookups: number): void {
    const inode = this.#held.get(nodeid);
    if (inode === undefined || inode === this.#overlay.root) return;
    if (inode.references > lookups) this.#overlay.forget(inode, lookups);
    else if (this.#keep === 'while-named' && !inode.isNameless) this.#export(inode);
    else this.#drop(inode);
  }

  /** Keeps one reference of the kernel's as our own. */
  #export(inode: Inode): void {
    if (inode.references > 1) this.#overlay.forget(inode, inode.references - 1);
    this.#exported.add(inode);
    if (this.#exported.size < this.#sweepAt) return;
    for (const kept of this.#exported) if (kept.isNameless) this.#drop(kept);
    this.#sweepAt = Math.max(MIN_SWEEP, 2 * this.#exported.size);
  }

  #drop(inode: Inode): void {
    this.#exported.delete(inode);
    this.#held.delete(inode.id);
    const number = this.#renumbered.get(inode);
    if (number !== undefined) this.#held.delete(number);
    this.#renumbered.delete(inode);
    this.files?.letGo(inode);
    idle.know(-1);
    this.#overlay.forget(inode, inode.references);
  }
}

/** Handles are small numbers, used again once free. */
export class HandleTable<T> {
  readonly #open: (T | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#open.length - this.#free.length;
  }

  add(value: T): number {
    const handle = this.#free.pop() ?? this.#open.length;
    this.#open[handle] = value;
    return handle;
  }

  /** Throws EBADF. */
  get(handle: number): T {
    const value = this.#open[handle];
    if (value === undefined) throw new FsError('EBADF');
    return value;
  }

  /** Takes the handle out. Throws EBADF. */
  remove(handle: number): T {
    const value = this.get(handle);
    this.#open[handle] = undefined;
    this.#free.push(handle);
    return value;
  }

  /** What is still open. */
  *[Symbol.iterator](): Iterator<T> {
    for (const value of this.#open) if (value !== undefined) yield value;
  }
}
