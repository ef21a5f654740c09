/**
 * A zip archive as a layer: its central directory is read once, stored files are read in place. Unix modes, owners and symbolic
 * links are what Info-ZIP's extensions say. zip has no hard links and no extended attributes.
 */
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../attributes.js';
import { ArchiveLayer } from '../archive/layer.js';
import { arraySource, type RandomAccess, WindowReader } from '../archive/source.js';
import { ArchiveTree, type EntryAttributes, entryError, refuse } from '../archive/tree.js';
import { newDev } from '../clock.js';
import { decodeName, SYMLINK_MAX } from '../names.js';
import { type Answer, type Mode, type Operation, runEither } from '../run.js';
import { DEFLATED, InflatedCache, STORED, type ZipArchive, zipContent } from './content.js';
import { type Directory, findDirectory, readEntry, type ZipEntry } from './directory.js';

/** What a zip archive is opened with. */
export interface ZipLayerOptions {
  /** Device number, unique among the layers of one overlay. Default: a new one. */
  dev?: number;
  /** Largest file, in bytes, that is inflated; opening a larger one is EFBIG. Default 268435456. */
  inflateMax?: number;
  /** Bytes of inflated files that are kept in memory, the last one in any case. Default 33554432. */
  cacheMax?: number;
}

/** What deflate makes of one byte at most, and a little for the beginning. */
const RATIO_MAX = 1032;
/** The shortest local header. */
const LOCAL_MIN = 30;

/**
 * A layer over the bytes of an archive, which are not copied; synchronous if the source is. Throws EINVAL, ENAMETOOLONG or EIO,
 * naming the entry and where it stands, for an archive that is damaged, overlaps itself or reaches out of its tree. A file that is
 * encrypted (EACCES), or compressed other than by deflate (EOPNOTSUPP), is listed and cannot be opened. The CRC is checked
 * where a file is inflated or read in one piece.
 */
export function zipLayer(archive: Uint8Array | RandomAccess<'sync'>, options?: ZipLayerOptions): ArchiveLayer<'sync'>;
export function zipLayer<M extends Mode>(
  archive: RandomAccess<M>,
  options?: ZipLayerOptions,
): Answer<M, ArchiveLayer<M>>;
export function zipLayer(
  archive: Uint8Array | RandomAccess,
  options: ZipLayerOptions = {},
): Answer<Mode, ArchiveLayer<Mode>> {
  const { dev = newDev(), inflateMax = 1 << 28, cacheMax = 1 << 25 } = options;
  const source = archive instanceof Uint8Array ? arraySource(archive) : archive;
  const opened: ZipArchive = { source, cache: new InflatedCache(cacheMax), inflateMax };
  return runEither<Mode, ArchiveLayer<Mode>>(open(opened, new ArchiveTree(dev)));
}

function* open(archive: ZipArchive, tree: ArchiveTree): Operation<ArchiveLayer> {
  const { source } = archive;
  const reader = new WindowReader(source);
  let directory: Directory;
  try {
    directory = yield* findDirectory(source, reader);
  } catch (error) {
    throw entryError(error, 'zip', '', Math.max(0, source.size - LOCAL_MIN));
  }
  const entries: { entry: ZipEntry; position: number }[] = [];
  let position = directory.start;
  for (let i = 0; i < directory.count; i++) {
    try {
      const [entry, next] = yield* readEntry(reader, position, directory);
      entries.push({ entry, position });
      position = next;
    } catch (error) {
      throw entryError(error, 'zip', `entry ${i + 1} of ${directory.count}`, position);
    }
  }
  const limits = limitsOf(entries, directory);
  for (const { entry, position: at } of entries) {
    try {
      yield* add(archive, tree, entry, limits.get(entry) as number);
    } catch (error) {
      throw entryError(error, 'zip', entry.name, at);
    }
  }
  return new ArchiveLayer(tree, source);
}

/** Where each entry's data has to end. Entries that share bytes are how small archives become endless ones. */
function limitsOf(
  entries: readonly { entry: ZipEntry; position: number }[],
  directory: Directory,
): Map<ZipEntry, number> {
  const limits = new Map<ZipEntry, number>();
  let limit = directory.start;
  for (const { entry, position } of entries.toSorted((a, b) => b.entry.offset - a.entry.offset)) {
    try {
      if (entry.offset < 0 || entry.offset + LOCAL_MIN + entry.packed > limit) refuse('overlaps another entry');
      if (entry.method === STORED && entry.packed !== entry.size && !entry.isEncrypted) refuse('has two sizes');
      if (entry.method === DEFLATED && entry.size > (entry.packed + 1) * RATIO_MAX)
        refuse(`has ${entry.size} bytes, more than ${entry.packed} can inflate to`);
    } catch (error) {
      throw entryError(error, 'zip', entry.name, position);
    }
    limits.set(entry, limit);
    limit = entry.offset;
  }
  return limits;
}

function* add(archive: ZipArchive, tree: ArchiveTree, entry: ZipEntry, limit: number): Operation<void> {
  const { name } = entry;
  if (name === '' || name.includes('\0')) refuse('has no name that a file could have');
  const attributes = attributesOf(entry);
  const type = attributes.mode & S_IFMT;
  if (type === S_IFCHR || type === S_IFBLK) refuse('is a device, and zip does not say which');
  const content = zipContent(archive, entry, limit);
  let target = '';
  if (type === S_IFLNK) {
    if (entry.size === 0 || entry.size > SYMLINK_MAX) refuse('has a target that no symbolic link can have');
    const bytes = new Uint8Array(entry.size);
    yield* (content.prepare as () => Operation<void>)();
    yield* content.read(bytes, 0);
    target = decodeName(bytes);
    if (target.includes('\0')) refuse('has a target that no symbolic link can have');
  }
  const node = tree.add(name, attributes);
  node.target = target;
  if (type === S_IFREG) node.content = content;
}

function attributesOf({ name, mode, isDosDirectory, uid, gid, size, packed, mtime }: ZipEntry): EntryAttributes {
  const saysDirectory = name.endsWith('/') || (mode === 0 && isDosDirectory);
  const type = mode & S_IFMT || (saysDirectory ? S_IFDIR : S_IFREG);
  if (saysDirectory && type !== S_IFDIR) refuse('ends in a slash, and is no directory');
  const isData = type === S_IFREG || type === S_IFLNK;
  const time = { sec: mtime, nsec: 0 };
  const permissions = mode === 0 ? (type === S_IFDIR ? 0o755 : 0o644) : mode & 0o7777;
  return {
    mode: type | permissions,
    uid,
    gid,
    rdev: 0,
    size: isData ? size : 0,
    stored: isData ? packed : 0,
    mtime: time,
    atime: time,
    ctime: time,
  };
}
