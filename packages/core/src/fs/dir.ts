/** As `fs.Dir`: an open directory, read entry by entry. */
import { runAsync, runSync, type Operation } from '../run.js';
import { argumentError, withCode } from './argument-error.js';
import { type OptionsLike, type PathLike, toBoolean, toFunction, toInteger, toOptions, toPath } from './arguments.js';
import type { Context } from './context.js';
import { Dirent } from './dirent.js';
import { type EncodingOption, spelled } from './names.js';
import { entriesOf } from './directories.js';
import { defer } from './waiting.js';

/** What `opendir` takes. */
export interface OpendirOptions extends EncodingOption {
  /** Entries read at once; checked, and without effect here: a directory's listing is frozen when it is opened. */
  bufferSize?: number | undefined;
  recursive?: boolean | undefined;
}

type Callback<T extends unknown[]> = (error: Error | null, ...result: T) => void;

/** Opens a directory for reading its entries one by one. Throws ENOENT, ENOTDIR. */
export function* opendir(fs: Context, path: PathLike, options?: OptionsLike<OpendirOptions>): Operation<Dir> {
  const at = toPath(path);
  const { encoding, bufferSize, recursive } = toOptions<OpendirOptions>(options, fs.codec);
  if (bufferSize !== undefined) toInteger(bufferSize, 'options.bufferSize', 1, 2 ** 32 - 1);
  if (recursive !== undefined && recursive !== null) toBoolean(recursive, 'options.recursive');
  const entries = yield* entriesOf(fs, at, 'opendir');
  return new Dir(fs, at, entries, encoding, recursive === true);
}

/**
 * An open directory, as `fs.Dir`. Its listing is that of the moment it was opened; reads under way come one after the
 * other.
 */
export class Dir {
  /** As it was given to `opendir`. */
  readonly path: string;
  readonly #fs: Context;
  readonly #encoding: string | null | undefined;
  readonly #recursive: boolean;
  #entries: { name: string; type: number; parent: string }[];
  #isClosed = false;
  /** Reads under way: they come one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #pending = 0;

  constructor(
    fs: Context,
    path: string,
    entries: { name: string; type: number }[],
    encoding: string | null | undefined,
    recursive: boolean,
  ) {
    if (path === undefined) throw argumentError('ERR_MISSING_ARGS', 'The "path" argument must be specified');
    this.#fs = fs;
    this.path = path;
    this.#encoding = encoding;
    this.#recursive = recursive;
    this.#entries = entries.map((entry) => ({ ...entry, parent: path }));
  }

  /** The next entry, or null at the end. Throws ERR_DIR_CLOSED. */
  readSync(): Dirent<string | Uint8Array> | null {
    this.#checkOpen();
    this.#checkIdle();
    return runSync(this.#next());
  }

  read(): Promise<Dirent<string | Uint8Array> | null>;
  read(callback: Callback<[Dirent<string | Uint8Array> | null]>): void;
  read(callback?: Callback<[Dirent<string | Uint8Array> | null]>): Promise<Dirent<string | Uint8Array> | null> | void {
    return this.#later(callback, () => {
      this.#checkOpen();
      return this.#inTurn(() => runAsync(this.#next()));
    });
  }

  closeSync(): void {
    this.#checkOpen();
    this.#checkIdle();
    this.#isClosed = true;
  }

  close(): Promise<void>;
  close(callback: Callback<[]>): void;
  close(callback?: Callback<[]>): Promise<void> | void {
    return this.#later(callback, () => {
      this.#checkOpen();
      this.#isClosed = true;
      return this.#inTurn(async () => undefined);
    });
  }

  async *entries(): AsyncGenerator<Dirent<string | Uint8Array>, void> {
    try {
      for (;;) {
        const entry = await this.read();
        if (entry === null) return;
        yield entry;
      }
    } finally {
      if (!this.#isClosed) await this.close();
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Dirent<string | Uint8Array>, void> {
    return this.entries();
  }

  *#next(): Operation<Dirent<string | Uint8Array> | null> {
    const entry = this.#entries.shift();
    if (entry === undefined) return null;
    const { name, type, parent } = entry;
    if (this.#recursive && type === 4) {
      const path = `${parent}/${name}`;
      const below = yield* entriesOf(this.#fs, path, 'opendir');
      this.#entries.push(...below.map((each) => ({ ...each, parent: path })));
    }
    return new Dirent(spelled(this.#fs, name, this.#encoding), parent, type);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#pending++;
    const result = this.#queue.then(work).finally(() => this.#pending--);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** A promise, or a callback in its place. */
  #later<T>(callback: Callback<[T]> | Callback<[]> | undefined, work: () => Promise<T>): Promise<T> | void {
    if (callback === undefined) return new Promise<T>((resolve) => resolve(work()));
    const done = toFunction(callback, 'callback') as (error: unknown, value?: T) => void;
    void new Promise<T>((resolve) => resolve(work())).then(
      (value) => defer(this.#fs, () => (value === undefined ? done(null) : done(null, value))),
      (error: unknown) => defer(this.#fs, () => done(error)),
    );
  }

  #checkOpen(): void {
    if (this.#isClosed) throw withCode(new Error('Directory handle was closed'), 'ERR_DIR_CLOSED');
  }

  #checkIdle(): void {
    if (this.#pending === 0) return;
    const message = 'Cannot do synchronous work on directory handle with concurrent asynchronous operations';
    throw withCode(new Error(message), 'ERR_DIR_CONCURRENT_OPERATION');
  }
}
