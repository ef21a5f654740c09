/**
 * Who walks through a tree works on one directory for as long as it takes us to look up the entries of the next. So that one
 * is guessed and, between requests, made ready: its listing, its entries, the whole first reply. Only where nothing can
 * change unnoticed: in directories of lower layers alone, as long as nothing in them was copied up.
 */
import { DT_DIR, type DirectoryEntry, type Inode } from '@ovl/core';
import { Filling } from './filling.js';
import type { IdleWork } from './receive.js';
import type { Server } from './server.js';
import { SPARE_AT, SPARE_BYTES } from './wire.js';

/** Guesses that have to come true in a row before anything is done for one. */
const PROVEN = 2;
/** Entries looked up before somebody who waits is noticed. */
const STEP = 4;

/** A directory on the way from the walk's top to where it is, and its subdirectories in the order of the walk. */
interface Level {
  readonly dir: Inode;
  readonly names: readonly string[];
  next: number;
}

interface Ready {
  readonly filling: Filling;
  /** The directory's. */
  readonly version: number;
}

export class ReadAhead implements IdleWork {
  readonly #server: Server;
  #path: Level[] = [];
  #order: 'as listed' | 'by name' = 'as listed';
  #proven = 0;
  #missed = 0;
  /** What the last directory was asked for with, and the next one may be. */
  #size = 0;
  #ready: Ready | undefined;
  /** Has entries that may change unnoticed. */
  #unfit: Inode | undefined;
  isPending = false;

  constructor(server: Server) {
    this.#server = server;
  }

  /** The reply to such a request, if it was made ready: at {@link SPARE_BYTES} in the buffer for replies. */
  take(dir: Inode, offset: number, size: number): Filling | undefined {
    const ready = this.#ready;
    if (ready === undefined || ready.filling.dir !== dir) return undefined;
    this.#ready = undefined;
    this.isPending = false;
    const { filling, version } = ready;
    const isTrue = filling.isLasting && dir.upper === undefined && dir.version === version;
    if (isTrue && offset === 0 && size === this.#size) return filling;
    filling.giveBack();
    return undefined;
  }

  /** A directory was asked for: `offset` 0 means that a walk may have come to it. */
  asked({ dir, entries }: Filling, offset: number, size: number): void {
    if (offset === 0) {
      this.#size = size;
      if (this.#guess() === dir) {
        this.#proven++;
        this.#missed = 0;
        (this.#path.at(-1) as Level).next++;
      } else this.#startAt(dir);
      this.#path.push(this.#level(dir, entries));
    }
    if (this.#proven >= PROVEN && this.#ready === undefined) this.isPending = true;
  }

  /** Does a little of the work. */
  step(): void {
    try {
      this.#ready ??= this.#begin();
      const filling = this.#ready?.filling;
      const isFull = filling?.fill(STEP) !== false;
      if (filling?.isLasting === false) {
        this.#unfit = filling.dir;
        this.drop();
      } else if (!isFull) return;
    } catch {
      this.#proven = 0; // who asks for this directory will be told
    }
    this.isPending = false;
  }

  /** Lets go of what nobody has asked for so far. */
  drop(): void {
    this.#ready?.filling.giveBack();
    this.#ready = undefined;
    this.isPending = false;
  }

  #begin(): Ready | undefined {
    const dir = this.#guess();
    if (dir === undefined || dir === this.#unfit || dir.upper !== undefined) return undefined;
    const filling = new Filling(this.#server, 'entries', dir, 0, Math.min(this.#size, SPARE_BYTES), SPARE_AT);
    return { filling, version: dir.version };
  }

  /** The first subdirectory of the last directory, or the one after it, or after the one that it is in. */
  #guess(): Inode | undefined {
    for (let level = this.#path.at(-1); level !== undefined; level = this.#path.at(-1)) {
      for (; level.next < level.names.length; level.next++) {
        const child = level.dir.children?.get(level.names[level.next] as string);
        if (child?.isDirectory !== false) return child; // undefined where nobody has asked for its entry yet
      }
      this.#path.pop();
    }
    return undefined;
  }

  /** After a wrong guess. Finding the place costs as much as its directory has entries: tried less and less often in vain. */
  #startAt(dir: Inode): void {
    this.drop();
    this.#proven = 0;
    this.#missed++;
    const parent = dir.dentry?.dir;
    while (this.#path.length > 0 && this.#path.at(-1)?.dir !== parent) this.#path.pop();
    const isPowerOfTwo = (this.#missed & (this.#missed - 1)) === 0;
    if (parent === undefined || !isPowerOfTwo) return;
    const known = this.#path.pop();
    if (known !== undefined) this.#order = this.#order === 'as listed' ? 'by name' : 'as listed';
    try {
      const level = this.#level(parent, this.#server.listings.look(parent));
      level.next = level.names.indexOf(dir.dentry?.name as string) + 1;
      this.#path.push(level);
    } catch {
      this.#path = []; // the directory itself was listed, and that is all that was asked for
    }
  }

  #level(dir: Inode, entries: readonly DirectoryEntry[]): Level {
    const names = entries.filter(({ type }) => type === DT_DIR).map(({ name }) => name);
    return { dir, names: this.#order === 'by name' ? names.sort() : names, next: 0 };
  }
}
