/**
 * An upper layer with a limit to what it may hold, as a project quota: what would go past it is EDQUOT, before anything has
 * changed. Any layer can have one. The charge is what the layer itself says (`blocks`), read before and after each change.
 *
 * Order, so that nothing deadlocks: the lock of an object's data before the one for names; `names` is also the lock of what
 * directories take.
 */
import {
  type AttributeChange,
  type Attributes,
  type FileSystemStatistics,
  isDirectory,
  isSymlink,
} from '../attributes.js';
import { FsError } from '../errors.js';
import type {
  FileHandle,
  Found,
  HandleTarget,
  LayerEntry,
  LayerFile,
  LayerNode,
  NamespaceChange,
  NewObject,
  Place,
  UpperFile,
  UpperLayer,
  VerityDigest,
} from '../layer.js';
import { byteLength } from '../names.js';
import { type Answer, type Mode, type Operation, runEither, wait } from '../run.js';
import { Account, type QuotaLimits, type Usage } from './account.js';
import { Charges } from './charges.js';
import { commit } from './change-names.js';
import { count } from './count.js';
import { later, Meter } from './meter.js';
import { innerOf, QuotaFile } from './quota-file.js';
import { BLOCK, dataWithin, type Extent, roomToResize, roomToWrite } from './room.js';

/** Symbolic links up to this length are kept in the inode, in bytes; as in ext4. */
const FAST_SYMLINK_MAX = 59;

/** A writable layer that holds no more than its limits: what {@link quota} answers with. */
export class QuotaLayer<M extends Mode = Mode> implements UpperLayer<M> {
  readonly root: LayerNode;
  readonly xattrPrefix: UpperLayer['xattrPrefix'];
  readonly holdsExtents: boolean;
  readonly chunk?: number;
  readonly fileHandle?: (node: LayerNode) => Answer<M, FileHandle | undefined>;
  readonly resolveHandle?: (handle: FileHandle) => Answer<M, HandleTarget | undefined>;
  readonly verityDigest?: (node: LayerNode) => Answer<M, VerityDigest | undefined>;
  readonly openIndex?: () => Answer<M, LayerNode>;
  readonly #inner: UpperLayer<M>;
  readonly #meter: Meter<M>;
  /** What is counted: the tree, and the index once it is open. */
  readonly #trees: LayerNode[];
  /** What a new directory takes at once. */
  #directoryBytes = 0;
  /** What it uses was told, and not counted. */
  #isTold = false;

  protected constructor(inner: UpperLayer<M>, account: Account) {
    this.#inner = inner;
    this.#meter = new Meter(inner, account, new Charges(account));
    this.root = inner.root;
    this.#trees = [inner.root];
    this.xattrPrefix = inner.xattrPrefix;
    this.holdsExtents = inner.holdsExtents === true;
    if (inner.chunk !== undefined) this.chunk = inner.chunk;
    // What the layer does not have, this one does not either.
    if (inner.fileHandle) this.fileHandle = inner.fileHandle.bind(inner);
    if (inner.resolveHandle) this.resolveHandle = inner.resolveHandle.bind(inner);
    if (inner.verityDigest) this.verityDigest = inner.verityDigest.bind(inner);
    if (inner.openIndex) this.openIndex = () => runEither<M, LayerNode>(this.#openIndex());
  }

  /** See {@link quota}. */
  static *open<M extends Mode>(inner: UpperLayer<M>, options: QuotaOptions): Operation<QuotaLayer<M>> {
    const { shareWith, used, ...limits } = options;
    if (shareWith !== undefined && (limits.bytes !== undefined || limits.inodes !== undefined)) {
      throw new FsError('EINVAL', { syscall: 'quota', path: 'limits beside shareWith, which has them' });
    }
    const layer = new QuotaLayer<M>(
      inner,
      shareWith === undefined ? new Account(checked(limits)) : shareWith.#meter.account,
    );
    const { blocks, blksize } = yield* wait<Attributes>(inner.getattr(inner.root));
    if (blocks > 0) layer.#directoryBytes = blksize;
    if (used === undefined) yield* layer.recount();
    else {
      layer.#isTold = true;
      layer.#meter.charges.replace(checked(used));
    }
    return layer;
  }

  /** May be changed; a limit below what is used refuses what would take more, and removes nothing. Shared as the quota is. */
  get limits(): QuotaLimits {
    return { ...this.#meter.account.limits };
  }

  set limits(limits: QuotaLimits) {
    this.#meter.account.limits = checked(limits);
  }

  /** What is used, by all layers that share the quota. */
  get usage(): Usage {
    return { ...this.#meter.account.used };
  }

  /** What this layer uses, to be given as `used` when it is next opened. */
  get ownUsage(): Usage {
    return { ...this.#meter.charges.own };
  }

  /**
   * Counts by a walk, which is needed only where something else wrote to the layer, or a file system counts differently later
   * (blocks for its own bookkeeping, compression). To be run while nobody writes.
   */
  recount(): Operation<Usage> {
    return this.#meter.names.hold(this.#recount());
  }

  *#recount(): Operation<Usage> {
    this.#meter.charges.replace(yield* count(this.#inner, this.#trees));
    return this.ownUsage;
  }

  // What changes nothing goes through as it is.

  lookup(dir: LayerNode, name: string): Answer<M, Found | undefined> {
    return this.#inner.lookup(dir, name);
  }

  getattr(node: LayerNode): Answer<M, Attributes> {
    return this.#inner.getattr(node);
  }

  readdir(dir: LayerNode): Answer<M, LayerEntry[]> {
    return this.#inner.readdir(dir);
  }

  readlink(node: LayerNode): Answer<M, string> {
    return this.#inner.readlink(node);
  }

  getxattr(node: LayerNode, name: string): Answer<M, Uint8Array | undefined> {
    return this.#inner.getxattr(node, name);
  }

  listxattr(node: LayerNode): Answer<M, string[]> {
    return this.#inner.listxattr(node);
  }

  open(node: LayerNode): Answer<M, UpperFile<M>> {
    return this.#inner.open(node);
  }

  fsyncdir(dir: LayerNode): Answer<M, void> {
    return this.#inner.fsyncdir(dir);
  }

  sync(): Answer<M, void> {
    return this.#inner.sync();
  }

  /** As below a project quota: the limits are the size, what is left of them is free, unless the layer itself has less. */
  statfs(): Answer<M, FileSystemStatistics> {
    return runEither<M, FileSystemStatistics>(this.#statfs());
  }

  *#statfs(): Operation<FileSystemStatistics> {
    const all = yield* wait<FileSystemStatistics>(this.#inner.statfs());
    const { bytes = Infinity, inodes = Infinity } = this.#meter.account.limits;
    const left = Math.floor(Math.max(0, this.#meter.account.left('bytes')) / all.bsize);
    return {
      ...all,
      blocks: Math.min(all.blocks, Math.floor(bytes / all.bsize)),
      bfree: Math.min(all.bfree, left),
      bavail: Math.min(all.bavail, left),
      files: Math.min(all.files, inodes),
      ffree: Math.min(all.ffree, Math.max(0, this.#meter.account.left('inodes'))),
    };
  }

  stage(object: NewObject, source?: LayerNode): Answer<M, Found> {
    return runEither<M, Found>(this.#stage(object, source));
  }

  *#stage(object: NewObject, source?: LayerNode): Operation<Found> {
    const giveBack = this.#meter.account.reserve({ bytes: this.#roomToMake(object), inodes: 1 }, 'stage');
    try {
      const found = yield* wait<Found>(this.#inner.stage(object, source));
      this.#meter.charges.staged(found.node, found.attributes);
      return found;
    } finally {
      giveBack();
    }
  }

  discard(node: LayerNode): Answer<M, void> {
    return runEither<M, void>(this.#discard(node));
  }

  *#discard(node: LayerNode): Operation<void> {
    try {
      yield* wait<void>(this.#inner.discard(node));
    } finally {
      this.#meter.charges.letGo(node);
    }
  }

  release(node: LayerNode): void {
    this.#inner.release?.(node);
    this.#meter.charges.letGo(node);
  }

  create(to: Place, object: NewObject): Answer<M, Found> {
    return runEither<M, Found>(this.#meter.names.hold(this.#create(to, object)));
  }

  *#create(to: Place, object: NewObject): Operation<Found> {
    const giveBack = this.#meter.account.reserve({ bytes: this.#roomToMake(object), inodes: 1 }, 'create');
    try {
      const found = yield* this.#meter.measured(
        [to.dir],
        later(() => this.#inner.create(to, object)),
      );
      this.#meter.charges.add(found.attributes.blocks * BLOCK, 1);
      return found;
    } finally {
      giveBack();
    }
  }

  /** What a new object takes at once. */
  #roomToMake({ mode, target = '' }: NewObject): number {
    const isLarge = isDirectory(mode) || (isSymlink(mode) && byteLength(target) > FAST_SYMLINK_MAX);
    return isLarge ? this.#directoryBytes : 0;
  }

  commit(change: NamespaceChange): Answer<M, void> {
    return runEither<M, void>(this.#meter.names.hold(commit(this.#meter, change)));
  }

  setattr(node: LayerNode, change: AttributeChange): Answer<M, void> {
    const { size } = change;
    if (size === undefined) return this.#inner.setattr(node, change);
    const changing = later(() => this.#inner.setattr(node, change));
    const room = (extent: Extent): number => roomToResize(extent, this.chunk, size);
    return runEither<M, void>(this.#meter.changeObject(node, changing, room));
  }

  setxattr(node: LayerNode, name: string, value: Uint8Array, condition?: 'create' | 'replace'): Answer<M, void> {
    const changing = later(() => this.#inner.setxattr(node, name, value, condition));
    return runEither<M, void>(this.#meter.changeObject(node, changing, () => 0));
  }

  removexattr(node: LayerNode, name: string): Answer<M, void> {
    return runEither<M, void>(
      this.#meter.changeObject(
        node,
        later(() => this.#inner.removexattr(node, name)),
        () => 0,
      ),
    );
  }

  openWritable(node: LayerNode): Answer<M, UpperFile<M>> {
    return runEither<M, UpperFile<M>>(this.#openWritable(node));
  }

  *#openWritable(node: LayerNode): Operation<UpperFile<M>> {
    const ino = this.#meter.charges.ino(node) ?? (yield* wait<Attributes>(this.#inner.getattr(node))).ino;
    const charge = this.#meter.charges.enter(ino);
    let file: UpperFile | undefined;
    try {
      file = yield* wait<UpperFile>(this.#inner.openWritable(node));
      return new QuotaFile(file, node, charge, this.#meter) as UpperFile<M>;
    } finally {
      if (file === undefined) this.#meter.charges.leave(charge);
    }
  }

  copyData(from: LayerFile<M>, to: UpperFile<M>, length: number): Answer<M, boolean> {
    return runEither<M, boolean>(this.#copyData(innerOf(from), to, length));
  }

  *#copyData(from: LayerFile<M>, to: UpperFile<M>, length: number): Operation<boolean> {
    const inner = this.#inner;
    if (inner.copyData === undefined || !(to instanceof QuotaFile)) return false;
    const copying = later(() => inner.copyData?.(from, to.inner as UpperFile<M>, length) as Answer<M, boolean>);
    return yield* this.#copy(from, 0, to, 0, length, copying);
  }

  copyRange(
    from: LayerFile<M>,
    fromPosition: number,
    to: UpperFile<M>,
    toPosition: number,
    length: number,
  ): Answer<M, number | undefined> {
    return runEither<M, number | undefined>(this.#copyRange(innerOf(from), fromPosition, to, toPosition, length));
  }

  *#copyRange(
    from: LayerFile<M>,
    fromPosition: number,
    to: UpperFile<M>,
    toPosition: number,
    length: number,
  ): Operation<number | undefined> {
    const inner = this.#inner;
    if (inner.copyRange === undefined || !(to instanceof QuotaFile)) return undefined;
    const target = to.inner as UpperFile<M>;
    const copying = later(() => inner.copyRange?.(from, fromPosition, target, toPosition, length));
    return yield* this.#copy(from, fromPosition, to, toPosition, length, copying);
  }

  /** Of the source only data takes room. */
  *#copy<T>(
    from: LayerFile,
    fromPosition: number,
    to: QuotaFile,
    toPosition: number,
    length: number,
    copying: Operation<T>,
  ): Operation<T> {
    const { chunk } = this;
    return yield* this.#meter.changeData(to.node, to.charge, copying, function* (extent, left) {
      const all = yield* roomToWrite(to.inner, extent, chunk, toPosition, toPosition + length, left);
      if (all <= left || chunk === Infinity) return all;
      const unit = chunk ?? extent.blksize;
      const data = yield* dataWithin(from, fromPosition, fromPosition + length);
      return Math.min(all, Math.ceil(data / unit) * unit);
    });
  }

  /** The index is counted, too: what it holds goes on taking room. */
  *#openIndex(): Operation<LayerNode> {
    const index = yield* wait<LayerNode | undefined>(this.#inner.openIndex?.());
    if (index === undefined) throw new FsError('EOPNOTSUPP', { syscall: 'index' });
    if (this.#trees.includes(index)) return index;
    this.#trees.push(index);
    if (!this.#isTold) yield* this.recount();
    return index;
  }

  close(): Answer<M, void> {
    this.#meter.charges.close();
    return this.#inner.close?.() as Answer<M, void>;
  }
}

function checked<T extends QuotaLimits>(limits: T): T {
  for (const what of ['bytes', 'inodes'] as const) {
    const value = limits[what];
    const isFit = value === undefined || value === Infinity || (Number.isSafeInteger(value) && value >= 0);
    if (!isFit)
      throw new FsError('EINVAL', { syscall: 'quota', path: `${what}: ${value}, needs a whole number from 0 on` });
  }
  return limits;
}

/** What {@link quota} limits, and what is known of it already. */
export interface QuotaOptions extends QuotaLimits {
  /**
   * What the layer uses already, if that is known: `ownUsage` of the last time, while nothing else has written to it. Otherwise it is
   * counted by a walk, one listing a directory and one lookup an entry; an empty layer costs one listing.
   */
  used?: Usage;
  /** A layer whose limits are to hold for both together. Leaves no others. */
  shareWith?: QuotaLayer;
}

/**
 * Limits what `upper` may hold: room for data and objects, as its `blocks` count it, and objects. What would go past a limit is
 * EDQUOT and changes nothing; what takes no more room (removing, overwriting) always goes on. There at once where the layer is a
 * synchronous one; otherwise await it. The layer is written through this one only, and closed by closing it. Throws EINVAL
 * for limits that are no whole numbers.
 */
export function quota(upper: UpperLayer<'sync'>, options: QuotaOptions): QuotaLayer<'sync'>;
export function quota(upper: UpperLayer, options: QuotaOptions): QuotaLayer | Promise<QuotaLayer>;
export function quota(upper: UpperLayer, options: QuotaOptions): QuotaLayer | Promise<QuotaLayer> {
  return runEither<'async', QuotaLayer>(QuotaLayer.open(upper, options)) as QuotaLayer | Promise<QuotaLayer>;
}
