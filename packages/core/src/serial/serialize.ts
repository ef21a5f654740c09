/**
 * A layer as a stream of bytes: a tar archive that any program reads, and behind its end an index that `serializedLayer` opens. The raw
 * tree, whatever it means to an overlay. Names are in order, so that the same tree gives the same bytes.
 */
import { type Attributes, isDirectory, isRegular, isSymlink } from '../attributes.js';
import { crc32 } from '../archive/crc32.js';
import { FsError } from '../errors.js';
import { leavesAllBelow } from '../format.js';
import type { SignalLike } from '../fs/arguments.js';
import { throwIfAborted } from '../fs/waiting.js';
import type { Layer, LayerFile, LayerNode } from '../layer.js';
import { encodeName } from '../names.js';
import type { Overlay } from '../overlay.js';
import { maybe, type Mode, type Operation, wait } from '../run.js';
import { segments } from '../segments.js';
import { iterateAsync, iterateSync, type Stream } from '../stream.js';
import { padding, TAR_END, tarHeader, type TarObject } from '../tar/write.js';
import { CHUNK, type StoredData } from './format.js';
import { IndexWriter } from './index-writer.js';
import { compareBytes } from './packing.js';

/** Bytes of a piece: the stream is read by at most as many. */
const PIECE = 1 << 16;
const PREFIXES = ['trusted.overlay.', 'user.overlay.'] as const;

/** How far a layer is written. */
/** How far it is. */
export interface SerializeProgress {
  /** Bytes given so far, and objects begun. */
  bytes: number;
  objects: number;
  /** The object that is being written, from the root: "a/b". */
  path: string;
}

/** What is told while a layer is written, and what ends that early. */
/** What may end it, and who is told of it. */
export interface SerializeOptions {
  /** Ends it with an `AbortError`, between two pieces. */
  signal?: SignalLike;
  /** Called after each piece. */
  progress?: (progress: SerializeProgress) => void;
}

/** Pieces of at most 64 KiB, which are the caller's to keep. Nothing is read ahead of who takes them; it can be gone through once. */
export type Serialized<M extends Mode = Mode> = AsyncIterable<Uint8Array> &
  (M extends 'sync' ? Iterable<Uint8Array> : unknown);

/**
 * The bytes of a layer, which nobody may change meanwhile. Of memory it takes a buffer, and about 100 bytes for each object, for the index. What
 * goes through it throws what the layer throws; ESTALE where a file became shorter; ENAMETOOLONG for a path of 4096 bytes or more, E2BIG for extended
 * attributes of more than 1 MiB at one object; EOPNOTSUPP for files of an inode index, some names of which only lower layers hold.
 */
export function serialize<M extends Mode>(layer: Layer<M>, options: SerializeOptions = {}): Serialized<M> {
  return iterable<M>(new Serializer(layer, options).run());
}

/** The same of an overlay's upper; what it has left to copy is completed first. Throws EINVAL without an upper. */
export function serializeUpper<M extends Mode>(merged: Overlay<M>, options: SerializeOptions = {}): Serialized<M> {
  return iterable<M>(ofUpper(merged, options));
}

function* ofUpper(merged: Overlay, options: SerializeOptions): Stream<Uint8Array> {
  const upper = yield* merged.perform(function* (stack) {
    yield* maybe(stack.options.lazy?.settleIn(stack, merged.root));
    return stack.upper;
  });
  if (upper === undefined) throw new FsError('EINVAL', { syscall: 'serialize', path: 'an overlay without an upper' });
  yield* new Serializer(upper, options).run();
}

function iterable<M extends Mode>(stream: Stream<Uint8Array>): Serialized<M> {
  const both: AsyncIterable<Uint8Array> & Iterable<Uint8Array> = {
    [Symbol.iterator]: () => iterateSync(stream),
    [Symbol.asyncIterator]: () => iterateAsync(stream),
  };
  return both as Serialized<M>;
}

/** A directory whose entries are being written. */
interface Open {
  node: LayerNode;
  path: string;
  names: string[];
  next: number;
  attributes: Attributes;
  xattrs: ReadonlyMap<string, Uint8Array> | undefined;
  ino: number;
}

class Serializer {
  readonly #layer: Layer;
  readonly #options: SerializeOptions;
  readonly #index = new IndexWriter();
  #piece = new Uint8Array(PIECE);
  #used = 0;
  /** Bytes before the piece. */
  #given = 0;
  #path = '';

  constructor(layer: Layer, options: SerializeOptions) {
    this.#layer = layer;
    this.#options = options;
  }

  *run(): Stream<Uint8Array> {
    const layer = this.#layer;
    const attributes = yield* wait(layer.getattr(layer.root));
    const open: Open[] = [];
    let dir: Open | undefined = yield* this.#directory(layer.root, '', attributes);
    while (dir !== undefined) {
      const name: string | undefined = dir.names[dir.next++];
      if (name === undefined) {
        const { path, ino, xattrs } = dir;
        this.#index.closeDirectory(nameOf(path), { ...dir.attributes, ino }, xattrs);
        dir = open.pop();
        continue;
      }
      const found = yield* wait(layer.lookup(dir.node, name));
      if (found === undefined) continue;
      const path: string = dir.path === '' ? name : `${dir.path}/${name}`;
      this.#path = path;
      if (this.#options.signal !== undefined) throwIfAborted(this.#options.signal);
      if (isDirectory(found.attributes.mode)) {
        open.push(dir);
        dir = yield* this.#directory(found.node, path, found.attributes);
      } else yield* this.#object(found.node, path, found.attributes);
    }
    yield* this.#put(TAR_END);
    for (const bytes of this.#index.finish(this.#given + this.#used)) yield* this.#put(bytes);
    if (this.#used > 0) yield this.#flush();
  }

  *#directory(
    node: LayerNode,
    path: string,
    attributes: Attributes,
  ): Generator<PromiseLike<unknown> | Uint8Array, Open> {
    const xattrs = yield* this.#xattrs(node, path, attributes);
    const { header } = tarHeader(tarObject(path, attributes, xattrs));
    yield* this.#put(header);
    const entries = yield* wait(this.#layer.readdir(node));
    const names = inOrder(entries.map(({ name }) => name));
    return { node, path, names, next: 0, attributes, xattrs, ino: this.#index.openDirectory() };
  }

  *#object(node: LayerNode, path: string, attributes: Attributes): Stream<Uint8Array> {
    const known = this.#index.known(attributes);
    if (known !== undefined) {
      const { header } = tarHeader({ ...tarObject(path, attributes, undefined), linkOf: known.path });
      yield* this.#put(header);
      this.#index.addLink(nameOf(path), known);
      return;
    }
    const xattrs = yield* this.#xattrs(node, path, attributes);
    const object = tarObject(path, attributes, xattrs);
    if (isSymlink(attributes.mode)) object.target = yield* wait(this.#layer.readlink(node));
    let data: StoredData | undefined;
    if (isRegular(attributes.mode)) data = yield* this.#file(node, object, attributes.size);
    else yield* this.#put(tarHeader(object).header);
    this.#index.add(path, nameOf(path), attributes, { xattrs, target: object.target ?? '', data });
  }

  *#file(node: LayerNode, object: TarObject, size: number): Generator<PromiseLike<unknown> | Uint8Array, StoredData> {
    const data: StoredData = { extents: [], sums: [] };
    const isBelow = PREFIXES.some((prefix) => {
      const mark = object.xattrs?.get(`${prefix}metacopy`);
      return mark !== undefined && leavesAllBelow(mark);
    });
    object.size = size;
    object.data = [];
    if (size === 0 || isBelow) {
      yield* this.#put(tarHeader(object).header);
      return data;
    }
    const file = yield* wait(this.#layer.open(node));
    try {
      const pieces = yield* segments(file, size);
      object.data = pieces;
      const { header, stored } = tarHeader(object);
      yield* this.#put(header);
      const buffer = new Uint8Array(Math.min(CHUNK, stored));
      for (const { at, length } of pieces) {
        data.extents.push({ at, length, offset: this.#given + this.#used });
        for (let done = 0; done < length; done += CHUNK) {
          const chunk = buffer.subarray(0, Math.min(CHUNK, length - done));
          yield* this.#read(file, chunk, at + done);
          data.sums.push(crc32(chunk));
          yield* this.#put(chunk);
        }
      }
      yield* this.#put(new Uint8Array(padding(stored)));
      return data;
    } finally {
      yield* wait(file.close());
    }
  }

  *#read(file: LayerFile, buffer: Uint8Array, position: number): Operation<void> {
    for (let done = 0; done < buffer.length; ) {
      const count = yield* wait(file.read(buffer.subarray(done), position + done));
      if (count === 0) throw new FsError('ESTALE', { syscall: 'serialize', path: `${this.#path} became shorter` });
      done += count;
    }
  }

  /** In order of their names. */
  *#xattrs(node: LayerNode, path: string, { mode }: Attributes): Operation<Map<string, Uint8Array> | undefined> {
    const names = yield* wait(this.#layer.listxattr(node));
    if (names.length === 0) return undefined;
    const xattrs = new Map<string, Uint8Array>();
    for (const name of inOrder(names)) {
      if (!isDirectory(mode) && PREFIXES.some((prefix) => name === `${prefix}nlink`)) {
        const why = `${path} belongs to an inode index, and has names in lower layers only`;
        throw new FsError('EOPNOTSUPP', { syscall: 'serialize', path: why });
      }
      const value = yield* wait(this.#layer.getxattr(node, name));
      if (value !== undefined) xattrs.set(name, value);
    }
    return xattrs;
  }

  *#put(bytes: Uint8Array): Stream<Uint8Array> {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + PIECE - this.#used);
      this.#piece.set(part, this.#used);
      this.#used += part.length;
      at += part.length;
      if (this.#used === PIECE) yield this.#flush();
    }
  }

  #flush(): Uint8Array {
    const { signal, progress } = this.#options;
    if (signal !== undefined) throwIfAborted(signal);
    const piece = this.#piece.subarray(0, this.#used);
    this.#given += this.#used;
    this.#piece = new Uint8Array(PIECE);
    this.#used = 0;
    progress?.({ bytes: this.#given, objects: this.#index.count, path: this.#path });
    return piece;
  }
}

function tarObject(
  path: string,
  attributes: Attributes,
  xattrs: ReadonlyMap<string, Uint8Array> | undefined,
): TarObject {
  const { mode, uid, gid, rdev } = attributes;
  const object: TarObject = {
    path,
    mode,
    uid,
    gid,
    rdev,
    mtime: { sec: attributes.mtimeSec, nsec: attributes.mtimeNsec },
    atime: { sec: attributes.atimeSec, nsec: attributes.atimeNsec },
    ctime: { sec: attributes.ctimeSec, nsec: attributes.ctimeNsec },
  };
  return xattrs === undefined ? object : { ...object, xattrs };
}

function nameOf(path: string): Uint8Array {
  return encodeName(path.slice(path.lastIndexOf('/') + 1));
}

/** By bytes: the order of the index. That of strings is the same where no unit is a surrogate. */
function inOrder(names: readonly string[]): string[] {
  return names.some((name) => /[\ud800-\udfff]/.test(name))
    ? [...names].sort((a, b) => compareBytes(encodeName(a), encodeName(b)))
    : [...names].sort();
}
