// A writer of tar archives for tests: any header, right or wrong.
import { encodeName, major, minor } from '@ovl/core';
import type { TreeSpec } from '@ovl/core/testing';
import { objectsIn } from './archive-support.js';

const BLOCK = 512;

export interface TarEntry {
  name: string | Uint8Array;
  type?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  /** Default: the data's length. */
  size?: number;
  mtime?: number;
  linkname?: string | Uint8Array;
  device?: number;
  data?: Uint8Array | string;
  /** Records of a pax header before it. */
  pax?: Record<string, string | Uint8Array>;
  /** The last word on the header's bytes, before its checksum. */
  edit?: (block: Uint8Array) => void;
}

const bytesOf = (value: string | Uint8Array): Uint8Array => (typeof value === 'string' ? encodeName(value) : value);

export function concat(...parts: (string | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts.map(bytesOf)));
}

const padded = (data: Uint8Array): Uint8Array => concat(data, new Uint8Array(-data.length & (BLOCK - 1)));
const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`;

export function sum(block: Uint8Array): void {
  block.set(encodeName(' '.repeat(8)), 148);
  block.set(
    encodeName(
      octal(
        block.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0),
        7,
      ),
    ),
    148,
  );
}

export function paxData(records: Record<string, string | Uint8Array>): Uint8Array {
  return concat(
    ...Object.entries(records).map(([key, value]) => {
      const body = concat(` ${key}=`, value, '\n');
      let length = body.length;
      while (String(length).length + body.length !== length) length = String(length).length + body.length;
      return concat(String(length), body);
    }),
  );
}

export function tarEntry(entry: TarEntry): Uint8Array {
  const { name, type = '0', mode = 0o644, uid = 0, gid = 0, mtime = 0, linkname = '', device = 0, pax, edit } = entry;
  const data = bytesOf(entry.data ?? '');
  const block = new Uint8Array(BLOCK);
  block.set(bytesOf(name).subarray(0, 100), 0);
  const fields = [octal(mode, 8), octal(uid, 8), octal(gid, 8), octal(entry.size ?? data.length, 12), octal(mtime, 12)];
  block.set(encodeName(fields.join('')), 100);
  block[156] = type.charCodeAt(0);
  block.set(bytesOf(linkname).subarray(0, 100), 157);
  block.set(encodeName('ustar\u000000'), 257);
  block.set(encodeName(octal(major(device), 8) + octal(minor(device), 8)), 329);
  edit?.(block);
  sum(block);
  const before = pax === undefined ? '' : tarEntry({ name: 'PaxHeaders/x', type: 'x', data: paxData(pax) });
  return concat(before, block, padded(data));
}

export function tarOf(...entries: (TarEntry | Uint8Array)[]): Uint8Array {
  const parts = entries.map((entry) => (entry instanceof Uint8Array ? entry : tarEntry(entry)));
  return concat(...parts, new Uint8Array(2 * BLOCK));
}

const TYPES = { file: '0', directory: '5', symlink: '2', fifo: '6', socket: '0', char: '3', block: '4' } as const;

/** A tree of the suites as an archive. */
export function tarOfTree(tree: TreeSpec): Uint8Array {
  const entries = [...objectsIn(tree)].map(({ path, spec, mode }): TarEntry => {
    const { uid = 0, gid = 0, mtime = 0, xattrs = {} } = spec;
    const pax = Object.fromEntries(Object.entries(xattrs).map(([key, value]) => [`SCHILY.xattr.${key}`, value]));
    const entry: TarEntry = { name: path, type: TYPES[spec.type], mode: mode & 0o7777, uid, gid, mtime };
    if (spec.type === 'file') entry.data = spec.content;
    if (spec.type === 'symlink') entry.linkname = spec.target;
    if ('rdev' in spec) entry.device = spec.rdev;
    return Object.keys(pax).length === 0 ? entry : { ...entry, pax };
  });
  return tarOf(...entries);
}
