/** The content of one reply to READDIR or READDIRPLUS: filled at once or, ahead of its request, a few entries at a time. */
import { type DirectoryEntry, DT_DIR, type Entry, entryIno, type Inode, type Operation, runSync } from '@ovl/core';
import { indexBelow } from './listings.js';
import { DIRENT_BYTES, ENTRY_BYTES, MAX_DATA_BYTES } from './protocol.js';
import type { Server } from './server.js';
import { direntBytes, nameBytes } from './wire.js';

/** "." and ".." come first and end at the offsets 1 and 2; an entry ends at its cookie and this. */
const DOTS = 2;

export class Filling {
  readonly dir: Inode;
  readonly entries: readonly DirectoryEntry[];
  readonly #server: Server;
  /** Bytes before each name: its attributes, in READDIRPLUS. */
  readonly #head: number;
  readonly #end: number;
  readonly #start: number;
  #next: number;
  #at: number;
  /** Whether what it says stays true as long as nothing in the directory is copied up. */
  isLasting = true;

  /** At most `size` bytes, from `offset` in the directory on, to be built at `start` in the buffer for replies. */
  constructor(server: Server, kind: 'names' | 'entries', dir: Inode, offset: number, size: number, start: number) {
    this.dir = dir;
    this.#start = this.#at = start;
    this.entries = offset <= DOTS ? server.listings.begin(dir) : server.listings.resume(dir);
    this.#server = server;
    this.#head = kind === 'entries' ? ENTRY_BYTES : 0;
    this.#end = start + Math.min(size, MAX_DATA_BYTES);
    this.#next = offset <= DOTS ? 0 : indexBelow(this.entries, offset - DOTS);
    for (let dot = offset; dot < DOTS; dot++) this.#putDot(dot);
  }

  /** Bytes so far. */
  get length(): number {
    return this.#at - this.#start;
  }

  /** Adds up to `count` entries. True once no more fit or there are no more. */
  fill(count: number): boolean {
    const { entries } = this;
    for (let left = count; this.#next < entries.length; left--) {
      if (left === 0) return false;
      const entry = entries[this.#next] as DirectoryEntry;
      const length = nameBytes(entry.name);
      if (this.#at + this.#head + direntBytes(length) > this.#end) return true; // not looked up: nobody would forget it
      this.#next++;
      this.#put(entry, length);
    }
    return true;
  }

  /** Of a reply that is not sent: what it holds. */
  giveBack(): void {
    const { out } = this.#server.wire;
    for (let at = this.#start; at < this.#at; ) {
      const word = at >>> 2;
      const nodeid = (out[word] as number) + (out[word + 1] as number) * 0x1_0000_0000;
      if (nodeid !== 0) this.#server.nodes.forget(nodeid, 1);
      at += ENTRY_BYTES + direntBytes(out[(at + ENTRY_BYTES + DIRENT_BYTES - 8) >>> 2] as number);
    }
    this.#at = this.#start;
  }

  /** Nothing, if the entry is gone since it was listed; what fails to be looked up is listed by its name alone. */
  #put({ name, type, ino, cookie }: DirectoryEntry, length: number): void {
    const { overlay, nodes, wire } = this.#server;
    let shown = ino;
    if (this.#head === 0) {
      const found = attempt(overlay.perform(entryIno, this.dir, name));
      if (found === undefined) return;
      if (found !== 'failed') shown = found;
    } else {
      const found = attempt(overlay.lookup(this.dir, name));
      if (found === undefined) return;
      if (found === 'failed') {
        this.#putNoAttributes();
        this.isLasting = false;
      } else {
        wire.putEntry(this.#at >>> 2, nodes.hold(found.inode), found.attributes);
        shown = found.attributes.ino;
        if (found.inode.upper !== undefined || isLinked(found)) this.isLasting = false;
      }
    }
    wire.putDirent(this.#at + this.#head, name, length, shown || 1, cookie + DOTS, type);
    this.#at += this.#head + direntBytes(length);
  }

  /** "." or "..": the kernel has their attributes. */
  #putDot(dot: number): void {
    const { dir } = this;
    const name = dot === 0 ? '.' : '..';
    const { ino } = dot === 0 ? dir : (dir.dentry?.dir ?? dir);
    this.#putNoAttributes();
    this.#server.wire.putDirent(this.#at + this.#head, name, name.length, ino, dot + 1, DT_DIR);
    this.#at += this.#head + direntBytes(name.length);
  }

  #putNoAttributes(): void {
    this.#server.wire.out.fill(0, this.#at >>> 2, (this.#at + this.#head) >>> 2);
  }
}

/** A file that may be written by a name in another directory. */
function isLinked({ inode, attributes }: Entry): boolean {
  return attributes.nlink > 1 && !inode.isDirectory;
}

function attempt<T>(operation: Operation<T | undefined>): T | undefined | 'failed' {
  try {
    return runSync(operation);
  } catch {
    return 'failed';
  }
}
