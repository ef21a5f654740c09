/**
 * The index (overlayfs.rst "Index", "inodes index"): a directory beside the upper whose entries are hard links of upper
 * objects, named after the lower object that each was copied from. It keeps a lower file with several names one file: the
 * copy is made into the index, every name finds it there, and its `nlink` attribute says how many names the merged view
 * still has (overlayfs: namei.c, copy_up.c, and `ovl_nlink_start` in util.c). An overlay has it only if it is given
 * {@link inodeIndex}; the operations reach it through `InodeIndex`.
 */
import { type Attributes, isDirectory, isRegular, S_IFMT } from './attributes.js';
import { copyUp, markImpure, nameCopied, placeCopy, restoreTimes } from './copy-up.js';
import { FsError, isFsError } from './errors.js';
import { decodeOrigin, encodeOrigin, isWhiteoutDevice, xattrText } from './format.js';
import { aliasKey, type Inode, type Origin, type Real, type Stack, type Union } from './inode.js';
import type { Found, Layer, LayerNode, UpperLayer } from './layer.js';
import { getattr, newLowerFile, resolveOrigin } from './lookup.js';
import { decodeName, NAME_MAX } from './names.js';
import type { IndexOpener, InodeIndex } from './options.js';
import type { Entry } from './overlay.js';
import { type Operation, wait } from './run.js';

/**
 * Opens the index where layers and upper allow it: all of them name their objects by handles, the upper holds attributes.
 * With "on", an upper or an index directory that belongs to other layers is refused with ESTALE, and an entry that no index
 * has with EINVAL, as the kernel does; with "auto" such an overlay goes without an index. Removes stale entries. "off" only
 * sees to it that handles are not taken for those of another file system.
 */
export function inodeIndex(use: 'on' | 'auto' | 'off'): IndexOpener {
  return function* open(stack) {
    const isAmbiguous = yield* dropAmbiguousOrigins(stack);
    if (isAmbiguous || use === 'off') return undefined;
    try {
      return yield* openIndex(stack);
    } catch (error) {
      if (error instanceof Unfit && use === 'auto') return undefined;
      throw error;
    }
  };
}

/** The upper or its index belongs to something else. */
class Unfit extends FsError {}

function* openIndex(stack: Stack): Operation<InodeIndex | undefined> {
  const { upper, firstLower } = stack;
  const lower = stack.layers[firstLower];
  if (upper?.openIndex === undefined || lower === undefined || stack.origins[0]?.layer !== firstLower) return undefined;
  for (const { layer } of stack.origins) {
    if ((yield* handleOf(stack.layer(layer), stack.layer(layer).root)) === undefined) return undefined;
  }
  const lowerRoot = yield* handleOf(lower, lower.root);
  const upperRoot = yield* handleOf(upper, upper.root, 'upper');
  if (lowerRoot === undefined || upperRoot === undefined) return undefined;
  try {
    yield* verify(upper, upper.root, `${stack.prefix}origin`, lowerRoot, 'the upper was made over another lower layer');
    const dir = yield* wait(upper.openIndex());
    const other = 'the index belongs to another upper';
    const earlier = yield* wait(upper.getxattr(dir, `${stack.prefix}origin`)); // what older kernels called "upper"
    if (earlier !== undefined && !equalBytes(earlier, upperRoot)) throw unfit('ESTALE', other);
    yield* verify(upper, dir, `${stack.prefix}upper`, upperRoot, other);
    const index = new Index(stack, upper, dir);
    yield* index.cleanUp();
    return index;
  } catch (error) {
    if (isFsError(error, 'EOPNOTSUPP', 'EPERM')) return undefined; // the upper holds no attributes
    throw error;
  }
}

/** Lower file systems with one UUID, or none, cannot be told apart by a handle (`ovl_lower_uuid_ok`). */
function* dropAmbiguousOrigins(stack: Stack): Operation<boolean> {
  const { origins } = stack;
  if (origins.length < 2 || stack.upper === undefined) return false;
  const seen = new Map<string, number>();
  const keys: string[] = [];
  for (const { layer } of origins) {
    const handle = yield* handleOf(stack.layer(layer), stack.layer(layer).root);
    const key = handle?.subarray(5, 21).join() ?? `${layer}`;
    seen.set(key, (seen.get(key) ?? 0) + 1);
    keys.push(key);
  }
  stack.origins = origins.filter((_, i) => seen.get(keys[i] as string) === 1);
  return stack.origins.length < origins.length;
}

function unfit(code: 'ESTALE' | 'EINVAL', why: string): Unfit {
  return new Unfit(code, { syscall: 'index', path: why });
}

function* handleOf(layer: Layer, node: LayerNode, of: 'lower' | 'upper' = 'lower'): Operation<Uint8Array | undefined> {
  const handle = layer.fileHandle === undefined ? undefined : yield* wait(layer.fileHandle(node));
  return handle === undefined ? undefined : encodeOrigin(handle, of);
}

/** Checks what an attribute records about another directory, or records it (`ovl_verify_set_fh`). */
function* verify(
  upper: UpperLayer,
  node: LayerNode,
  name: string,
  expected: Uint8Array,
  otherwise: string,
): Operation<void> {
  const recorded = yield* wait(upper.getxattr(node, name));
  if (recorded === undefined || recorded.length === 0) yield* wait(upper.setxattr(node, name, expected));
  else if (!equalBytes(recorded, expected)) throw unfit('ESTALE', otherwise);
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** An entry's name: its origin in hexadecimal. */
function entryName(origin: Uint8Array): string {
  return Array.from(origin, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The origin that an entry is named after, or undefined if it is no entry's name. */
function originOfEntry(name: string): Uint8Array | undefined {
  if (!/^(?:[0-9a-f]{2})+$/.test(name)) return undefined;
  const origin = Uint8Array.from(name.match(/../g) as string[], (pair) => Number.parseInt(pair, 16));
  return decodeOrigin(origin) === undefined ? undefined : origin;
}

/** What the attribute `nlink` stores: the names of the merged view, relative to those of one of the two objects. */
function encodeNlink(relativeTo: 'U' | 'L', difference: number): Uint8Array {
  return xattrText(`${relativeTo}${difference < 0 ? '' : '+'}${difference}`);
}

/** The number of names that an attribute `nlink` stands for, or undefined where it is damaged or cannot be told. */
function decodeNlink(
  value: Uint8Array | undefined,
  upperNlink: number,
  lowerNlink: number | undefined,
): number | undefined {
  const match = value === undefined ? null : /^([UL])([+-]\d{1,10})$/.exec(decodeName(value));
  const base = match?.[1] === 'U' ? upperNlink : lowerNlink;
  const nlink = match === null || base === undefined ? 0 : base + Number(match[2]);
  return nlink > 0 ? nlink : undefined;
}

class Index implements InodeIndex {
  readonly #stack: Stack;
  readonly #upper: UpperLayer;
  readonly #dir: LayerNode;
  readonly #devs: ReadonlySet<number>;
  /** Whether there may be entries: without any, a lookup need not ask. */
  #used = false;

  constructor(stack: Stack, upper: UpperLayer, dir: LayerNode) {
    this.#stack = stack;
    this.#upper = upper;
    this.#dir = dir;
    this.#devs = new Set(stack.origins.map(({ dev }) => dev));
  }

  /** Removes leftovers of a crash and entries whose objects are gone (`ovl_indexdir_cleanup`). */
  *cleanUp(): Operation<void> {
    const upper = this.#upper;
    const entries = yield* wait(upper.readdir(this.#dir));
    for (const { name } of entries) {
      const found = yield* wait(upper.lookup(this.#dir, name));
      if (found === undefined) continue;
      const isDir = isDirectory(found.attributes.mode);
      if (yield* this.#isStale(name, found)) {
        const occupant = isDir ? 'directory' : isWhiteoutDevice(found.attributes) ? 'whiteout' : 'non-directory';
        yield* wait(upper.commit({ kind: 'unlink', from: { dir: this.#dir, name }, occupant }));
      } else this.#used = true;
    }
  }

  *#isStale(name: string, { node, attributes }: Found): Operation<boolean> {
    if (name.startsWith('#')) return true; // what the kernel stages here
    const origin = originOfEntry(name);
    if (origin === undefined) throw unfit('EINVAL', `${name} is no entry of an index`);
    // Of a directory, and of what is gone for good: they concern file handles of the mount only.
    if (isDirectory(attributes.mode) || isWhiteoutDevice(attributes)) return false;
    const recorded = yield* wait(this.#upper.getxattr(node, `${this.#stack.prefix}origin`));
    if (recorded === undefined) throw unfit('EINVAL', `${name} does not say where it comes from`);
    if (!equalBytes(recorded, origin)) return true;
    if (attributes.nlink > 1) return false;
    const lower = yield* resolveOrigin(this.#stack, origin);
    if (lower === undefined) return true;
    const nlink = yield* wait(this.#upper.getxattr(node, this.#nlinkName));
    return decodeNlink(nlink, attributes.nlink, lower.nlink ?? 1) === undefined;
  }

  get #nlinkName(): string {
    return `${this.#stack.prefix}nlink`;
  }

  /** Symbolic links and special files hold no `user.` attributes, hence no count. */
  covers({ nlink, dev, mode }: Attributes): boolean {
    if (nlink < 2 || !this.#devs.has(dev)) return false;
    return this.#stack.prefix === 'trusted.overlay.' || isRegular(mode);
  }

  *lowerEntry(real: Real, attributes: Attributes): Operation<Entry> {
    const stack = this.#stack;
    const key = aliasKey(attributes);
    for (;;) {
      const known = stack.aliases.get(key);
      if (known !== undefined) {
        const seen = yield* this.#seen(known);
        if (stack.aliases.get(key) === known) return { inode: known, attributes: seen };
        continue; // forgotten while it was looked at
      }
      const found = this.#used ? yield* this.#entryOf(real) : undefined;
      const union = found && (yield* this.#unionAt(found.name, found, key, attributes.nlink));
      if (stack.aliases.has(key)) continue; // somebody was faster
      if (found === undefined || union === undefined) {
        const entry = newLowerFile(stack, real, attributes);
        const { nlink } = attributes;
        this.#unite(entry.inode, { key, nlink, lowerNlink: nlink, entry: undefined, offset: undefined });
        return entry;
      }
      const { mode, dev, ino } = attributes;
      if (((mode ^ found.attributes.mode) & S_IFMT) !== 0) throw new FsError('EIO', { syscall: 'index' });
      const inode = stack.newInode(found.attributes.mode, stack.presentIno(dev, ino), found.node, [real]);
      inode.hasOrigin = true;
      this.#unite(inode, union);
      stack.alias(inode, found.attributes);
      found.attributes.ino = inode.ino;
      found.attributes.nlink = union.nlink;
      return { inode, attributes: found.attributes };
    }
  }

  /** Pinned meanwhile: found by another name, it may be nobody else's. */
  *#seen(inode: Inode): Operation<Attributes> {
    inode.pins++;
    try {
      return yield* getattr(this.#stack, inode);
    } finally {
      inode.pins--;
    }
  }

  *#entryOf({ layer: index, node }: Real): Operation<(Found & { name: string }) | undefined> {
    const origin = yield* handleOf(this.#stack.layer(index), node);
    const name = origin === undefined ? '' : entryName(origin);
    if (name === '' || name.length > NAME_MAX) return undefined;
    const found = yield* wait(this.#upper.lookup(this.#dir, name));
    return found && { ...found, name };
  }

  *#unionAt(entry: string, { node, attributes }: Found, key: string, lowerNlink: number | undefined): Operation<Union> {
    const value = yield* wait(this.#upper.getxattr(node, this.#nlinkName));
    const nlink = decodeNlink(value, attributes.nlink, lowerNlink) ?? lowerNlink ?? Math.max(1, attributes.nlink - 1);
    const isRelativeToUpper = value?.[0] === 0x55;
    return { key, nlink, lowerNlink, entry, offset: isRelativeToUpper ? nlink - attributes.nlink : undefined };
  }

  *unionOf(found: Found, origin: Origin): Operation<{ union: Union; node: LayerNode } | undefined> {
    const name = entryName(origin.value);
    if (!this.#used || !this.#devs.has(origin.dev) || name.length > NAME_MAX) return undefined;
    const entry = yield* wait(this.#upper.lookup(this.#dir, name));
    if (entry === undefined || aliasKey(entry.attributes) !== aliasKey(found.attributes)) return undefined;
    return { union: yield* this.#unionAt(name, entry, aliasKey(origin), origin.nlink), node: entry.node };
  }

  /** The count is stored before the copy can be seen, and says what it said before. */
  *arrive(inode: Inode, node: LayerNode, origin: Uint8Array | undefined, data: Real | undefined): Operation<boolean> {
    const { union, dentry } = inode;
    if (union === undefined || union.nlink === 0) return false;
    if (origin === undefined) throw new FsError('EIO', { syscall: 'copy-up' });
    const name = entryName(origin);
    const offset = union.nlink - 1;
    yield* wait(this.#upper.setxattr(node, this.#nlinkName, encodeNlink('U', offset)));
    const attributes = yield* wait(this.#upper.getattr(node));
    yield* wait(this.#upper.commit({ kind: 'link', node, to: { dir: this.#dir, name }, over: 'nothing' }));
    this.#used = true;
    placeCopy(this.#stack, inode, node, data);
    inode.hasOrigin = true;
    union.entry = name;
    union.offset = offset;
    this.#stack.alias(inode, attributes);
    if (dentry !== undefined) yield* this.#addName(inode, union, dentry.dir, dentry.name);
    return true;
  }

  *nameInUpper(inode: Inode): Operation<void> {
    const { union, dentry } = inode;
    if (dentry === undefined || union?.offset === undefined || union.nlink - union.offset > 1) return;
    yield* this.linkUp(inode, dentry.dir, dentry.name);
  }

  *linkUp(inode: Inode, dir: Inode, name: string): Operation<void> {
    const { union } = inode;
    if (union === undefined) return;
    const stack = this.#stack;
    if (inode.upper === undefined) yield* copyUp(stack, inode, 'metadata');
    if (stack.inUpper(inode, dir, name)) return;
    yield* copyUp(stack, dir);
    yield* stack.namespace.hold(this.#addName(inode, union, dir, name));
  }

  *prepareLoss(inode: Inode, dir: Inode, name: string): Operation<void> {
    inode.pins++;
    try {
      yield* this.linkUp(inode, dir, name);
    } catch (error) {
      if (!isFsError(error, 'ENOSPC', 'EDQUOT')) throw error;
    } finally {
      inode.pins--;
    }
  }

  /**
   * The upper object gets a name that the view has already, so the count must not move with it: it is relative to the lower
   * object until the new name is there (`ovl_link_up`).
   */
  *#addName(inode: Inode, union: Union, dir: Inode, name: string): Operation<void> {
    const { upper: node } = inode;
    if (node === undefined || dir.upper === undefined || dir.children?.get(name) !== inode) return;
    if (union.entry === undefined || this.#stack.inUpper(inode, dir, name)) return;
    const upper = this.#upper;
    yield* markImpure(this.#stack, dir);
    const before = yield* wait(upper.getattr(dir.upper));
    const { nlink } = yield* wait(upper.getattr(node));
    if (union.lowerNlink !== undefined) {
      union.offset = undefined;
      const difference = union.nlink - union.lowerNlink;
      yield* wait(upper.setxattr(node, this.#nlinkName, encodeNlink('L', difference)));
    }
    yield* wait(upper.commit({ kind: 'link', node, to: { dir: dir.upper, name }, over: 'nothing' }));
    nameCopied(this.#stack, dir, name, inode);
    yield* restoreTimes(upper, dir.upper, before);
    yield* this.#store(union, node, union.nlink - nlink - 1);
  }

  /** Makes an inode that is found by every name of its lower object. */
  #unite(inode: Inode, union: Union): void {
    inode.union = union;
    this.#stack.aliases.set(union.key, inode);
  }

  *nodeAt(inode: Inode, dir: Inode, name: string): Operation<LayerNode | undefined> {
    if (inode.union === undefined || dir.upper === undefined) return undefined;
    return (yield* wait(this.#upper.lookup(dir.upper, name)))?.node;
  }

  *record(inode: Inode): Operation<void> {
    const { union, upper: node } = inode;
    if (node === undefined || union?.entry === undefined || union.offset !== undefined) return;
    const { nlink } = yield* wait(this.#upper.getattr(node));
    yield* this.#store(union, node, union.nlink - nlink);
  }

  *#store(union: Union, node: LayerNode, offset: number): Operation<void> {
    union.offset = undefined;
    yield* wait(this.#upper.setxattr(node, this.#nlinkName, encodeNlink('U', offset)));
    union.offset = offset;
  }

  /** The name is gone already: a failure here leaves what the next mount sets right. */
  *lost(inode: Inode, from: 'upper' | 'lower'): Operation<void> {
    const { union } = inode;
    if (union === undefined) return;
    union.nlink--;
    try {
      if (union.entry !== undefined && from === 'lower') {
        union.offset = undefined;
        yield* this.record(inode);
      }
      if (union.nlink === 0) yield* this.#end(inode, union);
    } catch (error) {
      if (!isFsError(error)) throw error;
    }
    this.#stack.letGo(inode);
  }

  /** The last name is gone: so goes the entry, and with it the object, unless it is open. */
  *#end(inode: Inode, union: Union): Operation<void> {
    const { upper: node } = inode;
    if (node === undefined || union.entry === undefined) return;
    const { nlink } = yield* wait(this.#upper.getattr(node));
    if (nlink > 1) {
      // The lower object got names behind our back, so that the count ran out first (`ovl_cleanup_index`).
      union.nlink = nlink - 1;
      yield* this.#store(union, node, -1);
      return;
    }
    const keep = inode.handles > 0 ? node : undefined;
    const from = { dir: this.#dir, name: union.entry };
    yield* wait(this.#upper.commit({ kind: 'unlink', from, occupant: 'non-directory', keep }));
    union.entry = undefined;
    inode.kept = keep !== undefined;
    this.#stack.unalias(inode);
  }
}
