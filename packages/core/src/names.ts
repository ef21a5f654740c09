/**
 * File names are bytes on POSIX hosts and strings in JavaScript. The one encoding, decided here: UTF-8 where the bytes
 * are UTF-8, and U+DC80…U+DCFF for each byte that is not (Python's "surrogateescape"), so that every name survives a
 * round trip and ordinary names look ordinary. Symlink targets are encoded the same way.
 */
import { FsError } from './errors.js';

/** Longest name in bytes (`NAME_MAX`). */
export const NAME_MAX = 255;
/** Longest path in bytes, with its terminating zero. */
export const PATH_MAX = 4096;
/** Longest symlink target in bytes, without its terminating zero (`PATH_MAX` − 1). */
export const SYMLINK_MAX = 4095;

/** Bytes of a name. Throws EILSEQ for a lone surrogate that stands for no byte. */
export function encodeName(name: string): Uint8Array {
  const out = new Uint8Array(byteLength(name));
  let at = 0;
  for (let i = 0; i < name.length; i++) {
    let point = name.codePointAt(i) as number;
    const length = lengthOf(point);
    for (let k = length - 1; k > 0; k--, point >>= 6) out[at + k] = 0x80 | (point & 0x3f);
    out[at] = length === 1 ? point : (0xf00 >> length) | point; // an element keeps the low byte of what it is given
    at += length;
    if (length === 4) i++;
  }
  return out;
}

/** Length in bytes of {@link encodeName}'s result. */
export function byteLength(name: string): number {
  let bytes = 0;
  for (let i = 0; i < name.length; i++) {
    const length = lengthOf(name.codePointAt(i) as number);
    if (length === 0) throw new FsError('EILSEQ', { path: name });
    bytes += length;
    if (length === 4) i++; // a pair of units
  }
  return bytes;
}

/** Bytes that a code point takes: one for U+DC80…U+DCFF, none for other surrogates and past U+10FFFF. */
function lengthOf(point: number): number {
  if (point < 0x80) return 1;
  if (point < 0x800) return 2;
  if (point > 0xffff) return point > 0x10ffff ? 0 : 4;
  if (point < 0xd800 || point > 0xdfff) return 3;
  return point >= 0xdc80 && point <= 0xdcff ? 1 : 0;
}

/** The name that `bytes[start…end)` spell. Never fails: what is no UTF-8 becomes U+DC80…U+DCFF byte by byte. */
export function decodeName(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  let text = '';
  for (let i = start; i < end; ) {
    const first = bytes[i] as number;
    if (first < 0x80) {
      text += String.fromCharCode(first);
      i++;
      continue;
    }
    const length = Math.clz32(~(first << 24)); // as many bits as stand before the first zero
    let point = first & (0x7f >> length);
    let k = 1;
    for (; k < length && i + k < end && ((bytes[i + k] as number) & 0xc0) === 0x80; k++) {
      point = (point << 6) | ((bytes[i + k] as number) & 0x3f);
    }
    // Shortest forms only, which also leaves out what is no character.
    const isCharacter = k > 1 && k === length && lengthOf(point) === length;
    text += String.fromCodePoint(isCharacter ? point : 0xdc00 | first);
    i += isCharacter ? length : 1;
  }
  return text;
}

/** Throws unless `name` can name an entry: ENAMETOOLONG past 255 bytes, EINVAL for "", ".", "..", "/" and NUL. */
export function checkName(name: string): void {
  if (name.length > NAME_MAX || (name.length > NAME_MAX / 3 && byteLength(name) > NAME_MAX)) {
    throw new FsError('ENAMETOOLONG', { path: name });
  }
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
    throw new FsError('EINVAL', { path: name });
  }
}
