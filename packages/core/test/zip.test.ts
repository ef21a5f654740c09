// zip archives as layers: the layer suite; what zip programs write; archives that are damaged or mean harm.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeName, type Found, FsError, S_IFBLK, S_IFDIR, S_IFLNK, S_IFREG } from '@ovl/core';
import { ALL_CAPABILITIES, type LayerCapabilities, layerSuite } from '@ovl/core/testing';
import { zipLayer } from '@ovl/core/zip';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { crc32 } from '../src/archive/crc32.js';
import { lateSource, readAll } from './archive-support.js';
import { parameters, TIMEOUT } from './worlds.js';
import { packed, zipOf, zipOfTree, type ZipSpec } from './zip-writer.js';
import { runner } from '../../../test/support/suite-runner.js';

const capabilities: LayerCapabilities = {
  ...ALL_CAPABILITIES,
  fileHandles: 'an archive has no identity of its own',
  userXattrs: 'zip has no extended attributes',
  devices: 'zip does not say which device',
};

layerSuite({ name: 'zip', runner, capabilities, layer: (tree) => zipLayer(zipOfTree(tree)) });
layerSuite({
  name: 'zip, read later',
  runner,
  capabilities,
  layer: async (tree) => await zipLayer(lateSource(zipOfTree(tree))),
});

const UNIX = { mode: S_IFREG | 0o644 };
const text = 'hello '.repeat(500);
const set =
  (at: number, ...bytes: number[]) =>
  (record: Uint8Array): void =>
    record.set(bytes, at);

function content(archive: Uint8Array, name: string, options?: Parameters<typeof zipLayer>[1]): string {
  const layer = zipLayer(archive, options);
  const { node, attributes } = layer.lookup(layer.root, name) as Found;
  const buffer = new Uint8Array(attributes.size);
  layer.open(node).read(buffer, 0);
  return new TextDecoder().decode(buffer);
}

describe('zip', () => {
  it('reads stored files in place, and inflates each once', () => {
    const archive = zipOf(
      { ...UNIX, name: 'stored', data: text },
      { ...UNIX, name: 'small', data: text, method: 'deflated' },
      { ...UNIX, name: 'large', data: text.repeat(20), method: 'deflated' },
    );
    let reads = 0;
    const layer = zipLayer(
      {
        size: archive.length,
        read(buffer, position) {
          reads++;
          const part = archive.subarray(position, position + buffer.length);
          buffer.set(part);
          return part.length;
        },
      },
      { cacheMax: 10_000 },
    );
    const buffer = new Uint8Array(10);
    const read = (name: string): number => {
      const before = reads;
      layer.open((layer.lookup(layer.root, name) as Found).node).read(buffer, 600);
      expect(new TextDecoder().decode(buffer)).toBe('hello hell');
      return reads - before;
    };
    expect([read('stored'), read('stored')]).toEqual([2, 1]);
    expect([read('small'), read('small')]).toEqual([2, 0]);
    // The last one stays, whatever its size; then the small one has gone.
    expect([read('large'), read('large'), read('small'), read('large')]).toEqual([2, 0, 1, 1]);
  });

  it('takes names as they are written: UTF-8 by flag or system, Unicode path fields, code page 437', () => {
    const unicode = (raw: string, name: string): Uint8Array => {
      const bytes = encodeName(name);
      const field = Buffer.concat([packed([1, 1], [4, crc32(encodeName(raw))]), bytes]);
      return Uint8Array.from(Buffer.concat([packed([2, 0x7075], [2, field.length]), field]));
    };
    const archive = zipOf(
      { name: 'ä', flags: 0x800 },
      { ...UNIX, name: 'ö' },
      { name: Uint8Array.of(0x81, 0x2e, 0xe1) },
      { name: 'plain', extra: unicode('plain', '日本') },
      { name: 'stale', extra: unicode('other', 'wrong') },
    );
    const layer = zipLayer(archive);
    expect(layer.readdir(layer.root).map(({ name }) => name)).toEqual(['ä', 'ö', 'ü.ß', '日本', 'stale']);
  });

  it('without a Unix system there are usual modes, directories by attribute, and DOS times', () => {
    const archive = zipOf({ name: 'f' }, { name: 'd/' }, { name: 'e', edit: set(38, 0x10) });
    const layer = zipLayer(archive);
    const modes = ['f', 'd', 'e'].map((name) => layer.lookup(layer.root, name)?.attributes.mode);
    expect(modes).toEqual([S_IFREG | 0o644, S_IFDIR | 0o755, S_IFDIR | 0o755]);
    expect(layer.lookup(layer.root, 'f')?.attributes.mtimeSec).toBe(Date.UTC(1980, 0, 1) / 1000);
  });

  it('zip64: sizes and counts that have no room; bytes before the archive; a comment', () => {
    const big = zipOf({
      ...UNIX,
      name: 'f',
      data: 'four',
      extra: packed([2, 1], [2, 16], [8, 4], [8, 4]),
      edit: set(20, 255, 255, 255, 255, 255, 255, 255, 255),
    });
    expect(content(big, 'f')).toBe('four');
    const plain = zipOf({ ...UNIX, name: 'f', data: 'four' });
    const size = plain.length - 22;
    const start = Buffer.from(plain).readUInt32LE(size + 16);
    const record = packed(
      [4, 0x06064b50],
      [8, 44],
      [2, 45],
      [2, 45],
      [4, 0],
      [4, 0],
      [8, 1],
      [8, 1],
      [8, size - start],
      [8, start],
    );
    const locator = packed([4, 0x07064b50], [4, 0], [8, size], [4, 1]);
    const end = packed([4, 0x06054b50], [4, 0], [2, 0xffff], [2, 0xffff], [4, -1], [4, -1], [2, 0]);
    const zip64 = Buffer.concat([plain.subarray(0, size), record, locator, end]);
    expect(content(Uint8Array.from(zip64), 'f')).toBe('four');
    const before = Buffer.concat([Buffer.from('#!/bin/sh\n'), plain]);
    expect(content(Uint8Array.from(before), 'f')).toBe('four');
    const comment = Buffer.concat([plain, Buffer.from('PK\x05\x06 comment')]);
    comment.writeUInt16LE(12, plain.length - 2);
    expect(content(Uint8Array.from(comment), 'f')).toBe('four');
  });

  const harmful: [what: string, specs: ZipSpec[], message: RegExp][] = [
    [
      '..',
      [{ name: 'a/../../etc/passwd' }],
      /^EINVAL: .*'a\/..\/..\/etc\/passwd \(entry at byte \d+\) has '..' in it'/,
    ],
    ['an absolute name', [{ name: '/etc/passwd' }], /is absolute/],
    ['a NUL', [{ name: 'a\0b' }], /no name that a file/],
    ['no name', [{ name: '' }], /no name that a file/],
    ['a name of 256 bytes', [{ name: 'n'.repeat(256) }], /^ENAMETOOLONG/],
    [
      'a way through a symbolic link',
      [{ name: 'l', data: '/etc', mode: S_IFLNK | 0o777 }, { name: 'l/passwd' }],
      /goes through 'l'/,
    ],
    ['a symbolic link to nothing', [{ name: 'l', mode: S_IFLNK | 0o777 }], /target that no symbolic link/],
    [
      'a symbolic link of 5000 bytes',
      [{ name: 'l', data: 'x'.repeat(5000), mode: S_IFLNK | 0o777 }],
      /target that no symbolic link/,
    ],
    ['an encrypted symbolic link', [{ name: 'l', data: 'x', flags: 1, mode: S_IFLNK | 0o777 }], /^EACCES/],
    ['a device', [{ name: 'b', mode: S_IFBLK | 0o600 }], /is a device/],
    ['a file whose name ends in a slash', [{ name: 'f/', mode: S_IFREG | 0o600 }], /is no directory/],
    [
      'two entries over the same bytes',
      [
        { name: 'a', data: text },
        { name: 'b', data: text, edit: set(42, 0, 0, 0, 0) },
      ],
      /overlaps another entry/,
    ],
    ['an entry in the directory', [{ name: 'a', edit: set(42, 60, 0, 0, 0) }], /overlaps another entry/],
    [
      'more than deflate can make',
      [{ name: 'a', data: text, method: 'deflated', edit: set(24, 255, 255, 255, 127) }],
      /more than \d+ can inflate to/,
    ],
    ['two sizes of a stored file', [{ name: 'a', data: 'x', edit: set(24, 9) }], /has two sizes/],
    ['an extra field cut off', [{ name: 'a', extra: packed([2, 1], [2, 99]) }], /extra field that is cut off/],
    [
      'a zip64 field cut off',
      [{ name: 'a', extra: packed([2, 1], [2, 4], [4, 0]), edit: set(20, 255, 255, 255, 255) }],
      /zip64 field that is cut off/,
    ],
  ];
  it.each(harmful)('refuses %s', (_what, specs, message) => {
    let error: unknown;
    try {
      zipLayer(zipOf(...specs));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(FsError);
    expect((error as Error).message).toMatch(message);
  });

  it('lists what it cannot open, and says why', () => {
    const encrypted = zipOf({ ...UNIX, name: 'f', data: 'x', flags: 1 });
    expect(() => content(encrypted, 'f')).toThrow(/^EACCES: .*'f is encrypted'/);
    const method = zipOf({ ...UNIX, name: 'f', data: 'x', edit: set(10, 14) });
    expect(() => content(method, 'f')).toThrow(/^EOPNOTSUPP: .*'f is compressed by method 14'/);
    const large = zipOf({ ...UNIX, name: 'f', data: text, method: 'deflated' });
    expect(() => content(large, 'f', { inflateMax: 100 })).toThrow(/^EFBIG: .*'f has 3000 bytes to inflate/);
    const moved = zipOf({ ...UNIX, name: 'f', data: 'x', editLocal: set(0, 0) });
    expect(() => content(moved, 'f')).toThrow(/^EIO: .*is not where it should be/);
    const longer = zipOf({ ...UNIX, name: 'f', data: 'x', editLocal: set(28, 255) });
    expect(() => content(longer, 'f')).toThrow(/^EIO: .*overlaps the next entry/);
  });

  it('checks what it reads', () => {
    for (const method of ['stored', 'deflated'] as const) {
      const wrong = zipOf({ ...UNIX, name: 'f', data: text, method, edit: set(16, 1, 2, 3, 4) });
      expect(() => content(wrong, 'f')).toThrow(/^EIO: .*'f has a wrong CRC'/);
    }
    const shorter = zipOf({ ...UNIX, name: 'f', data: text, method: 'deflated', edit: set(24, 0xb9) });
    expect(() => content(shorter, 'f')).toThrow(/^EIO: .*is shorter than it says/);
    const longer = zipOf({ ...UNIX, name: 'f', data: text, method: 'deflated', edit: set(24, 0x10) });
    expect(() => content(longer, 'f')).toThrow(/^EIO: .*(wrong CRC|cannot be inflated)/);
  });

  it('refuses what is cut or no archive', () => {
    const archive = zipOf({ ...UNIX, name: 'f', data: text });
    for (const cut of [0, 10, 22, archive.length - 1]) {
      expect(() => zipLayer(archive.slice(0, cut))).toThrow(/^EINVAL: .*no end record/);
    }
    const gone = Uint8Array.from(Buffer.concat([archive.subarray(0, 10), archive.subarray(-22)]));
    expect(() => zipLayer(gone)).toThrow(/^EINVAL: .*does not fit/);
  });

  it('what is damaged anyhow is a layer or an FsError, and soon', TIMEOUT, async () => {
    const valid = zipOf(
      { name: 'd/', mode: S_IFDIR | 0o755 },
      { ...UNIX, name: 'd/f', data: text, method: 'deflated', mtime: 5 },
      { ...UNIX, name: 'g', data: 'stored' },
      { name: 'l', data: 'd/f', mode: S_IFLNK | 0o777 },
      { name: 'dos', data: text, method: 'deflated' },
    );
    const damage = fc.record({
      flips: fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 6 }),
      cut: fc.option(fc.tuple(fc.nat(valid.length), fc.nat(valid.length))),
    });
    const property = fc.asyncProperty(damage, async ({ flips, cut }) => {
      const parts = cut === null ? [valid] : [valid.subarray(0, Math.min(...cut)), valid.subarray(Math.max(...cut))];
      const archive = Uint8Array.from(Buffer.concat(parts));
      for (const [at, value] of flips) if (at < archive.length) archive[at] = value;
      try {
        await readAll(zipLayer(archive));
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
      }
    });
    await fc.assert(property, parameters(2000));
  });

  it('reads what Info-ZIP writes', async (ctx) => {
    let hasZip = true;
    try {
      execFileSync('zip', ['-v'], { stdio: 'ignore' });
    } catch {
      hasZip = false;
    }
    requireOrSkip(ctx, hasZip, 'zip');
    const folder = mkdtempSync(join(tmpdir(), 'ovl-zip-'));
    try {
      mkdirSync(join(folder, 'root/sub'), { recursive: true });
      writeFileSync(join(folder, 'root/sub/fileü'), text, { mode: 0o640 });
      writeFileSync(join(folder, 'root/run'), 'x', { mode: 0o755 });
      symlinkSync('sub/fileü', join(folder, 'root/link'));
      execFileSync('zip', ['-q', '-r', '-y', '../a.zip', '.'], { cwd: join(folder, 'root') });
      const layer = zipLayer(Uint8Array.from(readFileSync(join(folder, 'a.zip'))));
      const seen = await readAll(layer);
      expect(seen['/sub/fileü']).toMatchObject({ content: text, size: text.length });
      expect(seen['/link']).toMatchObject({ target: 'sub/fileü' });
      expect(layer.lookup(layer.root, 'run')?.attributes).toMatchObject({
        mode: S_IFREG | 0o755,
        uid: process.getuid?.(),
        gid: process.getgid?.(),
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
