/**
 * What an inode is, as one value: everything but a directory's entries and a file's data. It is saved as a JSON array, which
 * is read back by any tool; a value that is none, or of another shape, is EIO.
 */
import { type Attributes, isDirectory, isSymlink } from '../attributes.js';
import { now } from '../clock.js';
import { FsError } from '../errors.js';
import type { NewObject } from '../layer.js';
import { byteLength, decodeName, encodeName } from '../names.js';
import { countChunks, type Runs } from './runs.js';

const NUMBERS = [
  'mode',
  'nlink',
  'uid',
  'gid',
  'rdev',
  'size',
  'atimeSec',
  'atimeNsec',
  'mtimeSec',
  'mtimeNsec',
  'ctimeSec',
  'ctimeNsec',
] as const;

export interface InodeRecord extends Pick<Attributes, (typeof NUMBERS)[number]> {
  /** A symbolic link's. */
  target: string;
  /** A file's chunks. */
  runs: Runs;
  xattrs: ReadonlyMap<string, Uint8Array>;
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();
const BLOCK = 512;

export function newRecord(object: NewObject): InodeRecord {
  const { mode, uid, gid, rdev = 0 } = object;
  const { sec, nsec } = now();
  const target = isSymlink(mode) ? (object.target ?? '') : '';
  return {
    mode,
    nlink: 0,
    uid,
    gid,
    rdev,
    size: byteLength(target),
    atimeSec: sec,
    atimeNsec: nsec,
    mtimeSec: sec,
    mtimeNsec: nsec,
    ctimeSec: sec,
    ctimeNsec: nsec,
    target,
    runs: [],
    xattrs: NO_XATTRS,
  };
}

export function encodeRecord(record: InodeRecord): Uint8Array {
  const xattrs = Array.from(record.xattrs, ([name, value]) => [name, toLatin1(value)]);
  return encodeJson([...NUMBERS.map((name) => record[name]), record.target, record.runs, xattrs]);
}

/** `key` is for the error. */
export function decodeRecord(value: Uint8Array, key: string): InodeRecord {
  const fields = decodeJson(value, key);
  const [target, runs, xattrs] = Array.isArray(fields) ? (fields.slice(NUMBERS.length) as unknown[]) : [];
  if (
    !Array.isArray(fields) ||
    !fields.slice(0, NUMBERS.length).every(Number.isSafeInteger) ||
    typeof target !== 'string' ||
    !Array.isArray(runs) ||
    !runs.every(Number.isSafeInteger) ||
    !Array.isArray(xattrs) ||
    !xattrs.every((pair) => Array.isArray(pair) && typeof pair[0] === 'string' && typeof pair[1] === 'string')
  ) {
    throw new FsError('EIO', { syscall: 'get', path: key });
  }
  const numbers = Object.fromEntries(NUMBERS.map((name, i) => [name, fields[i] as number]));
  return {
    ...(numbers as Record<(typeof NUMBERS)[number], number>),
    target,
    runs: runs as number[],
    xattrs: new Map((xattrs as [string, string][]).map(([name, text]) => [name, fromLatin1(text)])),
  };
}

export function encodeJson(value: unknown): Uint8Array {
  return encodeName(JSON.stringify(value));
}

export function decodeJson(value: Uint8Array, key: string): unknown {
  try {
    return JSON.parse(decodeName(value));
  } catch (cause) {
    throw new FsError('EIO', { syscall: 'get', path: key, cause });
  }
}

export function attributesOf(record: InodeRecord, dev: number, ino: number, chunkSize: number): Attributes {
  const { target: _target, runs, xattrs: _xattrs, ...numbers } = record;
  const stored = Math.min(countChunks(runs) * chunkSize, record.size);
  return { ...numbers, dev, ino, blocks: Math.ceil(stored / BLOCK), blksize: 4096 };
}

/** Moves the times that a change of attributes, or of content, moves. */
export function touch(record: InodeRecord, what: 'changed' | 'modified'): void {
  const { sec, nsec } = now();
  record.ctimeSec = sec;
  record.ctimeNsec = nsec;
  if (what === 'changed') return;
  record.mtimeSec = sec;
  record.mtimeNsec = nsec;
}

/** An object that gets a first name, or a further one. */
export function countLink(record: InodeRecord): void {
  record.nlink = isDirectory(record.mode) ? 2 : record.nlink + 1;
}

function toLatin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}

function fromLatin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
