/**
 * What the key-value layer asks of a store: five methods over keys and bytes. Who writes an adapter states here nothing of
 * file systems; what keys mean is in `keys.ts`.
 */
import type { Answer, Mode } from '../run.js';

/** One part of a batch. A value that is handed over belongs to the store. */
export type StoreOperation = { kind: 'put'; key: string; value: Uint8Array } | { kind: 'delete'; key: string };

/**
 * Keys are of printable ASCII: `A`–`Z`, `a`–`z`, `0`–`9` and `. _ - % /`, up to 800 characters. What has been answered is as
 * durable as the store makes anything. A value that is handed over belongs to the store and is not changed any more; one that
 * `get` returns is changed by nobody. Errors may be of any class: the layer reports them as EIO, with `cause`.
 */
export interface Store<M extends Mode = Mode> {
  get(key: string): Answer<M, Uint8Array | undefined>;
  put(key: string, value: Uint8Array): Answer<M, void>;
  /** Deleting what is not there is no error. */
  delete(key: string): Answer<M, void>;
  /** All keys that begin with `prefix`, each once, in no particular order. */
  list(prefix: string): Answer<M, string[]>;
  /**
   * All of the operations or none, also after a crash of either side. No key occurs twice. One that has failed must not be
   * carried out later on; that it was carried out, and only the answer is lost, is found out.
   */
  batch(operations: readonly StoreOperation[]): Answer<M, void>;
}

/** A store in a Map: gone with the process, unless its entries are saved. */
export function mapStore(map: Map<string, Uint8Array> = new Map()): Store<'sync'> {
  const apply = (operation: StoreOperation): void => {
    if (operation.kind === 'put') map.set(operation.key, operation.value);
    else map.delete(operation.key);
  };
  return {
    get: (key) => map.get(key),
    put: (key, value) => void map.set(key, value),
    delete: (key) => void map.delete(key),
    list: (prefix) => [...map.keys()].filter((key) => key.startsWith(prefix)),
    batch: (operations) => operations.forEach(apply),
  };
}
