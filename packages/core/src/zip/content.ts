/**
 * The data of a zip entry: stored bytes where they are, deflated ones inflated whole when they are first read. What is inflated
 * last is kept, up to a bound.
 */
import { inflateSync } from 'fflate';
import { type Content, extentContent } from '../archive/content.js';
import { type RandomAccess, readFully } from '../archive/source.js';
import { FsError } from '../errors.js';
import type { Operation } from '../run.js';
import { crc32 } from '../archive/crc32.js';
import type { ZipEntry } from './directory.js';

const LOCAL = 0x04034b50;
const LOCAL_SIZE = 30;
export const STORED = 0;
export const DEFLATED = 8;

/** Inflated files, the last used at the end. */
export class InflatedCache {
  readonly #files = new Map<ZipEntry, Uint8Array>();
  readonly #most: number;
  #bytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get(entry: ZipEntry): Uint8Array | undefined {
    const bytes = this.#files.get(entry);
    if (bytes !== undefined) {
      this.#files.delete(entry);
      this.#files.set(entry, bytes);
    }
    return bytes;
  }

  /** Keeps it as the last one, even if it is larger than all may be together. */
  set(entry: ZipEntry, bytes: Uint8Array): void {
    this.#bytes += bytes.length - (this.#files.get(entry)?.length ?? 0);
    this.#files.delete(entry);
    this.#files.set(entry, bytes);
    for (const [oldest, old] of this.#files) {
      if (this.#bytes <= this.#most || oldest === entry) break;
      this.#files.delete(oldest);
      this.#bytes -= old.length;
    }
  }
}

export interface ZipArchive {
  source: RandomAccess;
  cache: InflatedCache;
  /** Largest file that is inflated, in bytes. */
  inflateMax: number;
}

/** `limit`: where the next entry, or the directory, begins. */
export function zipContent(archive: ZipArchive, entry: ZipEntry, limit: number): Content {
  let stored: Content | undefined;
  let start: number | undefined;
  const fail = (code: 'EACCES' | 'EFBIG' | 'EIO' | 'EOPNOTSUPP', reason: string, cause?: unknown): never => {
    throw new FsError(code, { syscall: 'zip', path: `${entry.name} ${reason}`, cause });
  };
  const check = (bytes: Uint8Array): Uint8Array =>
    crc32(bytes) === entry.crc ? bytes : fail('EIO', 'has a wrong CRC');
  const prepare = function* (): Operation<number> {
    if (start !== undefined) return start;
    if (entry.isEncrypted) fail('EACCES', 'is encrypted');
    if (entry.method !== STORED && entry.method !== DEFLATED)
      fail('EOPNOTSUPP', `is compressed by method ${entry.method}`);
    if (entry.method === DEFLATED && entry.size > archive.inflateMax)
      fail('EFBIG', `has ${entry.size} bytes to inflate, more than ${archive.inflateMax}`);
    const header = new Uint8Array(LOCAL_SIZE);
    yield* readFully(archive.source, header, entry.offset);
    const data = new DataView(header.buffer);
    if (data.getUint32(0, true) !== LOCAL || data.getUint16(8, true) !== entry.method)
      fail('EIO', 'is not where it should be');
    const at = entry.offset + LOCAL_SIZE + data.getUint16(26, true) + data.getUint16(28, true);
    if (at + entry.packed > limit) fail('EIO', 'overlaps the next entry');
    stored = extentContent(archive.source, [{ at: 0, length: entry.packed, offset: at }], entry.packed);
    return (start = at);
  };
  const inflated = function* (): Operation<Uint8Array> {
    const known = archive.cache.get(entry);
    if (known !== undefined) return known;
    const packed = new Uint8Array(entry.packed);
    yield* readFully(archive.source, packed, yield* prepare());
    let bytes: Uint8Array;
    try {
      // Into a buffer of the size that was promised: more does not fit, whatever the data says.
      bytes = inflateSync(packed, { out: new Uint8Array(entry.size) });
    } catch (cause) {
      return fail('EIO', 'cannot be inflated', cause);
    }
    if (bytes.length !== entry.size) fail('EIO', 'is shorter than it says');
    archive.cache.set(entry, check(bytes));
    return bytes;
  };
  return {
    *prepare() {
      yield* prepare();
    },
    *read(buffer, position) {
      if (entry.method === DEFLATED) {
        buffer.set((yield* inflated()).subarray(position, position + buffer.length));
        return;
      }
      yield* prepare();
      yield* (stored as Content).read(buffer, position);
      // Parts cannot be checked without reading the rest.
      if (position === 0 && buffer.length === entry.size) check(buffer);
    },
    seek: (position, whence) => (whence === 'data' ? position : entry.size),
  };
}
