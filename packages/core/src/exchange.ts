/**
 * Exchanging two names in one step (renameat2's RENAME_EXCHANGE; overlayfs: dir.c). Each object is prepared as for a rename
 * to the other's place, see rename.ts; then one change of the upper swaps them.
 */
import { told } from './change-feed.js';
import { copyUp, markImpure } from './copy-up.js';
import { checkLive, coversBelow, nameAppeared } from './create.js';
import { FsError } from './errors.js';
import { meaningOfName } from './format.js';
import type { Inode, Stack } from './inode.js';
import type { LayerNode } from './layer.js';
import { lookup, require } from './lookup.js';
import { checkRecordable, type End, isWithin, namedNode, prepareMove, record } from './rename.js';
import { nameLeft } from './remove.js';
import { maybe, type Operation, wait } from './run.js';

/** Throws ENOENT where one of them is missing, EINVAL where one lies in the other, EXDEV as a rename does. */
export function exchange(
  stack: Stack,
  fromDir: Inode,
  fromName: string,
  toDir: Inode,
  toName: string,
): Operation<void> {
  const operation = exchangeNames(stack, fromDir, fromName, toDir, toName);
  return told(stack, operation, 'rename', { dir: fromDir, name: fromName }, { dir: toDir, name: toName });
}

function* exchangeNames(stack: Stack, fromDir: Inode, fromName: string, toDir: Inode, toName: string): Operation<void> {
  for (let done = false; !done; ) {
    const source = (yield* require(stack, fromDir, fromName, 'rename')).inode;
    const held = [source, fromDir, toDir]; // a deep copy-up lets go of much
    for (const inode of held) inode.pins++;
    try {
      const target = (yield* lookup(stack, toDir, toName))?.inode;
      if (target === undefined) throw new FsError('ENOENT', { syscall: 'rename', path: fromName, dest: toName });
      held.push(target);
      target.pins++;
      const a = { dir: fromDir, name: fromName, inode: source };
      done = yield* exchangeEnds(stack, a, { dir: toDir, name: toName, inode: target });
    } finally {
      for (const inode of held) inode.pins--;
    }
  }
}

function* exchangeEnds(stack: Stack, a: End, b: End): Operation<boolean> {
  checkExchange(stack, a, b);
  if (a.inode === b.inode) return true;
  yield* copyUp(stack, b.dir);
  yield* prepareMove(stack, a.inode, a.dir, b.dir);
  yield* maybe(stack.index?.linkUp(a.inode, a.dir, a.name));
  yield* prepareMove(stack, b.inode, b.dir, a.dir);
  yield* maybe(stack.index?.linkUp(b.inode, b.dir, b.name));
  return yield* stack.namespace.hold(commitExchange(stack, a, b));
}

/** In the order of Linux's do_renameat2 and vfs_rename, since callers see which error comes first. */
function checkExchange(stack: Stack, a: End, b: End): void {
  const inside = (a.inode.isDirectory && isWithin(b.dir, a.inode)) || isWithin(a.dir, b.inode);
  if (inside) throw new FsError('EINVAL', { syscall: 'rename', path: a.name, dest: b.name });
  if (a.inode !== b.inode) {
    checkRecordable(stack, a.inode, a.dir, b.dir);
    checkRecordable(stack, b.inode, b.dir, a.dir);
  }
  stack.writable();
  checkLive(b.dir, stack, b.name);
  if (meaningOfName(b.name).kind !== 'entry') throw new FsError('EINVAL', { syscall: 'rename', path: b.name });
}

/** Under the namespace lock. False when the names changed since they were looked up: the caller starts again. */
function* commitExchange(stack: Stack, a: End, b: End): Operation<boolean> {
  for (const { dir, name, inode } of [a, b]) if ((yield* lookup(stack, dir, name))?.inode !== inode) return false;
  if (b.dir.upper === undefined) return false;
  checkExchange(stack, a, b); // ancestry may have changed too
  if (!stack.inUpper(a.inode, a.dir, a.name) || !stack.inUpper(b.inode, b.dir, b.name)) return false;
  if (!(yield* record(stack, a.inode, a.dir, b.dir)) || !(yield* record(stack, b.inode, b.dir, a.dir))) return false;
  if (a.inode.hasOrigin) yield* markImpure(stack, b.dir);
  if (b.inode.hasOrigin) yield* markImpure(stack, a.dir);
  yield* wait(stack.writable().commit({ kind: 'exchange', a: yield* place(stack, a), b: yield* place(stack, b) }));
  const [atA, atB] = [a, b].map(({ dir, name }) => dir.listing?.get(name));
  const covers = [a, b].map(({ dir, name }) => coversBelow(stack, dir, name));
  for (const [i, { dir, name, inode }] of [a, b].entries()) {
    nameLeft(stack, dir, name, inode, covers[i] as boolean, covers[i] as boolean);
  }
  nameAppeared(stack, a.dir, a.name, b.inode, atB?.ino ?? b.inode.ino, atA?.cookie);
  nameAppeared(stack, b.dir, b.name, a.inode, atA?.ino ?? a.inode.ino, atB?.cookie);
  return true;
}

function* place(stack: Stack, end: End): Operation<{ dir: LayerNode; name: string; node: LayerNode }> {
  return { dir: end.dir.upper as LayerNode, name: end.name, node: yield* namedNode(stack, end) };
}
