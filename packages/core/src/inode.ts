/**
 * The overlay's inodes and the stack of layers they draw from. An inode is one visible object, whatever its names:
 * everything that hangs on identity (open handles, the kernel's references, inode numbers) hangs here, and the path
 * of an object is never part of it.
 */
import { type Attributes, isDirectory, S_IFMT } from './attributes.js';
import type { ChangeListener } from './change-feed.js';
import { FsError } from './errors.js';
import type { XattrPrefix } from './format.js';
import type { Layer, LayerFile, LayerNode, UpperLayer } from './layer.js';
import { Mutex } from './lock.js';
import type { Listed, Whiteout } from './merge.js';
import type { InodeIndex, LazyCopyUp, OverlayOptions, PendingData } from './options.js';
import type { Operation } from './run.js';

/** What an `origin` attribute leads to. */
export interface Origin {
  value: Uint8Array;
  dev: number;
  /** The lower object's own. */
  ino: number;
  /** Undefined where the layer may not look. */
  nlink: number | undefined;
}

/** A lower object with several names, which the index keeps one: shared by all of them, in the upper and below. */
export interface Union {
  /** Key in {@link Stack.aliases}, by the lower object. */
  key: string;
  /** Names in the merged view. */
  nlink: number;
  /** Names in the lower layer, if known. */
  lowerNlink: number | undefined;
  /** Its entry in the index, once copied up; {@link Inode.upper} is then the object by that name. */
  entry: string | undefined;
  /** `nlink` less that of the upper object, once this is what the upper object records. */
  offset: number | undefined;
}

/** Completes what was left for an inode, before its name changes or it is made durable. */
export function* settle(stack: Stack, inode: Inode): Operation<void> {
  if (inode.shown !== undefined) yield* (stack.options.lazy as LazyCopyUp).settle(stack, inode);
}

/** An object in a layer. */
export interface Real {
  /** Index into {@link Stack.layers}. */
  readonly layer: number;
  readonly node: LayerNode;
  /** Opens the data, where that is in several files: see `extents/`. */
  open?(): Operation<LayerFile>;
}

/**
 * The upper layer during one stretch of an overlay's life. Without checkpoints (`snapshots/`) there is one for all of it. Once
 * it is over, `leave` moves an inode's object out of {@link Inode.upper}: when the inode is next looked at, so that the
 * end of a stretch costs the same however much the upper holds.
 */
export interface Stretch {
  /** Index of the upper layer. */
  readonly index: number;
  leave?: (inode: Inode) => void;
}

/** An object of the upper layer. */
interface Own {
  readonly stretch: Stretch;
  readonly node: LayerNode;
}

/** One name of an inode. */
export interface Dentry {
  dir: Inode;
  name: string;
}

/**
 * There may be millions that are only looked at, so an inode starts with what all have. What few have it is given when they
 * get it, and is undefined until then; what directories have makes them a class of their own.
 */
export class Inode {
  /** Never reused within one overlay; the root's is 1. */
  declare readonly id: number;
  /** The type bits of the mode. */
  declare readonly type: number;
  /** Presented inode number, stable across copy-up. */
  declare ino: number;
  /** Holders outside the overlay, see `Overlay.retain`. */
  references = 0;
  /** Open files and directories. */
  handles = 0;
  /** Operations in flight that found it by themselves: it must not be forgotten while they wait. */
  pins = 0;

  /** The directory of {@link dentry}. */
  dir: Inode | undefined;
  /** In {@link dir}. */
  name = '';
  /** Whether it lost its last known name, as opposed to never having had one (the root). */
  isNameless = false;

  /** See {@link upper}. */
  own: Own | undefined;
  /** {@link lower} of what is no directory. */
  declare node: LayerNode | undefined;
  declare layer: number;
  /** Whether the upper object records an origin, which its directory has to announce. */
  hasOrigin = false;
  /** The object, once it is known to hold the data itself. */
  whole: LayerNode | undefined;

  // Few have these.

  /** Further known names of a hard-linked file, by directory and name. */
  declare links: Map<string, Dentry> | undefined;
  /** Key in {@link Stack.aliases}, for a hard-linked upper file. */
  declare alias: string | undefined;
  declare union: Union | undefined;
  /** The upper object never had a name: a copy made after the last one had gone, or a new object that may get one. */
  declare staged: 'copy' | 'new' | undefined;
  /** Whether the upper was told to keep the object when its name went, until {@link Stack.letGo}. */
  declare kept: boolean | undefined;
  /** Metacopy: where the data is, once looked for. */
  declare data: Real | undefined;
  /** What the upper object records: what it is called below. Of a metacopy, known together with `data`. */
  declare redirect: string | undefined;
  declare private mutex: Mutex | undefined;

  /** Attributes that the layer's object does not have: those that the copy is to get, while there is none or it is pending. */
  declare shown: Partial<Attributes> | undefined;
  /** The copy's data, while that is still coming; its names are then only below. */
  declare pending: PendingData | undefined;

  // Directories have these, too, and are the only ones to be asked for them.

  /** As {@link lower}. */
  declare parts: readonly Real[] | undefined;
  /** What the upper part records. */
  declare opaque: boolean | undefined;
  declare impure: boolean | undefined;
  /** The default ACL, once read. */
  declare defaultAcl: Uint8Array | 'none' | undefined;
  /** The group that new objects get, once read. */
  declare group: number | 'none' | undefined;
  /** Cached entries. */
  declare children: Map<string, Inode> | undefined;
  /** All visible names, once read. */
  declare listing: Map<string, Listed> | undefined;
  /** Names under a whiteout in the upper. */
  declare whiteouts: Map<string, Whiteout> | undefined;
  /** Moves with every change of a name, so that a lookup that was suspended notices; numbers the names, too. */
  declare version: number;

  constructor(id: number, mode: number, ino: number, lower: readonly Real[]) {
    this.id = id;
    this.type = mode & S_IFMT;
    this.ino = ino;
    this.node = lower[0]?.node;
    this.layer = lower[0]?.layer as number;
  }

  /** Its object in the upper layer; {@link Stack.place} changes it. */
  get upper(): LayerNode | undefined {
    this.own?.stretch.leave?.(this);
    return this.own?.node;
  }

  /** A name it was found under: the only one, for a directory. Undefined for the root and once every known name is gone. */
  get dentry(): Dentry | undefined {
    const { dir, name } = this;
    return dir && { dir, name };
  }

  /** For a directory, those that it merges, in order; otherwise at most one. */
  get lower(): readonly Real[] {
    void this.upper; // which may have become a lower one
    const { parts, layer, node } = this;
    return parts ?? (node === undefined ? [] : [{ layer, node }]);
  }

  get isDirectory(): boolean {
    return isDirectory(this.type);
  }

  /** Serialises copy-up, writes and attribute changes. */
  get lock(): Mutex {
    return (this.mutex ??= new Mutex());
  }
}

class Directory extends Inode {
  constructor(...of: ConstructorParameters<typeof Inode>) {
    super(...of);
    this.parts = of[3];
    this.version = 0;
    this.children = this.listing = undefined;
  }
}

/** Inode numbers below this belong to the first file system as they are; see {@link Stack.presentIno}. */
const INO_SPAN = 2 ** 44;
const MAX_FILE_SYSTEMS = 2 ** 9;

export class Stack {
  // Declared only, where the constructor or the opening sets them.

  /** What the overlay was opened with. */
  declare readonly options: OverlayOptions;
  /** The upper, if any, then the lowers, topmost first, then those for data only. */
  declare layers: Layer[];
  /**
   * Index of the first of them, and of the upper. It falls when a layer comes in on top, so that the others keep theirs:
   * all that is known of what lies in them goes on to be true.
   */
  first = 0;
  declare firstData: number;
  declare upper: UpperLayer | undefined;
  declare firstLower: number;
  stretch: Stretch = { index: 0 };
  declare readonly prefix: XattrPrefix;
  declare readonly redirectDir: 'on' | 'follow' | 'nofollow';
  /** What becomes of a directory with lower content that is renamed. */
  declare readonly directoryMoves: 'record' | 'copy' | 'refuse';
  /** Serialises changes of names. */
  readonly namespace: Mutex = new Mutex();
  /** Files with several names, by device and inode number: upper ones, and lower ones that the index covers. */
  readonly aliases: Map<string, Inode> = new Map();
  /** Where origins are looked up: one lower layer for each file system that can be told from the others. */
  origins: { layer: number; dev: number }[] = [];
  declare index: InodeIndex | undefined;
  /** Those who want to know of changes, see changes.ts. */
  readonly listeners: Set<ChangeListener> = new Set();
  declare root: Inode;
  inodeCount = 0;
  #nextId = 1;
  /** Directories that are not forgotten though nobody holds them: see fs/warm.ts. */
  declare warm: Set<Inode> | undefined;
  /** Listings that were dropped, for the places of their names. */
  readonly formerNames: WeakMap<Inode, Map<string, Listed>> = new WeakMap();
  readonly #fileSystems = new Map<number, number>();
  readonly #foldedInos = new Map<string, number>();

  constructor(options: OverlayOptions) {
    const { lower, dataOnly = [], upper, redirectDir, xattrPrefix } = options;
    this.options = options;
    if (lower.length === 0 && upper === undefined) throw new FsError('EINVAL', { syscall: 'overlay' });
    this.upper = upper;
    this.layers = [...(upper === undefined ? [] : [upper]), ...lower, ...dataOnly];
    this.firstLower = upper === undefined ? 0 : 1;
    this.firstData = this.firstLower + lower.length;
    this.prefix = upper?.xattrPrefix ?? xattrPrefix ?? 'trusted.overlay.';
    const trusted = this.prefix === 'trusted.overlay.';
    this.redirectDir = redirectDir ?? (trusted ? 'on' : 'nofollow');
    this.directoryMoves = redirectDir !== undefined && redirectDir !== 'on' ? 'refuse' : trusted ? 'record' : 'copy';
  }

  /** The layer whose file system the overlay reports. */
  get top(): Layer {
    return this.layers[0] as Layer;
  }

  layer(index: number): Layer {
    return this.layers[index - this.first] as Layer;
  }

  /** Throws EROFS without an upper. */
  writable(): UpperLayer {
    if (this.upper === undefined) throw new FsError('EROFS');
    return this.upper;
  }

  /** Where the attributes of an inode are: its topmost object. */
  real(inode: Inode): { layer: Layer; node: LayerNode; index: number } {
    const { upper } = inode;
    if (upper !== undefined) return { layer: this.top, node: upper, index: this.first };
    const { layer, node } = inode.lower[0] as Real;
    return { layer: this.layer(layer), node, index: layer };
  }

  /** The directory's part in one layer. */
  part(dir: Inode, layer: number): LayerNode | undefined {
    if (layer < this.firstLower) return dir.upper;
    for (const real of dir.lower) if (real.layer === layer) return real.node;
    return undefined;
  }

  newInode(mode: number, ino: number, upper: LayerNode | undefined, lower: readonly Real[]): Inode {
    this.inodeCount++;
    const inode = new (isDirectory(mode) ? Directory : Inode)(this.#nextId++, mode, ino, lower);
    if (upper) this.place(inode, upper);
    return inode;
  }

  /** Gives an inode its object in the upper layer. */
  place(inode: Inode, node: LayerNode): void {
    inode.own = { stretch: this.stretch, node };
  }

  /**
   * The inode number shown for one of a layer's: the layer's own while all layers lie on one file system, otherwise with
   * the file system's number in the high bits (the kernel's `xino`), so that numbers stay unique and stable.
   */
  presentIno(dev: number, ino: number): number {
    let fileSystem = this.#fileSystems.get(dev);
    if (fileSystem === undefined) {
      fileSystem = this.#fileSystems.size;
      this.#fileSystems.set(dev, fileSystem);
    }
    if (ino < INO_SPAN && fileSystem < MAX_FILE_SYSTEMS) return fileSystem * INO_SPAN + ino;
    const key = `${dev}:${ino}`; // too large to carry its file system: unique while mounted
    let folded = this.#foldedInos.get(key);
    if (folded === undefined) {
      folded = MAX_FILE_SYSTEMS * INO_SPAN - 1 - this.#foldedInos.size;
      this.#foldedInos.set(key, folded);
    }
    return folded;
  }

  /** Records that `inode` is found under a name; also of one that is only held open, found by another of its names. */
  addDentry(inode: Inode, dir: Inode, name: string): void {
    if (inode.isNameless) this.inodeCount++;
    inode.isNameless = false;
    (dir.children ??= new Map()).set(name, inode);
    if (inode.dir === undefined) {
      inode.dir = dir;
      inode.name = name;
    } else if (inode.dir !== dir || inode.name !== name) {
      (inode.links ??= new Map()).set(linkKey(dir, name), { dir, name });
    }
  }

  /** Records that a name is gone (or moved away). */
  removeDentry(inode: Inode, dir: Inode, name: string): void {
    if (dir.children?.get(name) === inode) dir.children.delete(name);
    const { links } = inode;
    if (inode.dir !== dir || inode.name !== name) links?.delete(linkKey(dir, name));
    else {
      const next = nextLink(inode);
      inode.dir = next?.dir;
      if (next === undefined) return;
      inode.name = next.name;
      links?.delete(linkKey(next.dir, next.name));
    }
    if (links?.size === 0) inode.links = undefined;
  }

  /** Records that the last known name of an inode is gone. Whoever holds it goes on using it. */
  becomeNameless(inode: Inode): void {
    inode.isNameless = true;
    if (inode.pending !== undefined) inode.staged = 'copy';
    this.inodeCount--;
    if (!inode.kept && !inode.union?.nlink) this.unalias(inode);
  }

  /** Records that a name stands for something else, or nothing, without our doing: who holds the inode keeps it. */
  lose(inode: Inode, dir: Inode, name: string): void {
    this.removeDentry(inode, dir, name);
    if (inode.dir === undefined) this.becomeNameless(inode);
  }

  /** Releases the object of an inode that has no name and that nobody holds any more. */
  letGo(inode: Inode): void {
    if (!inode.isNameless || inode.references + inode.handles > 0) return;
    this.unalias(inode);
    this.releaseKept(inode);
  }

  /** Tells the upper that the object it kept is not used under its lost name any more, or a staged one not at all. */
  releaseKept(inode: Inode): void {
    if (!inode.kept && !inode.staged) return;
    if (inode.upper !== undefined) this.upper?.release?.(inode.upper);
    inode.kept = false;
    inode.staged = undefined;
  }

  /** Forgets an inode that nobody holds, and then its directories upwards. */
  drop(inode: Inode): void {
    for (let at: Inode | undefined = inode; at !== undefined && at !== this.root && !isHeld(at); ) {
      if (this.warm?.has(at) && !at.isNameless) return;
      for (const child of at.children?.values() ?? []) {
        if (isHeld(child) || child.dir !== at || child.children?.size) return;
        this.#forget(child, at);
      }
      const { dir }: Inode = at;
      if (dir === undefined) this.letGo(at);
      else this.#forget(at, dir);
      at = dir;
    }
  }

  #forget(inode: Inode, dir: Inode): void {
    const others = inode.links && [...inode.links.values()];
    this.removeDentry(inode, dir, inode.name);
    this.inodeCount--;
    this.unalias(inode);
    others?.forEach((other) => this.removeDentry(inode, other.dir, other.name));
    others?.forEach((other) => this.drop(other.dir)); // after all: it leads upwards, maybe to where another name was
  }

  alias(inode: Inode, attributes: Attributes): void {
    inode.alias = aliasKey(attributes);
    this.aliases.set(inode.alias, inode);
  }

  unalias(inode: Inode): void {
    const { alias, union } = inode;
    if (alias === undefined && union === undefined) return;
    for (const key of [alias, union?.key]) {
      if (key !== undefined && this.aliases.get(key) === inode) this.aliases.delete(key);
    }
    inode.alias = undefined;
  }

  /** Whether one of an inode's names is in the upper; of one that the index keeps together, others may be only below. */
  inUpper(inode: Inode, dir: Inode, name: string): boolean {
    if (inode.pending !== undefined) return false;
    if (inode.union === undefined || dir.lower.length === 0) return inode.upper !== undefined;
    return dir.listing?.get(name)?.layer === this.first;
  }

  /** Takes back an inode that was made for nothing: another operation was faster. */
  abandon(inode: Inode): void {
    if (inode.dir !== undefined || inode.isNameless) return; // an older one, found by another name
    this.inodeCount--;
    this.unalias(inode);
  }
}

/** Forgets the names of a directory, to be read again. Those that are still there then keep their places. */
export function forgetNames(stack: Stack, dir: Inode): void {
  if (dir.listing !== undefined) stack.formerNames.set(dir, dir.listing);
  dir.listing = dir.whiteouts = undefined;
  dir.version++;
}

/** Whether somebody uses it, named or not. */
function isHeld(inode: Inode): boolean {
  return inode.references + inode.handles + inode.pins > 0;
}

/** Key of an object in {@link Stack.aliases}. */
export function aliasKey({ dev, ino }: { dev: number; ino: number }): string {
  return `${dev}:${ino}`;
}

function linkKey(dir: Inode, name: string): string {
  return `${dir.id}/${name}`;
}

/** The name that becomes the {@link Inode.dentry} when that one goes. */
export function nextLink({ links }: Inode): Dentry | undefined {
  return links?.values().next().value;
}
