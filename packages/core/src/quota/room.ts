/**
 * How much room a change of a file's data may take: never less than it does take, and no more than has to be feared. A file system
 * gives out blocks of `blksize` bytes and takes holes for nothing; layers with chunks say how large those are.
 */
import { seekOrEnd } from '../segments.js';
import { FsError } from '../errors.js';
import type { LayerFile } from '../layer.js';
import type { Operation } from '../run.js';

/** The unit of `blocks`. */
export const BLOCK = 512;

/** What is known of a file. */
export interface Extent {
  size: number;
  blocks: number;
  blksize: number;
}

const up = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/**
 * By how many bytes a write from `start` to `end` may let the file grow. Looks for holes only where there is not `left` as much
 * room as the worst case takes.
 */
export function* roomToWrite(
  file: LayerFile,
  { size, blocks, blksize }: Extent,
  chunk: number | undefined,
  start: number,
  end: number,
  left: number,
): Operation<number> {
  const taken = blocks * BLOCK;
  // All that is there lies at the beginning, without a hole.
  if (chunk === Infinity) return Math.max(0, up(end, BLOCK) - taken);
  const unit = chunk ?? (blksize || BLOCK);
  const newSize = Math.max(size, end);
  const last = chunk === undefined ? Infinity : newSize; // of a chunk, only what lies before the end of the file counts
  const whole = up(newSize, chunk === undefined ? unit : BLOCK) - taken;
  const from = Math.floor(start / unit) * unit;
  const to = Math.min(up(end, unit), last);
  // Of a file without holes, what its last chunk stores past the old end begins to count.
  const uncovered = chunk !== undefined && taken >= size && end > size ? Math.min(up(size, unit), newSize) - size : 0;
  const worst = Math.min(whole, up(to - from + uncovered, BLOCK));
  if (worst <= left) return Math.max(0, worst);
  const there = yield* dataWithin(file, from, Math.min(to, size));
  return Math.max(0, Math.min(whole, up(to - from - there + uncovered, BLOCK)));
}

/** The same for a change of the size: a hole takes no room, but what a chunk stores past the old end begins to count. */
export function roomToResize({ size, blocks }: Extent, chunk: number | undefined, newSize: number): number {
  const taken = blocks * BLOCK;
  if (chunk === undefined || chunk === Infinity || newSize <= size || taken < size) return 0;
  return Math.max(0, up(Math.min(newSize, up(size, chunk)), BLOCK) - taken);
}

/** How much of a range is data, in bytes. */
export function* dataWithin(file: LayerFile, start: number, end: number): Operation<number> {
  let sum = 0;
  for (let at = start; at < end; ) {
    const data = yield* seekOrEnd(file, at, 'data', end);
    at = data < end ? yield* seekOrEnd(file, data, 'hole', end) : end;
    if (data < end && at <= data) throw new FsError('EIO', { syscall: 'lseek' }); // answers that lead nowhere
    sum += at - data;
  }
  return sum;
}
