/** As `fs.promises.FileHandle`: an open file whose methods return promises. */
import { type Operation, runAsync } from '../run.js';
import { argumentError, withCode } from './argument-error.js';
import type { FlagsLike, ModeLike, OptionsLike, PathLike, TimeLike } from './arguments.js';
import { type BigIntStats, fstat } from './bigints.js';
import type { Context } from './context.js';
import {
  type BytesRead,
  type BytesWritten,
  close,
  fdatasync,
  fsync,
  ftruncate,
  open,
  read,
  readFrom,
  type ReadOptions,
  readv,
  write,
  writev,
} from './descriptors.js';
import { readFile, type ReadFileOptions, type WriteFileOptions } from './files.js';
import { type BigIntOption, fchmod, fchown, futimes } from './metadata.js';
import { type PiecewiseContent, writePieces } from './pieces.js';
import type { Stats } from './stats.js';

/**
 * An open file, as `fs.promises.FileHandle`. `close` waits for what is under way; afterwards everything else rejects
 * with EBADF. Buffers are the caller's, and in use until the answer.
 */
export class FileHandle {
  readonly #fs: Context;
  #fd: number;
  /** Operations under way: `close` waits for them. */
  readonly #pending = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(fs: Context, fd: number) {
    this.#fs = fs;
    this.#fd = fd;
    const { asyncDispose } = Symbol as { asyncDispose?: symbol }; // newer than this package's oldest engines
    if (asyncDispose !== undefined) Object.defineProperty(this, asyncDispose, { value: () => this.close() });
  }

  /** The descriptor's number, −1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  appendFile(data: PiecewiseContent, options?: OptionsLike<WriteFileOptions>): Promise<void> {
    return this.#run('write', (fs, fd) => writePieces(fs, fd, data, options, 'a'));
  }

  chmod(mode: ModeLike): Promise<void> {
    return this.#run('fchmod', (fs, fd) => fchmod(fs, fd, mode));
  }

  chown(uid: number, gid: number): Promise<void> {
    return this.#run('fchown', (fs, fd) => fchown(fs, fd, uid, gid));
  }

  datasync(): Promise<void> {
    return this.#run('fdatasync', fdatasync);
  }

  sync(): Promise<void> {
    return this.#run('fsync', fsync);
  }

  read<B extends ArrayBufferView = Uint8Array>(
    buffer?: B | (ReadOptions & { buffer?: B }),
    offset?: number | ReadOptions | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<BytesRead<B>> {
    const isPlace = typeof offset === 'object' && offset !== null;
    const where = isPlace ? offset : { offset, length: length ?? undefined, position };
    return this.#run('read', (fs, fd) => read<B>(fs, fd, buffer, where));
  }

  readv<B extends ArrayBufferView>(
    buffers: readonly B[],
    position?: number | null,
  ): Promise<{ bytesRead: number; buffers: readonly B[] }> {
    return this.#run('read', (fs, fd) => readv(fs, fd, buffers, position));
  }

  readFile(options?: OptionsLike<ReadFileOptions>): Promise<Uint8Array | string> {
    return this.#run('read', (fs, fd) => readFile(fs, fd, options));
  }

  stat(options?: BigIntOption): Promise<Stats | BigIntStats> {
    return this.#run('fstat', (fs, fd) => fstat(fs, fd, options));
  }

  truncate(len?: number | null): Promise<void> {
    return this.#run('ftruncate', (fs, fd) => ftruncate(fs, fd, len));
  }

  utimes(atime: TimeLike, mtime: TimeLike): Promise<void> {
    return this.#run('futime', (fs, fd) => futimes(fs, fd, atime, mtime));
  }

  write<D extends ArrayBufferView | string>(
    data: D,
    offset?: number | ReadOptions | null,
    length?: number | string | null,
    position?: number | null,
  ): Promise<BytesWritten<D>> {
    return this.#run('write', (fs, fd) => write(fs, fd, data, offset, length, position));
  }

  writev<B extends ArrayBufferView>(
    buffers: readonly B[],
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffers: readonly B[] }> {
    return this.#run('write', (fs, fd) => writev(fs, fd, buffers, position));
  }

  writeFile(data: PiecewiseContent, options?: OptionsLike<WriteFileOptions>): Promise<void> {
    return this.#run('write', (fs, fd) => writePieces(fs, fd, data, options, 'w'));
  }

  /** A web stream of what is left to read. Once, and not on a closed handle. */
  readableWebStream(): ReadableStreamLike {
    if (this.#fd < 0) throw withCode(new Error('The FileHandle is closed'), 'ERR_INVALID_STATE');
    const { ReadableStream } = globalThis as unknown as { ReadableStream?: StreamConstructor };
    if (ReadableStream === undefined) {
      throw argumentError('ERR_METHOD_NOT_IMPLEMENTED', 'The readableWebStream() method is not implemented');
    }
    return new ReadableStream({
      type: 'bytes',
      pull: async (controller) => {
        const bytes = this.#fs.codec.allocate(CHUNK);
        const length = await this.#run('read', (fs, fd) => readFrom(fs, fs.descriptor(fd, 'read'), bytes, undefined));
        if (length > 0) controller.enqueue(bytes.subarray(0, length));
        else {
          controller.close();
          controller.byobRequest?.respond(0);
        }
      },
    });
  }

  /** Waits for what is under way. A second call waits for the first. */
  close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    if (this.#fd < 0) return Promise.resolve();
    const fd = this.#fd;
    this.#closing = Promise.allSettled(this.#pending).then(async () => {
      this.#fd = -1;
      await runAsync(close(this.#fs, fd));
      this.#closing = undefined;
    });
    return this.#closing;
  }

  #run<T>(syscall: string, operation: (fs: Context, fd: number) => Operation<T>): Promise<T> {
    if (this.#fd < 0 || this.#closing !== undefined) {
      const error = Object.assign(withCode(new Error('file closed'), 'EBADF'), { syscall });
      return Promise.reject(error);
    }
    const running = runAsync(operation(this.#fs, this.#fd));
    this.#pending.add(running);
    const done = (): boolean => this.#pending.delete(running);
    running.then(done, done);
    return running;
  }
}

const CHUNK = 1 << 16;

interface StreamController {
  enqueue(bytes: Uint8Array): void;
  close(): void;
  readonly byobRequest?: { respond(length: number): void } | null;
}
type StreamConstructor = new (source: {
  type: 'bytes';
  pull(controller: StreamController): Promise<void>;
}) => ReadableStreamLike;

/** What of a web stream is relied on; it is the platform's own `ReadableStream`. */
export interface ReadableStreamLike extends AsyncIterable<Uint8Array> {
  readonly locked: boolean;
  getReader(): { read(): Promise<{ done: boolean; value?: Uint8Array }>; cancel(): Promise<void> };
  cancel(reason?: unknown): Promise<void>;
}

/** `fs.promises.open`. */
export function* openHandle(
  fs: Context,
  path: PathLike,
  flags?: FlagsLike | null,
  mode?: ModeLike | null,
): Operation<FileHandle> {
  const fd = yield* open(fs, path, flags, mode);
  return fs.options.fileHandle?.(fs, fd) ?? new FileHandle(fs, fd);
}
