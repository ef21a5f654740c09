/**
 * A file with data in several layers: the top one has what was written, the rest is read from below. What is common to all
 * who have the file open, and the operations that need no open file: completing it, changing its size.
 */
import { openData, times, writeAll } from '../copy-up.js';
import { FsError, isFsError } from '../errors.js';
import type { Inode, Real, Stack } from '../inode.js';
import type { Layer, LayerFile, LayerNode, UpperFile } from '../layer.js';
import { type Operation, wait } from '../run.js';
import { ExtentsFile } from './file.js';
import type { ChunkRange, ExtentMap } from './map.js';

const CAPABILITY = 'security.capability';
const BUFFER_SIZE = 1 << 20;

export class Extents implements Real {
  readonly layer: number;
  /** The object whose own data comes first. */
  readonly node: LayerNode;
  readonly map: ExtentMap;
  readonly stack: Stack;
  /** Of a file in the upper layer: whose data it is. */
  readonly inode: Inode;
  /** Moves with every change, so that a reader who was suspended notices. */
  version = 0;
  /** Whether a change is under way. */
  isChanging = false;
  readonly #below: Real;

  constructor(stack: Stack, inode: Inode, own: Real, map: ExtentMap, below: Real) {
    this.stack = stack;
    this.inode = inode;
    this.layer = own.layer;
    this.node = own.node;
    this.map = map;
    this.#below = below;
  }

  get #attribute(): string {
    return `${this.stack.prefix}metacopy`;
  }

  *open(): Operation<LayerFile> {
    const { layer, node, stack } = this;
    return yield* this.#openWith((stack.layer(layer) as Layer).open(node) as UpperFile);
  }

  *openWritable(): Operation<UpperFile> {
    return yield* this.#openWith(this.stack.writable().openWritable(this.node));
  }

  *#openWith(opening: UpperFile | PromiseLike<UpperFile>): Operation<UpperFile> {
    const own = yield* wait(opening);
    let opened = false;
    try {
      const below = yield* openData(this.stack, this.#below);
      opened = true;
      return new ExtentsFile(this, own, below);
    } finally {
      if (!opened) yield* wait(own.close());
    }
  }

  /** Runs a change, so that readers see all of it or nothing. Under the inode's lock. */
  *change<T>(operation: Operation<T>): Operation<T> {
    this.isChanging = true;
    try {
      return yield* operation;
    } finally {
      this.isChanging = false;
      this.version++;
    }
  }

  /** Records that chunks, whose data is there, are the file's own: durable no later than that. */
  *take(own: UpperFile, range: ChunkRange): Operation<void> {
    const { map } = this;
    if (map.ownsAll(range)) return;
    const upper = this.stack.writable();
    if (this.stack.options.fsync !== 'volatile') yield* wait(own.fsync('data'));
    yield* wait(upper.setxattr(this.node, this.#attribute, map.encode(map.length, range)));
    map.recorded = map.length;
    map.add(range);
    if (map.isWhole) yield* this.#finish();
  }

  /** To be called before the file becomes longer: what was cut off must not come back. */
  *forgetBeyond(): Operation<void> {
    const { map } = this;
    if (map.recorded <= map.length) return;
    yield* wait(this.stack.writable().setxattr(this.node, this.#attribute, map.encode(map.length)));
    map.recorded = map.length;
  }

  /** All data is in the file itself. The attribute says so, too, where it cannot be removed. */
  *#finish(): Operation<void> {
    const { inode, map, node } = this;
    map.length = 0;
    try {
      yield* wait(this.stack.writable().removexattr(node, this.#attribute));
    } catch (error) {
      if (isFsError(error)) return;
      throw error;
    }
    map.recorded = 0;
    if (inode.data !== this) return;
    inode.data = undefined;
    inode.whole = node;
  }

  /** Under the inode's lock. */
  *resize(size: number): Operation<void> {
    yield* this.change(this.#resize(size));
  }

  *#resize(size: number): Operation<void> {
    const { map, node } = this;
    const upper = this.stack.writable();
    const before = yield* wait(upper.getattr(node));
    if (size > before.size || map.recorded === Infinity) yield* this.forgetBeyond();
    yield* wait(upper.setattr(node, { size }));
    if (map.length <= size) return;
    map.length = size;
    if (map.isWhole) yield* this.#finish();
    yield* this.forgetBeyond();
  }

  /** See `Metacopies.complete`. Under the inode's lock. */
  *complete(): Operation<void> {
    const { map, node, stack } = this;
    if (map.isWhole) return;
    const upper = stack.writable();
    const before = yield* wait(upper.getattr(node));
    const capability = yield* wait(upper.getxattr(node, CAPABILITY));
    const own = yield* wait(upper.openWritable(node));
    try {
      const below = yield* openData(stack, this.#below);
      try {
        yield* this.fill(own, below, map.chunksOf(0, map.length));
      } finally {
        yield* wait(below.close());
      }
      if (stack.options.fsync !== 'volatile') yield* wait(own.fsync('data'));
    } finally {
      yield* wait(own.close());
    }
    if (capability !== undefined) yield* wait(upper.setxattr(node, CAPABILITY, capability)); // cleared by the write
    yield* wait(upper.setattr(node, { mode: before.mode & 0o7777, ...times(before) }));
    yield* this.#finish();
  }

  /** Copies those of some chunks that are below's, which changes nothing in view. */
  *fill(own: UpperFile, below: LayerFile, range: ChunkRange): Operation<void> {
    const { map } = this;
    const limit = Math.min(range.end * map.chunk, map.length);
    for (let at = range.start * map.chunk; at < limit; ) {
      const segment = map.segment(at, limit);
      const end = Math.min(segment.end, limit);
      if (!segment.own) yield* copyBelow(own, below, at, end);
      at = end;
    }
  }
}

/** Copies what is data below. What an interrupted write left where it has holes is overwritten. */
function* copyBelow(own: UpperFile, below: LayerFile, start: number, end: number): Operation<void> {
  const buffer = new Uint8Array(Math.min(BUFFER_SIZE, end - start));
  for (let at = start; at < end; ) {
    const data = Math.min(yield* seekData(below, at), end);
    if (data > at && (yield* seekData(own, at)) >= data) {
      at = data; // a hole in both
      continue;
    }
    const piece = buffer.subarray(0, Math.min(buffer.length, (data > at ? data : end) - at));
    const read = yield* wait(below.read(piece, at));
    if (read < piece.length) throw new FsError('EIO', { syscall: 'copy-up' }); // became shorter
    yield* writeAll(own, piece, at);
    at += read;
  }
}

function* seekData(file: LayerFile, position: number): Operation<number> {
  try {
    return yield* wait(file.seek(position, 'data'));
  } catch (error) {
    if (isFsError(error, 'ENXIO')) return Infinity;
    throw error;
  }
}
