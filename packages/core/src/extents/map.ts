/**
 * Which part of a file's data is its own, and which is still in the file below: chunks of one size, a bit each, and a length
 * from which on nothing is below's. Stands in the file's `metacopy` attribute with a version of ours, so that whoever does
 * not know it refuses the file (EIO in the kernel, too) where he would show old data.
 */
import { FsError } from '../errors.js';
import { EXTENTS_VERSION } from '../format.js';

const HEADER = 12;
const MAX_SHIFT = 40;
/** What the bits of one file may take: beyond, chunks are larger. */
const MAX_CHUNKS = 1 << 15;

export class ExtentMap {
  /** The length that the attribute tells, which truncation may leave behind; a plain metacopy tells none. */
  recorded: number;
  /** The value of the plain metacopy that this was: it may have a digest of the data below. */
  readonly plain: Uint8Array;
  readonly #shift: number;
  #bits: Uint8Array;
  #length = 0;
  /** Chunks that are below's. */
  #left = 0;

  private constructor(length: number, plain: Uint8Array, shift: number, bits: Uint8Array) {
    this.recorded = length;
    this.plain = plain;
    this.#shift = shift;
    this.#bits = bits;
    this.length = length;
  }

  /** Of a metacopy that has none of its data; `chunk` is a power of two, and grows with the file. */
  static empty(length: number, plain: Uint8Array, chunk: number): ExtentMap {
    let shift = Math.log2(chunk);
    while (length / 2 ** shift > MAX_CHUNKS && shift < MAX_SHIFT) shift++;
    const map = new ExtentMap(length, plain, shift, new Uint8Array(Math.ceil(length / 2 ** shift / 8)));
    map.recorded = Infinity;
    return map;
  }

  /** Undefined for the attribute of a plain metacopy. Throws EIO for what is damaged. */
  static decode(value: Uint8Array): ExtentMap | undefined {
    if (value[0] !== EXTENTS_VERSION) return undefined;
    const [, shift = 0, plainLength = 0] = value;
    const isWhole = value.length >= HEADER + plainLength && shift <= MAX_SHIFT;
    const length = isWhole ? new DataView(value.buffer, value.byteOffset).getFloat64(4) : -1;
    const bits = new Uint8Array(isWhole && length >= 0 ? Math.ceil(length / 2 ** shift / 8) : 0);
    const stored = value.subarray(HEADER + plainLength);
    if (!isWhole || !Number.isSafeInteger(length) || length < 0 || stored.length > bits.length) {
      throw new FsError('EIO', { syscall: 'metacopy' });
    }
    bits.set(stored);
    return new ExtentMap(length, value.slice(HEADER, HEADER + plainLength), shift, bits);
  }

  /** The attribute that tells `length` and, besides the chunks that are the file's own, those of a range. */
  encode(length: number, more?: ChunkRange): Uint8Array {
    const bits = more === undefined ? this.#bits : this.#with(more);
    const used = Math.ceil(length / this.chunk / 8);
    const value = new Uint8Array(HEADER + this.plain.length + used);
    value.set([EXTENTS_VERSION, this.#shift, this.plain.length]);
    new DataView(value.buffer).setFloat64(4, length);
    value.set(this.plain, HEADER);
    value.set(bits.subarray(0, used), HEADER + this.plain.length);
    return value;
  }

  get chunk(): number {
    return 2 ** this.#shift;
  }

  /** Whether the byte at a position is the file's own. */
  owns(position: number): boolean {
    if (position >= this.length) return true;
    const index = Math.floor(position / this.chunk);
    return ((this.#bits[index >>> 3] as number) & (1 << (index & 7))) !== 0;
  }

  /** Whose the byte at a position is, and up to which position the same holds; nobody asks beyond `limit`. */
  segment(position: number, limit: number): { own: boolean; end: number } {
    const own = this.owns(position);
    let end = position;
    while (end < limit && end < this.length && this.owns(end) === own)
      end = (Math.floor(end / this.chunk) + 1) * this.chunk;
    if (end < this.length) return { own, end };
    return { own, end: own ? Infinity : this.length };
  }

  /** Bytes from here on are the file's own. */
  get length(): number {
    return this.#length;
  }

  set length(length: number) {
    this.#length = length;
    this.#left = 0;
    for (let at = 0; at < length; at += this.chunk) if (!this.owns(at)) this.#left++;
  }

  /** Whether nothing is below's. */
  get isWhole(): boolean {
    return this.#left === 0;
  }

  /** The chunks of a range of bytes, as far as the file below goes. */
  chunksOf(start: number, end: number): ChunkRange {
    return { start: Math.floor(start / this.chunk), end: Math.ceil(Math.min(end, this.#length) / this.chunk) };
  }

  ownsAny({ start, end }: ChunkRange): boolean {
    for (let index = start; index < end; index++) if (this.owns(index * this.chunk)) return true;
    return false;
  }

  ownsAll({ start, end }: ChunkRange): boolean {
    for (let index = start; index < end; index++) if (!this.owns(index * this.chunk)) return false;
    return true;
  }

  add(range: ChunkRange): void {
    for (let index = range.start; index < range.end; index++) if (!this.owns(index * this.chunk)) this.#left--;
    this.#bits = this.#with(range);
  }

  #with({ start, end }: ChunkRange): Uint8Array {
    const bits = this.#bits.slice();
    for (let index = start; index < end; index++)
      bits[index >>> 3] = (bits[index >>> 3] as number) | (1 << (index & 7));
    return bits;
  }
}

/** Numbers of chunks. */
export interface ChunkRange {
  start: number;
  end: number;
}
