/**
 * The faces of the root entry, with the functions by path. Those of `@ovl/core/fs` take any group of functions instead, and
 * bundle no other.
 */
import type { Overlay } from '../overlay.js';
import type { Mode } from '../run.js';
import { callbackFs as callbackFsOf } from './callback.js';
import type { FaceOptions } from './context.js';
import * as pathFunctions from './path-functions.js';
import { promisesFs as promisesFsOf } from './promises.js';
import type { CallbackFs, PromisesFs, SyncFs } from './signatures.js';
import { syncFs as syncFsOf } from './sync.js';

/** The functions by path that most programs need, ending in `Sync`. */
export function syncFs(overlay: Overlay<'sync'>, options?: FaceOptions): SyncFs {
  return syncFsOf(overlay, options, pathFunctions);
}

/** The same, calling back with an error or null, and their answer. */
export function callbackFs(overlay: Overlay<Mode>, options?: FaceOptions): CallbackFs {
  return callbackFsOf(overlay, options, pathFunctions);
}

/** The same, returning promises, over any layers. */
export function promisesFs(overlay: Overlay<Mode>, options?: FaceOptions): PromisesFs {
  return promisesFsOf(overlay, options, pathFunctions);
}
