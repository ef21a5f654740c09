/** Bytes as text and back, in the encodings that Node knows, without Buffer. `@ovl/node` puts Buffer's own in its place. */

interface Utf8 {
  TextEncoder?: new () => { encode(text: string): Uint8Array };
  TextDecoder?: new (label: string, options: { ignoreBOM: boolean }) => { decode(bytes: Uint8Array): string };
}

import { decodeName, encodeName } from '../names.js';

/** What bytes are to callers: how text becomes bytes and back. */
export interface Codec {
  isEncoding(name: string): boolean;
  encode(text: string, encoding: string): Uint8Array;
  decode(bytes: Uint8Array, encoding: string): string;
  /** New bytes, all zero, as callers are to get them. */
  allocate(length: number): Uint8Array;
  /** The same memory as callers are to get it. */
  wrap(bytes: Uint8Array): Uint8Array;
}

const { TextEncoder, TextDecoder } = globalThis as Utf8;

/** UTF-8 and Latin-1, which every JavaScript engine has the means for. */
export const plainCodec: Codec = {
  isEncoding: (name) => kindOf(name) !== undefined,
  encode(text, encoding) {
    if (kindOf(encoding) === 'latin1') return Uint8Array.from(text, (c) => c.charCodeAt(0));
    if (TextEncoder !== undefined) return new TextEncoder().encode(text);
    return encodeName(text.replaceAll(/\p{Surrogate}/gu, '\ufffd'));
  },
  decode(bytes, encoding) {
    if (kindOf(encoding) === 'latin1') return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
    if (TextDecoder !== undefined) return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
    return decodeName(bytes).replaceAll(/\p{Surrogate}/gu, '\ufffd');
  },
  allocate: (length) => new Uint8Array(length),
  wrap: (bytes) => bytes,
};

function kindOf(encoding: string): 'utf8' | 'latin1' | undefined {
  const name = encoding.toLowerCase();
  if (name === 'utf8' || name === 'utf-8') return 'utf8';
  return name === 'latin1' || name === 'binary' ? 'latin1' : undefined;
}
