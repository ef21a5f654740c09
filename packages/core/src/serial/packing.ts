/** Numbers and bytes as an index has them, written one after another and read back with every length checked. */
import { FsError } from '../errors.js';
import { decodeName } from '../names.js';

export class Packer {
  #bytes = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Non-negative; seven bits a byte, the lowest first. */
  number(value: number): void {
    const room = this.#room(8);
    let [rest, at] = [value, 0];
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) room[at++] = (rest % 0x80) | 0x80;
    room[at++] = rest;
    this.#length += at;
  }

  signed(value: number): void {
    this.number(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** Four bytes, so that they can be set later; returns where they stand. */
  word(value: number): number {
    const room = this.#room(4);
    new DataView(room.buffer, room.byteOffset).setUint32(0, value);
    this.#length += 4;
    return this.#length - 4;
  }

  /** Its length, then the bytes; returns where they stand. */
  bytes(value: Uint8Array): number {
    this.number(value.length);
    this.#room(value.length).set(value);
    this.#length += value.length;
    return this.#length - value.length;
  }

  /** What was written, of its own. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #room(length: number): Uint8Array {
    const end = this.#length + length;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    return this.#bytes.subarray(this.#length, end);
  }
}

/** Throws EIO for what does not fit. */
export class Unpacker {
  readonly #bytes: Uint8Array;
  at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, at = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.at = at;
    this.#end = end;
  }

  get left(): number {
    return this.#end - this.at;
  }

  number(): number {
    let [value, scale] = [0, 1];
    for (;;) {
      if (this.at >= this.#end || scale > 2 ** 49) throw damaged('a number has no end');
      const byte = this.#bytes[this.at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 0x80;
    }
    if (!Number.isSafeInteger(value)) throw damaged('a number is too large');
    return value;
  }

  signed(): number {
    const value = this.number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  word(): number {
    const at = this.#take(4);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at).getUint32(0);
  }

  /** A part of what is read, not a copy. */
  bytes(): Uint8Array {
    const length = this.number();
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  text(): string {
    return decodeName(this.bytes());
  }

  #take(length: number): number {
    if (length > this.left) throw damaged('something is longer than the whole');
    this.at += length;
    return this.at - length;
  }
}

export function damaged(what: string): FsError {
  return new FsError('EIO', { syscall: 'index', path: what });
}

/** Negative where `a` comes first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return (a[i] as number) - (b[i] as number);
  return a.length - b.length;
}
