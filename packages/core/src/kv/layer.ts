/**
 * The layer over a key-value store. Attributes and entries are read once and then known, because nobody else writes; every
 * change of names is one batch, in which what a new object consists of, data too, arrives together with its name. Changes are made
 * one after another, so that a batch never overtakes another one.
 */
import {
  type AttributeChange,
  type Attributes,
  DT_DIR,
  type FileSystemStatistics,
  isDirectory,
  isRegular,
  isSymlink,
  S_IFCHR,
  S_IFMT,
} from '../attributes.js';
import { now } from '../clock.js';
import { FsError } from '../errors.js';
import type { XattrPrefix } from '../format.js';
import type {
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
} from '../layer.js';
import { Mutex } from '../lock.js';
import { decodeName, encodeName } from '../names.js';
import { type Answer, isThenable, type Mode, type Operation, runEither, wait } from '../run.js';
import { allocateAt, readAt, resize, seekFrom, writeAt } from './content.js';
import { Draft, type Entry, Inode } from './inode.js';
import {
  chunkKey,
  entryKey,
  entryPrefix,
  INDEX_INO,
  inodeKey,
  isInodeKey,
  LOCK_KEY,
  NEXT_KEY,
  parseEntryKey,
  ROOT_INO,
} from './keys.js';
import { attributesOf, countLink, decodeRecord, newRecord, touch } from './record.js';
import type { Store, StoreOperation } from './store.js';
import { WeakTable } from './weak-table.js';

/** Inode numbers are set aside so many at a time: a crash loses as many. */
const RESERVED = 1024;
/** Unsaved chunks of one file, beyond which a write saves them. */
const UNSAVED_MAX = 16;

/** What `open.ts` found. */
export interface OpenedStore<M extends Mode> {
  store: Store<M>;
  access: 'write' | 'read';
  chunkSize: number;
  uuid: Uint8Array;
  /** The first inode number that is free. */
  next: number;
  xattrPrefix: XattrPrefix;
  dev: number;
}

export class KeyValueLayer<M extends Mode = Mode> implements UpperLayer<M> {
  readonly xattrPrefix: XattrPrefix;
  readonly #opened: OpenedStore<M>;
  readonly #store: Store<M>;
  readonly #changes = new Mutex();
  /** What somebody still holds, and what must not be forgotten. */
  readonly #inodes = new WeakTable<Inode>();
  readonly #loading = new Map<number, PromiseLike<Inode>>();
  readonly #unsaved = new Set<Inode>();
  /** To be saved no later than the next change. */
  readonly #ordered = new Set<Inode>();
  /** Objects without a name that nobody uses any more, and that are still in the store. */
  readonly #garbage = new Set<Inode>();
  #root: Inode | undefined;
  #next: number;
  #reserved: number;

  constructor(opened: OpenedStore<M>) {
    this.#opened = opened;
    this.#store = opened.store;
    this.xattrPrefix = opened.xattrPrefix;
    this.#next = opened.next;
    this.#reserved = opened.next;
  }

  /** Reads the root. Part of opening. */
  *begin(): Operation<void> {
    this.#root = yield* this.#inode(ROOT_INO);
  }

  get root(): LayerNode {
    return this.#root as Inode;
  }

  lookup(dir: LayerNode, name: string): Answer<M, Found | undefined> {
    return this.#run(this.#lookup(dir as Inode, name));
  }

  getattr(node: LayerNode): Answer<M, Attributes> {
    return this.#run(this.#getattr(node as Inode));
  }

  readdir(dir: LayerNode): Answer<M, LayerEntry[]> {
    return this.#run(this.#readdir(dir as Inode));
  }

  readlink(node: LayerNode): Answer<M, string> {
    const { record } = node as Inode;
    if (!isSymlink(record.mode)) throw new FsError('EINVAL', { syscall: 'readlink' });
    return record.target as Answer<M, string>;
  }

  open(node: LayerNode): Answer<M, UpperFile<M>> {
    if (!isRegular((node as Inode).record.mode)) throw new FsError('EINVAL', { syscall: 'open' });
    return this.#file(node as Inode) as Answer<M, UpperFile<M>>;
  }

  openWritable(node: LayerNode): Answer<M, UpperFile<M>> {
    this.#mayWrite('open');
    return this.open(node);
  }

  getxattr(node: LayerNode, name: string): Answer<M, Uint8Array | undefined> {
    return (node as Inode).record.xattrs.get(name)?.slice() as Answer<M, Uint8Array | undefined>;
  }

  listxattr(node: LayerNode): Answer<M, string[]> {
    return [...(node as Inode).record.xattrs.keys()] as unknown as Answer<M, string[]>;
  }

  /** A store does not tell how full it is. */
  statfs(): Answer<M, FileSystemStatistics> {
    const many = 2 ** 32;
    const numbers = { bsize: 4096, blocks: many, bfree: many, bavail: many, files: many, ffree: many, namelen: 255 };
    return numbers as Answer<M, FileSystemStatistics>;
  }

  fileHandle(node: LayerNode): Answer<M, FileHandle | undefined> {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, (node as Inode).ino);
    return { uuid: this.#opened.uuid.slice(), type: 1, bytes } as Answer<M, FileHandle>;
  }

  resolveHandle({ uuid, type, bytes }: FileHandle): Answer<M, HandleTarget | undefined> {
    const isOurs = type === 1 && bytes.length === 8 && uuid.every((byte, i) => byte === this.#opened.uuid[i]);
    const ino = isOurs ? new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0) : undefined;
    return this.#run(this.#resolve(ino));
  }

  stage(object: NewObject): Answer<M, Found> {
    this.#mayWrite('stage');
    return this.#found(this.#newInode(object)) as Answer<M, Found>;
  }

  discard(node: LayerNode): Answer<M, void> {
    this.release(node);
    return undefined as Answer<M, void>;
  }

  release(node: LayerNode): void {
    const inode = node as Inode;
    this.#unsaved.delete(inode);
    this.#ordered.delete(inode);
    // Where it is in doubt whether the object has a name after all, the mark in the store decides at the next opening.
    if (inode.isMarked && !inode.isDoubtful && inode.record.nlink === 0) this.#garbage.add(inode);
  }

  create(to: Place, object: NewObject): Answer<M, Found> {
    return this.#alone(this.#create(to, object));
  }

  commit(change: NamespaceChange): Answer<M, void> {
    return this.#alone(this.#commit(change));
  }

  setattr(node: LayerNode, change: AttributeChange): Answer<M, void> {
    return this.#alone(this.#setattr(node as Inode, change));
  }

  setxattr(node: LayerNode, name: string, value: Uint8Array, condition?: 'create' | 'replace'): Answer<M, void> {
    const kept = value.slice();
    return this.#alone(
      this.#editXattrs(node as Inode, (xattrs) => {
        if (condition === 'create' && xattrs.has(name))
          throw new FsError('EEXIST', { syscall: 'setxattr', path: name });
        if (condition === 'replace' && !xattrs.has(name))
          throw new FsError('ENODATA', { syscall: 'setxattr', path: name });
        xattrs.set(name, kept);
      }),
    );
  }

  removexattr(node: LayerNode, name: string): Answer<M, void> {
    return this.#alone(
      this.#editXattrs(node as Inode, (xattrs) => {
        if (!xattrs.delete(name)) throw new FsError('ENODATA', { syscall: 'removexattr', path: name });
      }),
    );
  }

  openIndex(): Answer<M, LayerNode> {
    return this.#run(this.#inode(INDEX_INO));
  }

  /** Names are as durable as the store makes them once a change is answered. */
  fsyncdir(): Answer<M, void> {
    return undefined as Answer<M, void>;
  }

  sync(): Answer<M, void> {
    return this.#alone(this.#saveAll());
  }

  /** Saves what is not saved yet, and gives the lock back. */
  close(): Answer<M, void> {
    return this.#opened.access === 'read' ? (undefined as Answer<M, void>) : this.#alone(this.#close());
  }

  #run<T>(operation: Operation<T>): Answer<M, T> {
    return runEither<M, T>(operation);
  }

  /** Changes follow one another. */
  #alone<T>(operation: Operation<T>): Answer<M, T> {
    this.#mayWrite('write');
    return runEither<M, T>(this.#changes.hold(operation));
  }

  #mayWrite(syscall: string): void {
    if (this.#opened.access === 'read') throw new FsError('EROFS', { syscall });
  }

  #found(node: Inode): Found {
    return { node, attributes: this.#attributes(node) };
  }

  #attributes({ record, ino }: Inode): Attributes {
    return attributesOf(record, this.#opened.dev, ino, this.#opened.chunkSize);
  }

  #newInode(object: NewObject): Inode {
    const node = new Inode(this.#next++, newRecord(object), 'staged');
    if (isDirectory(object.mode)) node.entries = new Map();
    this.#inodes.set(node.ino, node);
    return node;
  }

  /** The object with this number; who asks at the same time gets the same one. */
  *#inode(ino: number): Operation<Inode> {
    const known = this.#inodes.get(ino);
    if (known !== undefined) return yield* this.#sure(known);
    const loading = this.#loading.get(ino);
    if (loading !== undefined) return yield* wait(loading);
    const answer = this.#run(this.#load(ino));
    if (!isThenable(answer)) return answer as Inode;
    const coming = Promise.resolve(answer as PromiseLike<Inode>).finally(() => this.#loading.delete(ino));
    this.#loading.set(ino, coming);
    return yield* wait(coming);
  }

  *#load(ino: number): Operation<Inode> {
    const value = yield* wait(this.#store.get(inodeKey(ino)));
    if (value === undefined) throw new FsError('EIO', { syscall: 'get', path: inodeKey(ino) });
    const node = new Inode(ino, decodeRecord(value, inodeKey(ino)), 'stored');
    this.#inodes.set(node.ino, node);
    return node;
  }

  /** Looks again where a failed change may have been made after all. */
  *#sure(node: Inode): Operation<Inode> {
    if (!node.isDoubtful) return node;
    const value = yield* wait(this.#store.get(inodeKey(node.ino)));
    if (value === undefined) {
      if (node.state === 'stored') node.state = 'erased';
      else node.isMarked = true; // to be sure: it is removed with the first name
    } else {
      const record = decodeRecord(value, inodeKey(node.ino));
      node.state = 'stored';
      node.isMarked = record.nlink === 0;
      node.record = node.isModified ? { ...node.record, nlink: record.nlink } : record;
    }
    if (node.state !== 'staged') node.entries = undefined;
    node.isDoubtful = false;
    return node;
  }

  *#entries(dir: Inode): Operation<Map<string, Entry>> {
    yield* this.#sure(dir);
    if (!isDirectory(dir.record.mode)) throw new FsError('ENOTDIR');
    if (dir.entries !== undefined) return dir.entries;
    if (dir.reading !== undefined) return yield* wait(dir.reading);
    const answer = this.#run(this.#readEntries(dir));
    if (!isThenable(answer)) return answer as Map<string, Entry>;
    dir.reading = Promise.resolve(answer as PromiseLike<Map<string, Entry>>).finally(() => {
      dir.reading = undefined;
    });
    return yield* wait(dir.reading);
  }

  *#readEntries(dir: Inode): Operation<Map<string, Entry>> {
    const entries = new Map<string, Entry>();
    const keys = yield* wait(this.#store.list(entryPrefix(dir.ino)));
    for (const key of keys) {
      const { name, ino, type } = parseEntryKey(dir.ino, key);
      if (entries.has(name)) throw new FsError('EIO', { syscall: 'readdir', path: key });
      entries.set(name, { ino, type });
    }
    dir.entries = entries;
    return entries;
  }

  *#lookup(dir: Inode, name: string): Operation<Found | undefined> {
    const entry = (yield* this.#entries(dir)).get(name);
    return entry && this.#found(yield* this.#inode(entry.ino));
  }

  *#getattr(node: Inode): Operation<Attributes> {
    return this.#attributes(yield* this.#sure(node));
  }

  *#readdir(dir: Inode): Operation<LayerEntry[]> {
    return Array.from(yield* this.#entries(dir), ([name, { ino, type }]) => ({ name, type, ino }));
  }

  *#resolve(ino: number | undefined): Operation<HandleTarget | undefined> {
    if (ino === undefined) return undefined;
    const known = this.#inodes.get(ino);
    if (known !== undefined) yield* this.#sure(known);
    else if ((yield* wait(this.#store.get(inodeKey(ino)))) === undefined) return undefined;
    const node = known ?? (yield* this.#inode(ino));
    const { nlink } = node.record;
    return node.state !== 'stored' || nlink === 0 ? undefined : { ino, nlink };
  }

  *#create({ dir, name }: Place, object: NewObject): Operation<Found> {
    const parent = dir as Inode;
    if ((yield* this.#entries(parent)).has(name)) throw new FsError('EEXIST', { path: name });
    const node = this.#newInode(object);
    const draft = new Draft();
    this.#link(draft, parent, name, node);
    yield* this.#apply(draft);
    return this.#found(node);
  }

  *#commit(change: NamespaceChange): Operation<void> {
    const draft = new Draft();
    switch (change.kind) {
      case 'link': {
        const [dir, node] = [change.to.dir as Inode, yield* this.#sure(change.node as Inode)];
        yield* this.#vacate(draft, change.to, change.over, change.keep, 'link');
        this.#link(draft, dir, change.to.name, node);
        break;
      }
      case 'unlink':
        yield* this.#vacate(draft, change.from, change.occupant, change.keep, 'unlink');
        break;
      case 'rename': {
        const { from, to, over, leave, keep } = change;
        const node = yield* this.#sure(change.node as Inode);
        if ((yield* this.#entries(from.dir as Inode)).get(from.name)?.ino !== node.ino)
          throw new FsError('ENOENT', { path: from.name });
        yield* this.#vacate(draft, to, over, keep, 'rename');
        this.#detach(draft, from.dir as Inode, from.name, node);
        this.#attach(draft, to.dir as Inode, to.name, node);
        if (leave === 'whiteout')
          this.#link(draft, from.dir as Inode, from.name, this.#newInode({ mode: S_IFCHR, uid: 0, gid: 0 }));
        break;
      }
      case 'exchange': {
        const { a, b } = change;
        const [one, two] = [yield* this.#sure(a.node as Inode), yield* this.#sure(b.node as Inode)];
        for (const { dir, name, node } of [a, b])
          if ((yield* this.#entries(dir as Inode)).get(name)?.ino !== (node as Inode).ino)
            throw new FsError('ENOENT', { path: name });
        this.#detach(draft, a.dir as Inode, a.name, one);
        this.#detach(draft, b.dir as Inode, b.name, two);
        this.#attach(draft, a.dir as Inode, a.name, two);
        this.#attach(draft, b.dir as Inode, b.name, one);
      }
    }
    yield* this.#apply(draft);
  }

  /** Takes away what stands at a place that a change takes. A false `over` is a bug in the caller, answered as hosts do. */
  *#vacate(
    draft: Draft,
    { dir, name }: Place,
    over: Occupant,
    keep: LayerNode | undefined,
    kind: NamespaceChange['kind'],
  ): Operation<void> {
    const parent = dir as Inode;
    const entry = (yield* this.#entries(parent)).get(name);
    if (entry === undefined) {
      if (over === 'nothing') return;
      throw new FsError('ENOENT', { path: name });
    }
    if (over === 'nothing') throw new FsError('EEXIST', { path: name });
    const node = yield* this.#inode(entry.ino);
    if (isDirectory(node.record.mode)) {
      const inside = yield* this.#entries(node);
      if (inside.size > 0 && kind === 'rename') throw new FsError('ENOTEMPTY', { path: name });
      for (const [child, { ino, type }] of inside) {
        if (type === DT_DIR) throw new FsError('ENOTEMPTY', { path: name });
        const lost = yield* this.#inode(ino);
        this.#detach(draft, node, child, lost);
        this.#unname(draft, lost, undefined);
      }
    }
    this.#detach(draft, parent, name, node);
    this.#unname(draft, node, keep);
  }

  /** A name for an object that has none yet, or a further one. */
  #link(draft: Draft, dir: Inode, name: string, node: Inode): void {
    countLink(draft.edit(node));
    draft.become(node, 'stored');
    draft.mark(node, false);
    this.#attach(draft, dir, name, node);
  }

  /** One name less; without any, the object goes, unless it is still used. */
  #unname(draft: Draft, node: Inode, keep: LayerNode | undefined): void {
    const record = draft.edit(node);
    record.nlink = isDirectory(record.mode) ? 0 : record.nlink - 1;
    if (record.nlink > 0) return;
    if (keep !== node) draft.become(node, 'erased');
    draft.mark(node, keep === node);
  }

  #attach(draft: Draft, dir: Inode, name: string, node: Inode): void {
    const { mode } = draft.edit(node);
    const entry: Entry = { ino: node.ino, type: (mode & S_IFMT) >>> 12 };
    draft.put(entryKey(dir.ino, { ...entry, name }), new Uint8Array(0));
    draft.afterwards(() => dir.entries?.set(name, entry));
    if (isDirectory(mode)) draft.edit(dir).nlink++;
    touch(draft.edit(node), 'changed');
    touch(draft.edit(dir), 'modified');
  }

  #detach(draft: Draft, dir: Inode, name: string, node: Inode): void {
    const { mode } = node.record;
    draft.delete(entryKey(dir.ino, { ino: node.ino, type: (mode & S_IFMT) >>> 12, name }));
    draft.afterwards(() => dir.entries?.delete(name));
    if (isDirectory(mode)) draft.edit(dir).nlink--;
    touch(draft.edit(node), 'changed');
    touch(draft.edit(dir), 'modified');
  }

  *#setattr(node: Inode, change: AttributeChange): Operation<void> {
    yield* this.#sure(node);
    const draft = new Draft();
    const record = draft.edit(node);
    const { size, uid, gid, mode, atime, mtime } = change;
    if (size !== undefined) yield* resize(this.#opened.chunkSize, this.#readChunk, draft, node, size);
    if (uid !== undefined) record.uid = uid;
    if (gid !== undefined) record.gid = gid;
    if (mode !== undefined) record.mode = (record.mode & S_IFMT) | (mode & 0o7777);
    touch(record, 'changed');
    if (atime !== undefined) {
      const { sec, nsec } = atime === 'now' ? now() : atime;
      record.atimeSec = sec;
      record.atimeNsec = nsec;
    }
    if (mtime !== undefined) {
      const { sec, nsec } = mtime === 'now' ? now() : mtime;
      record.mtimeSec = sec;
      record.mtimeNsec = nsec;
    }
    yield* this.#apply(draft);
  }

  *#editXattrs(node: Inode, edit: (xattrs: Map<string, Uint8Array>) => void): Operation<void> {
    yield* this.#sure(node);
    const xattrs = new Map(node.record.xattrs);
    edit(xattrs);
    const draft = new Draft();
    const record = draft.edit(node);
    record.xattrs = xattrs;
    touch(record, 'changed');
    yield* this.#apply(draft);
  }

  /** Carries a draft out: one batch, and then memory. */
  *#apply(draft: Draft, staged: 'in-memory' | 'data' = 'in-memory'): Operation<void> {
    for (const node of this.#ordered) if (node.state === 'stored') draft.edit(node);
    const operations = draft.operations(staged);
    const reserved = this.#next > this.#reserved ? this.#next + RESERVED : undefined;
    if (operations.length > 0) {
      if (reserved !== undefined) operations.push({ kind: 'put', key: NEXT_KEY, value: encodeName(String(reserved)) });
      try {
        yield* wait(this.#store.batch(operations));
      } catch (error) {
        if (!(yield* this.#wasDone(draft, operations))) throw error;
      }
      this.#reserved = reserved ?? this.#reserved;
    }
    draft.apply(staged);
    for (const node of draft.nodes) {
      if (!node.isModified && node.unsaved.size === 0) this.#unsaved.delete(node);
      if (node.unsaved.size === 0) this.#ordered.delete(node);
      if (node.state === 'erased') this.#inodes.delete(node.ino);
    }
  }

  /** Whether a batch that failed has been carried out all the same, as happens where only the answer was lost. */
  *#wasDone(draft: Draft, operations: readonly StoreOperation[]): Operation<boolean> {
    const probe = operations.find((operation) => operation.kind === 'put' && isInodeKey(operation.key));
    if (probe?.kind !== 'put') return false;
    try {
      // Times in a record never repeat, so an equal one is this batch's.
      const found = yield* wait(this.#store.get(probe.key));
      return found !== undefined && decodeName(found) === decodeName(probe.value);
    } catch {
      for (const node of draft.nodes) node.isDoubtful = true;
      return false;
    }
  }

  /** Saves a file's data, size and times. A staged one's data alone: the rest arrives with its name. */
  *#save(node: Inode): Operation<void> {
    yield* this.#sure(node);
    const draft = new Draft();
    draft.edit(node);
    if (node.state === 'staged') draft.mark(node, true);
    yield* this.#apply(draft, 'data');
  }

  *#saveAll(): Operation<void> {
    for (const node of Array.from(this.#unsaved)) if (node.state === 'stored') yield* this.#save(node);
    for (const node of Array.from(this.#garbage)) {
      const draft = new Draft();
      draft.become(node, 'erased');
      draft.mark(node, false);
      yield* this.#apply(draft);
      this.#garbage.delete(node);
    }
  }

  *#close(): Operation<void> {
    yield* this.#saveAll();
    yield* wait(this.#store.delete(LOCK_KEY));
  }

  readonly #readChunk = (node: Inode, index: number): Uint8Array | undefined | PromiseLike<Uint8Array | undefined> =>
    this.#store.get(chunkKey(node.ino, index));

  #file(node: Inode): UpperFile<M> {
    const { chunkSize } = this.#opened;
    const alone = <T>(operation: Operation<T>): Answer<M, T> => this.#alone(operation);
    const save = (): Answer<M, void> => {
      const isSaved = !node.isModified && node.unsaved.size === 0;
      return isSaved ? (undefined as Answer<M, void>) : alone(this.#save(node));
    };
    return {
      read: (buffer, position) => this.#run(readAt(chunkSize, this.#readChunk, node, buffer, position)),
      seek: (position, whence) => seekFrom(chunkSize, node, position, whence) as Answer<M, number>,
      write: (buffer, position) => alone(this.#write(node, buffer, position)),
      allocate: (mode, offset, length) => alone(this.#allocate(node, mode, offset, length)),
      fsync: save,
      order: () => {
        if (node.unsaved.size > 0) this.#ordered.add(node);
        return undefined as Answer<M, void>;
      },
      // What is staged is saved with its name.
      close: () => (node.state === 'stored' && node.record.nlink > 0 ? save() : (undefined as Answer<M, void>)),
    };
  }

  *#write(node: Inode, buffer: Uint8Array, position: number): Operation<number> {
    if (buffer.length === 0) return 0;
    yield* this.#sure(node);
    yield* writeAt(this.#opened.chunkSize, this.#readChunk, node, buffer, position);
    yield* this.#wrote(node);
    return buffer.length;
  }

  *#allocate(node: Inode, ...[mode, offset, length]: Parameters<UpperFile['allocate']>): Operation<void> {
    yield* this.#sure(node);
    yield* allocateAt(this.#opened.chunkSize, this.#readChunk, node, mode, offset, length);
    yield* this.#wrote(node);
  }

  *#wrote(node: Inode): Operation<void> {
    this.#unsaved.add(node);
    if (node.unsaved.size > UNSAVED_MAX) yield* this.#save(node);
  }
}
