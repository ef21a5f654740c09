/**
 * What of a key-value store is known, and how it changes: objects and the entries of directories are read once, because nobody
 * else writes; a draft becomes one batch, and then what is known. Decides what goes into a batch besides what was asked for.
 */
import { isDirectory } from '../attributes.js';
import { FsError } from '../errors.js';
import type { XattrPrefix } from '../format.js';
import type { NewObject } from '../layer.js';
import { decodeName, encodeName } from '../names.js';
import { isThenable, type Mode, type Operation, runEither, wait } from '../run.js';
import { Draft, type Entry, Inode } from './inode.js';
import { chunkKey, entryPrefix, inodeKey, isInodeKey, NEXT_KEY, parseEntryKey } from './keys.js';
import { decodeRecord, newRecord } from './record.js';
import type { Store, StoreOperation } from './store.js';
import { WeakTable } from './weak-table.js';

/** Inode numbers are set aside so many at a time: a crash loses as many. */
const RESERVED = 1024;

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

export class Known<M extends Mode = Mode> {
  readonly #store: Store<M>;
  /** What somebody still holds, and what must not be forgotten. */
  readonly inodes: WeakTable<Inode> = new WeakTable<Inode>();
  readonly #loading = new Map<number, PromiseLike<Inode>>();
  readonly unsaved: Set<Inode> = new Set<Inode>();
  /** To be saved no later than the next change. */
  readonly ordered: Set<Inode> = new Set<Inode>();
  /** Objects without a name that nobody uses any more, and that are still in the store. */
  readonly garbage: Set<Inode> = new Set<Inode>();
  #next: number;
  #reserved: number;

  constructor({ store, next }: OpenedStore<M>) {
    this.#store = store;
    this.#next = next;
    this.#reserved = next;
  }

  newInode(object: NewObject): Inode {
    const node = new Inode(this.#next++, newRecord(object), 'staged');
    if (isDirectory(object.mode)) node.entries = new Map();
    this.inodes.set(node.ino, node);
    return node;
  }

  /** The object with this number; who asks at the same time gets the same one. */
  *inode(ino: number): Operation<Inode> {
    const known = this.inodes.get(ino);
    if (known !== undefined) return yield* this.sure(known);
    const loading = this.#loading.get(ino);
    if (loading !== undefined) return yield* wait(loading);
    const answer = runEither<M, Inode>(this.#load(ino));
    if (!isThenable(answer)) return answer as Inode;
    const coming = Promise.resolve(answer as PromiseLike<Inode>).finally(() => this.#loading.delete(ino));
    this.#loading.set(ino, coming);
    return yield* wait(coming);
  }

  *#load(ino: number): Operation<Inode> {
    const value = yield* wait(this.#store.get(inodeKey(ino)));
    if (value === undefined) throw new FsError('EIO', { syscall: 'get', path: inodeKey(ino) });
    const node = new Inode(ino, decodeRecord(value, inodeKey(ino)), 'stored');
    this.inodes.set(node.ino, node);
    return node;
  }

  /** Looks again where a failed change may have been made after all. */
  *sure(node: Inode): Operation<Inode> {
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

  *entries(dir: Inode): Operation<Map<string, Entry>> {
    yield* this.sure(dir);
    if (!isDirectory(dir.record.mode)) throw new FsError('ENOTDIR');
    if (dir.entries !== undefined) return dir.entries;
    if (dir.reading !== undefined) return yield* wait(dir.reading);
    const answer = runEither<M, Map<string, Entry>>(this.#readEntries(dir));
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

  /** Carries a draft out: one batch, and then memory. */
  *apply(draft: Draft, staged: 'in-memory' | 'data' = 'in-memory'): Operation<void> {
    for (const node of this.ordered) if (node.state === 'stored') draft.edit(node);
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
      if (!node.isModified && node.unsaved.size === 0) this.unsaved.delete(node);
      if (node.unsaved.size === 0) this.ordered.delete(node);
      if (node.state === 'erased') this.inodes.delete(node.ino);
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
  *save(node: Inode): Operation<void> {
    yield* this.sure(node);
    const draft = new Draft();
    draft.edit(node);
    if (node.state === 'staged') draft.mark(node, true);
    yield* this.apply(draft, 'data');
  }

  *saveAll(): Operation<void> {
    for (const node of Array.from(this.unsaved)) if (node.state === 'stored') yield* this.save(node);
    for (const node of Array.from(this.garbage)) {
      const draft = new Draft();
      draft.become(node, 'erased');
      draft.mark(node, false);
      yield* this.apply(draft);
      this.garbage.delete(node);
    }
  }

  readonly readChunk = (node: Inode, index: number): Uint8Array | undefined | PromiseLike<Uint8Array | undefined> =>
    this.#store.get(chunkKey(node.ino, index));
}
