/**
 * Removing names (overlayfs: dir.c, "whiteouts and opaque directories"). What exists only in the upper is unlinked; what
 * the layers below also show is replaced by a whiteout, in one step.
 */
import { S_IFCHR } from './attributes.js';
import { copyUp, linkStaged } from './copy-up.js';
import { coversBelow } from './create.js';
import { FsError } from './errors.js';
import { type Inode, nextLink, type Stack } from './inode.js';
import type { LayerNode, NewObject, Occupant, Place } from './layer.js';
import { list, require } from './lookup.js';
import { maybe, type Operation, wait } from './run.js';

type Removal = 'unlink' | 'rmdir';

/** See `Overlay.unlink`, `Overlay.rmdir`. */
export function* removeName(stack: Stack, dir: Inode, name: string, syscall: Removal): Operation<void> {
  const inode = yield* removable(stack, dir, name, syscall);
  if (inode.isDirectory) yield* checkEmpty(stack, inode, name);
  stack.writable();
  if (coversBelow(stack, dir, name)) yield* copyUp(stack, dir);
  yield* maybe(stack.index?.prepareLoss(inode, dir, name));
  yield* stack.namespace.hold(remove(stack, dir, name, syscall));
}

/** As {@link require}, without its attributes: a layer call less where the entry is known. Throws EISDIR, ENOTDIR. */
function* removable(stack: Stack, dir: Inode, name: string, syscall: Removal): Operation<Inode> {
  const known = stack.options.revalidation === undefined ? dir.children?.get(name) : undefined;
  const inode = known ?? (yield* require(stack, dir, name, syscall)).inode;
  const { isDirectory } = inode;
  if (isDirectory === (syscall === 'rmdir')) return inode;
  throw new FsError(isDirectory ? 'EISDIR' : 'ENOTDIR', { syscall, path: name });
}

/** Under the namespace lock. */
function* remove(stack: Stack, dir: Inode, name: string, syscall: Removal): Operation<void> {
  const inode = yield* removable(stack, dir, name, syscall); // again: it may be another by now
  inode.pins++;
  try {
    if (inode.isDirectory) yield* checkEmpty(stack, inode, name); // again: somebody may have been faster
    const covers = coversBelow(stack, dir, name);
    const inUpper = stack.inUpper(inode, dir, name);
    const occupant: Occupant = inUpper ? occupantOf(inode) : 'nothing';
    const place = { dir: dir.upper as LayerNode, name };
    const other = yield* otherNode(stack, dir, name, inode);
    yield* maybe(stack.index?.record(inode));
    if (covers) yield* cover(stack, place, occupant, keptNode(inode));
    else yield* wait(stack.writable().commit({ kind: 'unlink', from: place, occupant, keep: keptNode(inode) }));
    nameVanished(stack, dir, name, inode, covers, other);
    yield* maybe(stack.index?.lost(inode, inUpper ? 'upper' : 'lower'));
  } finally {
    inode.pins--;
  }
}

const WHITEOUT: NewObject = { mode: S_IFCHR, uid: 0, gid: 0, rdev: 0 };

function* cover(stack: Stack, to: Place, over: Occupant, keep: LayerNode | undefined): Operation<void> {
  const upper = stack.writable();
  const alone = over === 'nothing' && keep === undefined; // whole by itself, where nothing has to make room
  const { node } = yield* wait(alone ? upper.create(to, WHITEOUT) : upper.stage(WHITEOUT));
  if (alone) return;
  yield* linkStaged(upper, node, undefined, { to, over, keep });
}

export function* checkEmpty(stack: Stack, dir: Inode, name: string): Operation<void> {
  const listing = dir.listing ?? (yield* list(stack, dir));
  if (listing.size > 0) throw new FsError('ENOTEMPTY', { syscall: 'rmdir', path: name });
}

export function occupantOf(inode: Inode): Occupant {
  return inode.isDirectory ? 'directory' : 'non-directory';
}

/**
 * The upper object that must outlive the loss of a name: it is open, or a directory that somebody may stand in. One that is
 * known under another name is found there again instead, one that the index has in the index.
 */
export function keptNode(inode: Inode): LayerNode | undefined {
  if (inode.union?.entry !== undefined || inode.pending !== undefined) return undefined;
  const held = inode.handles > 0 || (inode.isDirectory && inode.references > 0);
  return held && inode.links === undefined ? inode.upper : undefined;
}

/** The object as found under another of its known names. Asked before the change, after which nothing may fail. */
export function* otherNode(stack: Stack, dir: Inode, name: string, inode: Inode): Operation<LayerNode | undefined> {
  const { dentry } = inode;
  if (inode.union !== undefined) return undefined;
  const other = dentry?.dir === dir && dentry.name === name ? nextLink(inode) : dentry;
  if (other?.dir.upper === undefined) return undefined;
  return (yield* wait(stack.writable().lookup(other.dir.upper, other.name)))?.node;
}

/** Updates the caches after a name is gone. `other` is what {@link otherNode} found. */
export function nameVanished(
  stack: Stack,
  dir: Inode,
  name: string,
  inode: Inode,
  covers: boolean,
  other: LayerNode | undefined,
): void {
  inode.kept = keptNode(inode) !== undefined;
  nameLeft(stack, dir, name, inode, covers, covers);
  if (inode.dentry === undefined) {
    stack.becomeNameless(inode);
    stack.letGo(inode);
  } else if (other !== undefined) stack.place(inode, other);
}

/** As {@link nameVanished}, for an inode that goes on under another name. `leaves`: a whiteout, which need not cover anything. */
export function nameLeft(stack: Stack, dir: Inode, name: string, inode: Inode, leaves: boolean, covers: boolean): void {
  dir.listing?.delete(name);
  if (leaves) (dir.whiteouts ??= new Map()).set(name, { covers, form: 'entry' });
  else dir.whiteouts?.delete(name);
  dir.version++;
  stack.removeDentry(inode, dir, name);
}
