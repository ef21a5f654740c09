/**
 * The layer over a key-value store: its face, attributes and open files. What is known of the store is in known.ts, changes of names
 * in change-names.ts. Changes are made one after another, so that a batch never overtakes another one.
 */
import {
  type AttributeChange,
  type Attributes,
  type FileSystemStatistics,
  isRegular,
  isSymlink,
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
  Place,
  UpperFile,
  UpperLayer,
} from '../layer.js';
import { Mutex } from '../lock.js';
import { type Answer, type Mode, type Operation, runEither, wait } from '../run.js';
import { allocateAt, readAt, resize, seekFrom, writeAt } from './content.js';
import { Draft, type Inode } from './inode.js';
import { INDEX_INO, inodeKey, LOCK_KEY, ROOT_INO } from './keys.js';
import { commit, create } from './change-names.js';
import { Known, type OpenedStore } from './known.js';
import { attributesOf, touch } from './record.js';

/** Unsaved chunks of one file, beyond which a write saves them. */
const UNSAVED_MAX = 16;

/**
 * A writable layer in a key-value store: what {@link kvLayer} answers with. Each change of names is one batch of the
 * store, so that a crash leaves all of it or nothing.
 */
export class KeyValueLayer<M extends Mode = Mode> implements UpperLayer<M> {
  readonly xattrPrefix: XattrPrefix;
  readonly chunk: number;
  readonly #opened: OpenedStore<M>;
  readonly #changes = new Mutex();
  readonly #known: Known<M>;
  #root: Inode | undefined;

  constructor(opened: OpenedStore<M>) {
    this.#opened = opened;
    this.xattrPrefix = opened.xattrPrefix;
    this.chunk = opened.chunkSize;
    this.#known = new Known(opened);
  }

  /** Reads the root. Part of opening. */
  *begin(): Operation<void> {
    this.#root = yield* this.#known.inode(ROOT_INO);
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
    return this.#found(this.#known.newInode(object)) as Answer<M, Found>;
  }

  discard(node: LayerNode): Answer<M, void> {
    this.release(node);
    return undefined as Answer<M, void>;
  }

  release(node: LayerNode): void {
    const inode = node as Inode;
    this.#known.unsaved.delete(inode);
    this.#known.ordered.delete(inode);
    // Where it is in doubt whether the object has a name after all, the mark in the store decides at the next opening.
    if (inode.isMarked && !inode.isDoubtful && inode.record.nlink === 0) this.#known.garbage.add(inode);
  }

  create(to: Place, object: NewObject): Answer<M, Found> {
    return this.#alone(this.#create(to, object));
  }

  commit(change: NamespaceChange): Answer<M, void> {
    return this.#alone(commit(this.#known, change));
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
    return this.#run(this.#known.inode(INDEX_INO));
  }

  /** Names are as durable as the store makes them once a change is answered. */
  fsyncdir(): Answer<M, void> {
    return undefined as Answer<M, void>;
  }

  sync(): Answer<M, void> {
    return this.#alone(this.#known.saveAll());
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

  *#lookup(dir: Inode, name: string): Operation<Found | undefined> {
    const entry = (yield* this.#known.entries(dir)).get(name);
    return entry && this.#found(yield* this.#known.inode(entry.ino));
  }

  *#getattr(node: Inode): Operation<Attributes> {
    return this.#attributes(yield* this.#known.sure(node));
  }

  *#readdir(dir: Inode): Operation<LayerEntry[]> {
    return Array.from(yield* this.#known.entries(dir), ([name, { ino, type }]) => ({ name, type, ino }));
  }

  *#resolve(ino: number | undefined): Operation<HandleTarget | undefined> {
    if (ino === undefined) return undefined;
    const known = this.#known.inodes.get(ino);
    if (known !== undefined) yield* this.#known.sure(known);
    else if ((yield* wait(this.#opened.store.get(inodeKey(ino)))) === undefined) return undefined;
    const node = known ?? (yield* this.#known.inode(ino));
    const { nlink } = node.record;
    return node.state !== 'stored' || nlink === 0 ? undefined : { ino, nlink };
  }

  *#create(to: Place, object: NewObject): Operation<Found> {
    return this.#found(yield* create(this.#known, to, object));
  }

  *#setattr(node: Inode, change: AttributeChange): Operation<void> {
    yield* this.#known.sure(node);
    const draft = new Draft();
    const record = draft.edit(node);
    const { size, uid, gid, mode, atime, mtime } = change;
    if (size !== undefined) yield* resize(this.#opened.chunkSize, this.#known.readChunk, draft, node, size);
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
    yield* this.#known.apply(draft);
  }

  *#editXattrs(node: Inode, edit: (xattrs: Map<string, Uint8Array>) => void): Operation<void> {
    yield* this.#known.sure(node);
    const xattrs = new Map(node.record.xattrs);
    edit(xattrs);
    const draft = new Draft();
    const record = draft.edit(node);
    record.xattrs = xattrs;
    touch(record, 'changed');
    yield* this.#known.apply(draft);
  }

  *#close(): Operation<void> {
    yield* this.#known.saveAll();
    yield* wait(this.#opened.store.delete(LOCK_KEY));
  }

  #file(node: Inode): UpperFile<M> {
    const { chunkSize } = this.#opened;
    const alone = <T>(operation: Operation<T>): Answer<M, T> => this.#alone(operation);
    const save = (): Answer<M, void> => {
      const isSaved = !node.isModified && node.unsaved.size === 0;
      return isSaved ? (undefined as Answer<M, void>) : alone(this.#known.save(node));
    };
    return {
      read: (buffer, position) => this.#run(readAt(chunkSize, this.#known.readChunk, node, buffer, position)),
      seek: (position, whence) => seekFrom(chunkSize, node, position, whence) as Answer<M, number>,
      write: (buffer, position) => alone(this.#write(node, buffer, position)),
      allocate: (mode, offset, length) => alone(this.#allocate(node, mode, offset, length)),
      fsync: save,
      order: () => {
        if (node.unsaved.size > 0) this.#known.ordered.add(node);
        return undefined as Answer<M, void>;
      },
      // What is staged is saved with its name.
      close: () => (node.state === 'stored' && node.record.nlink > 0 ? save() : (undefined as Answer<M, void>)),
    };
  }

  *#write(node: Inode, buffer: Uint8Array, position: number): Operation<number> {
    if (buffer.length === 0) return 0;
    yield* this.#known.sure(node);
    yield* writeAt(this.#opened.chunkSize, this.#known.readChunk, node, buffer, position);
    yield* this.#wrote(node);
    return buffer.length;
  }

  *#allocate(node: Inode, ...[mode, offset, length]: Parameters<UpperFile['allocate']>): Operation<void> {
    yield* this.#known.sure(node);
    yield* allocateAt(this.#opened.chunkSize, this.#known.readChunk, node, mode, offset, length);
    yield* this.#wrote(node);
  }

  *#wrote(node: Inode): Operation<void> {
    this.#known.unsaved.add(node);
    if (node.unsaved.size > UNSAVED_MAX) yield* this.#known.save(node);
  }
}
