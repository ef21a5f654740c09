/**
 * The index of a serialised layer, put together while its objects go by. Blocks stay in memory until all is known: how many names
 * an object has is known after the last of them, and with it the checksums of the blocks.
 */
import { type Attributes, isDirectory } from '../attributes.js';
import { crc32 } from '../archive/crc32.js';
import { type BlockRef, type IndexEntry, type LaterPlaces, packEntry, packTrailer } from './format.js';
import { Packer } from './packing.js';

interface Block {
  /** Of a directory: from its parent's closing on. */
  bytes: Uint8Array;
  /** Where its checksum stands. */
  parent?: { block: Block; at: number };
}

/** An object with several names. */
export interface Linked {
  /** The first of them. */
  path: string;
  attributes: Attributes;
  entry: Pick<IndexEntry, 'xattrs' | 'target' | 'data'>;
  /** Where the number of names stands. */
  places: { block: Block; at: number }[];
}

/** A block that is being written. */
interface Draft {
  block: Block;
  packer: Packer;
  directories: number;
}

export class IndexWriter {
  /** Objects so far; the next inode number is one more, as in a tar layer of the same archive. */
  count = 0;
  readonly #open: Draft[] = [newDraft()];
  readonly #blocks: Block[] = [];
  #length = 0;
  readonly #linked = new Map<string, Linked>();

  /** An object that has come by under another name. */
  known({ mode, nlink, dev, ino }: Attributes): Linked | undefined {
    return nlink > 1 && !isDirectory(mode) ? this.#linked.get(`${dev}:${ino}`) : undefined;
  }

  add(
    path: string,
    name: Uint8Array,
    attributes: Attributes,
    entry: Pick<IndexEntry, 'xattrs' | 'target' | 'data'>,
  ): void {
    const numbered = { ...attributes, ino: ++this.count, nlink: 1 };
    const place = this.#entry(name, { ...entry, attributes: numbered, directory: undefined });
    if (attributes.nlink < 2) return;
    const places = [{ block: place.block, at: place.nlink }];
    this.#linked.set(`${attributes.dev}:${attributes.ino}`, { path, attributes: numbered, entry, places });
  }

  addLink(name: Uint8Array, linked: Linked): void {
    const { attributes, entry, places } = linked;
    const place = this.#entry(name, { ...entry, attributes, directory: undefined });
    places.push({ block: place.block, at: place.nlink });
  }

  /** Returns the directory's inode number. */
  openDirectory(): number {
    this.#open.push(newDraft());
    return ++this.count;
  }

  /** `attributes`: with that number. */
  closeDirectory(name: Uint8Array, attributes: Attributes, xattrs: ReadonlyMap<string, Uint8Array> | undefined): void {
    const { block, packer, directories } = this.#open.pop() as Draft;
    (this.#open.at(-1) as Draft).directories++;
    const entry = { attributes: { ...attributes, nlink: 2 + directories }, xattrs, target: '', data: undefined };
    const place = this.#entry(name, { ...entry, directory: this.#finish(block, packer) });
    block.parent = { block: place.block, at: place.sum };
  }

  /** All that comes after the archive, which is `archive` bytes long. */
  finish(archive: number): Uint8Array[] {
    const { block, packer } = this.#open.pop() as Draft;
    const root = this.#finish(block, packer);
    for (const { places } of this.#linked.values())
      for (const { block, at } of places) setWord(block.bytes, at, places.length);
    for (const { bytes, parent } of this.#blocks) {
      const sum = crc32(bytes);
      if (parent === undefined) root.sum = sum;
      else setWord(parent.block.bytes, parent.at, sum);
    }
    return [...this.#blocks.map(({ bytes }) => bytes), packTrailer({ archive, count: this.count, root })];
  }

  #entry(name: Uint8Array, entry: IndexEntry): LaterPlaces & { block: Block } {
    const { block, packer } = this.#open.at(-1) as Draft;
    const { bytes, places } = packEntry(name, entry);
    const at = packer.bytes(bytes);
    return { block, nlink: at + places.nlink, sum: at + places.sum };
  }

  #finish(block: Block, packer: Packer): BlockRef {
    block.bytes = packer.finish();
    const ref = { at: this.#length, length: block.bytes.length, sum: 0 };
    this.#length += ref.length;
    this.#blocks.push(block);
    return ref;
  }
}

function newDraft(): Draft {
  return { block: { bytes: new Uint8Array(0) }, packer: new Packer(), directories: 0 };
}

function setWord(bytes: Uint8Array, at: number, value: number): void {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value);
}
