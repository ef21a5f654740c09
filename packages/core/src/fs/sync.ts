/** The synchronous face. The types refuse an overlay with an asynchronous layer. */
import type { Overlay } from '../overlay.js';
import { runSync } from '../run.js';
import { Context, type FaceOptions } from './context.js';
import { faceOf, type Group } from './face.js';
import type { SyncFs } from './signatures.js';

/** Functions ending in `Sync`: those of `group`. */
export function syncFs<G extends Group>(
  overlay: Overlay<'sync'>,
  options: FaceOptions | undefined,
  group: G,
): SyncFs<G>;
export function syncFs(overlay: Overlay<'sync'>, options: FaceOptions | undefined, group: Group): object {
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
