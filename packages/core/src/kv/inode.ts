/** An object of the key-value layer as it is in memory, and a change of some of them while it is being put together. */
import type { EntryType } from '../attributes.js';
import type { StoreOperation } from './store.js';
import { chunkKey, inodeKey, namelessKey } from './keys.js';
import { encodeRecord, type InodeRecord } from './record.js';
import { ranges } from './runs.js';

/** A chunk that is written to: the first `length` of `bytes` count. */
export interface Chunk {
  readonly bytes: Uint8Array;
  readonly length: number;
}

export interface Entry {
  ino: number;
  type: EntryType;
}

export class Inode {
  readonly ino: number;
  record: InodeRecord;
  /** A staged object is in memory only, except for data that is too much for it; an erased one is nowhere. */
  state: 'staged' | 'stored' | 'erased';
  /** Whether the store has its mark as an object without a name. */
  isMarked = false;
  /** A change that failed may or may not be in the store, and it could not be asked: look there before the next use. */
  isDoubtful = false;
  /** A directory's entries, once they are read. */
  entries: Map<string, Entry> | undefined;
  /** The reading of them, while it goes on. */
  reading: PromiseLike<Map<string, Entry>> | undefined;
  /** Chunks that the store does not have yet; undefined: that it has to drop. */
  readonly unsaved: Map<number, Chunk | undefined> = new Map();
  /** Whether the record, too, is newer than the store's. */
  isModified = false;
  /** The last chunk that was read, whole or without its final zeros. */
  last: { index: number; bytes: Uint8Array } | undefined;
  /** Counts changes of the data, so that what was read before one is not kept after it. */
  version = 0;

  constructor(ino: number, record: InodeRecord, state: 'staged' | 'stored') {
    this.ino = ino;
    this.record = record;
    this.state = state;
  }
}

/** One batch in the making. Nothing in memory changes before the store has answered. */
export class Draft {
  readonly #keys = new Map<string, Uint8Array | undefined>();
  readonly #records = new Map<Inode, InodeRecord>();
  readonly #chunks = new Map<Inode, Map<number, Chunk | undefined>>();
  readonly #states = new Map<Inode, 'stored' | 'erased'>();
  readonly #marks = new Map<Inode, boolean>();
  readonly #entries: (() => void)[] = [];

  /** The record of an inode to be changed here. */
  edit(node: Inode): InodeRecord {
    let record = this.#records.get(node);
    if (record === undefined) {
      record = { ...node.record };
      this.#records.set(node, record);
    }
    return record;
  }

  put(key: string, value: Uint8Array): void {
    this.#keys.set(key, value);
  }

  delete(key: string): void {
    this.#keys.set(key, undefined);
  }

  setChunk(node: Inode, index: number, chunk: Chunk | undefined): void {
    let chunks = this.#chunks.get(node);
    if (chunks === undefined) this.#chunks.set(node, (chunks = new Map()));
    chunks.set(index, chunk);
  }

  /** The inode is in the store from here on, or nowhere. */
  become(node: Inode, state: 'stored' | 'erased'): void {
    this.edit(node);
    this.#states.set(node, state);
  }

  /** Whether an object without a name is in the store, so that it is swept after a crash. */
  mark(node: Inode, isMarked: boolean): void {
    this.edit(node);
    this.#marks.set(node, isMarked);
  }

  /** What is to be done to entries in memory. */
  afterwards(change: () => void): void {
    this.#entries.push(change);
  }

  get nodes(): Iterable<Inode> {
    return this.#records.keys();
  }

  /** What the store has to do. `data`: staged objects' data go there too. */
  operations(staged: 'in-memory' | 'data' = 'in-memory'): StoreOperation[] {
    for (const [node, record] of this.#records) this.#include(node, record, staged);
    return Array.from(this.#keys, ([key, value]) =>
      value === undefined ? { kind: 'delete', key } : { kind: 'put', key, value },
    );
  }

  #include(node: Inode, record: InodeRecord, staged: 'in-memory' | 'data'): void {
    const state = this.#states.get(node) ?? node.state;
    const marked = this.#marks.get(node) ?? node.isMarked;
    if (marked !== node.isMarked) this.#keys.set(namelessKey(node.ino), marked ? new Uint8Array(0) : undefined);
    if (state === 'erased') {
      if (node.state === 'stored') this.delete(inodeKey(node.ino));
      for (const [start, end] of ranges(node.record.runs))
        for (let index = start; index < end; index++) this.delete(chunkKey(node.ino, index));
      for (const index of node.unsaved.keys()) this.delete(chunkKey(node.ino, index));
      return;
    }
    if (state === 'stored') this.put(inodeKey(node.ino), encodeRecord(record));
    else if (staged === 'in-memory') return;
    for (const [index, chunk] of this.#unsaved(node)) {
      if (chunk === undefined) this.delete(chunkKey(node.ino, index));
      else this.put(chunkKey(node.ino, index), stored(chunk));
    }
  }

  *#unsaved(node: Inode): Iterable<[number, Chunk | undefined]> {
    const mine = this.#chunks.get(node);
    for (const [index, chunk] of node.unsaved) if (mine?.has(index) !== true) yield [index, chunk];
    if (mine !== undefined) yield* mine;
  }

  /** After the store has done it: memory follows. */
  apply(staged: 'in-memory' | 'data' = 'in-memory'): void {
    for (const [node, record] of this.#records) {
      node.record = record;
      node.state = this.#states.get(node) ?? node.state;
      node.isMarked = this.#marks.get(node) ?? node.isMarked;
      const chunks = this.#chunks.get(node);
      if (chunks !== undefined) {
        node.version++;
        node.last = undefined;
        for (const [index, chunk] of chunks) node.unsaved.set(index, chunk);
      }
      if (node.state === 'staged' && staged === 'in-memory') continue;
      node.isModified = false;
      if (node.unsaved.size > 0) {
        node.version++;
        node.last = lastOf(node.unsaved);
        node.unsaved.clear();
      }
    }
    for (const change of this.#entries) change();
  }
}

/** The store's own copy: what is in memory may be written to again if the store fails. */
function stored({ bytes, length }: Chunk): Uint8Array {
  return bytes.slice(0, length);
}

/** The chunk that was written last is likely to be the next that is used. */
function lastOf(chunks: ReadonlyMap<number, Chunk | undefined>): Inode['last'] {
  const [index, chunk] = [...chunks].at(-1) as [number, Chunk | undefined];
  return chunk && { index, bytes: chunk.bytes.subarray(0, chunk.length) };
}
