/** Reads a directory with `getdents64` into one large buffer for life and takes the names out of it. */
import { type LayerEntry, decodeName } from '@ovl/core';
import { fixedBuffer } from './libc.js';
import { getdents64 } from './syscalls.js';

const buffer = fixedBuffer(256 * 1024);
// Node's own; the types leave it out. `toString('latin1', …)` first has to find out what 'latin1' means.
const { latin1Slice } = buffer as unknown as { latin1Slice(this: Uint8Array, start: number, end: number): string };
const words = new Uint32Array(buffer.buffer);

/** All entries but "." and ".." of a directory open for reading. */
export function readEntries(fd: number): LayerEntry[] {
  const entries: LayerEntry[] = [];
  for (;;) {
    const length = getdents64(fd, buffer);
    if (length === 0) return entries;
    // struct linux_dirent64 { u64 ino; s64 off; u16 reclen; u8 type; char name[] }, each a multiple of 8 bytes long
    for (let at = 0; at < length; at += (buffer[at + 16] as number) | ((buffer[at + 17] as number) << 8)) {
      const start = at + 19;
      let end = start;
      let bits = 0;
      for (let byte = buffer[end] as number; byte !== 0; byte = buffer[++end] as number) bits |= byte;
      if (buffer[start] === 0x2e && (end === start + 1 || (end === start + 2 && buffer[start + 1] === 0x2e))) continue;
      entries.push({
        name: bits < 0x80 ? latin1Slice.call(buffer, start, end) : decodeName(buffer, start, end),
        type: buffer[at + 18] as number,
        ino: (words[(at >> 2) + 1] as number) * 0x1_0000_0000 + (words[at >> 2] as number),
      });
    }
  }
}
