/**
 * Where things stand in a store:
 *
 *   format            version, chunk size, UUID
 *   lock              who may write
 *   next              the first inode number that was never given out
 *   i/INO             an inode, see `record.ts`
 *   e/DIR/INO.T.NAME  an entry of directory DIR, without a value; T is its type (`d_type`)
 *   c/INO/N           the N-th chunk of a file, which may be shorter than a chunk: zeros are missing
 *   s/INO             an object without a name; if nobody uses it any more, it is swept at the next opening
 *
 * An entry is all in its key, so that a directory is listed in one step and a change of names rewrites nothing else.
 */
import type { EntryType } from '../attributes.js';
import { FsError } from '../errors.js';
import { decodeName, encodeName } from '../names.js';

export const FORMAT_KEY = 'format';
export const LOCK_KEY = 'lock';
export const NEXT_KEY = 'next';
export const NAMELESS_PREFIX = 's/';
export const ROOT_INO = 1;
/** The directory that is kept beside the tree, for the index. */
export const INDEX_INO = 2;
export const FIRST_FREE_INO = 3;

export interface EntryKey {
  name: string;
  type: EntryType;
  ino: number;
}

export function inodeKey(ino: number): string {
  return `i/${ino}`;
}

export function isInodeKey(key: string): boolean {
  return key.startsWith('i/');
}

export function namelessKey(ino: number): string {
  return NAMELESS_PREFIX + ino;
}

export function chunkKey(ino: number, index: number): string {
  return `c/${ino}/${index}`;
}

export function chunkPrefix(ino: number): string {
  return `c/${ino}/`;
}

export function entryPrefix(dir: number): string {
  return `e/${dir}/`;
}

export function entryKey(dir: number, { ino, type, name }: EntryKey): string {
  return `${entryPrefix(dir)}${ino}.${type}.${escape(name)}`;
}

/** Throws EIO for a key that is none. */
export function parseEntryKey(dir: number, key: string): EntryKey {
  const match = /^(\d+)\.(\d+)\.(.+)$/.exec(key.slice(entryPrefix(dir).length));
  if (match === null) throw new FsError('EIO', { syscall: 'readdir', path: key });
  const [, ino, type, name] = match as unknown as [string, string, string, string];
  return { ino: Number(ino), type: Number(type), name: unescape(name) };
}

/** Bytes that a key may not hold become `%xx`. */
function escape(name: string): string {
  if (/^[\w.-]+$/.test(name)) return name;
  let text = '';
  for (const byte of encodeName(name)) {
    const character = String.fromCharCode(byte);
    text += /[\w.-]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

function unescape(text: string): string {
  if (!text.includes('%')) return text;
  const bytes: number[] = [];
  for (const [piece, hex] of text.matchAll(/%([0-9a-f]{2})|[^]/g))
    bytes.push(hex === undefined ? piece.charCodeAt(0) : Number.parseInt(hex, 16));
  return decodeName(Uint8Array.from(bytes));
}
