// A writer of zip archives for tests: any record, right or wrong.
import { deflateRawSync } from 'node:zlib';
import { encodeName } from '@ovl/core';
import type { TreeSpec } from '@ovl/core/testing';
import { crc32 } from '../src/archive/crc32.js';
import { objectsIn } from './archive-support.js';

export interface ZipSpec {
  name: string | Uint8Array;
  data?: string | Uint8Array;
  method?: 'stored' | 'deflated';
  /** With type; host Unix. Undefined: a DOS writer. */
  mode?: number;
  mtime?: number;
  uid?: number;
  gid?: number;
  flags?: number;
  /** The last word on the central record. */
  edit?: (record: Uint8Array) => void;
  /** And on the local one. */
  editLocal?: (record: Uint8Array) => void;
  extra?: Uint8Array;
}

const bytesOf = (value: string | Uint8Array): Uint8Array => (typeof value === 'string' ? encodeName(value) : value);
const joined = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

/** Little-endian numbers: [size, value]. */
export function packed(...fields: [size: 1 | 2 | 4 | 8, value: number][]): Uint8Array {
  const out = Buffer.alloc(fields.reduce((sum, [size]) => sum + size, 0));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 8) out.writeBigUInt64LE(BigInt(value), at);
    else if (size === 4) out.writeInt32LE(value | 0, at);
    else if (size === 2) out.writeUInt16LE(value, at);
    else out.writeUInt8(value, at);
    at += size;
  }
  return Uint8Array.from(out);
}

export function zipOf(...specs: ZipSpec[]): Uint8Array {
  const local: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let offset = 0;
  for (const spec of specs) {
    const name = bytesOf(spec.name);
    const data = bytesOf(spec.data ?? '');
    const stored = spec.method === 'deflated' ? Uint8Array.from(deflateRawSync(data)) : data;
    const method = spec.method === 'deflated' ? 8 : 0;
    const extra = joined(
      spec.mtime === undefined ? new Uint8Array() : packed([2, 0x5455], [2, 5], [1, 1], [4, spec.mtime]),
      packed([2, 0x7875], [2, 11], [1, 1], [1, 4], [4, spec.uid ?? 0], [1, 4], [4, spec.gid ?? 0]),
      spec.extra ?? new Uint8Array(),
    );
    const common = packed(
      [2, 20],
      [2, spec.flags ?? 0],
      [2, method],
      [2, 0],
      [2, 33],
      [4, crc32(data)],
      [4, stored.length],
      [4, data.length],
      [2, name.length],
      [2, extra.length],
    );
    const header = joined(packed([4, 0x04034b50]), common, name, extra);
    spec.editLocal?.(header);
    const host = spec.mode === undefined ? 0 : 3;
    const attributes = packed([2, 0], [2, 0], [2, 0], [2, 0], [2, spec.mode ?? 0], [4, offset]);
    const record = joined(packed([4, 0x02014b50], [1, 30], [1, host]), common, attributes, name, extra);
    spec.edit?.(record);
    central.push(record);
    local.push(header, stored);
    offset += header.length + stored.length;
  }
  const directory = joined(...central);
  const end = packed(
    [4, 0x06054b50],
    [4, 0],
    [2, specs.length],
    [2, specs.length],
    [4, directory.length],
    [4, offset],
    [2, 0],
  );
  return joined(...local, directory, end);
}

/** A tree of the suites as an archive; every second file is deflated. */
export function zipOfTree(tree: TreeSpec): Uint8Array {
  let count = 0;
  return zipOf(
    ...[...objectsIn(tree)].map(({ path, spec, mode }): ZipSpec => {
      const { uid = 0, gid = 0, mtime = 0 } = spec;
      const data = spec.type === 'file' ? spec.content : spec.type === 'symlink' ? spec.target : '';
      const name = spec.type === 'directory' ? `${path}/` : path;
      return { name, data, mode, uid, gid, mtime, method: data !== '' && count++ % 2 === 1 ? 'deflated' : 'stored' };
    }),
  );
}
