/** Where an archive's bytes come from: an array, or anything that reads at a position, at once or later. */
import { FsError } from '../errors.js';
import { type Answer, type Mode, type Operation, wait } from '../run.js';

/** A file, a blob, a URL with ranges: what can be read anywhere. */
export interface RandomAccess<M extends Mode = Mode> {
  /** Bytes. */
  readonly size: number;
  /** Reads at `position` into `buffer`; returns the bytes read, 0 only at the end. */
  read(buffer: Uint8Array, position: number): Answer<M, number>;
  /** Releases what it holds. Called when the layer is closed. */
  close?(): Answer<M, void>;
}

/** An array as a source; it must not change while it is used. */
export function arraySource(bytes: Uint8Array): RandomAccess<'sync'> {
  return {
    size: bytes.length,
    read(buffer, position) {
      const part = bytes.subarray(position, position + buffer.length);
      buffer.set(part);
      return part.length;
    },
  };
}

/** Fills all of `buffer`. Throws EIO at the end of the source, and for whatever the source throws. */
export function* readFully(source: RandomAccess, buffer: Uint8Array, position: number): Operation<void> {
  let done = 0;
  while (done < buffer.length) {
    let count: number;
    try {
      count = yield* wait(source.read(done === 0 ? buffer : buffer.subarray(done), position + done));
    } catch (cause) {
      throw cause instanceof FsError ? cause : new FsError('EIO', { syscall: 'read', cause });
    }
    if (!(count > 0)) throw new FsError('EIO', { syscall: 'read', path: `byte ${position + done} of ${source.size}` });
    done += count;
  }
}

const WINDOW = 1 << 16;

/** Small reads that follow one another, made of few large ones. */
export class WindowReader {
  readonly #source: RandomAccess;
  #window: Uint8Array = new Uint8Array(0);
  #start = 0;

  constructor(source: RandomAccess) {
    this.#source = source;
  }

  get size(): number {
    return this.#source.size;
  }

  /** Valid until the next call. Throws EIO past the end. */
  *read(position: number, length: number): Operation<Uint8Array> {
    const at = position - this.#start;
    if (at < 0 || at + length > this.#window.length) {
      const size = Math.max(length, Math.min(WINDOW, this.#source.size - position));
      if (!(position >= 0 && position + length <= this.#source.size))
        throw new FsError('EIO', {
          syscall: 'read',
          path: `bytes ${position} to ${position + length} of ${this.#source.size}`,
        });
      const window = new Uint8Array(size);
      yield* readFully(this.#source, window, position);
      this.#window = window;
      this.#start = position;
    }
    return this.#window.subarray(position - this.#start, position - this.#start + length);
  }
}
