/**
 * Copy-up: makes an object of a lower layer the upper's own (overlayfs: copy_up.c). The copy is complete, dressed and
 * durable no later than its name, so that a crash leaves the old view or the whole file, and the layers below are only
 * read.
 */
import { type Attributes, isDirectory, isRegular, isSymlink, S_IFDIR, S_IFREG } from './attributes.js';
import { FsError, isFsError } from './errors.js';
import { encodeOrigin, isPrivateXattr, xattrText } from './format.js';
import { type Inode, type Real, settle, type Stack } from './inode.js';
import type { LayerFile, LayerNode, NewObject, Occupant, Place, UpperFile, UpperLayer } from './layer.js';
import type { Metacopies, PendingData } from './options.js';
import { maybe, type Operation, wait } from './run.js';
import { seekOrEnd } from './segments.js';

const BUFFER_SIZE = 1 << 20;

/**
 * Gives `inode` an object in the upper layer, its directories first. Of a file's data, that takes all; at most as many
 * bytes as `wanted` says, for a caller that truncates next: the file appears at that length; or for "metadata" none, where
 * it can stay below. Throws EROFS without an upper.
 */
export function* copyUp(stack: Stack, inode: Inode, wanted: number | 'metadata' = Infinity): Operation<LayerNode> {
  if (inode.upper !== undefined) {
    yield* maybe(stack.index?.nameInUpper(inode));
    if (wanted === 'metadata' || !isRegular(inode.type)) return inode.upper;
    yield* dataOf(stack, inode);
    if (inode.data !== undefined)
      yield* inode.lock.hold((stack.options.metacopy as Metacopies).complete(stack, inode, wanted));
    return inode.upper;
  }
  stack.writable();
  const chain: Inode[] = [];
  for (let at: Inode | undefined = inode; at !== undefined && at.upper === undefined; at = at.dentry?.dir)
    chain.push(at);
  for (const next of chain.reverse()) {
    if (next.upper === undefined) yield* next.lock.hold(copyUpOne(stack, next, next === inode ? wanted : Infinity));
  }
  // Once more if it was renamed meanwhile, or somebody else's copy-up was in flight who wanted less.
  return yield* copyUp(stack, inode, wanted);
}

/** As {@link copyUp}, for an inode that is to get another name: data is found by name, or by where a record says it was. */
export function* copyUpToMove(stack: Stack, inode: Inode): Operation<LayerNode> {
  const node = yield* copyUp(stack, inode, 'metadata');
  yield* settle(stack, inode);
  yield* dataOf(stack, inode);
  const mayStay = inode.data === undefined || stack.options.metacopy?.canRecordPlace(stack, inode) === true;
  return mayStay ? node : yield* copyUp(stack, inode);
}

function* copyUpOne(stack: Stack, inode: Inode, wanted: number | 'metadata'): Operation<void> {
  if (inode.upper !== undefined) return; // somebody else's copy-up was in flight
  const upper = stack.writable();
  const { layer, node, index } = stack.real(inode);
  const source: Real = { layer: index, node };
  const attributes = { ...(yield* wait(layer.getattr(node))), ...inode.shown };
  const xattrs = yield* wait(layer.listxattr(node));
  if (!xattrs.includes(`${stack.prefix}metacopy`)) inode.whole = node;
  // One name of several becomes a new object, unless the index keeps them together.
  const brokenLink = !isDirectory(attributes.mode) && attributes.nlink > 1 && inode.union === undefined;
  const { uid, gid, rdev } = attributes;
  const object: NewObject = { mode: stagingMode(attributes.mode), uid, gid, rdev };
  if (isSymlink(attributes.mode)) object.target = yield* wait(layer.readlink(node));

  const staged = yield* wait(upper.stage(object, wanted ? inode.whole : undefined));
  let linked = false;
  try {
    // Data before attributes: a write clears file capabilities and set-id bits.
    const left = isRegular(attributes.mode)
      ? yield* copyData(stack, inode, staged.node, attributes, wanted)
      : undefined;
    yield* copyXattrs(stack, source, xattrs, staged.node);
    const origin = brokenLink ? undefined : yield* recordOrigin(stack, source, staged.node);
    if (left?.mark !== undefined) yield* wait(upper.setxattr(staged.node, `${stack.prefix}metacopy`, left.mark));
    yield* restoreAttributes(upper, staged.node, attributes);
    if (stack.options.fsync === 'strict') yield* syncObject(upper, staged.node, attributes.mode);
    const pending = left?.pending;
    if (pending !== undefined) {
      pending.origin = origin;
      inode.pending = pending;
      inode.whole = staged.node;
      stack.place(inode, staged.node); // its name is given once its data is there
      linked = true;
    } else linked = yield* stack.namespace.hold(linkCopy(stack, inode, staged.node, origin, left?.data));
    inode.hasOrigin = origin !== undefined;
    inode.shown = pending?.shown;
  } finally {
    if (!linked && inode.upper !== staged.node) {
      stack.options.lazy?.abandon(inode);
      yield* wait(upper.discard(staged.node));
    }
  }
  if (brokenLink) inode.ino = stack.presentIno(staged.attributes.dev, staged.attributes.ino);
}

/** Gives a staged object its name when it is dressed; discards it where either fails. */
export function* linkStaged(
  upper: UpperLayer,
  node: LayerNode,
  dress: Operation<void> | undefined,
  place: { to: Place; over: Occupant; keep?: LayerNode | undefined },
): Operation<void> {
  let linked = false;
  try {
    yield* maybe(dress);
    yield* wait(upper.commit({ kind: 'link', node, ...place }));
    linked = true;
  } finally {
    if (!linked) yield* wait(upper.discard(node));
  }
}

/**
 * The mode while in staging, where nobody else looks: an unprivileged daemon may write and mark only what its mode lets the
 * owner write, and a write takes set-id bits away. The real one is set last.
 */
export function stagingMode(mode: number): number {
  if (isRegular(mode)) return (mode & 0o7600) === 0o600 ? mode : S_IFREG | 0o600;
  return isDirectory(mode) ? S_IFDIR | 0o700 : mode;
}

/** The commit: under the namespace lock, since the inode may have been renamed or removed while its data was copied. */
export function* linkCopy(
  stack: Stack,
  inode: Inode,
  node: LayerNode,
  origin: Uint8Array | undefined,
  data: Real | undefined,
): Operation<boolean> {
  const { dentry } = inode;
  if (yield* maybe(stack.index?.arrive(inode, node, origin, data))) return true;
  if (dentry === undefined) {
    placeCopy(stack, inode, node, data); // no name any more: stays staged, for those who have it open
    inode.staged ??= 'copy';
    return true;
  }
  const { dir, name } = dentry;
  if (dir.upper === undefined) return false;
  const upper = stack.writable();
  if (origin !== undefined) yield* markImpure(stack, dir);
  const before = yield* wait(upper.getattr(dir.upper));
  yield* wait(upper.commit({ kind: 'link', node, to: { dir: dir.upper, name }, over: 'nothing' }));
  placeCopy(stack, inode, node, data);
  nameCopied(stack, dir, name, inode);
  yield* restoreTimes(upper, dir.upper, before);
  return true;
}

/** Gives an inode its copy; `data` is undefined unless it stayed where it was. */
export function placeCopy(stack: Stack, inode: Inode, node: LayerNode, data: Real | undefined): void {
  stack.place(inode, node);
  inode.data = data;
  if (data === undefined) inode.whole = node;
}

/** Updates the caches after a name that the layers below show came to lie in the upper, too. */
export function nameCopied(stack: Stack, dir: Inode, name: string, inode: Inode): void {
  dir.version++; // whoever is reading the directory now may have missed the copy
  const listed = dir.listing?.get(name);
  if (listed !== undefined) {
    if (inode.isDirectory) listed.below = [listed.layer, ...(listed.below ?? [])];
    listed.layer = stack.first;
    listed.covers = true;
  }
}

/** Nothing changed in the directory that a user could see. As in the kernel, the copy stands even where this fails. */
export function* restoreTimes(upper: UpperLayer, dir: LayerNode, before: Attributes): Operation<void> {
  try {
    yield* wait(upper.setattr(dir, times(before)));
  } catch (error) {
    if (!isFsError(error)) throw error;
  }
}

export function times(attributes: Attributes): {
  atime: { sec: number; nsec: number };
  mtime: { sec: number; nsec: number };
} {
  return {
    atime: { sec: attributes.atimeSec, nsec: attributes.atimeNsec },
    mtime: { sec: attributes.mtimeSec, nsec: attributes.mtimeNsec },
  };
}

/** Not the owner, which a staged object has: a change, even to the same, takes file capabilities away. Times last. */
export function* restoreAttributes(upper: UpperLayer, node: LayerNode, attributes: Attributes): Operation<void> {
  const change = times(attributes);
  yield* wait(upper.setattr(node, isSymlink(attributes.mode) ? change : { ...change, mode: attributes.mode & 0o7777 }));
}

/** Makes a file or directory durable with its attributes. What is neither cannot be opened. */
function* syncObject(upper: UpperLayer, node: LayerNode, mode: number): Operation<void> {
  if (isDirectory(mode)) yield* wait(upper.fsyncdir(node));
  if (!isRegular(mode)) return;
  const file = yield* wait(upper.open(node));
  try {
    yield* wait(file.fsync('all'));
  } finally {
    yield* wait(file.close());
  }
}

/** What copying has left to do. */
interface Left {
  /** Where the data is, if it stays below, and what has to say so. */
  data?: Real;
  mark?: Uint8Array;
  pending?: PendingData;
}

function* copyData(
  stack: Stack,
  inode: Inode,
  target: LayerNode,
  attributes: Attributes,
  wanted: number | 'metadata',
): Operation<Left | undefined> {
  const { size } = attributes;
  const length = wanted === 'metadata' ? size : Math.min(size, wanted);
  if (length === 0) return undefined;
  const data = yield* dataOf(stack, inode);
  const { metacopy } = stack.options;
  const mark = wanted === 'metadata' && metacopy !== undefined ? yield* metacopy.mark(stack, data) : undefined;
  if (mark !== undefined) {
    yield* wait(stack.writable().setattr(target, { size }));
    return { data, mark };
  }
  const pending = yield* maybe(stack.options.lazy?.begin(stack, inode, data, target, length, attributes));
  if (pending !== undefined) return { pending };
  yield* copyBytes(stack, data, target, length);
  return undefined;
}

/** Copies the first `length` bytes, so that they are durable no later than what comes next. */
export function* copyBytes(stack: Stack, source: Real, target: LayerNode, length: number): Operation<void> {
  const upper = stack.writable();
  const from = yield* openData(stack, source);
  try {
    const to = yield* wait(upper.openWritable(target));
    try {
      if (!(yield* wait(upper.copyData?.(from, to, length)))) yield* copySegments(upper, target, from, to, length);
      const { fsync } = stack.options;
      if (fsync !== 'volatile') yield* wait(fsync !== 'strict' && to.order ? to.order() : to.fsync('data'));
    } finally {
      yield* wait(to.close());
    }
  } finally {
    yield* wait(from.close());
  }
}

/** Copies what is data of the first `length` bytes and leaves holes holes. Throws ESTALE where `from` became shorter. */
export function* copySegments(
  upper: UpperLayer,
  target: LayerNode,
  from: LayerFile,
  to: UpperFile,
  length: number,
): Operation<void> {
  const buffer = new Uint8Array(Math.min(BUFFER_SIZE, length));
  for (let at = 0; at < length; ) {
    at = yield* seekOrEnd(from, at, 'data', length);
    const end = yield* seekOrEnd(from, at, 'hole', length);
    while (at < end) {
      const chunk = buffer.subarray(0, end - at); // or all of it
      const read = yield* wait(from.read(chunk, at));
      if (read === 0) throw new FsError('ESTALE', { syscall: 'copy-up' }); // it became shorter meanwhile
      yield* writeAll(to, chunk.subarray(0, read), at);
      at += read;
    }
  }
  yield* wait(upper.setattr(target, { size: length }));
}

/** Writes every byte or throws: a layer that takes none is out of space. */
export function* writeAll(file: UpperFile, bytes: Uint8Array, position: number): Operation<void> {
  for (let done = 0; done < bytes.length; ) {
    const written = yield* wait(file.write(bytes.subarray(done), position + done));
    if (written === 0) throw new FsError('ENOSPC', { syscall: 'write' });
    done += written;
  }
}

/**
 * Copies extended attributes, those of the given names that are not the overlay's own. One that the upper may not or cannot
 * hold is left out, as the kernel does, unless access depends on it: an ACL that is lost would grant what it denied.
 */
export function* copyXattrs(stack: Stack, from: Real, names: readonly string[], to: LayerNode): Operation<void> {
  const layer = stack.layer(from.layer);
  for (const name of names) {
    if (isPrivateXattr(name, stack.prefix)) continue;
    const value = yield* wait(layer.getxattr(from.node, name));
    if (value === undefined) continue;
    try {
      yield* wait(stack.writable().setxattr(to, name, value));
    } catch (error) {
      if (!isFsError(error, 'EOPNOTSUPP', 'EPERM') || name.startsWith('system.posix_acl_')) throw error;
    }
  }
}

export function* recordOrigin(stack: Stack, real: Real, target: LayerNode): Operation<Uint8Array | undefined> {
  const layer = stack.layer(real.layer);
  const handle = yield* wait(layer.fileHandle?.(real.node));
  if (handle === undefined) return undefined;
  const origin = encodeOrigin(handle);
  try {
    yield* wait(stack.writable().setxattr(target, `${stack.prefix}origin`, origin));
    return origin;
  } catch (error) {
    // Symlinks and devices hold no user.* attributes; an origin only keeps the inode number.
    if (isFsError(error, 'EPERM', 'EOPNOTSUPP')) return undefined;
    throw error;
  }
}

/** Records something about an object of the upper in a text attribute. */
export function setMark(
  stack: Stack,
  node: LayerNode,
  name: 'impure' | 'opaque' | 'redirect',
  text: string,
): Operation<void> {
  return wait(stack.writable().setxattr(node, stack.prefix + name, xattrText(text)));
}

/** Announces that a directory holds entries with an origin, before the first of them arrives. */
export function* markImpure(stack: Stack, dir: Inode): Operation<void> {
  if (dir.impure || dir.upper === undefined) return;
  yield* setMark(stack, dir.upper, 'impure', 'y');
  dir.impure = true;
}

/** Opens the data that {@link dataOf} found, for reading. */
export function openData(stack: Stack, source: Real): Operation<LayerFile> {
  return source.open ? source.open() : wait(stack.layer(source.layer).open(source.node));
}

/** Where a regular file's data is; see {@link Metacopies.find}. */
export function* dataOf(stack: Stack, inode: Inode): Operation<Real> {
  if (inode.data !== undefined) return inode.data;
  const { layer, node, index } = stack.real(inode);
  const own: Real = { layer: index, node };
  if (inode.whole === node || !isRegular(inode.type)) return own;
  const mark = yield* wait(layer.getxattr(node, `${stack.prefix}metacopy`));
  if (mark === undefined) inode.whole = node;
  else if (stack.options.metacopy === undefined) throw new FsError('EPERM', { syscall: 'metacopy' });
  else return yield* stack.options.metacopy.find(stack, inode, own, mark);
  return own;
}
