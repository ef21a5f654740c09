/**
 * The memory layer: a tree of inodes in the heap, usable as a lower (filled with `from`) and as the upper. It is also the
 * plainest statement of what the layer interface asks for.
 */
import {
  type AttributeChange,
  type Attributes,
  type FileSystemStatistics,
  isDirectory,
  isRegular,
  isSymlink,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
} from './attributes.js';
import { newDev, now } from './clock.js';
import { FsError } from './errors.js';
import type { XattrPrefix } from './format.js';
import type {
  AllocateMode,
  FileHandle,
  Found,
  HandleTarget,
  LayerEntry,
  LayerNode,
  NamespaceChange,
  NewObject,
  Occupant,
  Place,
  UpperFile,
  UpperLayer,
} from './layer.js';
import { type Slice, Slabs } from './memory-slabs.js';
import { byteLength, encodeName as encodeText } from './names.js';

/** What a tree is made of: text or bytes for a file, a nested tree for a directory, or an object in full. */
export type MemoryTree = { [name: string]: string | Uint8Array | MemoryTree | MemoryObject };

/** One object in full; `content` is a file's bytes, a directory's entries or a symlink's target. */
export class MemoryObject {
  readonly content: string | Uint8Array | MemoryTree;
  readonly options: Partial<Omit<Attributes, 'size' | 'ino'>> & { xattrs?: Record<string, string | Uint8Array> };

  constructor(content: string | Uint8Array | MemoryTree, options: MemoryObject['options'] = {}) {
    this.content = content;
    this.options = options;
  }
}

/** What {@link memoryLayer} starts with. */
export interface MemoryLayerOptions {
  /** The initial tree. */
  from?: MemoryTree;
  /** Default "trusted.overlay.". */
  xattrPrefix?: XattrPrefix;
  /** Device number, unique among the layers of one overlay. Default: a new one. */
  dev?: number;
}

const BLOCK = 512;
const EMPTY = new Uint8Array(0);

export class MemoryNode implements Slice {
  // Declared only, where the constructor sets them.
  declare readonly attributes: Attributes;
  target = '';
  /** What {@link bytes} are a part of, where they begin in it and how many they are. */
  store: Uint8Array = EMPTY;
  start = 0;
  capacity = 0;
  declare readonly entries: Map<string, MemoryNode> | undefined;
  xattrs: Map<string, Uint8Array> | undefined;

  constructor(dev: number, ino: number, object: NewObject) {
    const { sec, nsec } = now();
    this.attributes = {
      dev,
      ino,
      mode: object.mode,
      nlink: 0,
      uid: object.uid,
      gid: object.gid,
      rdev: object.rdev ?? 0,
      size: 0,
      blocks: 0,
      blksize: 4096,
      atimeSec: sec,
      atimeNsec: nsec,
      mtimeSec: sec,
      mtimeNsec: nsec,
      ctimeSec: sec,
      ctimeNsec: nsec,
    };
    this.entries = isDirectory(object.mode) ? new Map() : undefined;
    if (isSymlink(object.mode)) {
      this.target = object.target ?? '';
      this.attributes.size = byteLength(this.target);
    }
  }

  /** Capacity; `attributes.size` bytes of it count. Bytes past the capacity are zero. */
  get bytes(): Uint8Array {
    const { store, start, capacity } = this;
    return capacity === store.length ? store : store.subarray(start, start + capacity);
  }

  set bytes(own: Uint8Array) {
    this.store = own;
    this.start = 0;
    this.capacity = own.length;
  }
}

export function touch(node: MemoryNode, what: 'changed' | 'modified'): void {
  const { attributes } = node;
  const { sec, nsec } = now();
  attributes.ctimeSec = sec;
  attributes.ctimeNsec = nsec;
  if (what === 'changed') return;
  attributes.mtimeSec = sec;
  attributes.mtimeNsec = nsec;
}

function directory(node: LayerNode): Map<string, MemoryNode> {
  const { entries } = node as MemoryNode;
  if (entries === undefined) throw new FsError('ENOTDIR');
  return entries;
}

function found(node: MemoryNode): Found {
  return { node, attributes: { ...node.attributes } };
}

function resize(node: MemoryNode, size: number): void {
  if (!Number.isSafeInteger(size) || size < 0) throw new FsError('EINVAL', { syscall: 'truncate' });
  const { attributes, bytes } = node;
  if (size < attributes.size) {
    if (size < bytes.length) node.bytes = bytes.slice(0, size);
    attributes.blocks = Math.min(attributes.blocks, Math.ceil(size / BLOCK));
  }
  attributes.size = size;
}

function reserve(node: MemoryNode, end: number): void {
  if (end <= node.bytes.length) return;
  const grown = growTo(node.bytes.length, end);
  const bytes = new Uint8Array(grown);
  bytes.set(node.bytes);
  node.bytes = bytes;
}

/** Doubling while small, so that appends are cheap; a quarter more once large. Throws ENOSPC past what an array holds. */
function growTo(capacity: number, end: number): number {
  if (end > 2 ** 32) throw new FsError('ENOSPC', { syscall: 'write' });
  return Math.max(end, capacity < 1 << 20 ? capacity * 2 : capacity + (capacity >> 2));
}

class MemoryFile implements UpperFile<'sync'> {
  readonly #node: MemoryNode;

  constructor(node: MemoryNode) {
    this.#node = node;
  }

  read(buffer: Uint8Array, position: number): number {
    const { bytes, attributes } = this.#node;
    const length = Math.max(0, Math.min(buffer.length, attributes.size - position));
    const stored = bytes.subarray(position, position + length); // or what there is of it
    buffer.set(stored);
    if (stored.length < length) buffer.fill(0, stored.length, length);
    return length;
  }

  write(buffer: Uint8Array, position: number): number {
    const node = this.#node;
    const end = position + buffer.length;
    if (buffer.length === 0) return 0;
    reserve(node, end);
    node.bytes.set(buffer, position);
    const { attributes } = node;
    attributes.size = Math.max(attributes.size, end);
    attributes.blocks = Math.max(attributes.blocks, Math.ceil(end / BLOCK));
    touch(node, 'modified');
    return buffer.length;
  }

  seek(position: number, whence: 'data' | 'hole'): number {
    const { size } = this.#node.attributes;
    if (position >= size || position < 0) throw new FsError('ENXIO', { syscall: 'lseek' });
    return whence === 'data' ? position : size;
  }

  allocate(mode: AllocateMode, offset: number, length: number): void {
    const node = this.#node;
    const end = offset + length;
    if (mode.punchHole || mode.zeroRange) node.bytes.fill(0, Math.min(offset, node.bytes.length), end);
    if (!mode.keepSize && !mode.punchHole && end > node.attributes.size) resize(node, end);
    touch(node, 'modified');
  }

  fsync(): void {}

  close(): void {}
}

/**
 * A writable layer in memory: see {@link memoryLayer}. Every change is one step; nothing of it outlives the process.
 */
export class MemoryLayer implements UpperLayer<'sync'> {
  readonly root: LayerNode;
  readonly xattrPrefix: XattrPrefix;
  readonly chunk: number = Infinity;
  readonly #dev: number;
  /** Tells its objects from those of the same numbers in another process, unless the caller numbers the layers. */
  readonly #uuid: Uint8Array;
  /** What has a name, by inode number; from the first handle on that is resolved, which most layers never see. */
  #named: Map<number, MemoryNode> | undefined;
  #index: MemoryNode | undefined;
  #nextIno = 1;

  constructor(options: MemoryLayerOptions = {}) {
    this.xattrPrefix = options.xattrPrefix ?? 'trusted.overlay.';
    this.#dev = options.dev ?? newDev();
    this.#uuid = new Uint8Array(Float64Array.of(this.#dev, options.dev === undefined ? Math.random() : 0).buffer);
    const root = this.#node({ mode: S_IFDIR | 0o755, uid: 0, gid: 0 });
    root.attributes.nlink = 2;
    this.root = root;
    const slabs = new Slabs();
    if (options.from !== undefined) this.#fill(root, options.from, slabs);
    slabs.flush();
  }

  lookup(dir: LayerNode, name: string): Found | undefined {
    const node = directory(dir).get(name);
    return node && found(node);
  }

  getattr(node: LayerNode): Attributes {
    return { ...(node as MemoryNode).attributes };
  }

  readdir(dir: LayerNode): LayerEntry[] {
    return Array.from(directory(dir), ([name, { attributes }]) => ({
      name,
      type: (attributes.mode & S_IFMT) >>> 12,
      ino: attributes.ino,
    }));
  }

  readlink(node: LayerNode): string {
    const { attributes, target } = node as MemoryNode;
    if (!isSymlink(attributes.mode)) throw new FsError('EINVAL', { syscall: 'readlink' });
    return target;
  }

  open(node: LayerNode): UpperFile<'sync'> {
    return this.openWritable(node);
  }

  openWritable(node: LayerNode): UpperFile<'sync'> {
    const memory = node as MemoryNode;
    if (!isRegular(memory.attributes.mode)) throw new FsError('EINVAL', { syscall: 'open' });
    return new MemoryFile(memory);
  }

  getxattr(node: LayerNode, name: string): Uint8Array | undefined {
    return (node as MemoryNode).xattrs?.get(name)?.slice();
  }

  listxattr(node: LayerNode): string[] {
    const { xattrs } = node as MemoryNode;
    return xattrs === undefined ? [] : [...xattrs.keys()];
  }

  statfs(): FileSystemStatistics {
    const blocks = 2 ** 32;
    return { bsize: 4096, blocks, bfree: blocks, bavail: blocks, files: 2 ** 32, ffree: 2 ** 32, namelen: 255 };
  }

  fileHandle(node: LayerNode): FileHandle {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, (node as MemoryNode).attributes.ino);
    return { uuid: this.#uuid.slice(), type: 1, bytes };
  }

  resolveHandle({ uuid, bytes }: FileHandle): HandleTarget | undefined {
    if (uuid.some((byte, i) => byte !== this.#uuid[i])) return undefined;
    if (this.#named === undefined) {
      this.#named = new Map();
      for (const tree of [this.root, this.#index]) this.#number(tree as MemoryNode | undefined, this.#named);
    }
    const node = this.#named.get(new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0));
    return node && this.getattr(node);
  }

  stage(object: NewObject): Found {
    return found(this.#node(object));
  }

  discard(): void {}

  create(to: Place, object: NewObject): Found {
    this.#check(to, 'nothing');
    const node = this.#node(object);
    this.#put(to, node);
    return found(node);
  }

  commit(change: NamespaceChange): void {
    switch (change.kind) {
      case 'link':
        this.#check(change.to, change.over);
        this.#take(change.to);
        this.#put(change.to, change.node);
        return;
      case 'unlink':
        this.#check(change.from, 'non-directory');
        this.#take(change.from);
        return;
      case 'rename': {
        const { from, to, node, over, leave } = change;
        if (directory(from.dir).get(from.name) !== node) throw new FsError('ENOENT', { path: from.name });
        this.#check(to, over);
        this.#take(to);
        this.#take(from);
        this.#put(to, node);
        if (leave === 'whiteout') this.#put(from, this.#node({ mode: S_IFCHR, uid: 0, gid: 0 }));
        return;
      }
      case 'exchange': {
        const { a, b } = change;
        this.#take(a);
        this.#take(b);
        this.#put(a, b.node);
        this.#put(b, a.node);
      }
    }
  }

  setattr(node: LayerNode, change: AttributeChange): void {
    const memory = node as MemoryNode;
    const { attributes } = memory;
    if (change.size !== undefined) {
      resize(memory, change.size);
      touch(memory, 'modified');
    }
    if (change.uid !== undefined) attributes.uid = change.uid;
    if (change.gid !== undefined) attributes.gid = change.gid;
    if (change.mode !== undefined) attributes.mode = (attributes.mode & S_IFMT) | (change.mode & 0o7777);
    touch(memory, 'changed');
    if (change.atime !== undefined) {
      const { sec, nsec } = change.atime === 'now' ? now() : change.atime;
      attributes.atimeSec = sec;
      attributes.atimeNsec = nsec;
    }
    if (change.mtime !== undefined) {
      const { sec, nsec } = change.mtime === 'now' ? now() : change.mtime;
      attributes.mtimeSec = sec;
      attributes.mtimeNsec = nsec;
    }
  }

  setxattr(node: LayerNode, name: string, value: Uint8Array, condition?: 'create' | 'replace'): void {
    const memory = node as MemoryNode;
    const exists = memory.xattrs?.has(name) === true;
    if (condition === 'create' && exists) throw new FsError('EEXIST', { syscall: 'setxattr', path: name });
    if (condition === 'replace' && !exists) throw new FsError('ENODATA', { syscall: 'setxattr', path: name });
    (memory.xattrs ??= new Map()).set(name, value.slice());
    touch(memory, 'changed');
  }

  removexattr(node: LayerNode, name: string): void {
    const memory = node as MemoryNode;
    if (memory.xattrs?.delete(name) !== true) throw new FsError('ENODATA', { syscall: 'removexattr', path: name });
    touch(memory, 'changed');
  }

  openIndex(): LayerNode {
    this.#index ??= this.#node({ mode: S_IFDIR, uid: 0, gid: 0 });
    return this.#index;
  }

  fsyncdir(): void {}

  sync(): void {}

  #node(object: NewObject): MemoryNode {
    return new MemoryNode(this.#dev, this.#nextIno++, object);
  }

  #number(dir: MemoryNode | undefined, named: Map<number, MemoryNode>): void {
    for (const node of dir?.entries?.values() ?? []) {
      named.set(node.attributes.ino, node);
      this.#number(node, named);
    }
  }

  /** A false `over` is a bug in the caller that a host would answer with an errno; so does this layer. */
  #check({ dir, name }: Place, over: Occupant): void {
    const exists = directory(dir).has(name);
    if (exists === (over === 'nothing')) throw new FsError(exists ? 'EEXIST' : 'ENOENT', { path: name });
  }

  #put({ dir, name }: Place, object: LayerNode): void {
    const node = object as MemoryNode;
    const { attributes } = node;
    directory(dir).set(name, node);
    this.#named?.set(attributes.ino, node);
    if (node.entries === undefined) attributes.nlink++;
    else {
      attributes.nlink = Math.max(2, attributes.nlink);
      (dir as MemoryNode).attributes.nlink++;
    }
    touch(node, 'changed');
    touch(dir as MemoryNode, 'modified');
  }

  #take({ dir, name }: Place): void {
    const entries = directory(dir);
    const node = entries.get(name);
    if (node === undefined) return;
    entries.delete(name);
    const { attributes } = node.entries === undefined ? node : (dir as MemoryNode);
    attributes.nlink--;
    if (node.entries !== undefined || attributes.nlink === 0) this.#named?.delete(node.attributes.ino);
    touch(node, 'changed');
    touch(dir as MemoryNode, 'modified');
  }

  #fill(dir: MemoryNode, tree: MemoryTree, slabs: Slabs): void {
    for (const [name, value] of Object.entries(tree)) {
      const { content, options } = value instanceof MemoryObject ? value : new MemoryObject(value);
      const isTree = typeof content === 'object' && !(content instanceof Uint8Array);
      const { xattrs = {}, mode = isTree ? S_IFDIR | 0o755 : S_IFREG | 0o644, ...attributes } = options;
      const object: NewObject = { mode, uid: 0, gid: 0 };
      if (isSymlink(mode)) object.target = content as string;
      const node = this.#node(object);
      this.#put({ dir, name }, node);
      if (isTree) this.#fill(node, content, slabs);
      else if (isRegular(mode)) {
        const bytes = bytesOf(content);
        slabs.add(node, bytes);
        node.attributes.size = bytes.length;
        node.attributes.blocks = Math.ceil(bytes.length / BLOCK);
      }
      for (const [attribute, bytes] of Object.entries(xattrs)) this.setxattr(node, attribute, bytesOf(bytes));
      Object.assign(node.attributes, attributes);
    }
  }
}

function bytesOf(content: string | Uint8Array): Uint8Array {
  return typeof content === 'string' ? encodeText(content) : content;
}

/** A layer in memory, empty or filled from a tree. */
export function memoryLayer(options?: MemoryLayerOptions): MemoryLayer {
  return new MemoryLayer(options);
}
