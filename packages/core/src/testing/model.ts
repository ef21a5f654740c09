/**
 * The reference: one ordinary tree in memory with POSIX semantics and nothing of an overlay. It is filled with what the
 * lower layers merge to, by the plainest possible reading of the rules, and then an overlay over those layers has to
 * behave as it does. Which error comes first where several apply is Linux's choice (fs/namei.c).
 */
import { S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID, S_ISUID } from '../attributes.js';
import { type ErrorCode, FsError } from '../errors.js';
import { byteLength, checkName, decodeName, encodeName, SYMLINK_MAX } from '../names.js';
import { type Driver, entryText, type FileOperation, slotOf, splitPath, type Stat, type Value } from './operations.js';
import { modeOf, type ObjectSpec, sharedObjects, type TreeSpec } from './tree.js';

class ModelNode {
  nlink = 0;
  rdev = 0;
  target = '';
  content: Uint8Array = new Uint8Array(0);
  /** What a power loss may leave as the content: the last one made durable and all that followed. */
  history: Uint8Array[] = [this.content];
  readonly entries = new Map<string, ModelNode>();
  readonly xattrs = new Map<string, string>();
  readonly id: number;
  mode: number;
  uid: number;
  gid: number;

  constructor(id: number, mode: number, uid: number, gid: number) {
    this.id = id;
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
  }

  get type(): number {
    return this.mode & S_IFMT;
  }

  get isDirectory(): boolean {
    return this.type === S_IFDIR;
  }

  change(content: Uint8Array): void {
    this.content = content;
    this.history.push(content);
  }
}

interface ModelHandle {
  node: ModelNode;
  how: 'r' | 'r+' | 'w' | 'a';
}

interface Spot {
  dir: ModelNode;
  name: string;
}

function fail(code: ErrorCode): never {
  throw new FsError(code);
}

/** A file system without layers that answers as an overlay of them has to: the expected side of a comparison. */
export class Model implements Driver {
  #nextId = 1;
  #root: ModelNode = this.#node(S_IFDIR | 0o755, 0, 0);
  #handles = new Map<number, ModelHandle>();

  /** A tree that shows what `layers`, topmost first, merge to. Redirects are not part of this reading. */
  constructor(layers: readonly TreeSpec[]) {
    const shared: Shared = new Map();
    for (const layer of layers) for (const [spec, group] of sharedObjects(layer)) shared.set(spec, group);
    this.#merge(this.#root, layers, shared);
  }

  /** An independent copy, open handles included. */
  clone(): Model {
    const copy = new Model([]);
    copy.#nextId = this.#nextId;
    const copies = new Map<ModelNode, ModelNode>();
    const copyOf = (node: ModelNode): ModelNode => {
      let made = copies.get(node);
      if (made !== undefined) return made;
      made = new ModelNode(node.id, node.mode, node.uid, node.gid);
      copies.set(node, made);
      made.nlink = node.nlink;
      made.rdev = node.rdev;
      made.target = node.target;
      made.content = node.content; // never changed in place
      made.history = [...node.history];
      for (const [name, value] of node.xattrs) made.xattrs.set(name, value);
      for (const [name, child] of node.entries) made.entries.set(name, copyOf(child));
      return made;
    };
    copy.#root = copyOf(this.#root);
    copy.#handles = new Map(Array.from(this.#handles, ([slot, { node, how }]) => [slot, { node: copyOf(node), how }]));
    return copy;
  }

  /** All paths in a fixed order, the root first. */
  paths(): { path: string; type: number; empty: boolean }[] {
    const found: { path: string; type: number; empty: boolean }[] = [];
    const visit = (path: string, node: ModelNode): void => {
      found.push({ path: path === '' ? '/' : path, type: node.type >>> 12, empty: node.entries.size === 0 });
      for (const name of [...node.entries.keys()].sort()) visit(`${path}/${name}`, node.entries.get(name) as ModelNode);
    };
    visit('', this.#root);
    return found;
  }

  /** Forgets the open handles, as a process that ends. */
  closeAll(): void {
    this.#handles.clear();
  }

  /** What a power loss may have left as the content of the file at `path`, or undefined if it names none. */
  mayHold(path: string): string[] | undefined {
    try {
      const node = this.#find(path);
      return node.type === S_IFREG ? node.history.map((content) => decodeName(content)) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Takes over what a power loss has left. */
  settle(path: string, content: string): void {
    const node = this.#find(path);
    node.content = encodeName(content);
    node.history = [node.content];
  }

  perform(op: FileOperation): Value {
    switch (op.kind) {
      case 'create':
        this.#create(op.path, S_IFREG | op.mode, op.uid, op.gid);
        return undefined;
      case 'mkdir':
        this.#create(op.path, S_IFDIR | op.mode, op.uid, op.gid);
        return undefined;
      case 'symlink':
        this.#symlink(op.path, op.target);
        return undefined;
      case 'mknod':
        this.#mknod(op.path, op.mode, op.rdev);
        return undefined;
      case 'link':
        this.#link(op.from, op.to);
        return undefined;
      case 'unlink':
        this.#unlink(op.path);
        return undefined;
      case 'rmdir':
        this.#rmdir(op.path);
        return undefined;
      case 'rename':
        this.#rename(op.from, op.to, op.flag);
        return undefined;
      case 'write':
        return this.#write(this.#openable(op.path), op.position, op.text);
      case 'append': {
        const node = this.#openable(op.path);
        return this.#write(node, node.content.length, op.text);
      }
      case 'truncate':
        this.#truncate(this.#find(op.path), op.size);
        return undefined;
      case 'chmod': {
        const node = this.#find(op.path);
        if (node.type === S_IFLNK) fail('EOPNOTSUPP');
        node.mode = node.type | op.mode;
        return undefined;
      }
      case 'chown':
        this.#chown(this.#find(op.path), op.uid, op.gid);
        return undefined;
      case 'utimes':
        this.#find(op.path);
        return undefined;
      case 'setxattr': {
        const { xattrs } = this.#find(op.path);
        if (op.condition === 'create' && xattrs.has(op.name)) fail('EEXIST');
        if (op.condition === 'replace' && !xattrs.has(op.name)) fail('ENODATA');
        xattrs.set(op.name, op.value);
        return undefined;
      }
      case 'removexattr':
        if (!this.#find(op.path).xattrs.delete(op.name)) fail('ENODATA');
        return undefined;
      case 'getxattr':
        return this.#find(op.path).xattrs.get(op.name) ?? fail('ENODATA');
      case 'listxattr':
        return [...this.#find(op.path).xattrs.keys()].sort();
      case 'stat':
        return this.#stat(this.#find(op.path));
      case 'read':
        return decodeName(this.#openable(op.path).content);
      case 'readlink': {
        const node = this.#find(op.path);
        return node.type === S_IFLNK ? node.target : fail('EINVAL');
      }
      case 'readdir': {
        const node = this.#find(op.path);
        if (!node.isDirectory) fail('ENOTDIR');
        return Array.from(node.entries, ([name, { type }]) => entryText(name, type >>> 12)).sort();
      }
      default:
        return this.#handle(op);
    }
  }

  #handle(op: Extract<FileOperation, { kind: 'open' | 'pread' | 'pwrite' | 'fsync' | 'close' }>): Value {
    if (op.kind === 'open') {
      const node = this.#openable(op.path);
      if (op.how === 'w') this.#truncate(node, 0);
      this.#handles.set(op.slot, { node, how: op.how });
      return undefined;
    }
    const { node, how } = this.#handles.get(op.slot) ?? fail('EBADF');
    switch (op.kind) {
      case 'pread':
        return decodeName(node.content.subarray(op.position, op.position + op.length));
      case 'pwrite':
        if (how === 'r') fail('EBADF');
        return this.#write(node, how === 'a' ? node.content.length : op.position, op.text);
      case 'fsync':
        node.history = [node.content];
        return undefined;
      case 'close':
        this.#handles.delete(op.slot);
        return undefined;
    }
  }

  #create(path: string, mode: number, uid: number, gid: number): ModelNode {
    const { dir, name } = this.#spot(path);
    if (this.#lookup(dir, name) !== undefined) fail('EEXIST');
    return this.#make(dir, name, mode, uid, gid);
  }

  #make(dir: ModelNode, name: string, mode: number, uid: number, gid: number): ModelNode {
    const inherits = (dir.mode & S_ISGID) !== 0;
    const isDirectory = (mode & S_IFMT) === S_IFDIR;
    const node = this.#node(inherits && isDirectory ? mode | S_ISGID : mode, uid, inherits ? dir.gid : gid);
    put(dir, name, node);
    return node;
  }

  #symlink(path: string, target: string): void {
    if (target === '') fail('ENOENT');
    if (byteLength(target) > SYMLINK_MAX) fail('ENAMETOOLONG');
    this.#create(path, S_IFLNK | 0o777, 0, 0).target = target;
  }

  #mknod(path: string, mode: number, rdev: number): void {
    const { dir, name } = this.#spot(path);
    if (this.#lookup(dir, name) !== undefined) fail('EEXIST');
    if ((mode & S_IFMT) === S_IFCHR && rdev === 0) fail('EPERM');
    this.#make(dir, name, mode, 0, 0).rdev = rdev;
  }

  #link(from: string, to: string): void {
    const node = this.#find(from);
    const { dir, name } = this.#spot(to);
    if (this.#lookup(dir, name) !== undefined) fail('EEXIST');
    if (node.isDirectory) fail('EPERM');
    if (node.nlink === 0) fail('ENOENT');
    put(dir, name, node);
  }

  #unlink(path: string): void {
    const { dir, name } = this.#spot(path);
    const node = this.#lookup(dir, name) ?? fail('ENOENT');
    if (node.isDirectory) fail('EISDIR');
    take(dir, name);
  }

  #rmdir(path: string): void {
    const { dir, name } = this.#spot(path);
    const node = this.#lookup(dir, name) ?? fail('ENOENT');
    if (!node.isDirectory) fail('ENOTDIR');
    if (node.entries.size > 0) fail('ENOTEMPTY');
    take(dir, name);
  }

  /** The order of the checks is that of do_renameat2 and vfs_rename. */
  #rename(fromPath: string, toPath: string, flag: string | undefined): void {
    const from = this.#spot(fromPath);
    const to = this.#spot(toPath);
    const source = this.#lookup(from.dir, from.name) ?? fail('ENOENT');
    const target = this.#lookup(to.dir, to.name);
    if (flag?.startsWith('noreplace') === true && target !== undefined) fail('EEXIST');
    if (flag === 'exchange' && target === undefined) fail('ENOENT');
    if (contains(source, to.dir)) fail('EINVAL');
    if (target !== undefined && contains(target, from.dir)) fail(flag === 'exchange' ? 'EINVAL' : 'ENOTEMPTY');
    if (source === target) return;
    if (flag === 'exchange' && target !== undefined) {
      from.dir.entries.set(from.name, target);
      to.dir.entries.set(to.name, source);
      return;
    }
    if (target !== undefined) {
      if (source.isDirectory && !target.isDirectory) fail('ENOTDIR');
      if (!source.isDirectory && target.isDirectory) fail('EISDIR');
      if (target.entries.size > 0) fail('ENOTEMPTY');
      take(to.dir, to.name);
    }
    put(to.dir, to.name, source);
    take(from.dir, from.name);
  }

  #write(node: ModelNode, position: number, text: string): number {
    const bytes = encodeName(text);
    if (bytes.length === 0) return 0;
    const content = new Uint8Array(Math.max(node.content.length, position + bytes.length));
    content.set(node.content);
    content.set(bytes, position);
    node.change(content);
    return bytes.length;
  }

  #truncate(node: ModelNode, size: number): void {
    if (node.isDirectory) fail('EISDIR');
    if (node.type !== S_IFREG) fail('EINVAL');
    const content = new Uint8Array(size);
    content.set(node.content.subarray(0, size));
    node.change(content);
  }

  /** Takes the set-id bits away, except where set-group-id stands for mandatory locking (chown_common, setattr_prepare). */
  #chown(node: ModelNode, uid: number, gid: number): void {
    node.uid = uid;
    node.gid = gid;
    if (node.isDirectory || node.type === S_IFLNK) return;
    node.mode &= (node.mode & 0o010) === 0 ? ~S_ISUID : ~(S_ISUID | S_ISGID);
  }

  #stat(node: ModelNode): Stat {
    const { id, mode, uid, gid, nlink, rdev, type } = node;
    const stat: Stat = { id, mode, uid, gid };
    if (!node.isDirectory) stat.nlink = nlink;
    if (type === S_IFREG) stat.size = node.content.length;
    if (type === S_IFLNK) stat.size = byteLength(node.target);
    if (type === S_IFCHR || type === 0o060000) stat.rdev = rdev;
    return stat;
  }

  /** A regular file, or the error that opening anything else gives. */
  #openable(path: string): ModelNode {
    const node = this.#find(path);
    if (node.isDirectory) fail('EISDIR');
    if (node.type === S_IFLNK) fail('ELOOP');
    if (node.type !== S_IFREG) fail('ENXIO');
    return node;
  }

  #find(path: string): ModelNode {
    const slot = slotOf(path);
    if (slot !== undefined) return (this.#handles.get(slot) ?? fail('EBADF')).node;
    const { dir, name } = this.#spot(path);
    if (name === '') return dir;
    return this.#lookup(dir, name) ?? fail('ENOENT');
  }

  #spot(path: string): Spot {
    const { parents, name } = splitPath(path);
    let dir = this.#root;
    for (const parent of parents) dir = this.#lookup(dir, parent) ?? fail('ENOENT');
    if (!dir.isDirectory) fail('ENOTDIR');
    return { dir, name };
  }

  #lookup(dir: ModelNode, name: string): ModelNode | undefined {
    if (!dir.isDirectory) fail('ENOTDIR');
    checkName(name);
    return dir.entries.get(name);
  }

  #node(mode: number, uid: number, gid: number): ModelNode {
    return new ModelNode(this.#nextId++, mode, uid, gid);
  }

  #merge(into: ModelNode, layers: readonly TreeSpec[], shared: Shared): void {
    for (const name of new Set(layers.flatMap((layer) => Object.keys(layer)))) {
      const found = inSight(layers, name);
      if (found[0] === undefined) continue;
      const group = shared.get(found[0]);
      if (group?.node !== undefined) {
        into.entries.set(name, group.node);
        continue;
      }
      const top = (group?.first ?? found[0]) as PresentSpec;
      const node = this.#node(modeOf(top), top.uid ?? 0, top.gid ?? 0);
      for (const [attribute, value] of Object.entries(top.xattrs ?? {})) node.xattrs.set(attribute, value);
      if (top.type === 'file') node.content = encodeName(top.content);
      if (top.type === 'symlink') node.target = top.target;
      if ('rdev' in top) node.rdev = top.rdev;
      node.history = [node.content];
      put(into, name, node);
      if (group !== undefined) {
        group.node = node;
        node.nlink = group.names; // names that a layer above hides count: nobody knows them to be hidden
      }
      if (top.type === 'directory') this.#merge(node, mergedParts(found), shared);
    }
  }
}

/** Objects of the layers with several names. */
type Shared = Map<ObjectSpec, { first: ObjectSpec; names: number; node?: ModelNode }>;

type PresentSpec = Exclude<ObjectSpec, { type: 'whiteout' }>;

/** What the layers hold under a name, down to the first whiteout. */
function inSight(layers: readonly TreeSpec[], name: string): PresentSpec[] {
  const found: PresentSpec[] = [];
  for (const layer of layers) {
    const spec = Object.hasOwn(layer, name) ? layer[name] : undefined;
    if (spec?.type === 'whiteout') break;
    if (spec !== undefined) found.push(spec);
  }
  return found;
}

/** The directories that merge: down to the first object of another type, or to the first opaque one, inclusive. */
function mergedParts(found: readonly PresentSpec[]): TreeSpec[] {
  const parts: TreeSpec[] = [];
  for (const spec of found) {
    if (spec.type !== 'directory') break;
    parts.push(spec.entries);
    if (spec.opaque !== undefined && spec.opaque !== 'x') break;
  }
  return parts;
}

function contains(ancestor: ModelNode, node: ModelNode): boolean {
  if (ancestor === node) return true;
  for (const child of ancestor.entries.values()) if (child.isDirectory && contains(child, node)) return true;
  return false;
}

function put(dir: ModelNode, name: string, node: ModelNode): void {
  dir.entries.set(name, node);
  node.nlink++;
}

function take(dir: ModelNode, name: string): void {
  const node = dir.entries.get(name);
  dir.entries.delete(name);
  if (node !== undefined) node.nlink--;
}
