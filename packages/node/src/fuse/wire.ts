/**
 * One request and its reply, in two buffers that live as long as the mount: decodes the arguments of the request in
 * `input`, builds the reply in `output`. 64-bit numbers are two words, low first; those that count (sizes, offsets,
 * node ids) stay below 2^53 and become numbers.
 */
import { type Attributes, type FileSystemStatistics, byteLength, decodeName, encodeName, isDirectory } from '@ovl/core';
import {
  ARGUMENT_BYTES,
  DIRENT_BYTES,
  ENTRY_BYTES,
  Header,
  MAX_DATA_BYTES,
  REPLY,
  REPLY_BYTES,
  STATFS_BYTES,
  ATTR_OUT_BYTES,
} from './protocol.js';

const TWO_TO_32 = 0x1_0000_0000;

// Node's own; the types leave it out. `toString('latin1', …)` first has to find out what 'latin1' means.
const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
};

/** How long the kernel may keep a name or attributes, in the two forms of the protocol. */
export interface Lifetime {
  secondsLow: number;
  secondsHigh: number;
  nanoseconds: number;
}

/** Without end if undefined: the layers change only through the mount. Zero means that nothing is kept. */
export function lifetime(seconds: number | undefined): Lifetime {
  if (seconds === undefined) return { secondsLow: 0xffffffff, secondsHigh: 0x3fffffff, nanoseconds: 0 };
  const whole = Math.floor(seconds);
  return {
    secondsLow: whole >>> 0,
    secondsHigh: Math.floor(whole / TWO_TO_32),
    nanoseconds: Math.floor((seconds - whole) * 1e9),
  };
}

/** Bytes of a name, counted without encoding it where it is ASCII. */
export function nameBytes(name: string): number {
  for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) >= 0x80) return byteLength(name);
  return name.length;
}

/** A directory entry takes this many bytes, without the attributes of READDIRPLUS. */
export function direntBytes(nameLength: number): number {
  return (DIRENT_BYTES + nameLength + 7) & ~7;
}

/** Behind the largest reply there is room for one that is made ready ahead: where, and how much. */
export const SPARE_AT: number = MAX_DATA_BYTES + 4096;
export const SPARE_BYTES: number = 32 * 1024;

export class Wire {
  /** A request of the largest size: header, arguments, data. */
  readonly input: Buffer = Buffer.from(new ArrayBuffer(MAX_DATA_BYTES + 4096));
  readonly output: Buffer = Buffer.from(new ArrayBuffer(SPARE_AT + SPARE_BYTES));
  /** The request and the reply as words. */
  readonly in: Uint32Array = new Uint32Array(this.input.buffer);
  readonly out: Uint32Array = new Uint32Array(this.output.buffer);
  readonly #lifetime: Lifetime;
  readonly #directoryLinks: 'own' | 'one';
  /** Views of the reply's data by length: READ asks for few different ones, and a view costs more than the lookup. */
  readonly #views = new Map<number, Uint8Array>();

  /** `directoryLinks`: whether directories show a link count of their own, or 1. */
  /** Tells this mount's nodes from those of the mounts before, in file handles. */
  readonly generation: number = 1 + Math.floor(Math.random() * 0xffff_fffe);

  constructor(kept: Lifetime, directoryLinks: 'own' | 'one' = 'own') {
    this.#lifetime = kept;
    this.#directoryLinks = directoryLinks;
  }

  /** Bytes of the request. */
  get length(): number {
    return this.in[Header.length] as number;
  }

  get nodeid(): number {
    return this.u64(Header.nodeid);
  }

  u32(word: number): number {
    return this.in[word] as number;
  }

  u64(word: number): number {
    return (this.in[word] as number) + (this.in[word + 1] as number) * TWO_TO_32;
  }

  i64(word: number): number {
    return (this.in[word] as number) + ((this.in[word + 1] as number) | 0) * TWO_TO_32;
  }

  /** The zero-terminated name that starts `after` bytes into the arguments; it ends at {@link nameEnd}. */
  name(after: number): string {
    const { input } = this;
    const start = ARGUMENT_BYTES + after;
    let end = start;
    let bits = 0;
    for (let byte = input[end] as number; byte !== 0; byte = input[++end] as number) bits |= byte;
    this.nameEnd = end + 1 - ARGUMENT_BYTES;
    return bits < 0x80 ? latin1Slice.call(input, start, end) : decodeName(input, start, end);
  }

  /** Where the argument after the name last read starts, in bytes into the arguments. */
  nameEnd = 0;

  /** A view of the reply's data, for READ to fill in place. */
  data(length: number): Uint8Array {
    let view = this.#views.get(length);
    if (view === undefined) {
      if (this.#views.size >= 1024) this.#views.clear();
      view = this.output.subarray(REPLY_BYTES, REPLY_BYTES + length);
      this.#views.set(length, view);
    }
    return view;
  }

  putU64(word: number, value: number): void {
    this.out[word] = value >>> 0;
    this.out[word + 1] = value < TWO_TO_32 && value >= 0 ? 0 : Math.floor(value / TWO_TO_32);
  }

  /** `struct fuse_attr`. */
  putAttr(word: number, attributes: Attributes): void {
    const { out } = this;
    this.putU64(word, attributes.ino);
    this.putU64(word + 2, attributes.size);
    this.putU64(word + 4, attributes.blocks);
    this.putU64(word + 6, attributes.atimeSec);
    this.putU64(word + 8, attributes.mtimeSec);
    this.putU64(word + 10, attributes.ctimeSec);
    out[word + 12] = attributes.atimeNsec;
    out[word + 13] = attributes.mtimeNsec;
    out[word + 14] = attributes.ctimeNsec;
    out[word + 15] = attributes.mode;
    out[word + 16] = this.#directoryLinks === 'one' && isDirectory(attributes.mode) ? 1 : attributes.nlink;
    out[word + 17] = attributes.uid;
    out[word + 18] = attributes.gid;
    out[word + 19] = attributes.rdev;
    out[word + 20] = attributes.blksize;
    out[word + 21] = 0;
  }

  /** `struct fuse_entry_out` at `word`; returns its size in bytes. */
  putEntry(word: number, nodeid: number, attributes: Attributes): number {
    const { out } = this;
    const kept = this.#lifetime;
    this.putU64(word, nodeid);
    out[word + 2] = this.generation; // node ids are never used again, but the next mount begins with the same ones
    out[word + 3] = 0;
    out[word + 4] = out[word + 6] = kept.secondsLow;
    out[word + 5] = out[word + 7] = kept.secondsHigh;
    out[word + 8] = out[word + 9] = kept.nanoseconds;
    this.putAttr(word + 10, attributes);
    return ENTRY_BYTES;
  }

  /** An entry that names nothing: as the reply to LOOKUP it lets the kernel remember the absence. */
  putNoEntry(word: number): number {
    const { out } = this;
    const kept = this.#lifetime;
    out.fill(0, word, word + ENTRY_BYTES / 4);
    out[word + 4] = kept.secondsLow;
    out[word + 5] = kept.secondsHigh;
    out[word + 8] = kept.nanoseconds;
    return ENTRY_BYTES;
  }

  /** `struct fuse_attr_out` as the whole reply. */
  putAttrOut(attributes: Attributes): number {
    const { out } = this;
    const kept = this.#lifetime;
    out[REPLY] = kept.secondsLow;
    out[REPLY + 1] = kept.secondsHigh;
    out[REPLY + 2] = kept.nanoseconds;
    out[REPLY + 3] = 0;
    this.putAttr(REPLY + 4, attributes);
    return ATTR_OUT_BYTES;
  }

  putStatfs(statistics: FileSystemStatistics): number {
    const { out } = this;
    this.putU64(REPLY, statistics.blocks);
    this.putU64(REPLY + 2, statistics.bfree);
    this.putU64(REPLY + 4, statistics.bavail);
    this.putU64(REPLY + 6, statistics.files);
    this.putU64(REPLY + 8, statistics.ffree);
    out[REPLY + 10] = statistics.bsize;
    out[REPLY + 11] = statistics.namelen;
    out[REPLY + 12] = statistics.bsize;
    out.fill(0, REPLY + 13, REPLY + STATFS_BYTES / 4);
    return STATFS_BYTES;
  }

  /** `struct fuse_dirent` with its name, padded, at byte `at` (a multiple of 8). */
  putDirent(at: number, name: string, length: number, ino: number, offset: number, type: number): void {
    const { out, output } = this;
    const word = at >>> 2;
    this.putU64(word, ino);
    this.putU64(word + 2, offset);
    out[word + 4] = length;
    out[word + 5] = type;
    let byte = at + DIRENT_BYTES;
    if (length === name.length) for (let i = 0; i < length; i++) output[byte++] = name.charCodeAt(i);
    else {
      output.set(encodeName(name), byte);
      byte += length;
    }
    while ((byte & 7) !== 0) output[byte++] = 0;
  }

  /** Bytes as the whole reply. */
  putBytes(bytes: Uint8Array): number {
    this.output.set(bytes, REPLY_BYTES);
    return bytes.length;
  }
}
