/**
 * One block of a tar archive: ustar's fields, and GNU's where they differ. Sources: POSIX pax(1), "ustar Interchange Format";
 * the manual of GNU tar, "Basic Tar Format".
 */
import { refuse } from '../archive/tree.js';
import { decodeName } from '../names.js';

export const BLOCK = 512;

export interface Header {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  type: string;
  linkname: string;
  major: number;
  minor: number;
}

/** Undefined for a block of zeros, which ends the archive. */
export function parseHeader(block: Uint8Array): Header | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  checkSum(block);
  const isUstar = text(block, 257, 8) === 'ustar' && block[263] === 0x30;
  const prefix = isUstar ? text(block, 345, 155) : '';
  const name = text(block, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    mode: numberAt(block, 100, 8, 'mode'),
    uid: numberAt(block, 108, 8, 'uid'),
    gid: numberAt(block, 116, 8, 'gid'),
    size: numberAt(block, 124, 12, 'size'),
    mtime: numberAt(block, 136, 12, 'mtime'),
    type: block[156] === 0 ? '0' : String.fromCharCode(block[156] as number),
    linkname: text(block, 157, 100),
    major: numberAt(block, 329, 8, 'devmajor'),
    minor: numberAt(block, 337, 8, 'devminor'),
  };
}

/** The sum of all bytes, with the sum itself as spaces; some old writers took bytes for signed. */
function checkSum(block: Uint8Array): void {
  let [unsigned, signed] = [8 * 0x20, 8 * 0x20];
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    const byte = block[i] as number;
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  const sum = numberAt(block, 148, 8, 'checksum');
  if (sum !== unsigned && sum !== signed) refuse('has a wrong checksum');
}

/** Up to the first zero. */
function text(block: Uint8Array, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return decodeName(block, start, end === -1 || end > start + length ? start + length : end);
}

/** Octal digits, or GNU's base-256: a two's complement whose first bit only marks it. */
export function numberAt(block: Uint8Array, start: number, length: number, field: string): number {
  const first = block[start] as number;
  if (first >= 0x80) {
    let value = first === 0xff ? -1 : first & 0x7f;
    for (let i = start + 1; i < start + length; i++) value = value * 256 + (block[i] as number);
    if (!Number.isSafeInteger(value)) refuse(`has a ${field} that is too large`);
    return value;
  }
  const digits = text(block, start, length).trim();
  if (!/^[0-7]*$/.test(digits)) refuse(`has a ${field} that is no number`);
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}
