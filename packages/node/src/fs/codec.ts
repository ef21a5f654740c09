/** Bytes as Node's programs have them: Buffers, in every encoding that Buffer knows. */
import type { Codec } from '@ovl/core/fs';

export const bufferCodec: Codec = {
  isEncoding: (name) => Buffer.isEncoding(name),
  encode: (text, encoding) => Buffer.from(text, encoding as BufferEncoding),
  decode: (bytes, encoding) => asBuffer(bytes).toString(encoding as BufferEncoding),
  allocate: (length) => Buffer.alloc(length),
  wrap: asBuffer,
};

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
