/**
 * Copies a whole merged directory up, so that it can be renamed where no redirect can tell its old place: the format has
 * none for this mount, or it would be too long. Each step is an ordinary copy-up, which changes nothing in view; so does
 * the opaque mark on a directory that has all of its content in the upper, deepest first. What remains is a directory of
 * the upper alone, which is renamed as such: a crash at any point leaves the old view or the new one.
 */
import { DT_DIR } from './attributes.js';
import { copyUp, markImpure, recordOrigin } from './copy-up.js';
import { setOpaque } from './create.js';
import { forgetNames, type Inode, settle, type Stack } from './inode.js';
import type { LayerNode } from './layer.js';
import { list, lookup } from './lookup.js';
import { maybe, type Operation, wait } from './run.js';

/** A directory whose content is being copied up, and the names that are still to come. */
interface Level {
  dir: Inode;
  names: string[];
}

/**
 * To be passed to `Overlay.open`. `top` has a name. An error (ENOSPC, EDQUOT, EIO) leaves the view as it was, and in the
 * upper the copies made until then. Memory is bounded by the listings on one path. Not recursive: trees are deeper than the
 * stack allows.
 */
export function* deepCopyUp(stack: Stack, top: Inode): Operation<void> {
  const levels: Level[] = [];
  try {
    yield* enter(stack, top, levels);
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const name = level.names.pop();
      if (name !== undefined) yield* bringUp(stack, level.dir, name, levels);
      else if (yield* stack.namespace.hold(seal(stack, level.dir))) leave(stack, levels);
      else level.names = yield* namesIn(stack, level.dir); // something came in meanwhile
    }
  } finally {
    while (levels.length > 0) leave(stack, levels);
  }
}

function* enter(stack: Stack, dir: Inode, levels: Level[]): Operation<void> {
  dir.pins++; // until `leave`, also if what follows fails
  const level: Level = { dir, names: [] };
  levels.push(level);
  yield* copyUp(stack, dir);
  level.names = yield* namesIn(stack, dir);
}

function* namesIn(stack: Stack, dir: Inode): Operation<string[]> {
  return [...(dir.listing ?? (yield* list(stack, dir))).keys()];
}

function leave(stack: Stack, levels: Level[]): void {
  const { dir } = levels.pop() as Level;
  dir.pins--;
  stack.drop(dir);
}

function* bringUp(stack: Stack, dir: Inode, name: string, levels: Level[]): Operation<void> {
  const inode = (yield* lookup(stack, dir, name))?.inode;
  if (inode === undefined) return;
  if (inode.isDirectory) {
    if (dependsOnPlace(inode)) yield* enter(stack, inode, levels);
    else stack.drop(inode);
    return;
  }
  inode.pins++;
  try {
    yield* copyUp(stack, inode);
    yield* settle(stack, inode);
    yield* maybe(stack.index?.linkUp(inode, dir, name));
  } finally {
    inode.pins--;
    stack.drop(inode);
  }
}

/** Whether a directory's content is found by where it is, and not by a path that it records. */
function dependsOnPlace({ lower, redirect }: Inode): boolean {
  return lower.length > 0 && redirect?.startsWith('/') !== true;
}

/** Under the namespace lock. Marks a directory opaque; false if it still has content below that is not in the upper. */
function* seal(stack: Stack, dir: Inode): Operation<boolean> {
  if (dir.lower[0] === undefined) return true;
  const listing = dir.listing ?? (yield* list(stack, dir));
  for (const [name, { layer, type }] of listing) {
    const isBelow = layer >= stack.firstLower;
    if (!isBelow && type !== DT_DIR) continue;
    const inode = (yield* lookup(stack, dir, name))?.inode;
    if (inode === undefined) continue; // a whiteout that the listing did not show as one
    const waits = isBelow || dependsOnPlace(inode);
    stack.drop(inode);
    if (waits) return false;
  }
  const upper = stack.writable();
  const node = dir.upper as LayerNode;
  // From now on it is its own origin that keeps its inode number.
  if ((yield* wait(upper.getxattr(node, `${stack.prefix}origin`))) === undefined) {
    dir.hasOrigin = (yield* recordOrigin(stack, dir.lower[0], node)) !== undefined;
  }
  if (dir.hasOrigin && dir.dentry !== undefined) yield* markImpure(stack, dir.dentry.dir);
  yield* setOpaque(stack, node);
  dir.opaque = true;
  dir.parts = [];
  forgetNames(stack, dir);
  if (dir.redirect !== undefined) yield* wait(upper.removexattr(node, `${stack.prefix}redirect`));
  dir.redirect = undefined;
  return true;
}
