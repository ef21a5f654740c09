/**
 * Open files. A handle follows its inode, not a layer: one opened for reading on a lower file reads the upper copy as
 * soon as there is one, and every handle outlives unlink and rename.
 */
import { isDirectory, isRegular, isSymlink } from './attributes.js';
import { told } from './change-feed.js';
import { copyUp, dataOf, openData } from './copy-up.js';
import { FsError } from './errors.js';
import { type Inode, settle, type Stack, type Stretch } from './inode.js';
import type { AllocateMode, LayerFile, LayerNode, UpperFile } from './layer.js';
import { maybe, type Operation, wait } from './run.js';
import { setattr } from './setattr.js';

/** What a file is opened for. */
export interface OpenFlags {
  read: boolean;
  write: boolean;
  /** Every write goes to the end of the file. */
  append: boolean;
  /** Empties the file; its old data is not copied up. */
  truncate: boolean;
}

/** An open file of an overlay. It follows its inode: after a copy-up it reads the copy. */
export interface OpenHandle {
  readonly inode: Inode;
  readonly flags: OpenFlags;
  /** The layer's open file; replaced when the inode's data moves to another object. */
  file: LayerFile;
  /** The object that `file` is open on. */
  node: LayerNode;
  /** `file`, where it may be written. */
  writable: UpperFile | undefined;
  /** When `node` was found to hold the inode's data; for an overlay with checkpoints. */
  stretch?: Stretch;
}

/** Whether an argument of an operation is an open file. */
export function isHandle(arg: unknown): arg is OpenHandle {
  return typeof arg === 'object' && arg !== null && 'writable' in arg && 'inode' in arg;
}

/** See `Overlay.open`. Throws EISDIR, ELOOP, and ENXIO for objects that have no data of their own. */
export function* openFile(stack: Stack, inode: Inode, flags: OpenFlags): Operation<OpenHandle> {
  if (isDirectory(inode.type)) throw new FsError('EISDIR', { syscall: 'open' });
  if (isSymlink(inode.type)) throw new FsError('ELOOP', { syscall: 'open' });
  if (!isRegular(inode.type)) throw new FsError('ENXIO', { syscall: 'open' });
  if (flags.truncate) yield* setattr(stack, inode, { size: 0 });
  inode.handles++; // before the layers are asked: the inode must not be dropped meanwhile
  try {
    if (!flags.write) {
      const source = yield* dataOf(stack, inode);
      const file = yield* openData(stack, source);
      return { inode, flags, file, node: source.node, writable: undefined };
    }
    const file =
      (yield* maybe(stack.options.metacopy?.openWritable?.(stack, inode))) ??
      (yield* wait(stack.writable().openWritable(yield* copyUp(stack, inode))));
    return { inode, flags, file, node: inode.upper as LayerNode, writable: file };
  } catch (error) {
    inode.handles--;
    stack.drop(inode);
    throw error;
  }
}

/** Whether a copy-up, or a checkpoint, may yet move a file's data to another object than the one that is open. */
export function mayMove(overlay: { readonly writable: boolean }, { inode, node, stretch }: OpenHandle): boolean {
  return stretch !== undefined || (overlay.writable && (inode.upper !== node || inode.pending !== undefined));
}

/** Follows the data to the upper with a copy-up. */
export function* current(stack: Stack, handle: OpenHandle): Operation<LayerFile> {
  const { inode } = handle;
  if (inode.pending !== undefined) return inode.pending;
  if (handle.writable !== undefined || inode.upper === undefined || inode.upper === handle.node) return handle.file;
  const source = yield* dataOf(stack, inode);
  if (source.node === handle.node) return handle.file;
  const file = yield* openData(stack, source);
  const stale = handle.file;
  handle.file = file;
  handle.node = source.node;
  yield* wait(stale.close());
  return file;
}

export function* read(stack: Stack, handle: OpenHandle, buffer: Uint8Array, position: number): Operation<number> {
  if (!handle.flags.read && handle.writable === undefined) throw new FsError('EBADF', { syscall: 'read' });
  const file = yield* current(stack, handle);
  return yield* wait(file.read(buffer, position));
}

export function* write(stack: Stack, handle: OpenHandle, buffer: Uint8Array, position: number): Operation<number> {
  if (handle.writable === undefined) throw new FsError('EBADF', { syscall: 'write' });
  const file = handle.inode.pending ?? handle.writable;
  // Also one at a position: it may move the end that an append has just looked up.
  const operation = handle.flags.append ? append(stack, handle, file, buffer) : writeAt(file, buffer, position);
  return yield* handle.inode.lock.hold(operation);
}

function* writeAt(file: UpperFile, buffer: Uint8Array, position: number): Operation<number> {
  return yield* wait(file.write(buffer, position));
}

function* allocateIn(file: UpperFile, mode: AllocateMode, offset: number, length: number): Operation<void> {
  yield* wait(file.allocate(mode, offset, length));
}

/** The end is looked up and written under the inode's lock, so that appends never overlap. */
function* append(stack: Stack, handle: OpenHandle, file: UpperFile, buffer: Uint8Array): Operation<number> {
  const { layer, node } = stack.real(handle.inode); // not the handle's: its name may be gone while the inode has others
  const { size } = yield* wait(layer.getattr(node));
  return yield* wait(file.write(buffer, size));
}

/** The next data or hole from `position` on. Throws ENXIO past the end. */
export function* seek(stack: Stack, handle: OpenHandle, position: number, whence: 'data' | 'hole'): Operation<number> {
  const file = yield* current(stack, handle);
  return yield* wait(file.seek(position, whence));
}

/** fallocate(2). Throws EBADF for a handle that may not write, EINVAL for an empty range. */
export function* allocate(
  stack: Stack,
  handle: OpenHandle,
  mode: AllocateMode,
  offset: number,
  length: number,
): Operation<void> {
  if (handle.writable === undefined) throw new FsError('EBADF', { syscall: 'fallocate' });
  if (offset < 0 || length <= 0) throw new FsError('EINVAL', { syscall: 'fallocate' });
  const { inode } = handle;
  const allocating = inode.lock.hold(allocateIn(inode.pending ?? handle.writable, mode, offset, length));
  yield* told(stack, allocating, 'change', inode.dentry);
}

/** A handle that never wrote has nothing to make durable, but its inode may: the copy is synced all the same. */
export function* fsync(
  stack: Stack,
  handle: OpenHandle,
  scope: 'data' | 'all',
  sync: (file: Pick<UpperFile, 'fd' | 'fsync'>) => void | PromiseLike<void> = (file) => file.fsync(scope),
): Operation<void> {
  yield* settle(stack, handle.inode);
  if (handle.writable !== undefined) {
    yield* wait(sync(handle.writable));
    return;
  }
  const { upper } = handle.inode;
  if (upper === undefined) return;
  const file = yield* wait(stack.writable().open(upper)); // for reading: its mode may forbid more
  try {
    yield* wait(sync(file));
  } finally {
    yield* wait(file.close());
  }
}

export function* release(stack: Stack, handle: OpenHandle): Operation<void> {
  const { inode } = handle;
  inode.handles--;
  try {
    yield* wait(handle.file.close());
  } finally {
    if (inode.handles === 0 && inode.references === 0 && inode.staged && inode.upper !== undefined) {
      stack.options.lazy?.abandon(inode);
      yield* wait(stack.writable().discard(inode.upper)); // without a name: nobody can reach it any more
      inode.staged = undefined;
    }
    stack.drop(inode);
  }
}
