/** Where a file of a layer has data, asked as far as its end. */
import { FsError, isFsError } from './errors.js';
import type { LayerFile } from './layer.js';
import { type Operation, wait } from './run.js';

/** The next data or hole at or after a position, at most `end`. */
export function* seekOrEnd(file: LayerFile, position: number, whence: 'data' | 'hole', end: number): Operation<number> {
  try {
    return Math.min(yield* wait(file.seek(position, whence)), end);
  } catch (error) {
    if (isFsError(error, 'ENXIO')) return end;
    throw error;
  }
}

/** The pieces of data of a file of `size` bytes, in order and apart. Throws EIO for a layer whose answers lead nowhere. */
export function* segments(file: LayerFile, size: number): Operation<{ at: number; length: number }[]> {
  const found: { at: number; length: number }[] = [];
  for (let at = 0; at < size; ) {
    const start = yield* seekOrEnd(file, at, 'data', size);
    if (start >= size) break;
    const end = yield* seekOrEnd(file, start, 'hole', size);
    if (start < at || end <= start) throw new FsError('EIO', { syscall: 'lseek' });
    const last = found.at(-1);
    if (last !== undefined && last.at + last.length === start) last.length += end - start;
    else found.push({ at: start, length: end - start });
    at = end;
  }
  return found;
}
