/**
 * Replies to large READs whose data never comes into this process: splice(2) moves references to the file's cached pages
 * through a pipe to the device, so that the kernel copies once instead of twice. Decides when that pays; the device
 * gets a reply or nothing at all.
 */
import { errnoOf, FsError, isFsError } from '@ovl/core';
import { close, errorOf, pipe, pread, readInto, setPipeBytes, spliceAll, spliceFrom, writeFrom } from '../syscalls.js';
import { REPLY_BYTES } from './protocol.js';

/** Below it, two more system calls cost as much as the copy. */
const MIN_BYTES = 32 * 1024;
/** Of the pipe, a page, whatever its length. */
const HEADER_PIPE_BYTES = 4096;
/** Enough for the largest READ, which only root may ask for, and what everybody may. */
const PIPE_BYTES: readonly number[] = [2 << 20, 1 << 20, 256 << 10];

const EINVAL = errnoOf('EINVAL');

/** Answered; or not, and then nothing has happened, or so many bytes of the file are at hand. */
export type Spliced = 'sent' | 'unable' | number;

interface Pipe {
  from: number;
  to: number;
}

export class SplicedReads {
  readonly #device: number;
  readonly #lost: (errno: number) => void;
  readonly #header: Int32Array = new Int32Array(REPLY_BYTES / 4);
  readonly #headerBytes: Uint8Array = new Uint8Array(this.#header.buffer);
  #pipe: Pipe | undefined;
  #bytes: number = PIPE_BYTES[0] as number;

  /** `device` takes the replies; `lost` is told the positive errno when it does not. */
  constructor(device: number, lost: (errno: number) => void) {
    this.#device = device;
    this.#lost = lost;
  }

  /** Whether {@link reply} is worth trying. */
  takes(size: number): boolean {
    return size >= MIN_BYTES && size + HEADER_PIPE_BYTES <= this.#bytes;
  }

  /**
   * Answers the request that has these two words as `unique` with `size` bytes at `position` of the file. If the file ends
   * before, nothing is sent, and what it has is in `output`, behind the place of a header. Throws what reading throws.
   */
  reply(fd: number, position: number, size: number, unique: readonly [number, number], output: Uint8Array): Spliced {
    const ends = (this.#pipe ??= this.#open());
    if (ends === undefined || !this.takes(size)) return 'unable';
    // struct fuse_out_header { u32 len; s32 error; u64 unique }
    const header = this.#header;
    header[0] = REPLY_BYTES + size;
    header[2] = unique[0];
    header[3] = unique[1];
    if (writeFrom(ends.to, this.#headerBytes, REPLY_BYTES) !== REPLY_BYTES) return this.#refuse();
    const moved = spliceFrom(fd, position, ends.to, size);
    if (moved === size) return this.#send(ends, REPLY_BYTES + size);
    if (moved === -EINVAL) return this.#refuse(); // a file system that has no pages to give
    if (moved < 0) {
      this.close();
      throw errorOf(-moved, 'splice');
    }
    if (readInto(ends.from, output, REPLY_BYTES + moved) !== REPLY_BYTES + moved) {
      this.close();
      throw new FsError('EIO', { syscall: 'splice' });
    }
    return moved + pread(fd, output.subarray(REPLY_BYTES + moved, REPLY_BYTES + size), position + moved);
  }

  close(): void {
    if (this.#pipe === undefined) return;
    close(this.#pipe.from);
    close(this.#pipe.to);
    this.#pipe = undefined;
  }

  #send(ends: Pipe, length: number): 'sent' {
    const sent = spliceAll(ends.from, this.#device, length);
    if (sent !== length) {
      this.close(); // with what is left in it
      if (sent < 0) this.#lost(-sent);
    }
    return 'sent';
  }

  /** Not for this file, so probably not for the others either. */
  #refuse(): 'unable' {
    this.close();
    this.#bytes = 0;
    return 'unable';
  }

  #open(): Pipe | undefined {
    const ends = pipeOrNone();
    if (ends === undefined) return undefined;
    const { from, to } = ends;
    for (const bytes of PIPE_BYTES) {
      this.#bytes = setPipeBytes(to, bytes);
      if (this.#bytes > 0) return ends;
    }
    close(from);
    close(to);
    return undefined;
  }
}

/** Undefined where this process or the machine may have no more files open: reading needs none. */
function pipeOrNone(): Pipe | undefined {
  try {
    const [from, to] = pipe();
    return { from, to };
  } catch (error) {
    if (isFsError(error, 'EMFILE', 'ENFILE')) return undefined;
    throw error;
  }
}
