/** `watch`, `watchFile` and `unwatchFile`: Node's watchers on the overlay's change feed. */
import { EventEmitter } from 'node:events';
import type { BigIntStats, Stats } from 'node:fs';
import type { Overlay } from '@ovl/core';
import { runSync, FsError } from '@ovl/core';
import { Context, type FaceOptions, type PathLike, type SignalLike, type WatchOptions, watchPath } from '@ovl/core/fs';

/** What keeps a process alive, as long as somebody wants it to. */
class Watcher extends EventEmitter {
  readonly #timer = setInterval(() => undefined, 2 ** 30);
  #stop: (() => void) | undefined;

  protected begin(stop: () => void, persistent: boolean): void {
    this.#stop = stop;
    if (!persistent) this.unref();
  }

  /** Whether it was not ended before. */
  protected end(): boolean {
    const stop = this.#stop;
    this.#stop = undefined;
    clearInterval(this.#timer);
    stop?.();
    return stop !== undefined;
  }

  protected get isActive(): boolean {
    return this.#stop !== undefined;
  }

  ref(): this {
    this.#timer.ref();
    return this;
  }

  unref(): this {
    this.#timer.unref();
    return this;
  }
}

/** As `fs.FSWatcher`: emits "change" with the kind of event and the name, "close" at the end. */
export class FSWatcher extends Watcher {
  constructor(fs: Context, path: PathLike, options: WatchOptions | undefined) {
    super();
    try {
      const stop = runSync(
        watchPath(fs, path, options, ({ eventType, filename }) => {
          setImmediate(() => this.isActive && this.emit('change', eventType, filename));
        }),
      );
      this.begin(stop, options?.persistent !== false);
    } catch (error) {
      this.end();
      if (error instanceof FsError) Object.assign(error, { filename: error.path });
      throw error;
    }
  }

  close(): void {
    if (this.end()) setImmediate(() => this.emit('close'));
  }
}

type StatListener = (current: Stats | BigIntStats, previous: Stats | BigIntStats) => void;
export interface WatchFileOptions {
  bigint?: boolean;
  persistent?: boolean;
  interval?: number;
}

/** As `fs.StatWatcher`: emits "change" with what a path is and was. Where nothing is, all numbers are 0. */
class StatWatcher extends Watcher {
  #last: Stats | BigIntStats;
  #isScheduled = false;

  constructor(overlay: Overlay, look: () => Stats | BigIntStats, persistent: boolean) {
    super();
    this.#last = look();
    if (isNothing(this.#last)) setImmediate(() => this.isActive && this.emit('change', this.#last, this.#last));
    const check = (): void => {
      this.#isScheduled = false;
      if (!this.isActive) return;
      const previous = this.#last;
      this.#last = look();
      if (differ(previous, this.#last)) this.emit('change', this.#last, previous);
    };
    const stop = overlay.subscribe(() => {
      if (!this.#isScheduled) setImmediate(check);
      this.#isScheduled = true;
    });
    this.begin(stop, persistent);
  }

  stop(): void {
    if (this.end()) setImmediate(() => this.emit('stop'));
  }
}

function isNothing({ ino, nlink }: Stats | BigIntStats): boolean {
  return Number(ino) === 0 && Number(nlink) === 0;
}

function differ(a: Stats | BigIntStats, b: Stats | BigIntStats): boolean {
  return (Object.keys(a) as (keyof Stats)[]).some(
    (key) => key !== 'atimeMs' && a[key] !== b[key] && !`${key}`.startsWith('atime'),
  );
}

export interface Watchers {
  watch(
    path: PathLike,
    options?: WatchOptions | string | ((event: string, name: string) => void) | null,
    listener?: (event: string, name: string) => void,
  ): FSWatcher;
  watchFile(path: PathLike, options: WatchFileOptions | StatListener, listener?: StatListener): StatWatcher;
  unwatchFile(path: PathLike, listener?: StatListener): void;
}

/** `stat` answers undefined where nothing is. */
export function watchersOf(
  overlay: Overlay,
  options: FaceOptions,
  stat: (path: PathLike, options: { bigint: boolean; throwIfNoEntry: false }) => Stats | BigIntStats | undefined,
  nothing: (bigint: boolean) => Stats | BigIntStats,
  toPath: (path: PathLike) => string,
): Watchers {
  const fs = new Context(overlay, 'callback', options);
  const watched = new Map<string, StatWatcher>();
  return {
    watch(path, given, listener = typeof given === 'function' ? given : undefined) {
      const watchOptions =
        (typeof given === 'string' ? { encoding: given } : typeof given === 'function' ? {} : given) ?? {};
      const watcher = new FSWatcher(fs, path, watchOptions);
      if (listener !== undefined) watcher.on('change', listener);
      const { signal } = watchOptions as { signal?: SignalLike };
      if (signal?.aborted === true) process.nextTick(() => watcher.close());
      else signal?.addEventListener('abort', () => watcher.close(), { once: true });
      return watcher;
    },
    watchFile(path, given, listener = given as StatListener) {
      const at = toPath(path);
      if (typeof listener !== 'function') {
        const error = new TypeError('The "listener" argument must be of type function. Received ' + describe(listener));
        throw Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' });
      }
      const { bigint = false, persistent = true } = typeof given === 'function' ? {} : given;
      let watcher = watched.get(at);
      if (watcher === undefined) {
        const look = (): Stats | BigIntStats => stat(path, { bigint, throwIfNoEntry: false }) ?? nothing(bigint);
        watcher = new StatWatcher(overlay, look, persistent);
        watched.set(at, watcher);
      }
      watcher.on('change', listener);
      return watcher;
    },
    unwatchFile(path, listener) {
      const at = toPath(path);
      const watcher = watched.get(at);
      if (watcher === undefined) return;
      if (listener === undefined) watcher.removeAllListeners('change');
      else watcher.off('change', listener);
      if (watcher.listenerCount('change') > 0) return;
      watcher.stop();
      watched.delete(at);
    },
  };
}

function describe(value: unknown): string {
  return value === undefined || value === null ? `${value}` : `an instance of ${(value as object).constructor.name}`;
}
