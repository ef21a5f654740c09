/**
 * The layers that were taken out of the stack while some of their files were open: such a layer keeps its places for as long, so
 * that who has a file open goes on reading it, and no longer, so that nothing else keeps it in memory.
 */
import type { OpenHandle } from '../file.js';
import type { Stack } from '../inode.js';
import type { Layer } from '../layer.js';
import { vacate } from './lower-places.js';

export class NeededLayers {
  readonly #handles = new Map<Layer, Set<OpenHandle>>();

  /** A layer was taken out, while these files are open. */
  tookOut(stack: Stack, layer: Layer, open: Iterable<OpenHandle>): void {
    const handles = new Set<OpenHandle>();
    for (const handle of open) if (needs(stack, handle, layer)) handles.add(handle);
    if (handles.size > 0) this.#handles.set(layer, handles);
    else vacate(stack, layer);
  }

  /** It is back. */
  putBack(layer: Layer): void {
    this.#handles.delete(layer);
  }

  /** A file was closed. */
  released(stack: Stack, handle: OpenHandle): void {
    for (const [layer, handles] of this.#handles) {
      if (!handles.delete(handle) || handles.size > 0) continue;
      this.#handles.delete(layer);
      vacate(stack, layer);
    }
  }
}

function needs(stack: Stack, { inode }: OpenHandle, layer: Layer): boolean {
  const { upper, layer: index, data } = inode;
  const own = upper === undefined && stack.layer(index) === layer;
  return own || (data !== undefined && stack.layer(data.layer) === layer);
}
