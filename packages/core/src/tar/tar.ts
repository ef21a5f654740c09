/**
 * A tar archive as a layer: read through once, header by header, and then in place. ustar, pax and GNU. Names such as `.wh.x` are
 * what they are elsewhere: entries, whose meaning the overlay knows. What is compressed has to be inflated before.
 */
import { makedev, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK, type Time } from '../attributes.js';
import { type Extent, extentContent } from '../archive/content.js';
import { ArchiveLayer } from '../archive/layer.js';
import { arraySource, type RandomAccess, WindowReader } from '../archive/source.js';
import { ArchiveTree, type EntryAttributes, entryError, refuse } from '../archive/tree.js';
import { newDev } from '../clock.js';
import { byteLength, decodeName, SYMLINK_MAX } from '../names.js';
import { type Answer, type Mode, type Operation, runEither } from '../run.js';
import { BLOCK, type Header, parseHeader } from './header.js';
import { META_MAX, NO_PAX, parsePax, type Pax, paxTime, wholeNumber } from './pax.js';
import { oldSparse, paxSparse, type SparseFile, sparseExtents } from './sparse.js';

/** What a tar archive is opened with. */
export interface TarLayerOptions {
  /** Device number, unique among the layers of one overlay. Default: a new one. */
  dev?: number;
}

const ID_MAX = 2 ** 32 - 1;
/** Types that have no data, whatever their size says. */
const WITHOUT_DATA = new Set(['1', '2', '3', '4', '5', '6']);
const TYPES: Readonly<Record<string, number>> = {
  '0': S_IFREG,
  '7': S_IFREG,
  S: S_IFREG,
  '2': S_IFLNK,
  '3': S_IFCHR,
  '4': S_IFBLK,
  '5': S_IFDIR,
  D: S_IFDIR,
  '6': S_IFIFO,
};

/**
 * A layer over the bytes of an archive, which are not copied; synchronous if the source is. Throws EINVAL, ENAMETOOLONG or EIO,
 * naming the entry and where it stands, for an archive that is damaged, cut short, or reaches out of its tree.
 */
export function tarLayer(archive: Uint8Array | RandomAccess<'sync'>, options?: TarLayerOptions): ArchiveLayer<'sync'>;
export function tarLayer<M extends Mode>(
  archive: RandomAccess<M>,
  options?: TarLayerOptions,
): Answer<M, ArchiveLayer<M>>;
export function tarLayer(
  archive: Uint8Array | RandomAccess,
  options: TarLayerOptions = {},
): Answer<Mode, ArchiveLayer<Mode>> {
  const source = archive instanceof Uint8Array ? arraySource(archive) : archive;
  return runEither<Mode, ArchiveLayer<Mode>>(open(source, new ArchiveTree(options.dev ?? newDev())));
}

/** What came before an entry and belongs to it. */
interface Before {
  global: Pax;
  pax: Pax | undefined;
  longName: string | undefined;
  longLink: string | undefined;
}

function* open(source: RandomAccess, tree: ArchiveTree): Operation<ArchiveLayer> {
  const reader = new WindowReader(source);
  const before: Before = { global: NO_PAX, pax: undefined, longName: undefined, longLink: undefined };
  for (let position = 0; position < source.size; ) {
    const seen = { name: '' };
    try {
      position = (yield* readEntry(source, reader, tree, before, position, seen)) ?? source.size;
    } catch (error) {
      throw entryError(error, 'tar', seen.name, position);
    }
  }
  return new ArchiveLayer(tree, source);
}

/** Returns where the next entry begins, undefined after the last one. */
function* readEntry(
  source: RandomAccess,
  reader: WindowReader,
  tree: ArchiveTree,
  before: Before,
  position: number,
  seen: { name: string },
): Operation<number | undefined> {
  const block = (yield* reader.read(position, BLOCK)).slice();
  const header = parseHeader(block);
  if (header === undefined) return undefined;
  const pax = before.pax ?? before.global;
  seen.name = pax.values.get('GNU.sparse.name') ?? pax.values.get('path') ?? before.longName ?? header.name;
  const size = WITHOUT_DATA.has(header.type) ? 0 : sizeOf(header, pax);
  const start = position + BLOCK;
  if (start + size > source.size) refuse(`has ${size} bytes, more than the archive`);
  const next = start + Math.ceil(size / BLOCK) * BLOCK;
  switch (header.type) {
    case 'x':
    case 'X':
      before.pax = parsePax(yield* meta(reader, start, size), before.global);
      return next;
    case 'g':
      before.global = parsePax(yield* meta(reader, start, size), before.global);
      return next;
    case 'L':
      before.longName = untilZero(yield* meta(reader, start, size));
      return next;
    case 'K':
      before.longLink = untilZero(yield* meta(reader, start, size));
      return next;
    case 'V': // a volume's label
      return next;
  }
  const linkname = pax.values.get('linkpath') ?? before.longLink ?? header.linkname;
  if (seen.name === '' || seen.name.includes('\0')) refuse('has no name that a file could have');
  const sparse =
    header.type === 'S' ? yield* oldSparse(reader, block, position) : yield* paxSparse(reader, pax, start, size);
  if (header.type === '1') tree.link(seen.name, linkname);
  else add(source, tree, { header, pax, name: seen.name, linkname, sparse, start, size });
  before.pax = before.longName = before.longLink = undefined;
  if (header.type !== 'S') return next;
  // The blocks of an old sparse map are not counted in its size.
  const end = next + (sparse as SparseFile).skip;
  if (start + (sparse as SparseFile).skip + size > source.size) refuse(`has ${size} bytes, more than the archive`);
  return end;
}

interface Entry {
  header: Header;
  pax: Pax;
  name: string;
  linkname: string;
  sparse: SparseFile | undefined;
  /** Where its data begins, and how long that is. */
  start: number;
  size: number;
}

function add(source: RandomAccess, tree: ArchiveTree, entry: Entry): void {
  const { header, pax, name, linkname, sparse, start, size } = entry;
  // Before there was a type for directories, a slash at the end made one.
  const isDirectory = header.type === '0' && name.endsWith('/');
  const isSocket = header.type === '6' && pax.values.get('SCHILY.filetype') === 'socket';
  const type = isDirectory ? S_IFDIR : isSocket ? S_IFSOCK : TYPES[header.type];
  if (type === undefined) refuse(`is of an unknown type ('${header.type}')`);
  const attributes = attributesOf(header, pax, type);
  let extents: Extent[] = [];
  if (type === S_IFREG) {
    const stored = header.type === 'S' ? size : size - (sparse?.skip ?? 0);
    if (sparse !== undefined) extents = sparseExtents(sparse, start + sparse.skip, stored);
    else if (size > 0) extents = [{ at: 0, length: size, offset: start }];
    attributes.size = sparse?.size ?? size;
    attributes.stored = extents.reduce((sum, { length }) => sum + length, 0);
    if (attributes.size < 0) refuse('has a negative size');
  } else if (type === S_IFLNK) {
    attributes.size = byteLength(linkname);
    if (linkname === '' || linkname.includes('\0') || attributes.size > SYMLINK_MAX)
      refuse('has a target that no symbolic link can have');
  } else if (type === S_IFCHR || type === S_IFBLK) {
    if (header.major < 0 || header.major > 0xfff || header.minor < 0 || header.minor > 0xfffff)
      refuse('has a device number that is too large');
    attributes.rdev = makedev(header.major, header.minor);
  }
  const node = tree.add(name, attributes);
  if (type === S_IFREG) node.content = extentContent(source, extents, attributes.size);
  if (type === S_IFLNK) node.target = linkname;
  if (pax.xattrs.size > 0) node.xattrs = pax.xattrs;
}

function attributesOf(header: Header, { values }: Pax, type: number): EntryAttributes {
  const id = (key: 'uid' | 'gid'): number => {
    const text = values.get(key);
    const number = text === undefined ? header[key] : wholeNumber(text, key);
    if (number < 0 || number > ID_MAX) refuse(`has a ${key} that is none`);
    return number;
  };
  const time = (key: string, otherwise: Time): Time => {
    const text = values.get(key);
    return text === undefined ? otherwise : paxTime(text, key);
  };
  const mtime = time('mtime', { sec: header.mtime, nsec: 0 });
  return {
    mode: type | (header.mode & 0o7777),
    uid: id('uid'),
    gid: id('gid'),
    rdev: 0,
    size: 0,
    stored: 0,
    mtime,
    atime: time('atime', mtime),
    ctime: time('ctime', mtime),
  };
}

function sizeOf(header: Header, { values }: Pax): number {
  const text = 'xXgLK'.includes(header.type) ? undefined : values.get('size');
  const size = text === undefined ? header.size : wholeNumber(text, 'size');
  if (size < 0) refuse('has a negative size');
  return size;
}

function* meta(reader: WindowReader, start: number, size: number): Operation<Uint8Array> {
  if (size > META_MAX) refuse(`has ${size} bytes of header, more than ${META_MAX}`);
  return (yield* reader.read(start, size)).slice();
}

function untilZero(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decodeName(bytes, 0, end === -1 ? bytes.length : end);
}
