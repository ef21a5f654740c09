/**
 * An overlay with checkpoints. A checkpoint ends the present upper's time as such: it becomes the topmost lower layer, never
 * written again, and a fresh upper goes on top. That is O(1), works with any kind of layer, and leaves on disk what a mount
 * of those layers understands. Structural sharing inside one layer would spare merging, but only the memory layer could do it;
 * and listings are merged once and then kept, so that lookups cost nearly the same after a hundred checkpoints.
 *
 * What it decides: when the stack may change (gate.ts), what that does to open files. The rest of an overlay is inherited;
 * who needs no checkpoints does not carry this.
 */
import type { AttributeChange, Attributes, FileSystemStatistics } from '../attributes.js';
import type { Creation } from '../create.js';
import { FsError, isFsError } from '../errors.js';
import { isHandle, type OpenFlags, type OpenHandle } from '../file.js';
import { type Dentry, Inode, Stack } from '../inode.js';
import type { Layer, UpperFile, UpperLayer } from '../layer.js';
import { Mutex } from '../lock.js';
import type { DirectoryEntry } from '../merge.js';
import type { OverlayOptions } from '../options.js';
import { type Entry, Overlay } from '../overlay.js';
import type { RenameFlag } from '../rename.js';
import { maybe, type Mode, type Operation, runAsync, wait } from '../run.js';
import { openRoot } from '../super.js';
import { dress } from './fresh-upper.js';
import { Gate } from './gate.js';
import { LayerUsers } from './layer-users.js';
import { GONE } from './layers-gone.js';
import type { LowerPlaces } from './lower-places.js';
import type { NeededLayers } from './needed-layers.js';
import { SealedLayer } from './sealed-layer.js';
import { dropAbove, putOnTop } from './stretches.js';
import { reopen } from './reopen.js';
import { Survivors } from './survivors.js';

/** A state to go back to or to branch from: that of the layer `layer` and all below it. */
export interface Checkpoint {
  readonly layer: Layer;
  /** Of the overlay it was made in. */
  readonly index: number;
}

/** What an overlay with checkpoints is opened with. */
export interface SnapshotOptions<M extends Mode = Mode> extends OverlayOptions<M> {
  /**
   * How many of `lower`, from the top, were uppers before a checkpoint, as {@link SnapshotOverlay.sealed} tells them: what lies
   * in them keeps the inode numbers that it had. Default 0.
   */
  sealed?: number;
}

/** What a fork does not share with its origin. */
export interface ForkOptions {
  /** As in {@link OverlayOptions}: one cannot serve two overlays. */
  lazy?: OverlayOptions['lazy'];
}

/** What changes of the stack work on, those in live-stack.ts too. */
export interface Insides {
  readonly stack: Stack;
  /** Index of the first lower layer that never was an upper: those above, but the upper, were. */
  readonly base: number;
  readonly users: LayerUsers;
  /** Files that are open. */
  readonly open: Set<OpenHandle>;
  /** Once a lower layer came or went. */
  live?: { readonly places: LowerPlaces; readonly needed: NeededLayers };
}

/**
 * An overlay whose state can be kept, gone back to and branched from, each in one step, with files open: what
 * {@link snapshotOverlay} answers with.
 */
export class SnapshotOverlay<M extends Mode = Mode> extends Overlay<M> {
  readonly #stack: Stack;
  readonly #gate = new Gate();
  /** An open file is moved once. */
  readonly #reopening = new Mutex();
  readonly #survivors: Survivors;
  readonly #users: LayerUsers;
  readonly #insides: Insides;
  /** Former uppers that hold what nobody has made durable yet. */
  readonly #unsynced = new Set<UpperLayer>();
  /** See {@link Insides.base}. */
  readonly #base: number;

  protected constructor(stack: Stack, root: Inode, base: number, users: LayerUsers) {
    super(stack, root);
    this.#stack = stack;
    this.#base = base;
    this.#survivors = new Survivors(stack);
    this.#users = users;
    this.#insides = { stack, base, users, open: new Set() };
    for (const layer of this.layers) users.enter(layer);
    users.write(this.upper);
  }

  /**
   * Opens the layers as `Overlay.open` does. Throws EROFS without an upper, and EOPNOTSUPP for options that cannot be had
   * together with checkpoints: an index, whose links lead into one upper, and layers that change from outside.
   */
  static override *open<M extends Mode>(
    options: SnapshotOptions<M>,
    users: LayerUsers = new LayerUsers(),
  ): Operation<SnapshotOverlay<M>> {
    for (const key of ['index', 'revalidation'] as const) {
      if (options[key] !== undefined) throw new FsError('EOPNOTSUPP', { syscall: 'checkpoint', path: key });
    }
    const stack = new Stack(options);
    stack.writable();
    const base = stack.firstLower + (options.sealed ?? 0);
    const isSealed = (index: number): boolean => index >= stack.firstLower && index < base;
    stack.layers = stack.layers.map((layer, i) => (isSealed(i) ? new SealedLayer(stack, layer) : layer));
    // File systems are numbered in the order in which they came, so that inode numbers are what they were: the first upper, what
    // lies below all of them, the others.
    const { layers } = stack;
    const oldest = layers[base - 1] as Layer;
    const { dev, ino } = yield* wait(oldest.getattr(oldest.root));
    const number = stack.presentIno(dev, ino);
    for (const layer of [...layers.slice(base), ...layers.slice(0, base).reverse()]) {
      stack.presentIno((yield* wait(layer.getattr(layer.root))).dev, 0);
    }
    const root = yield* openRoot(stack);
    root.ino = number;
    return new SnapshotOverlay<M>(stack, root, base, users);
  }

  /** The present upper layer. */
  get upper(): UpperLayer {
    return this.#stack.writable();
  }

  /** Former uppers, the latest first; these layers are still in use. To be opened again, they stand first in `lower`. */
  get sealed(): Layer[] {
    return this.#lowerLayers((index) => index < this.#base);
  }

  /** The layers below all that were ever written, topmost first: `lower` as it was passed, but for what live-stack.ts changes. */
  get lower(): Layer[] {
    return this.#lowerLayers((index) => index >= this.#base);
  }

  #lowerLayers(wanted: (index: number) => boolean): Layer[] {
    const stack = this.#stack;
    return stack.root.lower.flatMap(({ layer }) => (wanted(layer) ? own(stack.layer(layer)) : []));
  }

  /** All layers in use, topmost first, as they were passed in: also those for data only. */
  get layers(): Layer[] {
    const { layers, first, firstData } = this.#stack;
    return [this.upper, ...this.sealed, ...this.lower, ...layers.slice(firstData - first)];
  }

  /**
   * Keeps the present state and goes on in `upper`, an empty layer with attributes under the same prefix, which belongs to the
   * overlay from then on. Waits for operations under way; a failure leaves everything as it was. Open files stay open, inode
   * numbers stay. As below any overlay without an index, further names of a hard-linked file are files of their own once
   * one is written. Throws EINVAL and ENOTEMPTY for an `upper` that is not fit, EBUSY for one that is in use.
   */
  checkpoint(upper: UpperLayer<M> | UpperLayer<'sync'>): Operation<Checkpoint> {
    return this.#gate.alone(this.#seal(upper));
  }

  /**
   * Goes back to a checkpoint (default: the last; without any, to the lower layers alone) and on from there in `upper`, as for
   * {@link checkpoint}. Returns the layers dropped, topmost first, that no fork uses: they are the caller's again, to be
   * closed. Lower layers that were pushed or popped since stay as they are. Who has a file open that is still there goes on
   * with it as it was; what is gone answers ESTALE. Who subscribed is told once: all names are to be looked up again. Throws
   * EINVAL for a checkpoint that is gone itself.
   */
  rollback(upper: UpperLayer<M> | UpperLayer<'sync'>, to?: Checkpoint): Operation<Layer[]> {
    return this.#tellOf(this.#restore(upper, to));
  }

  /** Carries out another change of the stack: `push` or `pop`, which are not bundled unless somebody names them. */
  restack<T>(change: (insides: Insides) => Operation<T>): Operation<T> {
    return this.#tellOf(this.#restack(change));
  }

  /** Listeners may look at once: the change is over. */
  *#tellOf<T>(change: Operation<T>): Operation<T> {
    const answer = yield* this.#gate.alone(change);
    for (const listener of this.#stack.listeners) listener({ type: 'layers', dir: this.root });
    return answer;
  }

  *#restack<T>(change: (insides: Insides) => Operation<T>): Operation<T> {
    const stack = this.#stack;
    yield* maybe(stack.options.lazy?.settleIn(stack, stack.root));
    const answer = yield* change(this.#insides);
    this.#survivors.detach('lower layers');
    return answer;
  }

  /**
   * Opens another overlay over the state of a checkpoint, with an `upper` of its own, as for {@link checkpoint}. Both share the
   * layers below, and the last to be closed closes them.
   */
  *fork(
    from: Checkpoint,
    upper: UpperLayer<M> | UpperLayer<'sync'>,
    { lazy }: ForkOptions = {},
  ): Operation<SnapshotOverlay<M>> {
    this.#check(from);
    const sealed = this.#lowerLayers((index) => index >= from.index && index < this.#base);
    const { lazy: _ours, ...rest } = this.#stack.options;
    const lower = [...sealed, ...this.lower];
    const forked = { ...rest, ...(lazy && { lazy }), upper, lower, sealed: sealed.length };
    yield* dress(this.#insides, upper, from.layer);
    return yield* SnapshotOverlay.open<M>(forked as SnapshotOptions<M>, this.#users);
  }

  #check({ layer, index }: Checkpoint): void {
    const { firstLower } = this.#stack;
    const isOurs = index >= firstLower && index < this.#base && own(this.#stack.layer(index))[0] === layer;
    if (!isOurs) throw new FsError('EINVAL', { syscall: 'checkpoint' });
  }

  *#seal(upper: UpperLayer): Operation<Checkpoint> {
    const stack = this.#stack;
    const layer = stack.writable();
    yield* maybe(stack.options.lazy?.settleIn(stack, stack.root));
    const fresh = yield* dress(this.#insides, upper, layer);
    const { dev } = yield* wait(layer.getattr(layer.root));
    const index = stack.first; // nothing fails or waits from here on
    if (!stack.origins.some((origin) => origin.dev === dev)) stack.origins.push({ layer: index, dev });
    this.#unsynced.add(layer);
    this.#users.enter(upper);
    this.#users.write(upper, layer);
    putOnTop(stack, upper);
    stack.presentIno(fresh, 0); // file systems are numbered in the order in which they came: see super.ts
    return { layer, index };
  }

  *#restore(upper: UpperLayer, to: Checkpoint | undefined): Operation<Layer[]> {
    const stack = this.#stack;
    if (to !== undefined) this.#check(to);
    yield* maybe(stack.options.lazy?.settleIn(stack, stack.root));
    const top = to?.index ?? stack.root.lower[0]?.layer;
    const fresh = yield* dress(this.#insides, upper, top === undefined ? stack.writable() : stack.layer(top));
    this.#users.enter(upper);
    this.#users.write(upper);
    // Nothing fails or waits from here on. Below the base there may be places of layers that are no more.
    const above = dropAbove(stack, Math.min(top ?? this.#base, this.#base)).flatMap(own);
    putOnTop(stack, upper);
    stack.presentIno(fresh, 0);
    this.#survivors.detach('rollback');
    for (const dropped of above) this.#unsynced.delete(dropped as UpperLayer);
    return above.filter((dropped) => this.#users.leave(dropped));
  }

  // Every operation waits for changes of the stack, and finds the inodes that it is given again after a rollback.

  #run<T>(operation: () => Operation<T>, ...at: readonly (Inode | Dentry)[]): Operation<T> {
    return this.#gate.pass(this.#begin(operation, at));
  }

  *#begin<T>(operation: () => Operation<T>, at: readonly (Inode | Dentry)[]): Operation<T> {
    for (const each of at) {
      yield* this.#survivors.find(each instanceof Inode ? each : each.dir);
      if (!(each instanceof Inode)) yield* this.#survivors.findEntry(each.dir, each.name);
    }
    return yield* operation();
  }

  override lookup(dir: Inode, name: string): Operation<Entry | undefined> {
    return this.#run(() => super.lookup(dir, name), { dir, name });
  }

  override forget(inode: Inode, count = 1): void {
    if (this.#survivors.isFound(inode)) super.forget(inode, count);
    else {
      inode.references -= count;
      this.#survivors.drop(inode);
    }
  }

  override getattr(inode: Inode): Operation<Attributes> {
    return this.#run(() => super.getattr(inode), inode);
  }

  override setattr(inode: Inode, change: AttributeChange, clearSetId?: 'clear-set-id'): Operation<Attributes> {
    return this.#run(() => super.setattr(inode, change, clearSetId), inode);
  }

  override readlink(inode: Inode): Operation<string> {
    return this.#run(() => super.readlink(inode), inode);
  }

  override create(dir: Inode, name: string, object: Creation): Operation<Entry> {
    return this.#run(() => super.create(dir, name, object), { dir, name });
  }

  override link(inode: Inode, dir: Inode, name: string): Operation<Entry> {
    return this.#run(() => super.link(inode, dir, name), inode, { dir, name });
  }

  override unlink(dir: Inode, name: string): Operation<void> {
    return this.#run(() => super.unlink(dir, name), { dir, name });
  }

  override rmdir(dir: Inode, name: string): Operation<void> {
    return this.#run(() => super.rmdir(dir, name), { dir, name });
  }

  override rename(dir: Inode, name: string, toDir: Inode, toName: string, flag?: RenameFlag): Operation<void> {
    const run = (): Operation<void> => super.rename(dir, name, toDir, toName, flag);
    return this.#run(run, { dir, name }, { dir: toDir, name: toName });
  }

  override open(inode: Inode, flags: OpenFlags): Operation<OpenHandle> {
    return this.#run(() => this.#open(inode, flags), inode);
  }

  *#open(inode: Inode, flags: OpenFlags): Operation<OpenHandle> {
    const handle = yield* super.open(inode, flags);
    handle.stretch = this.#stack.stretch;
    this.#insides.open.add(handle);
    return handle;
  }

  override read(handle: OpenHandle, buffer: Uint8Array, position: number): Operation<number> {
    return this.#onFile(handle, 'read', () => super.read(handle, buffer, position));
  }

  override write(handle: OpenHandle, buffer: Uint8Array, position: number): Operation<number> {
    return this.#onFile(handle, 'write', () => super.write(handle, buffer, position));
  }

  #onFile<T>(handle: OpenHandle, use: 'read' | 'write', operation: () => Operation<T>): Operation<T> {
    const { inode } = handle;
    if (handle.stretch === this.#stack.stretch) return this.#gate.pass(operation());
    return this.#run(() => this.#follow(handle, use, operation), inode);
  }

  *#follow<T>(handle: OpenHandle, use: 'read' | 'write', operation: () => Operation<T>): Operation<T> {
    yield* this.#reopening.hold(reopen(this.#stack, handle, use));
    return yield* operation();
  }

  override *fsync(
    handle: OpenHandle,
    scope: 'data' | 'all',
    sync?: (file: Pick<UpperFile, 'fd' | 'fsync'>) => void | PromiseLike<void>,
  ): Operation<void> {
    yield* this.#run(() => super.fsync(handle, scope, sync), handle.inode);
    yield* this.#syncSealed();
  }

  override release(handle: OpenHandle): Operation<void> {
    return this.#gate.pass(this.#release(handle));
  }

  *#release(handle: OpenHandle): Operation<void> {
    try {
      yield* this.#survivors.find(handle.inode);
    } catch (error) {
      if (!isFsError(error)) throw error; // it is gone, and its file is to be closed all the same
    }
    try {
      yield* super.release(handle);
    } finally {
      this.#insides.open.delete(handle);
      this.#insides.live?.needed.released(this.#stack, handle);
      this.#survivors.drop(handle.inode);
    }
  }

  override readdir(dir: Inode): Operation<DirectoryEntry[]> {
    return this.#run(() => super.readdir(dir), dir);
  }

  override *fsyncdir(dir: Inode): Operation<void> {
    yield* this.#run(() => super.fsyncdir(dir), dir);
    yield* this.#syncSealed();
  }

  override statfs(): Operation<FileSystemStatistics> {
    return this.#run(() => super.statfs());
  }

  /** Arguments that are inodes, entries (a directory, then a name) or open files are found again as those of the methods. */
  override perform<A extends unknown[], T>(
    operation: (stack: Stack, ...args: A) => Operation<T>,
    ...args: A
  ): Operation<T> {
    const at: (Inode | Dentry)[] = [];
    const handles: OpenHandle[] = [];
    for (const [i, arg] of args.entries()) {
      const next: unknown = args[i + 1];
      if (arg instanceof Inode) at.push(arg.isDirectory && typeof next === 'string' ? { dir: arg, name: next } : arg);
      else if (isHandle(arg)) handles.push(arg);
    }
    at.push(...handles.map(({ inode }) => inode));
    return this.#run(() => this.#perform(handles, () => super.perform(operation, ...args)), ...at);
  }

  /** Nothing is known at a glance: an inode may have to be found again. */
  override ask(): undefined {}

  *#perform<T>(handles: readonly OpenHandle[], operation: () => Operation<T>): Operation<T> {
    for (const handle of handles) {
      yield* this.#reopening.hold(reopen(this.#stack, handle, handle.writable ? 'write' : 'read'));
    }
    return yield* operation();
  }

  override *sync(): Operation<void> {
    yield* this.#run(() => super.sync());
    yield* this.#syncSealed();
  }

  /** What was written before a checkpoint and not made durable since lies in a former upper. */
  *#syncSealed(): Operation<void> {
    for (const layer of this.#unsynced) {
      yield* wait(layer.sync());
      this.#unsynced.delete(layer);
    }
  }

  /** Closes every layer that no fork uses. The overlay is not used again. */
  override close(): Operation<void> {
    return this.#gate.alone(this.#close());
  }

  *#close(): Operation<void> {
    yield* maybe(this.#stack.options.lazy?.drain(this.#stack));
    for (const layer of this.layers) {
      if (this.#users.leave(layer) && layer.close !== undefined) yield* wait(layer.close());
    }
  }
}

/** A layer as it was passed in, if it is still there. */
function own(layer: Layer): Layer[] {
  if (layer instanceof SealedLayer) return [layer.inner];
  return layer === GONE ? [] : [layer];
}

/** As `overlay`, for an overlay with checkpoints. `upper` is needed. Throws what {@link SnapshotOverlay.open} throws. */
export function snapshotOverlay(options: SnapshotOptions<'sync'>): SnapshotOverlay<'sync'>;
export function snapshotOverlay(options: SnapshotOptions): SnapshotOverlay<'async'> | Promise<SnapshotOverlay<'async'>>;
export function snapshotOverlay(options: SnapshotOptions): SnapshotOverlay | Promise<SnapshotOverlay> {
  const opening = SnapshotOverlay.open(options);
  const first = opening.next();
  return first.done === true ? first.value : runAsync(opening, first);
}
