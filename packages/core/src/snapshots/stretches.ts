/**
 * What becomes of the stack of layers at a checkpoint and at a rollback. A layer keeps its index for as long as the overlay
 * lives: new ones get smaller ones, and those of dropped layers are not given again. So listings, lower parts and the places
 * of redirects that are known go on to be true, and a checkpoint touches no inode but the root.
 */
import type { Inode, Real, Stack } from '../inode.js';
import type { Layer, UpperLayer } from '../layer.js';
import { GONE } from './layers-gone.js';
import { SealedLayer } from './sealed-layer.js';

/** Puts a fresh upper on top; the present one becomes the first of the lower layers. */
export function putOnTop(stack: Stack, upper: UpperLayer): void {
  stack.stretch.leave = (inode) => sink(stack, inode);
  const [before, ...below] = stack.layers as [Layer, ...Layer[]];
  stack.layers = [upper, before === GONE ? GONE : new SealedLayer(stack, before), ...below];
  stack.first--;
  stack.firstLower--;
  stack.upper = upper;
  stack.stretch = { index: stack.first };
  const { root } = stack;
  sink(stack, root);
  root.parts = root.lower.filter(({ layer }) => stack.layer(layer) !== GONE);
  stack.place(root, upper.root);
}

/** Takes all layers above `base` away, the upper too: {@link putOnTop} comes next. */
export function dropAbove(stack: Stack, base: number): Layer[] {
  const above = base - stack.first;
  const dropped = stack.layers.slice(0, above);
  stack.layers = [...dropped.map(() => GONE), ...stack.layers.slice(above)];
  stack.origins = stack.origins.filter(({ layer }) => layer >= base);
  return dropped;
}

/** An object of what was the upper is from now on the topmost lower one. */
function sink(stack: Stack, inode: Inode): void {
  const { own } = inode;
  if (own === undefined) return;
  inode.own = undefined;
  const part: Real = { layer: own.stretch.index, node: own.node };
  inode.hasOrigin = false;
  if (inode.isDirectory) {
    inode.parts = [part, ...inode.lower];
    inode.opaque = inode.redirect = inode.impure = inode.whiteouts = undefined;
    return;
  }
  inode.layer = part.layer;
  inode.node = part.node;
  if (inode.data !== undefined) inode.data = inode.redirect = undefined;
  stack.unalias(inode);
  // Each name of a lower file gets its own copy, so each is a file of its own from here on.
  const { links } = inode;
  inode.links = undefined;
  for (const { dir, name } of links?.values() ?? []) if (dir.children?.get(name) === inode) dir.children.delete(name);
}
