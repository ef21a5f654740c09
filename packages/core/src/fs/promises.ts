/** The promise face. */
import type { Overlay } from '../overlay.js';
import { type Mode, runAsync } from '../run.js';
import type { FaceOptions } from './context.js';
import { faceOf, type Group } from './face.js';
import type { PromisesFs } from './signatures.js';
import { WaitingContext } from './waiting.js';

/** Functions that return promises, over any layers: those of `group`. */
export function promisesFs<G extends Group>(
  overlay: Overlay<Mode>,
  options: FaceOptions | undefined,
  group: G,
): PromisesFs<G>;
export function promisesFs(overlay: Overlay<Mode>, options: FaceOptions | undefined, group: Group): object {
  const fs = new WaitingContext(overlay, 'promises', options);
  return faceOf(
    group,
    '',
    (operation) =>
      (...args) =>
        runAsync(fs.call((call) => operation(call, ...args))),
  );
}
