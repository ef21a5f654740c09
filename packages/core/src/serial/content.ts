/** A file's data in a serialised layer, checked chunk by chunk as it is read. */
import { type Content, type Extent, extentContent, firstAfter } from '../archive/content.js';
import { crc32 } from '../archive/crc32.js';
import { type RandomAccess, readFully } from '../archive/source.js';
import { FsError } from '../errors.js';
import type { Operation } from '../run.js';
import { CHUNK, type StoredData } from './format.js';

/** `name` is for errors: EIO where a chunk is not what it was. One chunk stays in memory, for reads of less. */
export function checkedContent(
  source: RandomAccess,
  { extents, sums }: StoredData,
  size: number,
  name: string,
): Content {
  /** The number of each piece's first checksum. */
  const firstSums: number[] = [];
  let count = 0;
  for (const { length } of extents) {
    firstSums.push(count);
    count += Math.ceil(length / CHUNK);
  }
  let last: { number: number; bytes: Uint8Array } | undefined;

  function* fill(bytes: Uint8Array, offset: number, number: number): Operation<void> {
    yield* readFully(source, bytes, offset);
    if (crc32(bytes) === sums[number]) return;
    throw new FsError('EIO', { syscall: 'read', path: `${name} (data at byte ${offset}) has a wrong checksum` });
  }

  /** What of `buffer`, which begins at `position`, is in one piece. */
  function* fromPiece(
    buffer: Uint8Array,
    position: number,
    { at, length, offset }: Extent,
    first: number,
  ): Operation<void> {
    const until = Math.min(at + length, position + buffer.length);
    for (let from = Math.max(at, position); from < until; ) {
      const chunk = Math.floor((from - at) / CHUNK);
      const start = at + chunk * CHUNK;
      const end = Math.min(start + CHUNK, at + length);
      const part = buffer.subarray(from - position, Math.min(end, until) - position);
      const number = first + chunk;
      if (part.length === end - start) yield* fill(part, offset + start - at, number);
      else {
        if (last?.number !== number) {
          const bytes = new Uint8Array(end - start);
          yield* fill(bytes, offset + start - at, number);
          last = { number, bytes };
        }
        part.set(last.bytes.subarray(from - start, from - start + part.length));
      }
      from += part.length;
    }
  }

  return {
    *read(buffer, position) {
      const end = position + buffer.length;
      buffer.fill(0);
      for (let i = firstAfter(extents, position); i < extents.length && (extents[i] as Extent).at < end; i++)
        yield* fromPiece(buffer, position, extents[i] as Extent, firstSums[i] as number);
    },
    seek: extentContent(source, extents, size).seek,
  };
}
