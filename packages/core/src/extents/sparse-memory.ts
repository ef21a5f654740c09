/**
 * A memory layer whose files are kept in chunks: what was never written takes no room, and a file grows without being copied.
 * Everything but the data of files is the plain memory layer's.
 */
import { type AttributeChange, isRegular } from '../attributes.js';
import { FsError } from '../errors.js';
import type { AllocateMode, LayerNode, UpperFile } from '../layer.js';
import { MemoryLayer, type MemoryLayerOptions, type MemoryNode, touch } from '../memory.js';

const BLOCK = 512;
const CHUNK = 1 << 16;
const NONE = new Uint8Array(0);

/** A file's data by number of chunk. One that is absent is a hole; what one is too short for is zero. */
class Chunks {
  readonly #node: MemoryNode;
  readonly #chunks = new Map<number, Uint8Array>();
  #stored = 0;

  constructor(node: MemoryNode) {
    this.#node = node;
    const { bytes } = node;
    for (let at = 0; at < bytes.length; at += CHUNK) this.put(at / CHUNK, bytes.subarray(at, at + CHUNK));
    node.bytes = NONE;
  }

  get(index: number): Uint8Array {
    return this.#chunks.get(index) ?? NONE;
  }

  put(index: number, chunk: Uint8Array): void {
    this.#stored += chunk.length - this.get(index).length;
    this.#chunks.set(index, chunk);
  }

  /** Makes a range zero, and a hole where it covers chunks. */
  punch(offset: number, end: number): void {
    for (const [index, chunk] of this.#chunks) {
      const start = offset - index * CHUNK;
      const until = end - index * CHUNK;
      if (start > 0 || until < chunk.length) chunk.fill(0, Math.max(start, 0), Math.max(until, 0));
      else {
        this.put(index, NONE);
        this.#chunks.delete(index);
      }
    }
  }

  /** The first chunk from a number on that is there, or that is not. */
  next(index: number, whence: 'data' | 'hole'): number {
    let at = index;
    if (whence === 'hole') while (this.#chunks.has(at)) at++;
    else if (!this.#chunks.has(at)) {
      at = Infinity;
      for (const other of this.#chunks.keys()) if (other > index && other < at) at = other;
    }
    return at;
  }

  resize(size: number): void {
    if (!Number.isSafeInteger(size) || size < 0) throw new FsError('EINVAL', { syscall: 'truncate' });
    const { attributes } = this.#node;
    if (size < attributes.size) this.punch(size, Infinity);
    attributes.size = size;
    attributes.blocks = Math.ceil(Math.min(this.#stored, size) / BLOCK);
  }
}

class SparseFile implements UpperFile<'sync'> {
  readonly #node: MemoryNode;
  readonly #chunks: Chunks;

  constructor(node: MemoryNode, chunks: Chunks) {
    this.#node = node;
    this.#chunks = chunks;
  }

  read(buffer: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(buffer.length, this.#node.attributes.size - position));
    for (let at = 0; at < length; ) {
      const start = (position + at) % CHUNK;
      const end = Math.min(start + length - at, CHUNK);
      const stored = this.#chunks.get((position + at - start) / CHUNK).subarray(start, end);
      buffer.set(stored, at);
      buffer.fill(0, at + stored.length, at + end - start);
      at += end - start;
    }
    return length;
  }

  write(buffer: Uint8Array, position: number): number {
    const { length } = buffer;
    if (length === 0) return 0;
    for (let at = 0; at < length; ) {
      const start = (position + at) % CHUNK;
      const end = Math.min(start + length - at, CHUNK);
      const index = (position + at - start) / CHUNK;
      let chunk = this.#chunks.get(index);
      if (end > chunk.length) {
        const grown = new Uint8Array(Math.min(CHUNK, Math.max(end, chunk.length * 2))); // so that appends are cheap
        grown.set(chunk);
        chunk = grown;
        this.#chunks.put(index, grown);
      }
      chunk.set(buffer.subarray(at, at + end - start), start);
      at += end - start;
    }
    this.#chunks.resize(Math.max(this.#node.attributes.size, position + length));
    touch(this.#node, 'modified');
    return length;
  }

  seek(position: number, whence: 'data' | 'hole'): number {
    const { size } = this.#node.attributes;
    const found = Math.max(position, this.#chunks.next(Math.floor(position / CHUNK), whence) * CHUNK);
    if (position < 0 || position >= size || (whence === 'data' && found >= size)) {
      throw new FsError('ENXIO', { syscall: 'lseek' });
    }
    return Math.min(found, size);
  }

  allocate(mode: AllocateMode, offset: number, length: number): void {
    const { size } = this.#node.attributes;
    const end = offset + length;
    if (mode.punchHole || mode.zeroRange) this.#chunks.punch(offset, end);
    this.#chunks.resize(mode.keepSize || mode.punchHole ? size : Math.max(end, size));
    touch(this.#node, 'modified');
  }

  fsync(): void {}

  close(): void {}
}

class SparseMemoryLayer extends MemoryLayer {
  readonly holdsExtents = true;
  override readonly chunk = CHUNK;
  readonly #files = new WeakMap<LayerNode, Chunks>();

  override openWritable(node: LayerNode): UpperFile<'sync'> {
    const memory = node as MemoryNode;
    if (!isRegular(memory.attributes.mode)) throw new FsError('EINVAL', { syscall: 'open' });
    return new SparseFile(memory, this.#chunks(memory));
  }

  override setattr(node: LayerNode, change: AttributeChange): void {
    const { size, ...rest } = change;
    if (size !== undefined) {
      this.#chunks(node as MemoryNode).resize(size);
      touch(node as MemoryNode, 'modified');
    }
    super.setattr(node, rest);
  }

  #chunks(node: MemoryNode): Chunks {
    let chunks = this.#files.get(node);
    if (chunks === undefined) this.#files.set(node, (chunks = new Chunks(node)));
    return chunks;
  }
}

/** A layer in memory as `memoryLayer` makes it, whose files have holes and may have part of their data below. */
export function sparseMemoryLayer(options?: MemoryLayerOptions): MemoryLayer {
  return new SparseMemoryLayer(options);
}
