/**
 * New names: objects of every type, and hard links (overlayfs: dir.c). Over a whiteout the new object is staged first,
 * so that what the whiteout hid never shows through; so is a directory that gets a mark, so that it has it from the start.
 */
import type { Permissions } from './acl.js';
import { isDirectory, S_IFCHR, S_IFLNK, S_IFMT, S_ISGID } from './attributes.js';
import { copyUp, copyUpToMove, linkStaged, markImpure, setMark } from './copy-up.js';
import { FsError } from './errors.js';
import { meaningOfName } from './format.js';
import type { Inode, Stack } from './inode.js';
import type { LayerNode, NewObject, Occupant } from './layer.js';
import { getattr, list, lookup } from './lookup.js';
import { byteLength, SYMLINK_MAX } from './names.js';
import type { Metacopies } from './options.js';
import type { Entry } from './overlay.js';
import { maybe, type Operation, wait } from './run.js';

/** What to create. */
export interface Creation extends NewObject {
  /** Permission bits not to be given where no default ACL decides instead. Only for an overlay with ACLs. */
  umask?: number;
}

/** See `Overlay.create`. */
export function* createObject(stack: Stack, dir: Inode, name: string, object: Creation): Operation<Entry> {
  const type = object.mode & S_IFMT;
  if (type === S_IFLNK) checkTarget(object.target ?? '');
  yield* checkFree(stack, dir, name);
  if (type === S_IFCHR && (object.rdev ?? 0) === 0) throw new FsError('EPERM', { syscall: 'mknod', path: name });
  yield* copyUp(stack, dir);
  return yield* stack.namespace.hold(create(stack, dir, name, object));
}

function* create(stack: Stack, dir: Inode, name: string, object: Creation): Operation<Entry> {
  const upper = stack.writable();
  const parent = yield* freeName(stack, dir, name);
  const { dressed, acls } = yield* inherit(stack, dir, object);
  const to = { dir: parent, name };
  const over = whiteoutAt(dir, name);
  const isDir = isDirectory(object.mode);
  // Opaque even where nothing is below yet: a directory made here must not merge with one that comes up there later.
  const opaque = isDir && (over === 'whiteout' || dir.lower.length > 0);

  let found: { node: LayerNode; attributes: Entry['attributes'] };
  if (over === 'whiteout' || opaque || acls.length > 0) {
    found = yield* wait(upper.stage(dressed));
    const { node } = found;
    function* dress(): Operation<void> {
      for (const [key, value] of acls) yield* wait(upper.setxattr(node, key, value));
      if (opaque) yield* setOpaque(stack, node);
    }
    yield* linkStaged(upper, node, dress(), { to, over });
  } else found = yield* wait(upper.create(to, dressed));

  const { attributes } = found;
  const inode = stack.newInode(attributes.mode, stack.presentIno(attributes.dev, attributes.ino), found.node, []);
  inode.whole = found.node;
  if (isDir) {
    inode.opaque = opaque;
    inode.listing = new Map();
  }
  nameAppeared(stack, dir, name, inode, attributes.ino);
  attributes.ino = inode.ino;
  return { inode, attributes };
}

/** See `Overlay.link`. */
export function* linkObject(stack: Stack, inode: Inode, dir: Inode, name: string): Operation<Entry> {
  yield* checkFree(stack, dir, name);
  if (inode.isDirectory) throw new FsError('EPERM', { syscall: 'link', path: name });
  yield* checkNamed(stack, inode, name);
  yield* copyUp(stack, dir);
  yield* copyUpToMove(stack, inode);
  return yield* stack.namespace.hold(link(stack, inode, dir, name));
}

function* link(stack: Stack, inode: Inode, dir: Inode, name: string): Operation<Entry> {
  const upper = stack.writable();
  const parent = yield* freeName(stack, dir, name);
  const node = inode.upper;
  if (node === undefined) throw new FsError('ENOENT', { syscall: 'link', path: name });
  yield* checkNamed(stack, inode, name);
  if (inode.hasOrigin) yield* markImpure(stack, dir);
  yield* maybe(stack.index?.record(inode));
  if (inode.data !== undefined) yield* (stack.options.metacopy as Metacopies).recordPlace(stack, inode);
  const over = whiteoutAt(dir, name);
  const before = yield* wait(upper.getattr(node)); // all that may fail comes first: the name is there or it is not
  yield* wait(upper.commit({ kind: 'link', node, to: { dir: parent, name }, over }));
  inode.staged = undefined;
  stack.alias(inode, before);
  nameAppeared(stack, dir, name, inode, before.ino);
  if (inode.union !== undefined) inode.union.nlink++;
  return { inode, attributes: yield* getattr(stack, inode) };
}

/**
 * What has lost its last name gets no new one; what never had one may. It may have names that nobody has looked up: only
 * the upper knows.
 */
function* checkNamed(stack: Stack, inode: Inode, name: string): Operation<void> {
  if (!inode.isNameless || inode.staged === 'new') return;
  const hasNames =
    (inode.union?.nlink ?? 1) > 0 &&
    inode.upper !== undefined &&
    !inode.staged &&
    (yield* wait(stack.writable().getattr(inode.upper))).nlink > 0;
  if (!hasNames) throw new FsError('ENOENT', { syscall: 'link', path: name });
}

/** Checks what can be checked before anything is written. EEXIST comes before whatever is wrong with the object. */
function* checkFree(stack: Stack, dir: Inode, name: string): Operation<void> {
  if ((yield* lookup(stack, dir, name)) !== undefined) throw new FsError('EEXIST', { path: name });
  stack.writable();
  // These names are whiteouts to the layers of other writers; the object would vanish at the next mount.
  if (meaningOfName(name).kind !== 'entry') throw new FsError('EINVAL', { path: name });
  checkLive(dir, stack, name);
}

/** Under the namespace lock: the name is still free and the directory still there. Returns its upper part. */
function* freeName(stack: Stack, dir: Inode, name: string): Operation<LayerNode> {
  checkLive(dir, stack, name);
  const listing = dir.listing ?? (yield* list(stack, dir));
  if (listing.has(name)) throw new FsError('EEXIST', { path: name });
  return dir.upper as LayerNode;
}

/** A removed directory takes no new names. */
export function checkLive(dir: Inode, stack: Stack, name: string): void {
  if (dir.dentry === undefined && dir !== stack.root) throw new FsError('ENOENT', { path: name });
}

/** What a new object has from its directory; of that directory there is an upper part by now. */
export function* inherit(
  stack: Stack,
  dir: Inode,
  { umask, ...object }: Creation,
): Operation<{ dressed: NewObject; acls: Permissions['acls'] }> {
  const dressed = yield* inheritGroup(stack, dir, object);
  const { acl } = stack.options;
  if (acl === undefined) return { dressed, acls: [] };
  const { mode, acls } = yield* acl(stack, dir, dressed.mode, umask ?? 0);
  return { dressed: { ...dressed, mode }, acls };
}

/** A set-group-id directory passes its group on, and to directories the bit too (inode_init_owner). */
function* inheritGroup(stack: Stack, dir: Inode, object: NewObject): Operation<NewObject> {
  if (dir.group === undefined) {
    const { mode, gid } = yield* wait(stack.writable().getattr(dir.upper as LayerNode));
    dir.group = (mode & S_ISGID) === 0 ? 'none' : gid;
  }
  if (dir.group === 'none') return object;
  return { ...object, gid: dir.group, mode: isDirectory(object.mode) ? object.mode | S_ISGID : object.mode };
}

export function setOpaque(stack: Stack, node: LayerNode): Operation<void> {
  return setMark(stack, node, 'opaque', 'y');
}

/** Updates the caches after `name` came to stand for an upper object; `cookie` is the place that the name had before. */
export function nameAppeared(
  stack: Stack,
  dir: Inode,
  name: string,
  inode: Inode,
  ino: number,
  cookie: number = dir.version + 1,
): void {
  const covers = coversBelow(stack, dir, name);
  dir.whiteouts?.delete(name);
  dir.listing?.set(name, { name, type: inode.type >>> 12, ino, cookie, layer: stack.first, below: undefined, covers });
  dir.version++;
  stack.addDentry(inode, dir, name);
}

/** What stands in the upper at a name that is free in the merged view. */
export function whiteoutAt(dir: Inode, name: string): Occupant {
  return dir.whiteouts?.get(name)?.form === 'entry' ? 'whiteout' : 'nothing';
}

/** Whether the layers below the upper show something under this name, so that removing it takes a whiteout. */
export function coversBelow(stack: Stack, dir: Inode, name: string): boolean {
  const listed = dir.listing?.get(name);
  if (listed === undefined) return dir.whiteouts?.get(name)?.covers === true;
  return listed.layer > stack.first || listed.covers;
}

function checkTarget(target: string): void {
  if (target === '') throw new FsError('ENOENT', { syscall: 'symlink' });
  if (byteLength(target) > SYMLINK_MAX) throw new FsError('ENAMETOOLONG', { syscall: 'symlink' });
}
