/**
 * Opening a store as a layer: making what an empty one lacks, refusing one that somebody else writes to, and sweeping what a
 * crash left without a name.
 */
import { S_IFDIR } from '../attributes.js';
import { newDev } from '../clock.js';
import { FsError } from '../errors.js';
import type { XattrPrefix } from '../format.js';
import { decodeName, encodeName } from '../names.js';
import { type Answer, type Mode, type Operation, runEither, wait } from '../run.js';
import {
  chunkPrefix,
  FIRST_FREE_INO,
  FORMAT_KEY,
  INDEX_INO,
  inodeKey,
  LOCK_KEY,
  NAMELESS_PREFIX,
  NEXT_KEY,
  ROOT_INO,
} from './keys.js';
import { KeyValueLayer } from './layer.js';
import { decodeJson, decodeRecord, encodeJson, encodeRecord, newRecord } from './record.js';
import { guarded } from './guarded.js';
import type { Store, StoreOperation } from './store.js';

/** How a store is opened as a layer. */
export interface KeyValueLayerOptions {
  /**
   * "write" (the default) takes the lock, and `close` gives it back. "read" is for lower layers: the store is not touched, so
   * that it may be shared; a writer's changes are seen or not.
   */
  access?: 'write' | 'read';
  /**
   * Who writes, as the error names them to others. Who has the same name gets the lock again: a name that stays the same
   * across restarts, and is nobody else's, needs no "take". Default: one made up for this opening.
   */
  owner?: string;
  /** "take": whoever holds the lock is known to be dead. */
  lock?: 'respect' | 'take';
  /** Bytes of a chunk of file data, for a store that is still empty. Default 65536. */
  chunkSize?: number;
  /** Default "trusted.overlay.". */
  xattrPrefix?: XattrPrefix;
  /** Device number, unique among the layers of one overlay. Default: a new one. */
  dev?: number;
}

interface Format {
  version: 1;
  chunkSize: number;
  uuid: number[];
}

/**
 * A layer in a key-value store, synchronous if the store is. Throws EBUSY if somebody else writes to it; EINVAL for a store
 * that holds something else, or, to be read, nothing; EIO for what the store reports.
 */
export function kvLayer(store: Store<'sync'>, options?: KeyValueLayerOptions): KeyValueLayer<'sync'>;
export function kvLayer<M extends Mode>(store: Store<M>, options?: KeyValueLayerOptions): Answer<M, KeyValueLayer<M>>;
export function kvLayer(store: Store, options: KeyValueLayerOptions = {}): Answer<Mode, KeyValueLayer> {
  return runEither<Mode, KeyValueLayer>(open(guarded(store), options));
}

function* open<M extends Mode>(store: Store<M>, options: KeyValueLayerOptions): Operation<KeyValueLayer<M>> {
  const { access = 'write', xattrPrefix = 'trusted.overlay.', dev = newDev() } = options;
  const saved = yield* wait(store.get(FORMAT_KEY));
  if (saved === undefined && access === 'read') throw new FsError('EINVAL', { syscall: 'open', path: FORMAT_KEY });
  const format = saved === undefined ? newFormat(options.chunkSize) : parseFormat(saved);
  if (access === 'write') {
    yield* takeLock(store, options);
    if (saved === undefined) yield* wait(store.batch(initial(format)));
    else yield* sweep(store);
  }
  const next = Number(decodeName((yield* wait(store.get(NEXT_KEY))) ?? encodeName(String(FIRST_FREE_INO))));
  if (!Number.isSafeInteger(next)) throw new FsError('EIO', { syscall: 'open', path: NEXT_KEY });
  const uuid = Uint8Array.from(format.uuid);
  const layer = new KeyValueLayer<M>({ store, access, chunkSize: format.chunkSize, uuid, next, xattrPrefix, dev });
  yield* layer.begin();
  return layer;
}

function newFormat(chunkSize = 65_536): Format {
  if (!isChunkSize(chunkSize)) throw new FsError('EINVAL', { syscall: 'open', path: `chunkSize ${chunkSize}` });
  return { version: 1, chunkSize, uuid: Array.from({ length: 16 }, () => Math.floor(Math.random() * 256)) };
}

function isChunkSize(size: unknown): size is number {
  return Number.isSafeInteger(size) && (size as number) >= 512 && (size as number) <= 1 << 26;
}

function parseFormat(value: Uint8Array): Format {
  const format = decodeJson(value, FORMAT_KEY) as Partial<Format> | null;
  if (format?.version !== 1 || !isChunkSize(format.chunkSize) || format.uuid?.length !== 16)
    throw new FsError('EINVAL', { syscall: 'open', path: FORMAT_KEY });
  return format as Format;
}

function initial(format: Format): StoreOperation[] {
  const directory = { ...newRecord({ mode: S_IFDIR | 0o755, uid: 0, gid: 0 }), nlink: 2 };
  return [
    { kind: 'put', key: FORMAT_KEY, value: encodeJson(format) },
    { kind: 'put', key: NEXT_KEY, value: encodeName(String(FIRST_FREE_INO)) },
    { kind: 'put', key: inodeKey(ROOT_INO), value: encodeRecord(directory) },
    { kind: 'put', key: inodeKey(INDEX_INO), value: encodeRecord(directory) },
  ];
}

/**
 * A store of five methods cannot say "put if absent", so two that open it within one round trip may both get through the first
 * look; the second look, after the own name is written, leaves at most one of them.
 */
function* takeLock(store: Store, { owner, lock = 'respect' }: KeyValueLayerOptions): Operation<void> {
  const mine = owner ?? `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  const refuse = (holder: string): never => {
    throw new FsError('EBUSY', { syscall: 'open', path: `locked by ${holder}` });
  };
  const holder = yield* wait(store.get(LOCK_KEY));
  if (holder !== undefined && lock === 'respect' && decodeName(holder) !== mine) refuse(decodeName(holder));
  yield* wait(store.put(LOCK_KEY, encodeName(mine)));
  const now = yield* wait(store.get(LOCK_KEY));
  if (now === undefined || decodeName(now) !== mine) refuse(now === undefined ? 'nobody' : decodeName(now));
}

/** Removes objects that had no name when the last writer went away. */
function* sweep(store: Store): Operation<void> {
  const marks = yield* wait(store.list(NAMELESS_PREFIX));
  for (const mark of marks) {
    const ino = Number(mark.slice(NAMELESS_PREFIX.length));
    const saved = yield* wait(store.get(inodeKey(ino)));
    const keys = [mark];
    if (saved === undefined || decodeRecord(saved, inodeKey(ino)).nlink === 0)
      keys.push(inodeKey(ino), ...(yield* wait(store.list(chunkPrefix(ino)))));
    yield* wait(store.batch(keys.map((key) => ({ kind: 'delete', key }))));
  }
}
