/**
 * What stands behind the archive of a serialised layer, where programs that read tar do not look: a block for each directory, those
 * of what is in it before its own, then one for the root itself, then a trailer that says where that is. A block is a list of entries, each
 * whole: attributes, extended attributes, and where the data is or the directory's own block. Whoever refers to a block has its checksum;
 * data has one for every `CHUNK` bytes.
 */
import { type Attributes, isDirectory, isRegular, isSymlink, S_IFBLK, S_IFCHR, S_IFMT } from '../attributes.js';
import type { Extent } from '../archive/content.js';
import { crc32 } from '../archive/crc32.js';
import { decodeName, encodeName, SYMLINK_MAX } from '../names.js';
import { damaged, Packer, Unpacker } from './packing.js';

/** Bytes of data with one checksum: what a reader reads at least. */
export const CHUNK: number = 1 << 16;

/** Where a block is, from the beginning of the index, and the checksum of its bytes. */
export interface BlockRef {
  at: number;
  length: number;
  sum: number;
}

/** A file's data: where it stands, in order and apart, with a checksum for each chunk of each piece. */
export interface StoredData {
  extents: Extent[];
  sums: number[];
}

export interface IndexEntry {
  /** `dev`, `blocks` and `blksize` are the reader's own. */
  attributes: Omit<Attributes, 'dev' | 'blocks' | 'blksize'>;
  xattrs: ReadonlyMap<string, Uint8Array> | undefined;
  target: string;
  data: StoredData | undefined;
  directory: BlockRef | undefined;
}

/** Where numbers of an entry stand that are known later only: names of the object, and the sum of a directory's block. */
export interface LaterPlaces {
  nlink: number;
  sum: number;
}

const TIMES = ['atime', 'mtime', 'ctime'] as const;

/** Packs an entry; `places` are relative to the beginning of what is returned. */
export function packEntry(name: Uint8Array, entry: IndexEntry): { bytes: Uint8Array; places: LaterPlaces } {
  const out = new Packer();
  const { attributes, xattrs, data, directory } = entry;
  const { mode } = attributes;
  out.bytes(name);
  const places = { nlink: out.word(attributes.nlink), sum: 0 };
  for (const key of ['mode', 'ino', 'uid', 'gid'] as const) out.number(attributes[key]);
  for (const time of TIMES) {
    out.signed(attributes[`${time}Sec`]);
    out.number(attributes[`${time}Nsec`]);
  }
  if (directory !== undefined) {
    out.number(directory.at);
    out.number(directory.length);
    places.sum = out.word(directory.sum);
  } else if (isSymlink(mode)) out.bytes(encodeName(entry.target));
  else if (isDevice(mode)) out.number(attributes.rdev);
  else if (isRegular(mode)) {
    const { extents, sums } = data ?? { extents: [], sums: [] };
    out.number(attributes.size);
    out.number(extents.length);
    for (const { at, length, offset } of extents) {
      out.number(at);
      out.number(length);
      out.number(offset);
    }
    for (const sum of sums) out.word(sum);
  }
  for (const [key, value] of xattrs ?? []) {
    out.bytes(encodeName(key));
    out.bytes(value);
  }
  return { bytes: out.finish(), places };
}

/** What a listing tells of an entry: it stands first. */
export function peekEntry(bytes: Uint8Array): { name: string; mode: number; ino: number } {
  const input = new Unpacker(bytes);
  const name = input.text();
  input.word();
  return { name, mode: input.number(), ino: input.number() };
}

export function nameOfEntry(bytes: Uint8Array): Uint8Array {
  return new Unpacker(bytes).bytes();
}

/** `archive`: bytes of the archive, in which all data has to lie. Throws EIO for what is damaged. */
export function unpackEntry(bytes: Uint8Array, archive: number): IndexEntry {
  const input = new Unpacker(bytes);
  input.bytes();
  const nlink = input.word();
  const [mode, ino, uid, gid] = [input.number(), input.number(), input.number(), input.number()];
  const [atimeSec, atimeNsec] = [input.signed(), nanoseconds(input)];
  const [mtimeSec, mtimeNsec] = [input.signed(), nanoseconds(input)];
  const [ctimeSec, ctimeNsec] = [input.signed(), nanoseconds(input)];
  if (mode > 0o177777 || Math.max(uid, gid) >= 2 ** 32) throw damaged('a mode or owner is none');
  const times = { atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec };
  const attributes = { ino, mode, nlink, uid, gid, rdev: 0, size: 0, ...times };
  const entry: IndexEntry = { attributes, xattrs: undefined, target: '', data: undefined, directory: undefined };
  if (isDirectory(mode)) entry.directory = { at: input.number(), length: input.number(), sum: input.word() };
  else if (isSymlink(mode)) {
    const target = input.bytes();
    if (target.length === 0 || target.length > SYMLINK_MAX) throw damaged('a target is none');
    attributes.size = target.length;
    entry.target = decodeName(target);
  } else if (isDevice(mode)) attributes.rdev = input.number() >>> 0;
  else if (isRegular(mode)) {
    attributes.size = input.number();
    entry.data = unpackData(input, attributes.size, archive);
  }
  const xattrs = new Map<string, Uint8Array>();
  while (input.left > 0) xattrs.set(input.text(), input.bytes().slice());
  if (xattrs.size > 0) entry.xattrs = xattrs;
  return entry;
}

function nanoseconds(input: Unpacker): number {
  const value = input.number();
  if (value >= 1_000_000_000) throw damaged('a time is none');
  return value;
}

function unpackData(input: Unpacker, size: number, archive: number): StoredData {
  const extents: Extent[] = [];
  let [end, chunks] = [0, 0];
  for (let left = input.number(); left > 0; left--) {
    const [at, length, offset] = [input.number(), input.number(), input.number()];
    if (at < end || length === 0 || at + length > size || offset + length > archive)
      throw damaged('a piece of data lies outside');
    extents.push({ at, length, offset });
    end = at + length;
    chunks += Math.ceil(length / CHUNK);
  }
  if (chunks * 4 > input.left) throw damaged('checksums are missing');
  return { extents, sums: Array.from({ length: chunks }, () => input.word()) };
}

function isDevice(mode: number): boolean {
  return (mode & S_IFMT) === S_IFCHR || (mode & S_IFMT) === S_IFBLK;
}

const MAGIC = encodeName('ovl layer index\x01');
const SUMMED = MAGIC.length + 28;
export const TRAILER_SIZE: number = SUMMED + 4;

/** The end of a serialised layer. */
export interface Trailer {
  /** Bytes of the archive, after which the index begins. */
  archive: number;
  /** Objects. */
  count: number;
  /** The block that has one entry: the root itself. */
  root: BlockRef;
}

export function packTrailer({ archive, count, root }: Trailer): Uint8Array {
  const bytes = new Uint8Array(TRAILER_SIZE);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setFloat64(MAGIC.length, archive);
  view.setFloat64(MAGIC.length + 8, root.at);
  view.setUint32(MAGIC.length + 16, root.length);
  view.setUint32(MAGIC.length + 20, root.sum);
  view.setUint32(MAGIC.length + 24, count);
  view.setUint32(SUMMED, crc32(bytes.subarray(0, SUMMED)));
  return bytes;
}

/** Undefined where there is none, whole and right. */
export function unpackTrailer(bytes: Uint8Array): Trailer | undefined {
  if (!MAGIC.every((byte, i) => byte === bytes[i])) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (view.getUint32(SUMMED) !== crc32(bytes.subarray(0, SUMMED))) return undefined;
  const root = {
    at: view.getFloat64(MAGIC.length + 8),
    length: view.getUint32(MAGIC.length + 16),
    sum: view.getUint32(MAGIC.length + 20),
  };
  return { archive: view.getFloat64(MAGIC.length), count: view.getUint32(MAGIC.length + 24), root };
}
