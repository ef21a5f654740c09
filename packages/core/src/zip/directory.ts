/**
 * The central directory of a zip archive: where it is, and what it says of each entry. Source: PKWARE's APPNOTE.TXT 6.3.10; for
 * the extra fields of Unix, Info-ZIP's proginfo/extrafld.txt.
 */
import { WindowReader, type RandomAccess } from '../archive/source.js';
import { refuse } from '../archive/tree.js';
import { decodeName } from '../names.js';
import type { Operation } from '../run.js';
import { crc32 } from '../archive/crc32.js';

const END = 0x06054b50;
const END_SIZE = 22;
const COMMENT_MAX = 0xffff;
const END64_LOCATOR = 0x07064b50;
const END64_LOCATOR_SIZE = 20;
const END64 = 0x06064b50;
const END64_SIZE = 56;
const ENTRY = 0x02014b50;
const ENTRY_SIZE = 46;
const UNIX_HOSTS = new Set([3, 19]);

export interface ZipEntry {
  name: string;
  isEncrypted: boolean;
  method: number;
  crc: number;
  /** Bytes in the archive, and of the file. */
  packed: number;
  size: number;
  /** Of the local header. */
  offset: number;
  /** Mode with type, or 0 where the writer's system had none. */
  mode: number;
  isDosDirectory: boolean;
  uid: number;
  gid: number;
  /** Seconds; DOS times, which say no zone, are taken for UTC. */
  mtime: number;
}

export interface Directory {
  start: number;
  end: number;
  count: number;
  /** Bytes before the archive proper, as in programs that unpack themselves. */
  base: number;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function number64(data: DataView, at: number): number {
  const value = Number(data.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) refuse('has a number that is too large');
  return value;
}

export function* findDirectory(source: RandomAccess, reader: WindowReader): Operation<Directory> {
  const length = Math.min(source.size, END_SIZE + COMMENT_MAX);
  const from = source.size - length;
  const tail = yield* reader.read(from, length);
  const data = view(tail);
  let at = length - END_SIZE;
  // A comment may hold anything, but the record that counts ends with the archive.
  while (at >= 0 && !(data.getUint32(at, true) === END && at + END_SIZE + data.getUint16(at + 20, true) === length))
    at--;
  if (at < 0) refuse('is no zip archive: it has no end record');
  const disks = data.getUint16(at + 4, true) + data.getUint16(at + 6, true);
  let [count, size, start, end] = [
    data.getUint16(at + 10, true),
    data.getUint32(at + 12, true),
    data.getUint32(at + 16, true),
    from + at,
  ];
  const is64 = count === 0xffff || size === 0xffffffff || start === 0xffffffff;
  if (disks !== 0 && !(is64 && disks >= 0xffff)) refuse('has several parts');
  if (is64 && end >= END64_LOCATOR_SIZE) {
    const locator = view(yield* reader.read(end - END64_LOCATOR_SIZE, END64_LOCATOR_SIZE));
    if (locator.getUint32(0, true) === END64_LOCATOR) {
      end = number64(locator, 8);
      const record = view(yield* reader.read(end, END64_SIZE));
      if (record.getUint32(0, true) !== END64) refuse('has a zip64 end record that is none');
      [count, size, start] = [number64(record, 32), number64(record, 40), number64(record, 48)];
    }
  }
  const base = end - size - start;
  if (base < 0) refuse('has a directory that does not fit');
  return { start: start + base, end, count, base };
}

/** The entry whose record is at `position`, and where the next one is. */
export function* readEntry(
  reader: WindowReader,
  position: number,
  directory: Directory,
): Operation<[ZipEntry, number]> {
  if (position + ENTRY_SIZE > directory.end) refuse('is cut off');
  const fixed = view((yield* reader.read(position, ENTRY_SIZE)).slice());
  if (fixed.getUint32(0, true) !== ENTRY) refuse('is no directory record');
  const lengths = [fixed.getUint16(28, true), fixed.getUint16(30, true), fixed.getUint16(32, true)] as const;
  const next = position + ENTRY_SIZE + lengths[0] + lengths[1] + lengths[2];
  if (next > directory.end) refuse('is cut off');
  const rest = (yield* reader.read(position + ENTRY_SIZE, lengths[0] + lengths[1])).slice();
  const [rawName, extra] = [rest.subarray(0, lengths[0]), rest.subarray(lengths[0])];
  const flags = fixed.getUint16(8, true);
  const isUnix = UNIX_HOSTS.has(fixed.getUint8(5));
  const external = fixed.getUint32(38, true);
  const entry: ZipEntry = {
    name: (flags & 0x800) !== 0 || isUnix ? decodeName(rawName) : decodeCp437(rawName),
    isEncrypted: (flags & 1) !== 0,
    method: fixed.getUint16(10, true),
    crc: fixed.getUint32(16, true),
    packed: fixed.getUint32(20, true),
    size: fixed.getUint32(24, true),
    offset: fixed.getUint32(42, true),
    mode: isUnix ? external >>> 16 : 0,
    isDosDirectory: (external & 0x10) !== 0,
    uid: 0,
    gid: 0,
    mtime: dosTime(fixed.getUint16(14, true), fixed.getUint16(12, true)),
  };
  readExtra(entry, extra, rawName);
  entry.offset += directory.base;
  return [entry, next];
}

function readExtra(entry: ZipEntry, extra: Uint8Array, rawName: Uint8Array): void {
  const data = view(extra);
  for (let at = 0; at + 4 <= extra.length; ) {
    const [id, length] = [data.getUint16(at, true), data.getUint16(at + 2, true)];
    const field = extra.subarray(at + 4, at + 4 + length);
    if (field.length < length) refuse('has an extra field that is cut off');
    at += 4 + length;
    if (id === 0x0001) readSizes(entry, view(field));
    else if (id === 0x5455 && length >= 5 && (field[0] as number) & 1) entry.mtime = view(field).getInt32(1, true);
    else if (id === 0x7875 && field[0] === 1) readOwner(entry, field);
    else if (id === 0x7075 && length > 5 && field[0] === 1 && view(field).getUint32(1, true) === crc32(rawName))
      entry.name = decodeName(field, 5);
  }
}

/** zip64: those of the three that had no room, in this order. */
function readSizes(entry: ZipEntry, data: DataView): void {
  let at = 0;
  for (const key of ['size', 'packed', 'offset'] as const) {
    if (entry[key] !== 0xffffffff) continue;
    if (at + 8 > data.byteLength) refuse('has a zip64 field that is cut off');
    entry[key] = number64(data, at);
    at += 8;
  }
}

function readOwner(entry: ZipEntry, field: Uint8Array): void {
  let at = 1;
  for (const key of ['uid', 'gid'] as const) {
    const length = field[at] ?? 0;
    const bytes = field.subarray(at + 1, at + 1 + length);
    at += 1 + length;
    if (length === 4 && bytes.length === 4) entry[key] = view(bytes).getUint32(0, true);
  }
}

function dosTime(date: number, time: number): number {
  const [year, month, day] = [1980 + (date >>> 9), (date >>> 5) & 15, date & 31];
  const ms = Date.UTC(year, month - 1, day, time >>> 11, (time >>> 5) & 63, (time & 31) * 2);
  return Math.floor(ms / 1000);
}

const CP437 =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0';

/** Names of systems that say no encoding are in that of the first PCs. */
function decodeCp437(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => (byte < 0x80 ? String.fromCharCode(byte) : CP437[byte - 0x80])).join('');
}
