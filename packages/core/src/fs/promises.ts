/** The promise face. */
import type { Overlay } from '../overlay.js';
import { type Mode, runAsync } from '../run.js';
import { Context, type FaceOptions } from './context.js';
import { faceOf, type Group } from './face.js';
import * as pathFunctions from './path-functions.js';
import type { PromisesFs } from './signatures.js';

/** Functions that return promises, over any layers: those of `group`, by default the ones by path. */
export function promisesFs<M extends Mode, G extends Group = typeof pathFunctions>(
  overlay: Overlay<M>,
  options?: FaceOptions,
  group: G = pathFunctions as unknown as G,
): PromisesFs<G> {
  const fs = new Context(overlay as Overlay, 'promises', options);
  return faceOf(
    fs,
    group,
    '',
    (operation) =>
      (...args) =>
        runAsync(operation(...args)),
  ) as PromisesFs<G>;
}
