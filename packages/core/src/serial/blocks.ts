/**
 * Blocks of an index, read when they are wanted and checked against the sums that whoever refers to them has. A few stay in memory; the
 * others are read again.
 */
import { crc32 } from '../archive/crc32.js';
import { type RandomAccess, readFully } from '../archive/source.js';
import { checkName, decodeName } from '../names.js';
import type { Operation } from '../run.js';
import { type BlockRef, nameOfEntry, type Trailer } from './format.js';
import { compareBytes, damaged, Unpacker } from './packing.js';

/** The entries of a directory, in the order of their names. */
export class Block {
  readonly ref: BlockRef;
  readonly #bytes: Uint8Array;
  /** Where each entry begins. */
  readonly #starts: Uint32Array;

  /** Throws EIO for what is no list of entries in order. The root's own has no name. */
  constructor(ref: BlockRef, bytes: Uint8Array, names: 'of-entries' | 'none') {
    this.ref = ref;
    this.#bytes = bytes;
    const input = new Unpacker(bytes);
    const starts: number[] = [];
    let before: Uint8Array | undefined;
    while (input.left > 0) {
      starts.push(input.at);
      const name = nameOfEntry(input.bytes());
      if (names === 'of-entries') check(decodeName(name));
      if (before !== undefined && compareBytes(before, name) >= 0) throw damaged('names are out of order');
      before = name;
    }
    if (names === 'none' && starts.length !== 1) throw damaged('there is no root');
    this.#starts = Uint32Array.from(starts);
  }

  get count(): number {
    return this.#starts.length;
  }

  /** Where an entry stands in the index, and its bytes, which are part of the block's. */
  entry(number: number): { at: number; bytes: Uint8Array } {
    const start = this.#starts[number] as number;
    return { at: this.ref.at + start, bytes: new Unpacker(this.#bytes, start).bytes() };
  }

  find(name: Uint8Array): number | undefined {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = compareBytes(nameOfEntry(this.entry(middle).bytes), name);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }
}

const EMPTY = new Block({ at: 0, length: 0, sum: 0 }, new Uint8Array(0), 'of-entries');

export class Blocks {
  readonly #source: RandomAccess;
  readonly #trailer: Trailer;
  readonly #max: number;
  /** By where they begin, the one used last at the end. */
  readonly #kept = new Map<number, Block>();
  #bytes = 0;
  /** Which entry leads to a block: no other one may, or a tree would be in two places. */
  readonly #owners = new Map<number, number>();

  constructor(source: RandomAccess, trailer: Trailer, max: number) {
    this.#source = source;
    this.#trailer = trailer;
    this.#max = max;
  }

  root(): Operation<Block> {
    return this.#read(this.#trailer.root, 'none');
  }

  /** The block of a directory whose entry stands at `owner`. Throws EIO for what is damaged, or leads to where no entry of its may. */
  *of(ref: BlockRef, owner: number): Operation<Block> {
    if (ref.length === 0) return EMPTY;
    const kept = this.#kept.get(ref.at);
    // Blocks stand before those that refer to them, so that no way leads in a circle.
    const isOwned = (this.#owners.get(ref.at) ?? owner) === owner && ref.at + ref.length <= owner;
    if (!isOwned) throw damaged(`the directory at byte ${ref.at} of the index is in two places`);
    this.#owners.set(ref.at, owner);
    if (kept !== undefined) {
      this.#kept.delete(ref.at);
      this.#kept.set(ref.at, kept);
      return kept;
    }
    const block = yield* this.#read(ref, 'of-entries');
    this.#keep(block);
    return block;
  }

  *#read(ref: BlockRef, names: 'of-entries' | 'none'): Operation<Block> {
    const bytes = new Uint8Array(ref.length);
    yield* readFully(this.#source, bytes, this.#trailer.archive + ref.at);
    if (crc32(bytes) !== ref.sum)
      throw damaged(`the block at byte ${this.#trailer.archive + ref.at} has a wrong checksum`);
    return new Block(ref, bytes, names);
  }

  #keep(block: Block): void {
    if (this.#kept.has(block.ref.at)) return; // somebody was faster
    this.#kept.set(block.ref.at, block);
    this.#bytes += block.ref.length;
    for (const [at, { ref }] of this.#kept) {
      if (this.#bytes <= this.#max || at === block.ref.at) break;
      this.#kept.delete(at);
      this.#bytes -= ref.length;
    }
  }
}

function check(name: string): void {
  try {
    checkName(name);
  } catch {
    throw damaged('an entry has a name that none can have');
  }
}
