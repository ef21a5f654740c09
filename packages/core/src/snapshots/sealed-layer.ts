/**
 * A former upper as the lower layer that it is from a checkpoint on: read only, and objects that were copied up into it are shown
 * with the device and inode number of their origin, as they were while it was the upper. That origin is also what their next
 * copy records. Costs a question a name that is looked up in it, not for what is cached.
 */
import { type Attributes, type FileSystemStatistics, isDirectory } from '../attributes.js';
import { decodeOrigin } from '../format.js';
import type { Stack } from '../inode.js';
import type {
  FileHandle,
  Found,
  HandleTarget,
  Layer,
  LayerEntry,
  LayerFile,
  LayerNode,
  VerityDigest,
} from '../layer.js';
import { resolveOrigin } from '../lookup.js';
import { type Answer, type Mode, type Operation, runAsync, wait } from '../run.js';

type Soon<T> = Answer<Mode, T>;

export class SealedLayer implements Layer {
  /** The layer itself. */
  readonly inner: Layer;
  readonly root: LayerNode;
  readonly #stack: Stack;

  constructor(stack: Stack, inner: Layer) {
    this.#stack = stack;
    this.inner = inner;
    this.root = inner.root;
  }

  lookup(dir: LayerNode, name: string): Soon<Found | undefined> {
    return answer(this.#lookup(dir, name));
  }

  *#lookup(dir: LayerNode, name: string): Operation<Found | undefined> {
    const found = yield* wait(this.inner.lookup(dir, name));
    if (found !== undefined) yield* this.#number(found.node, found.attributes);
    return found;
  }

  /** Of what is no directory, the overlay asks for the number with `lookup` only. */
  getattr(node: LayerNode): Soon<Attributes> {
    return answer(this.#getattr(node));
  }

  *#getattr(node: LayerNode): Operation<Attributes> {
    const attributes = yield* wait(this.inner.getattr(node));
    if (isDirectory(attributes.mode) && node !== this.root) yield* this.#number(node, attributes);
    return attributes;
  }

  *#number(node: LayerNode, attributes: Attributes): Operation<void> {
    const value = yield* this.#origin(node);
    const origin = value && (yield* resolveOrigin(this.#stack, value));
    // Of several names below, each may have its own copy by now.
    if (origin === undefined || !(isDirectory(attributes.mode) || (origin.nlink ?? 1) === 1)) return;
    attributes.dev = origin.dev;
    attributes.ino = origin.ino;
  }

  *#origin(node: LayerNode): Operation<Uint8Array | undefined> {
    return yield* wait(this.inner.getxattr(node, `${this.#stack.prefix}origin`));
  }

  fileHandle(node: LayerNode): Soon<FileHandle | undefined> {
    return answer(this.#fileHandle(node));
  }

  *#fileHandle(node: LayerNode): Operation<FileHandle | undefined> {
    const value = yield* this.#origin(node);
    return (value && decodeOrigin(value)) ?? (yield* wait(this.inner.fileHandle?.(node)));
  }

  resolveHandle(handle: FileHandle): Soon<HandleTarget | undefined> {
    return this.inner.resolveHandle?.(handle);
  }

  verityDigest(node: LayerNode): Soon<VerityDigest | undefined> {
    return this.inner.verityDigest?.(node);
  }

  readdir(dir: LayerNode): Soon<LayerEntry[]> {
    return this.inner.readdir(dir);
  }

  readlink(node: LayerNode): Soon<string> {
    return this.inner.readlink(node);
  }

  open(node: LayerNode): Soon<LayerFile> {
    return this.inner.open(node);
  }

  getxattr(node: LayerNode, name: string): Soon<Uint8Array | undefined> {
    return this.inner.getxattr(node, name);
  }

  listxattr(node: LayerNode): Soon<string[]> {
    return this.inner.listxattr(node);
  }

  statfs(): Soon<FileSystemStatistics> {
    return this.inner.statfs();
  }
}

/** At once where the layer answers at once. */
function answer<T>(operation: Operation<T>): Soon<T> {
  const first = operation.next();
  return first.done === true ? first.value : runAsync(operation, first);
}
