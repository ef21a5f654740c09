/**
 * Renaming (overlayfs: dir.c, "renaming directories"). Whatever the move needs besides itself (copies, redirects, opaque
 * marks) is done before it and changes nothing in view; the move is one change of the upper.
 */
import { S_IFDIR } from './attributes.js';
import { copyUp, copyUpToMove, copyXattrs, linkStaged, markImpure, restoreAttributes, setMark } from './copy-up.js';
import { checkLive, coversBelow, nameAppeared, setOpaque, whiteoutAt } from './create.js';
import { FsError } from './errors.js';
import { meaningOfName, REDIRECT_MAX } from './format.js';
import type { Inode, Stack } from './inode.js';
import type { LayerNode } from './layer.js';
import { list, lookup, require } from './lookup.js';
import { byteLength } from './names.js';
import type { DeepCopyUp } from './options.js';
import { type DirectoryMove, lowerName, lowerPath, planDirectoryMove } from './redirect.js';
import { checkEmpty, keptNode, nameLeft, nameVanished, occupantOf, otherNode } from './remove.js';
import { maybe, type Operation, wait } from './run.js';

/**
 * renameat2's flags; for its "exchange" see exchange.ts. "whiteout" leaves one in the upper also where nothing would show through; nobody sees it, for a
 * whiteout in a merged view is an absent name.
 */
export type RenameFlag = 'noreplace' | 'whiteout' | 'noreplace-whiteout';

/** A name and what it stands for. */
export interface End {
  dir: Inode;
  name: string;
  inode: Inode;
}

/** See `Overlay.rename`. */
export function* rename(
  stack: Stack,
  fromDir: Inode,
  fromName: string,
  toDir: Inode,
  toName: string,
  flag?: RenameFlag,
): Operation<void> {
  for (let done = false; !done; ) {
    const source = (yield* require(stack, fromDir, fromName, 'rename')).inode;
    const held = [source, fromDir, toDir]; // a deep copy-up lets go of much
    for (const inode of held) inode.pins++;
    try {
      done = yield* renameInode(stack, { dir: fromDir, name: fromName, inode: source }, toDir, toName, flag);
    } finally {
      for (const inode of held) inode.pins--;
    }
  }
}

function* renameInode(
  stack: Stack,
  from: End,
  toDir: Inode,
  toName: string,
  flag: RenameFlag | undefined,
): Operation<boolean> {
  const source = from.inode;
  const target = (yield* lookup(stack, toDir, toName))?.inode;
  if (target !== undefined) target.pins++;
  try {
    yield* checkRename(stack, from, toDir, toName, target, flag);
    if (target === source) return true; // two names of one object, or one name: POSIX asks for nothing to happen
    yield* copyUp(stack, toDir);
    yield* prepareMove(stack, source, from.dir, toDir);
    yield* maybe(stack.index?.linkUp(source, from.dir, from.name));
    if (target !== undefined) yield* maybe(stack.index?.prepareLoss(target, toDir, toName));
    return yield* stack.namespace.hold(commitRename(stack, from.dir, from.name, toDir, toName, flag, source, target));
  } finally {
    if (target !== undefined) target.pins--;
  }
}

/** In the order of Linux's do_renameat2 and vfs_rename, since callers see which error comes first. */
function* checkRename(
  stack: Stack,
  from: End,
  toDir: Inode,
  toName: string,
  target: Inode | undefined,
  flag: RenameFlag | undefined,
): Operation<void> {
  const { inode: source } = from;
  const fail = (code: 'EEXIST' | 'EINVAL' | 'ENOTDIR' | 'EISDIR' | 'ENOTEMPTY'): never => {
    throw new FsError(code, { syscall: 'rename', path: from.name, dest: toName });
  };
  if (target !== undefined && flag?.startsWith('noreplace') === true) fail('EEXIST');
  if (source.isDirectory && isWithin(toDir, source)) fail('EINVAL');
  if (target !== undefined && isWithin(from.dir, target)) fail('ENOTEMPTY');
  if (target !== undefined && target !== source) {
    if (source.isDirectory && !target.isDirectory) fail('ENOTDIR');
    if (!source.isDirectory && target.isDirectory) fail('EISDIR');
  }
  if (target !== source) {
    checkRecordable(stack, source, from.dir, toDir); // overlayfs asks this before it looks into the target
    if (target?.isDirectory === true) yield* checkEmpty(stack, target, toName);
  }
  stack.writable();
  checkLive(toDir, stack, toName);
  if (meaningOfName(toName).kind !== 'entry') fail('EINVAL');
}

/** Whether `inode` is `ancestor` or lies below it. */
export function isWithin(inode: Inode, ancestor: Inode): boolean {
  for (let at: Inode | undefined = inode; at !== undefined; at = at.dentry?.dir) if (at === ancestor) return true;
  return false;
}

function movePlan(stack: Stack, inode: Inode, from: Inode, to: Inode): DirectoryMove {
  if (!inode.isDirectory) return { kind: 'plain' };
  const { opaque, redirect } = inode;
  const merges = inode.lower.length > 0;
  const { directoryMoves: moves } = stack;
  const sameParent = from === to;
  const targetParentMerges = to.lower.length > 0;
  const plan = planDirectoryMove({ merges, opaque, redirect, sameParent, targetParentMerges, moves });
  const tooLong =
    plan.kind === 'redirect' && byteLength(redirectOf(inode, plan.scope)) > (stack.options.redirectMax ?? REDIRECT_MAX);
  return tooLong ? { kind: 'copy' } : plan;
}

/** Throws EXDEV for a directory whose move would have to be recorded, where none may be; before anything is written. */
export function checkRecordable(stack: Stack, inode: Inode, from: Inode, to: Inode): void {
  const { kind } = movePlan(stack, inode, from, to);
  const possible = kind !== 'cross-device' && (kind !== 'copy' || stack.options.deepCopyUp !== undefined);
  if (!possible) throw new FsError('EXDEV', { syscall: 'rename' });
}

function redirectOf(inode: Inode, scope: 'name' | 'path'): string {
  return scope === 'name' ? lowerName(inode) : lowerPath(inode);
}

/** Brings into the upper what the move needs there. Nothing changes in view. */
export function* prepareMove(stack: Stack, inode: Inode, from: Inode, to: Inode): Operation<void> {
  yield* copyUpToMove(stack, inode);
  if (inode.dentry === undefined) return; // removed meanwhile, as the commit sees
  if (movePlan(stack, inode, from, to).kind === 'copy') yield* (stack.options.deepCopyUp as DeepCopyUp)(stack, inode);
}

/** Records what the move needs. Nothing changes in view. False if names changed since {@link prepareMove}. */
export function* record(stack: Stack, inode: Inode, from: Inode, to: Inode): Operation<boolean> {
  if (!inode.isDirectory) {
    if (inode.data === undefined) return true;
    if (stack.options.metacopy?.canRecordPlace(stack, inode) !== true) return false;
    yield* stack.options.metacopy.recordPlace(stack, inode);
    return true;
  }
  const plan = movePlan(stack, inode, from, to);
  const node = inode.upper as LayerNode;
  if (plan.kind === 'copy') return false;
  if (plan.kind === 'redirect') {
    const redirect = redirectOf(inode, plan.scope);
    yield* setMark(stack, node, 'redirect', redirect);
    inode.redirect = redirect;
  } else if (plan.kind === 'opaque') {
    yield* setOpaque(stack, node);
    inode.opaque = true;
  }
  return true;
}

/** Under the namespace lock. False when the names changed since they were looked up: the caller starts again. */
function* commitRename(
  stack: Stack,
  fromDir: Inode,
  fromName: string,
  toDir: Inode,
  toName: string,
  flag: RenameFlag | undefined,
  source: Inode,
  target: Inode | undefined,
): Operation<boolean> {
  const sourceNow = (yield* lookup(stack, fromDir, fromName))?.inode;
  const targetNow = (yield* lookup(stack, toDir, toName))?.inode;
  if (sourceNow !== source || targetNow !== target || toDir.upper === undefined) return false;
  const from: End = { dir: fromDir, name: fromName, inode: source };
  yield* checkRename(stack, from, toDir, toName, target, flag); // emptiness and ancestry may have changed too

  if (!stack.inUpper(source, fromDir, fromName)) return false;
  if (!(yield* record(stack, source, fromDir, toDir))) return false;
  if (source.hasOrigin) yield* markImpure(stack, toDir);
  if (target?.isDirectory === true && target.upper !== undefined) yield* clearWhiteouts(stack, toDir, toName, target);
  const covers = coversBelow(stack, fromDir, fromName);
  const leaves = covers || flag?.endsWith('whiteout') === true;
  const inUpper = target !== undefined && stack.inUpper(target, toDir, toName);
  const over = inUpper ? occupantOf(target) : whiteoutAt(toDir, toName);
  const other = target === undefined ? undefined : yield* otherNode(stack, toDir, toName, target);
  if (target !== undefined) yield* maybe(stack.index?.record(target));
  const node = yield* namedNode(stack, from);
  yield* wait(
    stack.writable().commit({
      kind: 'rename',
      node,
      from: { dir: fromDir.upper as LayerNode, name: fromName },
      to: { dir: toDir.upper, name: toName },
      over,
      leave: leaves ? 'whiteout' : 'nothing',
      keep: target === undefined ? undefined : keptNode(target),
    }),
  );
  const ino = fromDir.listing?.get(fromName)?.ino ?? source.ino;
  const cookie = toDir.listing?.get(toName)?.cookie;
  if (target !== undefined) nameVanished(stack, toDir, toName, target, coversBelow(stack, toDir, toName), other);
  nameLeft(stack, fromDir, fromName, source, leaves, covers);
  nameAppeared(stack, toDir, toName, source, ino, cookie);
  if (target !== undefined) yield* maybe(stack.index?.lost(target, inUpper ? 'upper' : 'lower'));
  return true;
}

/** The upper object by this very name. */
export function* namedNode(stack: Stack, { dir, name, inode }: End): Operation<LayerNode> {
  return (yield* maybe(stack.index?.nodeAt(inode, dir, name))) ?? (inode.upper as LayerNode);
}

/**
 * A directory that looks empty may hold whiteouts, and no host renames over such a one. It first gives way to an empty
 * opaque copy of itself, which looks the same.
 */
function* clearWhiteouts(stack: Stack, dir: Inode, name: string, target: Inode): Operation<void> {
  const listing = target.whiteouts ?? ((yield* list(stack, target)) && target.whiteouts);
  if (listing === undefined || listing.size === 0) return;
  const upper = stack.writable();
  const attributes = yield* wait(upper.getattr(target.upper as LayerNode));
  const { uid, gid } = attributes;
  const { node } = yield* wait(upper.stage({ mode: S_IFDIR | (attributes.mode & 0o7777), uid, gid }));
  function* dress(): Operation<void> {
    const names = yield* wait(upper.listxattr(target.upper as LayerNode));
    yield* copyXattrs(stack, { layer: stack.first, node: target.upper as LayerNode }, names, node);
    yield* setOpaque(stack, node);
    yield* restoreAttributes(upper, node, attributes);
  }
  const to = { dir: dir.upper as LayerNode, name };
  yield* linkStaged(upper, node, dress(), { to, over: 'directory', keep: keptNode(target) });
  if (keptNode(target) === undefined) stack.place(target, node);
  target.whiteouts = undefined;
  target.opaque = true;
}
