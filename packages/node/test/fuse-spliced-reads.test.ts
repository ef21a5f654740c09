// Replies whose data goes from a file to the device without passing through: what arrives there, or comes back instead.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { REPLY_BYTES } from '../src/fuse/protocol.js';
import { SplicedReads } from '../src/fuse/spliced-reads.js';

/** Whether this process may have no more files open. */
let isFull = false;
vi.mock('../src/syscalls.js', async (importOriginal) => {
  const calls = await importOriginal<typeof import('../src/syscalls.js')>();
  return {
    ...calls,
    pipe: () => {
      if (isFull) throw calls.errorOf(24 /* EMFILE */, 'pipe2');
      return calls.pipe();
    },
  };
});

const KIB = 1024;
const unique = [0x89abcdef, 0x01234567] as const;

let directory: string;
let device: number;
let file: number;
let reads: SplicedReads;
let lost: number[];
const content = Buffer.from(Uint8Array.from({ length: 300 * KIB + 77 }, (_, i) => (i * 31) ^ (i >> 8)));

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ovl-splice-'));
  writeFileSync(join(directory, 'file'), content);
  device = openSync(join(directory, 'device'), 'wx+');
  file = openSync(join(directory, 'file'), 'r');
  lost = [];
  reads = new SplicedReads(device, (errno) => lost.push(errno));
});

afterEach(() => {
  reads.close();
  closeSync(device);
  closeSync(file);
  rmSync(directory, { recursive: true });
});

function read(position: number, size: number, from = file) {
  const output = new Uint8Array(REPLY_BYTES + size);
  return { answer: reads.reply(from, position, size, unique, output), output: Buffer.from(output) };
}

const sent = (): Buffer => readFileSync(join(directory, 'device'));

describe('spliced reads', () => {
  it('send a header and the bytes at the position, one reply after another', () => {
    expect(read(5, 128 * KIB).answer).toBe('sent');
    expect(read(100 * KIB, 200 * KIB).answer).toBe('sent');
    const first = REPLY_BYTES + 128 * KIB;
    expect(sent().readUInt32LE(0)).toBe(first);
    expect(sent().readInt32LE(4)).toBe(0);
    expect(sent().readBigUInt64LE(8)).toBe(0x0123456789abcdefn);
    expect(
      sent()
        .subarray(REPLY_BYTES, first)
        .equals(content.subarray(5, 5 + 128 * KIB)),
    ).toBe(true);
    expect(sent().readUInt32LE(first)).toBe(REPLY_BYTES + 200 * KIB);
    expect(
      sent()
        .subarray(first + REPLY_BYTES)
        .equals(content.subarray(100 * KIB, 300 * KIB)),
    ).toBe(true);
  });

  it('are left to others as long as no more files may be open', () => {
    isFull = true;
    expect(read(0, 128 * KIB).answer).toBe('unable');
    isFull = false;
    expect(read(0, 128 * KIB).answer).toBe('sent');
  });

  it.each([
    { what: 'before its end', position: 200 * KIB, length: 100 * KIB + 77 },
    { what: 'at its end', position: 300 * KIB + 77, length: 0 },
    { what: 'beyond it', position: 900 * KIB, length: 0 },
  ])('send nothing when the file ends: $what', ({ position, length }) => {
    const { answer, output } = read(position, 128 * KIB);
    expect(answer).toBe(length);
    expect(output.subarray(REPLY_BYTES, REPLY_BYTES + length).equals(content.subarray(position))).toBe(true);
    expect(sent()).toHaveLength(0);
    // and nothing of it is left for the next
    expect(read(0, 32 * KIB).answer).toBe('sent');
    expect(
      sent()
        .subarray(REPLY_BYTES)
        .equals(content.subarray(0, 32 * KIB)),
    ).toBe(true);
  });

  it('send holes as zeros', () => {
    truncateSync(join(directory, 'file'), 1024 * KIB);
    expect(read(512 * KIB, 256 * KIB).answer).toBe('sent');
    expect(
      sent()
        .subarray(REPLY_BYTES)
        .equals(Buffer.alloc(256 * KIB)),
    ).toBe(true);
  });

  it('leave small reads to others, and those that no pipe holds', () => {
    expect(reads.takes(4 * KIB)).toBe(false);
    expect(reads.takes(128 * KIB)).toBe(true);
    expect(reads.takes(64 * 1024 * KIB)).toBe(false);
  });

  it('leave all to others once a file system has refused', () => {
    const directoryFd = openSync(directory, 'r');
    try {
      expect(read(0, 64 * KIB, directoryFd).answer).toBe('unable');
    } finally {
      closeSync(directoryFd);
    }
    expect(reads.takes(64 * KIB)).toBe(false);
    expect(sent()).toHaveLength(0);
  });

  it('throw what reading fails with, and work again', () => {
    expect(() => read(0, 64 * KIB, 999_999)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    expect(read(0, 64 * KIB).answer).toBe('sent');
    expect(sent()).toHaveLength(REPLY_BYTES + 64 * KIB);
  });

  it('tell of a device that does not take a reply', () => {
    const readOnly = openSync(join(directory, 'device'), 'r');
    const deaf = new SplicedReads(readOnly, (errno) => lost.push(errno));
    try {
      expect(deaf.reply(file, 0, 64 * KIB, unique, new Uint8Array(REPLY_BYTES + 64 * KIB))).toBe('sent');
    } finally {
      deaf.close();
      closeSync(readOnly);
    }
    expect(lost).toEqual([9]);
  });
});
