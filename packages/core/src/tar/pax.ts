/** Records of a pax extended header: what they say of the entry that follows, or of all that follow. Source: POSIX pax(1). */
import type { Time } from '../attributes.js';
import { refuse } from '../archive/tree.js';
import { decodeName } from '../names.js';

export interface Pax {
  /** Decoded values by keyword. An empty one takes back what a global header said. */
  readonly values: ReadonlyMap<string, string>;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** GNU's sparse map of version 0.0: its keywords come again and again. */
  readonly sparse: readonly number[];
}

export const NO_PAX: Pax = { values: new Map(), xattrs: new Map(), sparse: [] };

const XATTR = 'SCHILY.xattr.';
const SPARSE_OFFSET = 'GNU.sparse.offset';
const SPARSE_LENGTH = 'GNU.sparse.numbytes';

/** What `bytes` say, on top of what holds already. */
export function parsePax(bytes: Uint8Array, before: Pax): Pax {
  const values = new Map(before.values);
  const xattrs = new Map(before.xattrs);
  const sparse: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(space === -1 ? Number.NaN : decodeName(bytes, at, Math.min(space, at + 20)));
    const end = at + length;
    const equals = bytes.indexOf(0x3d, space);
    if (
      !Number.isSafeInteger(length) ||
      end > bytes.length ||
      end <= space ||
      bytes[end - 1] !== 0x0a ||
      equals < 0 ||
      equals >= end
    )
      refuse('has a pax record that is none');
    const key = decodeName(bytes, space + 1, equals);
    if (key.startsWith(XATTR)) xattrs.set(decodeXattrName(key.slice(XATTR.length)), bytes.slice(equals + 1, end - 1));
    else {
      const value = decodeName(bytes, equals + 1, end - 1);
      if (key === SPARSE_OFFSET || key === SPARSE_LENGTH) sparse.push(wholeNumber(value, key));
      else if (value === '') values.delete(key);
      else values.set(key, value);
    }
    at = end;
  }
  return { values, xattrs, sparse };
}

/** A keyword ends at the first "=", so GNU tar spells that one otherwise in names of attributes. */
export function encodeXattrName(name: string): string {
  return name.replaceAll('%', '%25').replaceAll('=', '%3D');
}

function decodeXattrName(name: string): string {
  return name.replaceAll('%3D', '=').replaceAll('%25', '%');
}

/** Most bytes of a pax header or a long name: they are the only part of an archive that is kept in memory. */
export const META_MAX: number = 1 << 20;

export function wholeNumber(text: string, key: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) refuse(`has a ${key} that is no number`);
  return value;
}

/** Seconds, with a fraction of any length; what is finer than a nanosecond is cut off. */
export function paxTime(text: string, key: string): Time {
  const match = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text);
  const [sign, digits, fraction = ''] = match?.slice(1) ?? [];
  const whole = Number(digits);
  if (match === null || !Number.isSafeInteger(whole)) refuse(`has a ${key} that is no time`);
  const nsec = Number(fraction.slice(0, 9).padEnd(9, '0'));
  if (sign !== '-') return { sec: whole, nsec };
  return nsec === 0 ? { sec: 0 - whole, nsec } : { sec: -whole - 1, nsec: 1_000_000_000 - nsec };
}
