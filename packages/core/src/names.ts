/**
 * File names are bytes on POSIX hosts and strings in JavaScript. The one encoding, decided here: UTF-8 where the bytes
 * are UTF-8, and U+DC80…U+DCFF for each byte that is not (Python's "surrogateescape"), so that every name survives a
 * round trip and ordinary names look ordinary. Symlink targets are encoded the same way.
 */
import { FsError } from './errors.js';

/** Longest name in bytes (`NAME_MAX`). */
export const NAME_MAX = 255;
/** Longest symlink target in bytes, without its terminating zero (`PATH_MAX` − 1). */
export const SYMLINK_MAX = 4095;

/** Bytes of a name. Throws EILSEQ for a lone surrogate that stands for no byte. */
export function encodeName(name: string): Uint8Array {
  const out = new Uint8Array(byteLength(name));
  let at = 0;
  for (let i = 0; i < name.length; i++) {
    let unit = name.charCodeAt(i);
    if (unit < 0x80) {
      out[at++] = unit;
    } else if (unit < 0x800) {
      out[at++] = 0xc0 | (unit >> 6);
      out[at++] = 0x80 | (unit & 0x3f);
    } else if (unit < 0xd800 || unit > 0xdfff) {
      out[at++] = 0xe0 | (unit >> 12);
      out[at++] = 0x80 | ((unit >> 6) & 0x3f);
      out[at++] = 0x80 | (unit & 0x3f);
    } else if (isPair(name, i)) {
      unit = name.codePointAt(i++) as number;
      out[at++] = 0xf0 | (unit >> 18);
      out[at++] = 0x80 | ((unit >> 12) & 0x3f);
      out[at++] = 0x80 | ((unit >> 6) & 0x3f);
      out[at++] = 0x80 | (unit & 0x3f);
    } else {
      out[at++] = unit & 0xff;
    }
  }
  return out;
}

/** Length in bytes of {@link encodeName}'s result. */
export function byteLength(name: string): number {
  let length = 0;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit < 0x80) length += 1;
    else if (unit < 0x800) length += 2;
    else if (unit < 0xd800 || unit > 0xdfff) length += 3;
    else if (isPair(name, i)) {
      length += 4;
      i++;
    } else if (unit >= 0xdc80 && unit <= 0xdcff) length += 1;
    else throw new FsError('EILSEQ', { path: name });
  }
  return length;
}

function isPair(name: string, i: number): boolean {
  if (name.charCodeAt(i) >= 0xdc00 || i + 1 >= name.length) return false;
  const next = name.charCodeAt(i + 1);
  return next >= 0xdc00 && next <= 0xdfff;
}

/** The name that `bytes[start…end)` spell. Never fails: what is no UTF-8 becomes U+DC80…U+DCFF byte by byte. */
export function decodeName(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  let text = '';
  for (let i = start; i < end; ) {
    const length = sequenceLength(bytes, i, end);
    if (length === 1) text += String.fromCharCode(bytes[i] as number);
    else if (length === 0) text += String.fromCharCode(0xdc00 | (bytes[i] as number));
    else {
      let point = (bytes[i] as number) & (0x7f >> length);
      for (let k = 1; k < length; k++) point = (point << 6) | ((bytes[i + k] as number) & 0x3f);
      text += String.fromCodePoint(point);
    }
    i += length || 1;
  }
  return text;
}

/** Bytes of the well-formed UTF-8 sequence at `i`, or 0: shortest forms only, no surrogates, nothing past U+10FFFF. */
function sequenceLength(bytes: Uint8Array, i: number, end: number): number {
  const first = bytes[i] as number;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (i + length > end) return 0;
  for (let k = 1; k < length; k++) if (((bytes[i + k] as number) & 0xc0) !== 0x80) return 0;
  const second = bytes[i + 1] as number;
  if (first === 0xe0 && second < 0xa0) return 0;
  if (first === 0xed && second > 0x9f) return 0;
  if (first === 0xf0 && second < 0x90) return 0;
  if (first === 0xf4 && second > 0x8f) return 0;
  return length;
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
