/** A file's data where it stands in an archive: runs of bytes, and zeros between them. */
import { FsError } from '../errors.js';
import type { LayerFile } from '../layer.js';
import { type Answer, type Mode, type Operation, runEither } from '../run.js';
import { type RandomAccess, readFully } from './source.js';

/** What a file of an archive is read from. */
export interface Content {
  /** What has to be right before a file is opened. */
  prepare?(): Operation<void>;
  /** Reads all that there is of `buffer`, which lies within the file. */
  read(buffer: Uint8Array, position: number): Operation<void>;
  /** `lseek`; `position` lies within the file. */
  seek(position: number, whence: 'data' | 'hole'): number;
}

/** A file that is open for reading. */
export function openContent<M extends Mode>(content: Content, size: number): LayerFile<M> {
  return {
    read: (buffer, position) => runEither<M, number>(read(content, size, buffer, position)),
    seek(position, whence) {
      if (position < 0 || position >= size) throw new FsError('ENXIO', { syscall: 'lseek' });
      return content.seek(position, whence) as Answer<M, number>;
    },
    close: () => undefined as Answer<M, void>,
  };
}

function* read(content: Content, size: number, buffer: Uint8Array, position: number): Operation<number> {
  const length = Math.max(0, Math.min(buffer.length, size - position));
  if (length > 0) yield* content.read(buffer.subarray(0, length), position);
  return length;
}

/** Bytes of a file, and where they are in the source. */
export interface Extent {
  at: number;
  length: number;
  offset: number;
}

/** `extents` are in order, apart, and within `size` and the source. */
export function extentContent(source: RandomAccess, extents: readonly Extent[], size: number): Content {
  return {
    *read(buffer, position) {
      const end = position + buffer.length;
      buffer.fill(0);
      for (let i = firstAfter(extents, position); i < extents.length; i++) {
        const { at, length, offset } = extents[i] as Extent;
        if (at >= end) break;
        const from = Math.max(at, position);
        const part = buffer.subarray(from - position, Math.min(at + length, end) - position);
        yield* readFully(source, part, offset + from - at);
      }
    },
    seek(position, whence) {
      let i = firstAfter(extents, position);
      if (whence === 'data') {
        const next = extents[i];
        if (next === undefined) throw new FsError('ENXIO', { syscall: 'lseek' });
        return Math.max(next.at, position);
      }
      let hole = position;
      for (; i < extents.length && (extents[i] as Extent).at <= hole; i++) {
        const { at, length } = extents[i] as Extent;
        hole = at + length;
      }
      return Math.min(hole, size);
    },
  };
}

/** The first extent that ends after `position`. */
export function firstAfter(extents: readonly Extent[], position: number): number {
  let [low, high] = [0, extents.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { at, length } = extents[middle] as Extent;
    if (at + length > position) high = middle;
    else low = middle + 1;
  }
  return low;
}
