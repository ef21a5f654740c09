/** A read-only layer over the tree of an archive. Names and attributes are in memory; data is read where it stands. */
import { type Attributes, type FileSystemStatistics, isRegular, isSymlink, S_IFMT } from '../attributes.js';
import { FsError } from '../errors.js';
import type { Found, Layer, LayerEntry, LayerFile, LayerNode } from '../layer.js';
import { type Answer, type Mode, type Operation, runEither } from '../run.js';
import { type Content, openContent } from './content.js';
import type { RandomAccess } from './source.js';
import type { ArchiveNode, ArchiveTree } from './tree.js';

/**
 * A read-only layer over an archive: what {@link tarLayer} and `zipLayer` answer with. Data is read where it stands.
 */
export class ArchiveLayer<M extends Mode = Mode> implements Layer<M> {
  readonly root: LayerNode;
  readonly #source: RandomAccess<M>;
  readonly #count: number;

  constructor(tree: ArchiveTree, source: RandomAccess<M>) {
    this.root = tree.root;
    this.#count = tree.count;
    this.#source = source;
  }

  lookup(dir: LayerNode, name: string): Answer<M, Found | undefined> {
    const node = entriesOf(dir).get(name);
    return (node && { node, attributes: { ...node.attributes } }) as Answer<M, Found | undefined>;
  }

  getattr(node: LayerNode): Answer<M, Attributes> {
    return { ...(node as ArchiveNode).attributes } as Answer<M, Attributes>;
  }

  readdir(dir: LayerNode): Answer<M, LayerEntry[]> {
    const entries = Array.from(entriesOf(dir), ([name, { attributes }]) => ({
      name,
      type: (attributes.mode & S_IFMT) >>> 12,
      ino: attributes.ino,
    }));
    return entries as unknown as Answer<M, LayerEntry[]>;
  }

  readlink(node: LayerNode): Answer<M, string> {
    const { attributes, target } = node as ArchiveNode;
    if (!isSymlink(attributes.mode)) throw new FsError('EINVAL', { syscall: 'readlink' });
    return target as Answer<M, string>;
  }

  open(node: LayerNode): Answer<M, LayerFile<M>> {
    const { attributes, content } = node as ArchiveNode;
    if (!isRegular(attributes.mode) || content === undefined) throw new FsError('EINVAL', { syscall: 'open' });
    return runEither<M, LayerFile<M>>(this.#open(content, attributes.size));
  }

  *#open(content: Content, size: number): Operation<LayerFile<M>> {
    if (content.prepare !== undefined) yield* content.prepare();
    return openContent(content, size);
  }

  getxattr(node: LayerNode, name: string): Answer<M, Uint8Array | undefined> {
    return (node as ArchiveNode).xattrs?.get(name)?.slice() as Answer<M, Uint8Array | undefined>;
  }

  listxattr(node: LayerNode): Answer<M, string[]> {
    return [...((node as ArchiveNode).xattrs?.keys() ?? [])] as unknown as Answer<M, string[]>;
  }

  statfs(): Answer<M, FileSystemStatistics> {
    return statisticsOf(this.#source, this.#count) as Answer<M, FileSystemStatistics>;
  }

  close(): Answer<M, void> {
    return this.#source.close?.() as Answer<M, void>;
  }
}

function entriesOf(dir: LayerNode): Map<string, ArchiveNode> {
  const { entries } = dir as ArchiveNode;
  if (entries === undefined) throw new FsError('ENOTDIR');
  return entries;
}

/** Of an archive with so many objects: full, and as large as it is. */
export function statisticsOf({ size }: RandomAccess, files: number): FileSystemStatistics {
  return { bsize: 4096, blocks: Math.ceil(size / 4096), bfree: 0, bavail: 0, files, ffree: 0, namelen: 255 };
}
