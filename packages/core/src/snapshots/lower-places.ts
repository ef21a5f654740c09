/**
 * The indices of lower layers that come and go. No index is ever given to another layer: what inodes from before know of their
 * layers goes on to be true, and one that is not found again can still be read. So a layer that comes in on top takes an index
 * that nobody had, of some kept free there, and where there is none all lower layers get new ones, and keep the old ones besides.
 */
import type { Real, Stack } from '../inode.js';
import type { Layer } from '../layer.js';
import { GONE } from './layers-gone.js';

export class LowerPlaces {
  /** Indices not given yet, above those of all lower layers. */
  #free = { from: 0, to: 0 };

  /** Puts a layer in before the part `at` of the root and returns its index. O(layers), amortised. */
  insert(stack: Stack, layer: Layer, at: number, formerUppers: number): number {
    const { root } = stack;
    const above = root.lower.slice(0, at);
    const below = root.lower.slice(at);
    const free = this.#free;
    if (at === formerUppers && free.from < free.to) {
      const index = --free.to;
      stack.layers[index - stack.first] = layer;
      root.parts = [...above, { layer: index, node: layer.root }, ...below];
      return index;
    }
    const layerOf = (part: Real): Layer => stack.layer(part.layer);
    const lower = [...above.slice(formerUppers).map(layerOf), layer, ...below.map(layerOf)];
    const dataOnly = stack.layers.slice(stack.firstData - stack.first);
    const from = stack.first + stack.layers.length;
    const to = from + lower.length + dataOnly.length;
    this.#free = { from, to };
    stack.layers.push(...Array<Layer>(to - from).fill(GONE), ...lower, ...dataOnly);
    stack.firstData = to + lower.length;
    const parts = lower.map(({ root: node }, i): Real => ({ layer: to + i, node }));
    root.parts = [...above.slice(0, formerUppers), ...parts];
    return to + at - formerUppers;
  }
}

/** Takes the part of one layer out of the root. */
export function takeOut(stack: Stack, layer: Layer): void {
  const { root } = stack;
  root.parts = root.lower.filter((part) => stack.layer(part.layer) !== layer);
}

/** Nobody reads what lies in a layer any more: its places are empty. */
export function vacate({ layers }: Stack, layer: Layer): void {
  for (const [i, each] of layers.entries()) if (each === layer) layers[i] = GONE;
}
