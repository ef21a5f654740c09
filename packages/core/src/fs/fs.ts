/** The whole of it in one object, as `node:fs` is one. */
import type { Overlay } from '../overlay.js';
import { type Mode, runAsync } from '../run.js';
import { endWith } from './argument-error.js';
import type { OptionsLike, PathLike } from './arguments.js';
import { callbackFs } from './callback.js';
import * as constants from './constants.js';
import type { FaceOptions } from './context.js';
import { Dir } from './dir.js';
import { Dirent } from './dirent.js';
import { glob, type GlobOptions } from './glob.js';
import * as allFunctions from './all-functions.js';
import * as promiseFunctions from './promise-functions.js';
import { promisesFs } from './promises.js';
import { received } from './received.js';
import type { CallbackFs, PromisesFs, SyncFs } from './signatures.js';
import { Stats } from './stats.js';
import { syncFs } from './sync.js';
import { WaitingContext } from './waiting.js';
import { watchEvents, type WatchEvent, type WatchOptions } from './watch.js';

/** The numbers of `fs.constants`, as Linux has them. */
export type Constants = Omit<typeof constants, 'flagsOf'>;

/** What `fs.promises` has beside its functions. */
export interface PromisesExtras {
  readonly constants: Constants;
  /** What happens to a file or in a directory, until the loop is left or the signal given. */
  watch(path: PathLike, options?: OptionsLike<WatchOptions>): AsyncGenerator<WatchEvent, void>;
  glob(pattern: string | readonly string[], options?: GlobOptions): AsyncGenerator<string | Dirent, void>;
}

/** All of `fs.promises` that an overlay can answer. */
export type FsPromises = PromisesFs<typeof promiseFunctions> & PromisesExtras;

/** What `fs` has beside its functions. */
export interface FsExtras {
  readonly constants: Constants;
  readonly promises: FsPromises;
  readonly Dir: typeof Dir;
  readonly Dirent: typeof Dirent;
  readonly Stats: typeof Stats;
  readonly F_OK: number;
  readonly R_OK: number;
  readonly W_OK: number;
  readonly X_OK: number;
}

/** All of `fs` over layers that may be asynchronous: callbacks and promises. */
export type AsyncFs = CallbackFs<typeof allFunctions> & FsExtras;
/** All of `fs` over synchronous layers. */
export type Fs = SyncFs<typeof allFunctions> & AsyncFs;

/** All faces of an overlay in one object. Over asynchronous layers, without the synchronous functions. */
export function createFs(overlay: Overlay<'sync'>, options?: FaceOptions): Fs;
export function createFs(overlay: Overlay<Mode>, options?: FaceOptions): AsyncFs;
export function createFs(overlay: Overlay<Mode>, options?: FaceOptions): Fs | AsyncFs {
  endWith(received);
  const { flagsOf: _flagsOf, ...numbers } = constants;
  const fs = new WaitingContext(overlay, 'promises', options);
  const promises: FsPromises = {
    ...promisesFs(overlay, options, promiseFunctions),
    constants: numbers,
    watch: (path, watchOptions) => watchEvents(fs, path, watchOptions, runAsync),
    async *glob(pattern, globOptions) {
      yield* await runAsync(glob(fs, pattern, globOptions));
    },
  };
  const { F_OK, R_OK, W_OK, X_OK } = numbers;
  return {
    ...syncFs(overlay as Overlay<'sync'>, options, allFunctions),
    ...callbackFs(overlay, options, allFunctions),
    promises,
    constants: numbers,
    Dir,
    Dirent,
    Stats,
    F_OK,
    R_OK,
    W_OK,
    X_OK,
  };
}
