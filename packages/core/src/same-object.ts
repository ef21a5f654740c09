/** Whether two nodes of a layer are one object, for which it may have several. */
import type { Layer, LayerNode } from './layer.js';
import { type Operation, wait } from './run.js';

export function* isOneObject(layer: Layer, a: LayerNode, b: LayerNode): Operation<boolean> {
  if (a === b) return true;
  const one = yield* wait(layer.getattr(a));
  const other = yield* wait(layer.getattr(b));
  return one.ino === other.ino && one.dev === other.dev;
}
