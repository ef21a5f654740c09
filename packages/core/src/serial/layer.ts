/**
 * A serialised layer, used where it stands: opening reads the end, a directory is read when something is looked for in it, data when a file
 * is read, and each is checked against its checksum.
 */
import {
  type Attributes,
  type FileSystemStatistics,
  isDirectory,
  isRegular,
  isSymlink,
  S_IFMT,
} from '../attributes.js';
import { openContent } from '../archive/content.js';
import { statisticsOf } from '../archive/layer.js';
import { arraySource, type RandomAccess, readFully } from '../archive/source.js';
import { newDev } from '../clock.js';
import { FsError } from '../errors.js';
import type { FileHandle, Found, HandleTarget, Layer, LayerEntry, LayerFile, LayerNode } from '../layer.js';
import { decodeName, encodeName } from '../names.js';
import { type Answer, type Mode, type Operation, runEither } from '../run.js';
import { type Block, Blocks } from './blocks.js';
import { checkedContent } from './content.js';
import {
  type IndexEntry,
  nameOfEntry,
  peekEntry,
  TRAILER_SIZE,
  type Trailer,
  unpackEntry,
  unpackTrailer,
} from './format.js';

/** How a serialized layer is opened. */
/** How a serialised layer is opened. */
export interface SerializedLayerOptions {
  /** Device number, unique among the layers of one overlay. Default: a new one. */
  dev?: number;
  /** Bytes of directories that may stay in memory. Default 8 MiB. */
  cacheMax?: number;
}

/**
 * Opens what `serialize` wrote; synchronous if the source is. Two reads, however large it is. Throws EINVAL for what does not end as such a file
 * does, because it was cut short, is a plain tar (`tarLayer` reads that) or something else; EIO for what is damaged, here or when a
 * damaged part is reached.
 */
export function serializedLayer(
  bytes: Uint8Array | RandomAccess<'sync'>,
  options?: SerializedLayerOptions,
): SerializedLayer<'sync'>;
export function serializedLayer<M extends Mode>(
  bytes: RandomAccess<M>,
  options?: SerializedLayerOptions,
): Answer<M, SerializedLayer<M>>;
export function serializedLayer(
  bytes: Uint8Array | RandomAccess,
  options: SerializedLayerOptions = {},
): Answer<Mode, SerializedLayer> {
  const source = bytes instanceof Uint8Array ? arraySource(bytes) : bytes;
  return runEither<Mode, SerializedLayer>(open(source, options));
}

function* open(
  source: RandomAccess,
  { dev = newDev(), cacheMax = 1 << 23 }: SerializedLayerOptions,
): Operation<SerializedLayer> {
  const { size } = source;
  const end = new Uint8Array(TRAILER_SIZE);
  if (size > TRAILER_SIZE) yield* readFully(source, end, size - TRAILER_SIZE);
  const trailer = unpackTrailer(end);
  if (trailer === undefined) {
    const why = `no index at the end (byte ${size}): cut short, or not written by serialize`;
    throw new FsError('EINVAL', { syscall: 'serializedLayer', path: why });
  }
  const { archive, root } = trailer;
  if (archive + root.at + root.length + TRAILER_SIZE !== size) {
    const why = `${size} bytes where the index at its end tells ${archive + root.at + root.length + TRAILER_SIZE}`;
    throw new FsError('EINVAL', { syscall: 'serializedLayer', path: why });
  }
  const blocks = new Blocks(source, trailer, cacheMax);
  const own = yield* blocks.root();
  const { at, bytes } = own.entry(0);
  const entry = unpackEntry(bytes, archive);
  if (!isDirectory(entry.attributes.mode)) {
    throw new FsError('EIO', { syscall: 'serializedLayer', path: 'the root is no directory' });
  }
  return new SerializedLayer(source, trailer, blocks, new Node(entry, at, dev, '/'), end);
}

class Node {
  readonly entry: IndexEntry;
  /** Where the entry stands. */
  readonly at: number;
  readonly attributes: Attributes;
  /** What it was found as, for errors. */
  readonly name: string;

  constructor(entry: IndexEntry, at: number, dev: number, name: string) {
    this.entry = entry;
    this.at = at;
    const { extents = [] } = entry.data ?? {};
    const blocks = Math.ceil(extents.reduce((sum, { length }) => sum + length, 0) / 512);
    this.attributes = { ...entry.attributes, dev, blocks, blksize: 4096 };
    this.name = name;
  }
}

/** A read-only layer over the bytes that `serialize` gave. Directories are read when they are looked into, data where it stands. */
/** The layer; made by {@link serializedLayer}. */
export class SerializedLayer<M extends Mode = Mode> implements Layer<M> {
  readonly root: LayerNode;
  readonly #source: RandomAccess;
  readonly #trailer: Trailer;
  readonly #blocks: Blocks;
  readonly #dev: number;
  readonly #uuid: Uint8Array;

  constructor(source: RandomAccess, trailer: Trailer, blocks: Blocks, root: Node, end: Uint8Array) {
    this.#source = source;
    this.#trailer = trailer;
    this.#blocks = blocks;
    this.root = root;
    this.#dev = root.attributes.dev;
    this.#uuid = end.slice(-16); // the sums of everything
  }

  lookup(dir: LayerNode, name: string): Answer<M, Found | undefined> {
    return runEither(this.#lookup(dir as Node, name));
  }

  *#lookup(dir: Node, name: string): Operation<Found | undefined> {
    const block = yield* this.#block(dir);
    const number = block.find(encodeName(name));
    if (number === undefined) return undefined;
    const node = this.#node(block, number, dir);
    return { node, attributes: { ...node.attributes } };
  }

  getattr(node: LayerNode): Answer<M, Attributes> {
    return { ...(node as Node).attributes } as Answer<M, Attributes>;
  }

  readdir(dir: LayerNode): Answer<M, LayerEntry[]> {
    return runEither(this.#readdir(dir as Node));
  }

  *#readdir(dir: Node): Operation<LayerEntry[]> {
    const block = yield* this.#block(dir);
    return Array.from({ length: block.count }, (_, number) => {
      const { name, mode, ino } = peekEntry(block.entry(number).bytes);
      return { name, type: (mode & S_IFMT) >>> 12, ino };
    });
  }

  readlink(node: LayerNode): Answer<M, string> {
    const { attributes, entry } = node as Node;
    if (!isSymlink(attributes.mode)) throw new FsError('EINVAL', { syscall: 'readlink' });
    return entry.target as Answer<M, string>;
  }

  open(node: LayerNode): Answer<M, LayerFile<M>> {
    const { attributes, entry, name } = node as Node;
    if (!isRegular(attributes.mode) || entry.data === undefined)
      throw new FsError('EINVAL', { syscall: 'open', path: name });
    const content = checkedContent(this.#source, entry.data, attributes.size, name);
    return openContent<M>(content, attributes.size) as Answer<M, LayerFile<M>>;
  }

  getxattr(node: LayerNode, name: string): Answer<M, Uint8Array | undefined> {
    return (node as Node).entry.xattrs?.get(name)?.slice() as Answer<M, Uint8Array | undefined>;
  }

  listxattr(node: LayerNode): Answer<M, string[]> {
    return [...((node as Node).entry.xattrs?.keys() ?? [])] as unknown as Answer<M, string[]>;
  }

  statfs(): Answer<M, FileSystemStatistics> {
    return statisticsOf(this.#source, this.#trailer.count) as Answer<M, FileSystemStatistics>;
  }

  /** The same for the same bytes, wherever they are opened. */
  fileHandle(node: LayerNode): Answer<M, FileHandle | undefined> {
    const { ino, nlink } = (node as Node).attributes;
    const bytes = new Uint8Array(12);
    const view = new DataView(bytes.buffer);
    view.setFloat64(0, ino);
    view.setUint32(8, nlink);
    return { uuid: this.#uuid.slice(), type: 1, bytes } as Answer<M, FileHandle>;
  }

  resolveHandle({ uuid, type, bytes }: FileHandle): Answer<M, HandleTarget | undefined> {
    const isOurs = type === 1 && bytes.length === 12 && uuid.every((byte, i) => byte === this.#uuid[i]);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const target = isOurs ? { ino: view.getFloat64(0), nlink: view.getUint32(8) } : undefined;
    return target as Answer<M, HandleTarget | undefined>;
  }

  close(): Answer<M, void> {
    return this.#source.close?.() as Answer<M, void>;
  }

  *#block({ entry, at, name }: Node): Operation<Block> {
    if (entry.directory === undefined) throw new FsError('ENOTDIR');
    try {
      return yield* this.#blocks.of(entry.directory, at);
    } catch (error) {
      throw inDirectory(error, name);
    }
  }

  #node(block: Block, number: number, dir: Node): Node {
    const { at, bytes } = block.entry(number);
    try {
      return new Node(unpackEntry(bytes, this.#trailer.archive), at, this.#dev, decodeName(nameOfEntry(bytes)));
    } catch (error) {
      throw inDirectory(error, dir.name);
    }
  }
}

function inDirectory(error: unknown, name: string): unknown {
  if (!(error instanceof FsError)) return error;
  return new FsError(error.code, { syscall: 'serializedLayer', path: `${name}: ${error.path ?? ''}`, cause: error });
}
