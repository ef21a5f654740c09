/**
 * An open file with data in several layers. A write first completes the chunks that it only touches, then writes, then records
 * them: until then the data below is shown. Writers come one after another (the inode's lock); readers do not wait for them
 * unless they met one.
 */
import { writeAll } from '../copy-up.js';
import { FsError, isFsError } from '../errors.js';
import type { AllocateMode, LayerFile, UpperFile } from '../layer.js';
import { type Operation, runEither, wait } from '../run.js';
import type { Extents } from './extents.js';

type Late<T> = T | PromiseLike<T>;

export class ExtentsFile implements UpperFile {
  readonly #extents: Extents;
  readonly #own: UpperFile;
  readonly #below: LayerFile;

  constructor(extents: Extents, own: UpperFile, below: LayerFile) {
    this.#extents = extents;
    this.#own = own;
    this.#below = below;
  }

  read(buffer: Uint8Array, position: number): Late<number> {
    return runEither(this.#whole(() => this.#read(buffer, position)));
  }

  seek(position: number, whence: 'data' | 'hole'): Late<number> {
    return runEither(this.#whole(() => this.#seek(position, whence)));
  }

  write(buffer: Uint8Array, position: number): Late<number> {
    return runEither(this.#extents.change(this.#write(buffer, position)));
  }

  allocate(mode: AllocateMode, offset: number, length: number): Late<void> {
    return runEither(this.#extents.change(this.#allocate(mode, offset, length)));
  }

  fsync(scope: 'data' | 'all'): Late<void> {
    return this.#own.fsync(scope);
  }

  close(): Late<void> {
    return runEither(this.#close());
  }

  *#close(): Operation<void> {
    try {
      yield* wait(this.#own.close());
    } finally {
      yield* wait(this.#below.close());
    }
  }

  /** Reads from several files what they have at one moment. */
  *#whole<T>(reading: () => Operation<T>): Operation<T> {
    const { inode } = this.#extents;
    if (!this.#extents.isChanging) {
      const { version } = this.#extents;
      const answer = yield* reading();
      if (!this.#extents.isChanging && this.#extents.version === version) return answer;
    }
    return yield* inode.lock.hold(reading());
  }

  *#read(buffer: Uint8Array, position: number): Operation<number> {
    const { map } = this.#extents;
    const end = position + buffer.length;
    let at = position;
    while (at < end) {
      const segment = map.segment(at, end);
      const piece = buffer.subarray(at - position, Math.min(segment.end, end) - position);
      const read = yield* wait((segment.own ? this.#own : this.#below).read(piece, at));
      at += read;
      if (read === piece.length) continue;
      if (segment.own) break;
      throw new FsError('EIO', { syscall: 'read' }); // became shorter
    }
    return at - position;
  }

  *#seek(position: number, whence: 'data' | 'hole'): Operation<number> {
    const { map } = this.#extents;
    const size = yield* this.#size();
    if (position < 0 || position >= size) throw new FsError('ENXIO', { syscall: 'lseek' });
    for (let at = position; at < size; ) {
      const { own, end } = map.segment(at, size);
      const found = yield* seekOrEnd(own ? this.#own : this.#below, at, whence);
      if (found < Math.min(end, size)) return found;
      at = end;
    }
    if (whence === 'data') throw new FsError('ENXIO', { syscall: 'lseek' });
    return size;
  }

  *#size(): Operation<number> {
    const { stack, layer, node } = this.#extents;
    return (yield* wait(stack.layer(layer).getattr(node))).size;
  }

  /** One step makes all of it visible: the write itself, or where that went to chunks that nobody reads yet, their record. */
  *#write(buffer: Uint8Array, position: number): Operation<number> {
    const { map } = this.#extents;
    const end = position + buffer.length;
    if (buffer.length > 0 && end > map.length) yield* this.#extents.forgetBeyond();
    if (buffer.length === 0 || position >= map.length) return yield* wait(this.#own.write(buffer, position));
    const range = map.chunksOf(position, end);
    if (end > map.length || map.ownsAny(range)) {
      yield* this.#extents.fill(this.#own, this.#below, range);
      yield* this.#extents.take(this.#own, range);
      return yield* wait(this.#own.write(buffer, position));
    }
    yield* this.#fillBefore(position);
    const written = yield* wait(this.#own.write(buffer, position));
    if (written < buffer.length)
      range.end = Math.floor((position + written) / map.chunk); // the rest stays below's
    else yield* this.#fillAfter(end);
    if (range.end <= range.start) throw new FsError('ENOSPC', { syscall: 'write' });
    yield* this.#extents.take(this.#own, range);
    return Math.min(written, range.end * map.chunk - position);
  }

  /** Copies what stands before a position in its chunk. */
  *#fillBefore(position: number): Operation<void> {
    const { map } = this.#extents;
    if (map.owns(position)) return;
    const start = Math.floor(position / map.chunk) * map.chunk;
    yield* this.#fill(start, position);
  }

  /** Copies what stands after a position in the chunk of the byte before it. */
  *#fillAfter(position: number): Operation<void> {
    const { map } = this.#extents;
    if (position === 0 || map.owns(position - 1)) return;
    const end = Math.ceil(position / map.chunk) * map.chunk;
    yield* this.#fill(position, Math.min(end, map.length));
  }

  *#fill(start: number, end: number): Operation<void> {
    if (start >= end) return;
    const piece = new Uint8Array(end - start);
    const read = yield* wait(this.#below.read(piece, start));
    if (read < piece.length) throw new FsError('EIO', { syscall: 'copy-up' }); // became shorter
    yield* writeAll(this.#own, piece, start);
  }

  *#allocate(mode: AllocateMode, offset: number, length: number): Operation<void> {
    const { map } = this.#extents;
    const end = offset + length;
    if (!mode.keepSize && !mode.punchHole && end > map.length) yield* this.#extents.forgetBeyond();
    const empties = (mode.punchHole || mode.zeroRange) && offset < map.length;
    if (empties) {
      yield* this.#fillBefore(offset);
      yield* this.#fillAfter(end);
    }
    yield* wait(this.#own.allocate(mode, offset, length));
    if (!empties) return;
    yield* this.#extents.take(this.#own, map.chunksOf(offset, end));
  }
}

function* seekOrEnd(file: LayerFile, position: number, whence: 'data' | 'hole'): Operation<number> {
  try {
    return yield* wait(file.seek(position, whence));
  } catch (error) {
    if (isFsError(error, 'ENXIO')) return Infinity;
    throw error;
  }
}
