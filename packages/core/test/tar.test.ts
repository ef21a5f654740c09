// tar archives as layers: the layer suite; each form that tar programs write; archives that are damaged or mean harm.
import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeName, type Found, FsError, type Layer, memoryLayer, overlay, syncFs } from '@ovl/core';
import { tarLayer } from '@ovl/core/tar';
import { ALL_CAPABILITIES, type LayerCapabilities, layerSuite } from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lateSource, type Read, readAll } from './archive-support.js';
import { concat, paxData, sum, type TarEntry, tarEntry, tarOf, tarOfTree } from './tar-writer.js';
import { parameters, TIMEOUT } from './worlds.js';
import { runner } from '../../../test/support/suite-runner.js';

const capabilities: LayerCapabilities = {
  ...ALL_CAPABILITIES,
  fileHandles: 'an archive has no identity of its own',
};

layerSuite({ name: 'tar', runner, capabilities, layer: (tree) => tarLayer(tarOfTree(tree)) });
layerSuite({
  name: 'tar, read later',
  runner,
  capabilities,
  layer: async (tree) => await tarLayer(lateSource(tarOfTree(tree))),
});

/** On Debian it always is. */
function hasGnuTar(): boolean {
  try {
    return execFileSync('tar', ['--version']).toString().includes('GNU tar');
  } catch {
    return process.env.OVL_REQUIRE === '1';
  }
}

const entries = async (archive: Uint8Array): Promise<Record<string, Read>> => await readAll(tarLayer(archive));
const errorOf = (archive: Uint8Array): string => {
  try {
    tarLayer(archive);
  } catch (error) {
    expect(error).toBeInstanceOf(FsError);
    return (error as Error).message;
  }
  throw new Error('opened');
};

describe('tar', () => {
  it('is read in place: a layer over a large archive keeps no data', () => {
    const data = new Uint8Array(1 << 20).fill(7);
    const archive = tarOf({ name: 'f', data });
    let most = 0;
    const layer = tarLayer({
      size: archive.length,
      read(buffer: Uint8Array, position: number): number {
        most = Math.max(most, buffer.length);
        const part = archive.subarray(position, position + buffer.length);
        buffer.set(part);
        return part.length;
      },
    }) as Layer<'sync'>;
    expect(most).toBeLessThanOrEqual(1 << 16);
    archive[512 + 5] = 9;
    const buffer = new Uint8Array(8);
    layer.open(layer.lookup(layer.root, 'f')?.node as object).read(buffer, 0);
    expect([...buffer]).toEqual([7, 7, 7, 7, 7, 9, 7, 7]);
  });

  it('is the lower layer of an overlay, whiteouts of its names included', () => {
    const archive = tarOf({ name: 'd/.wh.gone' }, { name: 'd/here', data: 'new' }, { name: 'o/.wh..wh..opq' });
    const below = tarOf({ name: 'd/gone', data: 'x' }, { name: 'd/stays', data: 'y' }, { name: 'o/hidden', data: 'z' });
    const fs = syncFs(overlay({ lower: [tarLayer(archive), tarLayer(below)], upper: memoryLayer() }));
    expect(fs.readdirSync('/d').toSorted()).toEqual(['here', 'stays']);
    expect(fs.readdirSync('/o')).toEqual([]);
    fs.appendFileSync('/d/here', '!');
    expect(fs.readFileSync('/d/here', 'utf8')).toBe('new!');
  });

  it('hard links share their object; the last of equal names counts; parents that are missing are made', async () => {
    const seen = await entries(
      tarOf(
        { name: 'a/b/c', data: 'one' },
        { name: 'l', type: '1', linkname: './a/b/c' },
        { name: 'twice', data: 'old' },
        { name: './twice', data: 'newer' },
        { name: 'dir/', mode: 0o700 },
        { name: 'dir/in', data: 'x' },
        { name: 'dir', type: '5', mode: 0o711 },
        { name: 'gone/in', data: 'x' },
        { name: 'kept', type: '1', linkname: 'gone/in' },
        { name: 'gone', data: 'a file now' },
      ),
    );
    expect(seen['/l']).toMatchObject({ ino: seen['/a/b/c']?.ino, nlink: 2, content: 'one' });
    expect(seen['/twice']).toMatchObject({ content: 'newer', nlink: 1 });
    expect(seen['/dir/in']).toMatchObject({ content: 'x' });
    expect(seen['/']).toMatchObject({ nlink: 4 });
    expect(seen['/kept']).toMatchObject({ content: 'x', nlink: 1 });
    expect(seen['/gone']).toMatchObject({ content: 'a file now' });
  });

  it('GNU: long names, large numbers, times before 1970', async () => {
    const long = `${'d'.repeat(120)}/${'n'.repeat(200)}`;
    const base256 = (at: number, length: number, value: number) => (block: Uint8Array) => {
      let rest = BigInt.asUintN(8 * length, BigInt(value));
      for (let i = at + length - 1; i >= at; i--, rest >>= 8n) block[i] = Number(rest & 0xffn);
      block[at] = (block[at] as number) | 0x80;
    };
    const archive = tarOf(
      { name: '././@LongLink', type: 'L', data: `${long}\0` },
      { name: 'short', data: 'x' },
      { name: '././@LongLink', type: 'K', data: `${'t'.repeat(300)}\0` },
      { name: 'link', type: '2', linkname: 'short' },
      { name: 'id', edit: base256(108, 8, 3_000_000_000) },
      { name: 'old', edit: base256(136, 12, -86_400) },
    );
    const seen = await entries(archive);
    expect(seen[`/${long}`]).toMatchObject({ content: 'x' });
    expect(seen['/link']).toMatchObject({ target: 't'.repeat(300), size: 300 });
    const layer = tarLayer(archive);
    expect(layer.lookup(layer.root, 'id')?.attributes.uid).toBe(3_000_000_000);
    expect(layer.lookup(layer.root, 'old')?.attributes.mtimeSec).toBe(-86_400);
  });

  it('pax: path, linkpath, size, owners, times, attributes; global headers and taking them back', () => {
    const archive = tarOf(
      { name: 'g', type: 'g', data: paxData({ uid: '7', 'SCHILY.xattr.user.all': 'y', mtime: '5' }) },
      {
        name: 'x',
        data: 'four',
        size: 4,
        pax: {
          path: 'ü/long',
          gid: '4000000000',
          mtime: '-1.25',
          size: '4',
          'SCHILY.xattr.user.b': Uint8Array.of(0, 10, 61),
        },
      },
      { name: 's', type: '2', pax: { linkpath: 'ü/long', uid: '' } },
    );
    const layer = tarLayer(archive);
    const dir = layer.lookup(layer.root, 'ü')?.node as object;
    const { node, attributes } = layer.lookup(dir, 'long') as Found;
    expect(attributes).toMatchObject({ uid: 7, gid: 4_000_000_000, size: 4, mtimeSec: -2, mtimeNsec: 750_000_000 });
    expect(layer.listxattr(node)).toEqual(['user.all', 'user.b']);
    expect(layer.getxattr(node, 'user.b')).toEqual(Uint8Array.of(0, 10, 61));
    const link = layer.lookup(layer.root, 's');
    expect(layer.readlink(link?.node as object)).toBe('ü/long');
    expect(link?.attributes).toMatchObject({ uid: 0, mtimeSec: 5 });
  });

  it('sparse files in four spellings', async () => {
    const map = [2, 3, 8, 2];
    const data = 'abcde';
    const content = '\0\0abc\0\0\0de\0\0';
    const gnu = (block: Uint8Array): void => {
      block.set(encodeName('ustar  \0'), 257);
      const octal = (value: number): string => value.toString(8).padStart(11, '0');
      map.forEach((value, i) => block.set(encodeName(octal(value)), 386 + i * 12));
      block.set(encodeName(octal(12)), 483);
    };
    const repeated = concat(
      paxData({ 'GNU.sparse.size': '12', 'GNU.sparse.numblocks': '2' }),
      paxData({ 'GNU.sparse.offset': '2', 'GNU.sparse.numbytes': '3' }),
      paxData({ 'GNU.sparse.offset': '8', 'GNU.sparse.numbytes': '2' }),
    );
    const inData = `2\n${map.join('\n')}\n`;
    const archive = tarOf(
      { name: 'old', type: 'S', data, edit: gnu },
      { name: 'p', type: 'x', data: repeated },
      { name: '0.0', data },
      { name: 'x', data, pax: { 'GNU.sparse.name': '0.1', 'GNU.sparse.size': '12', 'GNU.sparse.map': map.join(',') } },
      {
        name: 'x',
        data: concat(inData, new Uint8Array(512 - inData.length), data),
        pax: {
          'GNU.sparse.major': '1',
          'GNU.sparse.minor': '0',
          'GNU.sparse.name': '1.0',
          'GNU.sparse.realsize': '12',
        },
      },
      { name: 'after', data: 'fine' },
    );
    const seen = await entries(archive);
    for (const name of ['old', '0.0', '0.1', '1.0'])
      expect(seen[`/${name}`], name).toMatchObject({ content, size: 12 });
    expect(seen['/after']).toMatchObject({ content: 'fine' });
    const layer = tarLayer(archive);
    const file = layer.open(layer.lookup(layer.root, '1.0')?.node as object);
    const ends = [file.seek(0, 'data'), file.seek(2, 'hole'), file.seek(5, 'data'), file.seek(8, 'hole')];
    expect(ends).toEqual([2, 5, 8, 10]);
    expect(() => file.seek(10, 'data')).toThrow(/^ENXIO/);
  });

  const harmful: [what: string, entries: (TarEntry | Uint8Array)[], message: RegExp][] = [
    [
      '..',
      [{ name: 'ok' }, { name: 'a/../../etc/passwd' }],
      /^EINVAL: .*'a\/..\/..\/etc\/passwd \(entry at byte 512\) has '..' in it'/,
    ],
    ['an absolute name', [{ name: '/etc/passwd' }], /is absolute/],
    ['a NUL', [{ name: 'x', pax: { path: 'a\0b' } }], /no name that a file/],
    ['no name', [{ name: '' }], /no name that a file/],
    ['a name of 256 bytes', [{ name: 'x', pax: { path: 'n'.repeat(256) } }], /^ENAMETOOLONG/],
    ['a path of 5000 bytes', [{ name: 'x', pax: { path: 'a/'.repeat(2500) } }], /^ENAMETOOLONG/],
    [
      'a way through a symbolic link',
      [{ name: 'l', type: '2', linkname: '/etc' }, { name: 'l/passwd' }],
      /goes through 'l'/,
    ],
    ['a way through a file', [{ name: 'f' }, { name: 'f/x' }], /goes through 'f'/],
    ['a hard link to outside', [{ name: 'l', type: '1', linkname: '../../etc/passwd' }], /has '..' in it/],
    [
      'a hard link to nothing',
      [{ name: 'l', type: '1', linkname: 'later' }, { name: 'later' }],
      /does not come before it/,
    ],
    ['a hard link to itself', [{ name: 'l', type: '1', linkname: 'l' }], /does not come before it/],
    [
      'a hard link to a directory',
      [
        { name: 'd', type: '5' },
        { name: 'd/l', type: '1', linkname: 'd' },
      ],
      /which is a directory/,
    ],
    ['a root that is a file', [{ name: './', type: '7' }], /names the root/],
    ['a symbolic link to nothing', [{ name: 'l', type: '2' }], /target that no symbolic link/],
    ['an unknown type', [{ name: 'x', type: 'M' }], /unknown type \('M'\)/],
    ['a size past the end', [{ name: 'x', size: 1 << 20 }], /more than the archive/],
    ['a size past all bounds', [{ name: 'x', pax: { size: '9'.repeat(16) } }], /has a size that is no number/],
    ['a pax header of 2 MiB', [{ name: 'x', type: 'x', data: new Uint8Array(2 << 20) }], /more than 1048576/],
    ['a pax record cut short', [{ name: 'x', type: 'x', data: '30 path=a\n' }], /pax record that is none/],
    ['a pax record without a length', [{ name: 'x', type: 'x', data: 'path=a\n' }], /pax record that is none/],
    ['a pax record of length 0', [{ name: 'x', type: 'x', data: '0 a=b\n' }], /pax record that is none/],
    ['an owner that is none', [{ name: 'x', pax: { uid: '-1' } }], /has a uid that is no number/],
    [
      'a sparse map that overlaps',
      [{ name: 'x', data: 'abcd', pax: { 'GNU.sparse.size': '9', 'GNU.sparse.map': '0,2,1,2' } }],
      /does not fit/,
    ],
    [
      'a sparse map longer than the data',
      [{ name: 'x', data: 'ab', pax: { 'GNU.sparse.size': '9', 'GNU.sparse.map': '0,9' } }],
      /does not fit/,
    ],
    [
      'a sparse map without an end',
      [
        {
          name: 'x',
          data: new Uint8Array(512).fill(0x31),
          pax: { 'GNU.sparse.major': '1', 'GNU.sparse.realsize': '9' },
        },
      ],
      /without an end/,
    ],
    [
      'a number that is none',
      [{ name: 'x', edit: (block) => block.set(encodeName('9zzz'), 124) }],
      /has a size that is no number/,
    ],
  ];
  it.each(harmful)('refuses %s', (_what, list, message) => {
    expect(errorOf(tarOf(...list))).toMatch(message);
  });

  it('refuses a wrong checksum and a cut, naming the entry', () => {
    const archive = tarOf({ name: 'one', data: 'x' }, { name: 'two', data: 'y'.repeat(600) });
    const flipped = archive.slice();
    flipped[1024 + 3] = 0x41;
    expect(errorOf(flipped)).toMatch(/^EINVAL: .*entry at byte 1024\) has a wrong checksum/);
    expect(errorOf(archive.slice(0, 1024 + 512 + 100))).toMatch(/'two \(entry at byte 1024\) has 600 bytes, more than/);
    expect(errorOf(archive.slice(0, 1024 + 300))).toMatch(/^EIO: .*entry at byte 1024/);
    expect(errorOf(encodeName('no archive'))).toMatch(/^EIO/);
  });

  it('an archive that gets shorter, or a source that fails, is EIO', async () => {
    const archive = tarOf({ name: 'f', data: 'x'.repeat(100) });
    let isBroken = false;
    const layer = await tarLayer({
      size: archive.length,
      async read(buffer: Uint8Array, position: number): Promise<number> {
        if (isBroken) throw new Error('gone');
        const part = archive.subarray(position, position + buffer.length);
        buffer.set(part);
        return part.length;
      },
    });
    isBroken = true;
    const { node } = (await layer.lookup(layer.root, 'f')) as { node: object };
    const file = await layer.open(node);
    await expect(file.read(new Uint8Array(10), 0)).rejects.toMatchObject({ code: 'EIO', cause: { message: 'gone' } });
  });

  it('what is damaged anyhow is a layer or an FsError, and soon', TIMEOUT, async () => {
    const valid = tarOf(
      tarEntry({ name: 'd/', mode: 0o755 }),
      { name: 'd/f', data: 'x'.repeat(700), pax: { mtime: '1.5', 'SCHILY.xattr.user.k': 'v' } },
      { name: 'l', type: '1', linkname: 'd/f' },
      { name: 's', type: '2', linkname: 'd' },
      { name: 'x', data: 'abc', pax: { 'GNU.sparse.size': '12', 'GNU.sparse.map': '2,3' } },
      { name: '././@LongLink', type: 'L', data: `${'n'.repeat(150)}\0` },
      { name: 'n', data: 'y' },
    );
    const damage = fc.record({
      flips: fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 8 }),
      cut: fc.option(fc.nat(valid.length), { freq: 3 }),
      moved: fc.option(fc.tuple(fc.nat(15), fc.nat(15))),
      sums: fc.constantFrom('wrong' as const, 'right' as const, 'right' as const, 'right' as const),
    });
    const property = fc.asyncProperty(damage, async ({ flips, cut, moved, sums }) => {
      const archive = valid.slice(0, cut ?? undefined);
      for (const [at, value] of flips) if (at < archive.length) archive[at] = value;
      if (moved !== null) archive.copyWithin(moved[0] * 512, moved[1] * 512, moved[1] * 512 + 512);
      // Without this, only checksums would be tested.
      for (let at = 0; sums === 'right' && at + 512 <= archive.length; at += 512)
        if (valid.subarray(at + 257, at + 262).toString() === encodeName('ustar').toString()) sum(archive.subarray(at));
      try {
        await readAll(tarLayer(archive));
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
      }
    });
    await fc.assert(property, parameters(2000));
  });

  it.skipIf(!hasGnuTar()).each(['v7', 'ustar', 'gnu', 'oldgnu', 'pax'])(
    'reads what GNU tar writes: %s',
    async (format) => {
      const folder = mkdtempSync(join(tmpdir(), 'ovl-tar-'));
      try {
        const root = join(folder, 'root');
        const long = format === 'v7' ? 'short' : `${'l'.repeat(90)}/${'m'.repeat(90)}`;
        mkdirSync(join(root, 'sub'), { recursive: true });
        if (format !== 'v7') mkdirSync(join(root, 'l'.repeat(90)));
        writeFileSync(join(root, long), 'long');
        writeFileSync(join(root, 'sub/file'), 'content', { mode: 0o640 });
        utimesSync(join(root, 'sub/file'), 1_000_000, 1_000_000);
        linkSync(join(root, 'sub/file'), join(root, 'twin'));
        symlinkSync('../sub/file', join(root, 'sub/link'));
        writeFileSync(join(root, 'sparse'), 'begin');
        truncateSync(join(root, 'sparse'), 1 << 20);
        const kind = ['gnu', 'oldgnu', 'pax'].includes(format) ? ['--sparse'] : [];
        const archive = join(folder, 'a.tar');
        execFileSync('tar', ['--format', format, ...kind, '--sort=name', '-cf', archive, '-C', root, '.']);
        const layer = tarLayer(Uint8Array.from(readFileSync(archive)));
        const seen = await readAll(layer);
        expect(seen[`/${long}`]).toMatchObject({ content: 'long' });
        expect(seen['/sub/file']).toMatchObject({ content: 'content', nlink: 2, ino: seen['/twin']?.ino });
        expect(seen['/sub/link']).toMatchObject({ target: '../sub/file' });
        expect(seen['/sparse']?.size).toBe(1 << 20);
        expect(seen['/sparse']?.content?.startsWith('begin\0')).toBe(true);
        const sub = layer.lookup(layer.root, 'sub')?.node as object;
        expect(layer.lookup(sub, 'file')?.attributes).toMatchObject({ mode: 0o100640, mtimeSec: 1_000_000 });
        if (kind.length > 0)
          expect(layer.lookup(layer.root, 'sparse')?.attributes.blocks).toBeLessThan((1 << 20) / 512);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});

it('tar read later gives the same tree', async () => {
  const archive = tarOf({ name: 'a/b', data: 'x' }, { name: 'c', type: '2', linkname: 'a/b' });
  expect(await readAll(await tarLayer(lateSource(archive)))).toEqual(await readAll(tarLayer(archive)));
});
