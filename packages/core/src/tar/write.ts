/**
 * Headers of a tar archive, written: ustar where its fields suffice, and before it a pax header for what they cannot hold. The same
 * object gives the same bytes. Data follows, padded to whole blocks, and `TAR_END` ends the archive. Sources: POSIX pax(1);
 * "Storing Sparse Files" (1.0) in the manual of GNU tar; SCHILY keywords in star(5).
 */
import { isDirectory, isRegular, major, minor, S_IFBLK, S_IFCHR, S_IFMT, S_IFSOCK, type Time } from '../attributes.js';
import { FsError } from '../errors.js';
import { byteLength, encodeName, PATH_MAX } from '../names.js';
import { BLOCK } from './header.js';
import { encodeXattrName, META_MAX } from './pax.js';

/** An object of an archive. */
export interface TarObject {
  /** From the root, "a/b"; the root itself is "". */
  path: string;
  /** With its type. */
  mode: number;
  uid: number;
  gid: number;
  mtime: Time;
  atime: Time;
  ctime: Time;
  /** Devices. */
  rdev?: number;
  /** Symbolic links. */
  target?: string;
  /** Regular files: bytes. */
  size?: number;
  /** Where a regular file has data, in order and apart; what is between is a hole. Left out, it has no holes. */
  data?: readonly { at: number; length: number }[];
  xattrs?: ReadonlyMap<string, Uint8Array>;
  /** The path of an object that came before, and has this name too. Nothing else is written then. */
  linkOf?: string;
}

/** What stands after the last entry. */
export const TAR_END: Uint8Array = new Uint8Array(2 * BLOCK);

/** Bytes from the end of data of that length to the next block. */
export function padding(length: number): number {
  return (BLOCK - (length % BLOCK)) % BLOCK;
}

const ID_MAX = 0o7777777;
const SIZE_MAX = 0o77777777777;
const NAME_FIELD = 100;
const NOT_UTF8 = /[\udc80-\udcff]/u;

/**
 * The blocks that stand before an object's data, which is `stored` bytes long. Throws ENAMETOOLONG for a path, E2BIG for extended attributes
 * that no reader here would take.
 */
export function tarHeader(object: TarObject): { header: Uint8Array; stored: number } {
  const { path, mode, uid, gid, mtime, linkOf } = object;
  if (byteLength(path) >= PATH_MAX) throw new FsError('ENAMETOOLONG', { syscall: 'tar', path });
  const records: Uint8Array[] = [];
  const put = (key: string, value: string | Uint8Array): void => void records.push(paxRecord(key, value));
  const type = linkOf === undefined ? typeOf(mode) : '1';
  const name = path === '' ? './' : isDirectory(mode) ? `${path}/` : path;
  const link = linkOf ?? object.target ?? '';
  if (NOT_UTF8.test(name) || NOT_UTF8.test(link)) put('hdrcharset', 'BINARY');
  const map = linkOf === undefined ? sparseMap(object) : undefined;
  const stored = linkOf === undefined ? storedBytes(object) : 0;
  const size = stored + (map?.length ?? 0);
  if (map !== undefined) {
    put('GNU.sparse.major', '1');
    put('GNU.sparse.minor', '0');
    put('GNU.sparse.name', name);
    put('GNU.sparse.realsize', String(object.size));
  }
  const shown = map === undefined ? name : `./GNUSparseFile.0/${name.slice(name.lastIndexOf('/') + 1)}`;
  if (byteLength(shown) > NAME_FIELD) put('path', shown);
  if (byteLength(link) > NAME_FIELD) put('linkpath', link);
  if (size > SIZE_MAX) put('size', String(size));
  if (linkOf === undefined) {
    if (uid > ID_MAX) put('uid', String(uid));
    if (gid > ID_MAX) put('gid', String(gid));
    putTimes(object, put);
    if ((mode & S_IFMT) === S_IFSOCK) put('SCHILY.filetype', 'socket');
    for (const [key, value] of object.xattrs ?? []) put(`SCHILY.xattr.${encodeXattrName(key)}`, value);
  }
  const fields = {
    type,
    mode: mode & 0o7777,
    uid: uid > ID_MAX ? 0 : uid,
    gid: gid > ID_MAX ? 0 : gid,
    size: size > SIZE_MAX ? 0 : size,
    mtime: fitsField(mtime) ? mtime.sec : 0,
    rdev: object.rdev ?? 0,
  };
  const blocks = [ustar(shown, link, fields)];
  const length = records.reduce((sum, { length }) => sum + length, 0);
  if (length > META_MAX) throw new FsError('E2BIG', { syscall: 'tar', path });
  if (length > 0) {
    const pax = { type: 'x', mode: 0o644, uid: 0, gid: 0, size: length, mtime: 0, rdev: 0 };
    blocks.unshift(ustar('PaxHeaders/0', '', pax), ...records, new Uint8Array(padding(length)));
  }
  if (map !== undefined) blocks.push(map);
  return { header: concat(blocks), stored };
}

function typeOf(mode: number): string {
  switch ((mode & S_IFMT) >>> 12) {
    case 8:
      return '0';
    case 10:
      return '2';
    case 4:
      return '5';
    case S_IFCHR >>> 12:
      return '3';
    case S_IFBLK >>> 12:
      return '4';
    default:
      return '6'; // a socket is told apart by a record, and is a FIFO to who does not know that
  }
}

function storedBytes({ mode, size = 0, data }: TarObject): number {
  if (!isRegular(mode)) return 0;
  return data === undefined ? size : data.reduce((sum, { length }) => sum + length, 0);
}

/** Stands before the data of a file with holes. GNU tar takes the file's length from the last piece: it may be empty. */
function sparseMap({ mode, size = 0, data }: TarObject): Uint8Array | undefined {
  if (!isRegular(mode) || data === undefined || size === 0) return undefined;
  const [first] = data;
  if (data.length === 1 && first?.at === 0 && first.length === size) return undefined;
  const last = data.at(-1);
  const pieces = last !== undefined && last.at + last.length === size ? data : [...data, { at: size, length: 0 }];
  const text = encodeName([pieces.length, ...pieces.flatMap(({ at, length }) => [at, length]), ''].join('\n'));
  return concat([text, new Uint8Array(padding(text.length))]);
}

function putTimes({ mtime, atime, ctime }: TarObject, put: (key: string, value: string) => void): void {
  const same = (a: Time, b: Time): boolean => a.sec === b.sec && a.nsec === b.nsec;
  if (!fitsField(mtime)) put('mtime', paxSeconds(mtime));
  if (!same(atime, mtime)) put('atime', paxSeconds(atime));
  if (!same(ctime, mtime)) put('ctime', paxSeconds(ctime));
}

function fitsField({ sec, nsec }: Time): boolean {
  return nsec === 0 && sec >= 0 && sec <= SIZE_MAX;
}

function paxSeconds({ sec, nsec }: Time): string {
  const isNegative = sec < 0;
  const [whole, part] = isNegative && nsec > 0 ? [-sec - 1, 1_000_000_000 - nsec] : [Math.abs(sec), nsec];
  const fraction = part === 0 ? '' : `.${String(part).padStart(9, '0').replace(/0+$/, '')}`;
  return `${isNegative ? '-' : ''}${whole}${fraction}`;
}

/** Begins with its own length, in decimal. */
function paxRecord(key: string, value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === 'string' ? encodeName(value) : value;
  const start = encodeName(` ${key}=`);
  const rest = start.length + bytes.length + 1;
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length++;
  return concat([encodeName(String(length)), start, bytes, Uint8Array.of(0x0a)]);
}

interface Fields {
  type: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  rdev: number;
}

/** One block. Names that are too long for it stand in records; here they are cut. */
function ustar(name: string, link: string, { type, mode, uid, gid, size, mtime, rdev }: Fields): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const text = (at: number, value: string): void => block.set(encodeName(value), at);
  const octal = (at: number, length: number, value: number): void =>
    text(at, value.toString(8).padStart(length - 1, '0'));
  block.set(encodeName(name).subarray(0, NAME_FIELD), 0);
  octal(100, 8, mode);
  octal(108, 8, uid);
  octal(116, 8, gid);
  octal(124, 12, size);
  octal(136, 12, mtime);
  text(148, ' '.repeat(8));
  text(156, type);
  block.set(encodeName(link).subarray(0, NAME_FIELD), 157);
  text(257, 'ustar\u000000');
  octal(329, 8, major(rdev));
  octal(337, 8, minor(rdev));
  const sum = block.reduce((total, byte) => total + byte, 0);
  octal(148, 7, sum);
  block[154] = 0;
  return block;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
