/** The synchronous face. The types refuse an overlay with an asynchronous layer. */
import type { Overlay } from '../overlay.js';
import { runSync } from '../run.js';
import { Context, type FaceOptions } from './context.js';
import { faceOf, type Group } from './face.js';
import * as pathFunctions from './path-functions.js';
import type { SyncFs } from './signatures.js';

/** Functions ending in `Sync`: those of `group`, by default the ones by path that most programs need. */
export function syncFs<G extends Group>(
  overlay: Overlay<'sync'>,
  options: FaceOptions | undefined,
  group: G,
): SyncFs<G>;
export function syncFs(overlay: Overlay<'sync'>, options?: FaceOptions): SyncFs;
export function syncFs(overlay: Overlay<'sync'>, options?: FaceOptions, group: Group = pathFunctions): object {
  const fs = new Context(overlay, 'sync', options);
  return faceOf(group, 'Sync', (operation) => (...args) => {
    const answer = runSync(operation(fs, ...args));
    return typeof answer === 'object' && answer !== null ? counted(answer) : answer;
  });
}

/** The synchronous functions answer with the number alone. */
function counted(answer: object): unknown {
  if ('bytesRead' in answer) return answer.bytesRead;
  return 'bytesWritten' in answer ? answer.bytesWritten : answer;
}
