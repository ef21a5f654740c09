/**
 * The overlay itself: composes the operations, one file each, into one object that adapters (FUSE, 9P, WASI, the path
 * faces) talk to. It decides nothing. Every method is an operation to be run by `runSync` or `runAsync`.
 */
import type { AttributeChange, Attributes, FileSystemStatistics } from './attributes.js';
import { type ChangeListener, told } from './change-feed.js';
import { createObject, linkObject, type Creation } from './create.js';
import { fsync, openFile, type OpenFlags, type OpenHandle, read, release, write } from './file.js';
import { type Dentry, type Inode, Stack } from './inode.js';
import type { UpperFile } from './layer.js';
import { getattr, lookup } from './lookup.js';
import type { DirectoryEntry } from './merge.js';
import type { OverlayOptions } from './options.js';
import type { OwnerMap } from './owners.js';
import { openDirectory } from './readdir.js';
import { removeName } from './remove.js';
import { rename, type RenameFlag } from './rename.js';
import { maybe, type Mode, type Operation, runAsync, wait } from './run.js';
import { setattr } from './setattr.js';
import { openRoot } from './super.js';

/** An inode and what it looks like now: the answer of everything that finds or makes an object. */
export interface Entry {
  inode: Inode;
  attributes: Attributes;
}

/**
 * An overlay of layers: what {@link overlay} answers with. Its methods are operations by inode, to be run by
 * {@link runSync} or {@link runAsync}; they are made for adapters, and the faces (`syncFs`, `promisesFs`, `callbackFs`)
 * turn paths into them. Failures are an {@link FsError}: EROFS for a change without an upper, ENOENT, EEXIST, ENOTDIR,
 * EISDIR and their like as the system call of the same name has them, and what the layers throw. A change of names is
 * made whole or not at all. Buffers passed in stay the caller's.
 */
export class Overlay<M extends Mode = Mode> {
  /** Carries the mode in the type only: a synchronous face accepts `Overlay<'sync'>` alone. */
  declare readonly mode: M;
  readonly root: Inode;
  readonly #stack: Stack;

  protected constructor(stack: Stack, root: Inode) {
    this.#stack = stack;
    this.root = root;
  }

  /** Opens the layers. Throws EINVAL for no layers, EOPNOTSUPP for a layer with a feature that is not understood. */
  static *open<M extends Mode>(options: OverlayOptions<M>): Operation<Overlay<M>> {
    const stack = new Stack(options);
    return new Overlay<M>(stack, yield* openRoot(stack));
  }

  /** Tells `listener` of every change made through this overlay, once it is made. Returns what ends that. */
  subscribe(listener: ChangeListener): () => void {
    const { listeners } = this.#stack;
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** The same operation, told to those who subscribed. */
  #told<T>(operation: Operation<T>, type: 'rename' | 'change', ...names: (Dentry | undefined)[]): Operation<T> {
    return told(this.#stack, operation, type, ...names);
  }

  /** The same operation with owners as users see them in its answer. */
  #shown<T extends Entry | Attributes | undefined>(operation: Operation<T>): Operation<T> {
    const { owners } = this.#stack.options;
    return owners === undefined ? operation : show(operation, owners);
  }

  /** The same with owners as the layers store them. */
  #stored<T extends { uid?: number; gid?: number }>(owned: T): T {
    const { owners } = this.#stack.options;
    return owners === undefined ? owned : owners.stored(owned);
  }

  /** Whether there is an upper layer. Without one every change throws EROFS. */
  get writable(): boolean {
    return this.#stack.upper !== undefined;
  }

  /** Whether what an inode stands for takes no changes. */
  isReadOnly(_inode: Inode): boolean {
    return !this.writable;
  }

  /** A name that leads to an inode in this view; undefined for its root, and for what has none. */
  dentryOf(inode: Inode): Dentry | undefined {
    return inode.dentry;
  }

  /** Inodes held in memory now. */
  get inodeCount(): number {
    return this.#stack.inodeCount;
  }

  /** Whether the layers may change from outside. */
  get revalidates(): boolean {
    return this.#stack.options.revalidation !== undefined;
  }

  /** Where they may: what was checked for one request is checked again for the next. */
  beginRequest(): void {
    this.#stack.options.revalidation?.next();
  }

  /** The entry `name` of `dir`, or undefined. Throws ENOTDIR, ENAMETOOLONG. */
  lookup(dir: Inode, name: string): Operation<Entry | undefined> {
    return this.#shown(lookup(this.#stack, dir, name));
  }

  /** Keeps an inode in memory and usable after its last name is gone, until as many calls of {@link forget}. */
  retain(inode: Inode): void {
    inode.references++;
  }

  /** Gives back `count` references. */
  forget(inode: Inode, count = 1): void {
    inode.references -= count;
    this.#stack.drop(inode);
  }

  getattr(inode: Inode): Operation<Attributes> {
    return this.#shown(getattr(this.#stack, inode));
  }

  /** Changes attributes, copying up first. `clearSetId` drops set-id bits as a write by an unprivileged caller does. */
  setattr(inode: Inode, change: AttributeChange, clearSetId?: 'clear-set-id'): Operation<Attributes> {
    const operation = setattr(this.#stack, inode, this.#stored(change), clearSetId);
    return this.#told(this.#shown(operation), 'change', inode.dentry);
  }

  *readlink(inode: Inode): Operation<string> {
    const { layer, node } = this.#stack.real(inode);
    return yield* wait(layer.readlink(node));
  }

  /** Makes an object of any type but adds no umask. Throws EEXIST. A 0:0 character device is EPERM, as in the kernel. */
  create(dir: Inode, name: string, object: Creation): Operation<Entry> {
    const operation = createObject(this.#stack, dir, name, this.#stored(object));
    return this.#told(this.#shown(operation), 'rename', { dir, name });
  }

  /** Gives a further name, or to what `createTmpfile` made its first. */
  link(inode: Inode, dir: Inode, name: string): Operation<Entry> {
    return this.#told(this.#shown(linkObject(this.#stack, inode, dir, name)), 'rename', { dir, name });
  }

  unlink(dir: Inode, name: string): Operation<void> {
    return this.#told(removeName(this.#stack, dir, name, 'unlink'), 'rename', { dir, name });
  }

  rmdir(dir: Inode, name: string): Operation<void> {
    return this.#told(removeName(this.#stack, dir, name, 'rmdir'), 'rename', { dir, name });
  }

  /** Throws EXDEV where a directory's rename cannot be expressed in the upper's format. */
  rename(fromDir: Inode, fromName: string, toDir: Inode, toName: string, flag?: RenameFlag): Operation<void> {
    const operation = rename(this.#stack, fromDir, fromName, toDir, toName, flag);
    return this.#told(operation, 'rename', { dir: fromDir, name: fromName }, { dir: toDir, name: toName });
  }

  open(inode: Inode, flags: OpenFlags): Operation<OpenHandle> {
    const operation = openFile(this.#stack, inode, flags);
    return flags.truncate ? this.#told(operation, 'change', inode.dentry) : operation;
  }

  read(handle: OpenHandle, buffer: Uint8Array, position: number): Operation<number> {
    return read(this.#stack, handle, buffer, position);
  }

  /** With `append`, at the end of the file whatever `position` says. */
  write(handle: OpenHandle, buffer: Uint8Array, position: number): Operation<number> {
    return this.#told(write(this.#stack, handle, buffer, position), 'change', handle.inode.dentry);
  }

  /** `sync`: in place of the layer's own `fsync`. */
  fsync(
    handle: OpenHandle,
    scope: 'data' | 'all',
    sync?: (file: Pick<UpperFile, 'fd' | 'fsync'>) => void | PromiseLike<void>,
  ): Operation<void> {
    return fsync(this.#stack, handle, scope, sync);
  }

  release(handle: OpenHandle): Operation<void> {
    return release(this.#stack, handle);
  }

  /** The entries of a directory as they are now, frozen, by falling cookies; "." and ".." are the adapter's to add. */
  readdir(dir: Inode): Operation<DirectoryEntry[]> {
    return openDirectory(this.#stack, dir);
  }

  *fsyncdir(dir: Inode): Operation<void> {
    yield* maybe(this.#stack.options.lazy?.settleIn(this.#stack, dir));
    if (dir.upper !== undefined) yield* wait(this.#stack.writable().fsyncdir(dir.upper));
  }

  /** Of the file system that an inode is on. */
  *statfs(_inode: Inode = this.root): Operation<FileSystemStatistics> {
    return yield* wait(this.#stack.top.statfs());
  }

  /**
   * Carries out an operation that only some adapters need: `getxattr`, `setxattr`, `listxattr`, `removexattr`, `exchange`, `seek`,
   * `allocate`, `entryIno`, `createTmpfile`, `copyRange`. What nobody names is not bundled.
   */
  perform<A extends unknown[], T>(operation: (stack: Stack, ...args: A) => Operation<T>, ...args: A): Operation<T> {
    return operation(this.#stack, ...args);
  }

  /** As {@link perform}, for questions of glance.ts. */
  ask<A extends unknown[], T>(question: (stack: Stack, ...args: A) => T | undefined, ...args: A): T | undefined {
    return question(this.#stack, ...args);
  }

  /** Makes everything written so far durable. */
  *sync(): Operation<void> {
    yield* maybe(this.#stack.options.lazy?.settleIn(this.#stack, this.root));
    if (this.#stack.upper !== undefined) yield* wait(this.#stack.upper.sync());
  }

  /** Closes every layer. The overlay is not used again. */
  *close(): Operation<void> {
    yield* maybe(this.#stack.options.lazy?.drain(this.#stack));
    for (const layer of this.#stack.layers) if (layer.close !== undefined) yield* wait(layer.close());
  }
}

function* show<T extends Entry | Attributes | undefined>(operation: Operation<T>, owners: OwnerMap): Operation<T> {
  const answer = yield* operation;
  if (answer !== undefined) owners.show('attributes' in answer ? answer.attributes : answer);
  return answer;
}

/**
 * Opens an overlay of `lower` layers, topmost first, and `upper`, if it is to be written. Over synchronous layers it is there
 * at once; with asynchronous ones, await it. Throws EINVAL for no layers, EOPNOTSUPP for a layer with a feature that is
 * not understood.
 */
export function overlay(options: OverlayOptions<'sync'>): Overlay<'sync'>;
export function overlay(options: OverlayOptions): Overlay<'async'> | Promise<Overlay<'async'>>;
export function overlay(options: OverlayOptions): Overlay | Promise<Overlay> {
  const opening = Overlay.open(options);
  const first = opening.next();
  return first.done === true ? first.value : runAsync(opening, first);
}
