// The protocol's structures, byte by byte, against offsets taken from include/uapi/linux/fuse.h.
import { type Attributes, decodeName, S_IFREG } from '@ovl/core';
import { expect, test } from 'vitest';
import { REPLY, REPLY_BYTES } from '../src/fuse/protocol.js';
import { direntBytes, lifetime, nameBytes, Wire } from '../src/fuse/wire.js';

const attributes: Attributes = {
  dev: 1,
  ino: 2 ** 44 + 7,
  mode: S_IFREG | 0o644,
  nlink: 3,
  uid: 0xffff_fffe,
  gid: 5,
  rdev: 0x103,
  size: 2 ** 33 + 1,
  blocks: 9,
  blksize: 4096,
  atimeSec: -5,
  atimeNsec: 1,
  mtimeSec: 2 ** 32 + 2,
  mtimeNsec: 2,
  ctimeSec: 3,
  ctimeNsec: 999_999_999,
};

test('attributes: 64-bit numbers, times before 1970, large ids', () => {
  const wire = new Wire(lifetime(undefined));
  expect(wire.putAttrOut(attributes)).toBe(104);
  const reply = wire.output.subarray(REPLY_BYTES);
  const attr = reply.subarray(16);
  expect(reply.readBigUInt64LE(0)).toBe(0x3fffffffffffffffn); // attr_valid: without end
  expect(reply.readUInt32LE(8)).toBe(0);
  expect(attr.readBigUInt64LE(0)).toBe(2n ** 44n + 7n);
  expect(attr.readBigUInt64LE(8)).toBe(2n ** 33n + 1n);
  expect(attr.readBigUInt64LE(16)).toBe(9n);
  expect(attr.readBigInt64LE(24)).toBe(-5n);
  expect(attr.readBigInt64LE(32)).toBe(2n ** 32n + 2n);
  expect(attr.readBigInt64LE(40)).toBe(3n);
  const rest = Array.from({ length: 10 }, (_, i) => attr.readUInt32LE(48 + 4 * i));
  expect(rest).toEqual([1, 2, 999_999_999, S_IFREG | 0o644, 3, 0xffff_fffe, 5, 0x103, 4096, 0]);
});

test('an entry carries its timeouts in seconds and nanoseconds', () => {
  const wire = new Wire(lifetime(1.5));
  expect(wire.putEntry(REPLY, 2 ** 32 + 9, attributes)).toBe(128);
  const entry = wire.output.subarray(REPLY_BYTES);
  expect(entry.readBigUInt64LE(0)).toBe(2n ** 32n + 9n);
  expect(entry.readBigUInt64LE(8)).toBe(BigInt(wire.generation));
  expect([entry.readBigUInt64LE(16), entry.readBigUInt64LE(24)]).toEqual([1n, 1n]);
  expect([entry.readUInt32LE(32), entry.readUInt32LE(36)]).toEqual([500_000_000, 500_000_000]);
  expect(entry.readBigUInt64LE(40)).toBe(2n ** 44n + 7n);
});

test('an absent entry is kept as long, and names no node', () => {
  const wire = new Wire(lifetime(3));
  wire.output.fill(0xee);
  wire.putNoEntry(REPLY);
  const entry = wire.output.subarray(REPLY_BYTES, REPLY_BYTES + 128);
  expect(entry.readBigUInt64LE(0)).toBe(0n);
  expect(entry.readBigUInt64LE(16)).toBe(3n);
  expect(entry.subarray(40).every((byte) => byte === 0)).toBe(true);
});

const names: [name: string, bytes: number[]][] = [
  ['a', [0x61]],
  ['12345678', [0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38]],
  ['é', [0xc3, 0xa9]],
  ['😀', [0xf0, 0x9f, 0x98, 0x80]],
  [decodeName(Uint8Array.of(0xff)), [0xff]],
  [decodeName(Uint8Array.of(0x61, 0xfe, 0xc3, 0xa9)), [0x61, 0xfe, 0xc3, 0xa9]],
];

test.each(names)('a directory entry named %j', (name, bytes) => {
  const wire = new Wire(lifetime(undefined));
  wire.output.fill(0xee);
  expect(nameBytes(name)).toBe(bytes.length);
  wire.putDirent(REPLY_BYTES, name, bytes.length, 2 ** 40, 7, 8);
  const dirent = wire.output.subarray(REPLY_BYTES, REPLY_BYTES + direntBytes(bytes.length));
  expect(dirent.length % 8).toBe(0);
  expect(dirent.readBigUInt64LE(0)).toBe(2n ** 40n);
  expect(dirent.readBigUInt64LE(8)).toBe(7n);
  expect([dirent.readUInt32LE(16), dirent.readUInt32LE(20)]).toEqual([bytes.length, 8]);
  expect([...dirent.subarray(24, 24 + bytes.length)]).toEqual(bytes);
  expect(dirent.subarray(24 + bytes.length).every((byte) => byte === 0)).toBe(true);
});

test.each(names)('a request with the name %j, twice', (name, bytes) => {
  const wire = new Wire(lifetime(undefined));
  wire.input.set([...bytes, 0, ...bytes, 0], 40 + 8);
  expect(wire.name(8)).toBe(name);
  expect(wire.name(wire.nameEnd)).toBe(name);
});
