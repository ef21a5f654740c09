// The read-only side of a host layer: what it finds, and that nothing in a layer leads out of it.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { DT_DIR, DT_FIFO, DT_LNK, DT_REG, type Layer, type LayerNode } from '@ovl/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { parseInode } from '../src/host-handles.js';
import { hostLayer } from '../src/host-layer.js';
import { DirectoryCache, HostDirectory, type HostNode } from '../src/host-nodes.js';
import { AT_FDCWD, O_DIRECTORY, O_PATH, close, openat } from '../src/syscalls.js';
import { codeOf, isRoot, readAll, temporary } from './host-support.js';

function layerOf(path: string): Layer<'sync'> {
  const layer = hostLayer(path);
  onTestFinished(() => layer.close?.());
  return layer;
}

const find = (layer: Layer<'sync'>, ...names: string[]): LayerNode =>
  names.reduce((dir, name) => {
    const found = layer.lookup(dir, name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found.node;
  }, layer.root);

describe('lookup and getattr', () => {
  test('attributes are those of stat', () => {
    const base = temporary();
    writeFileSync(`${base}/f`, 'twelve bytes');
    chmodSync(`${base}/f`, 0o640);
    execFileSync('touch', ['-a', '-d', '@-5.25', `${base}/f`]); // before 1970
    execFileSync('touch', ['-m', '-d', '@5000000000.5', `${base}/f`]); // after 2106, where 32 bits end
    linkSync(`${base}/f`, `${base}/g`);
    const layer = layerOf(base);
    const found = layer.lookup(layer.root, 'f');
    const stat = statSync(`${base}/f`);
    expect(found?.attributes).toMatchObject({
      ino: stat.ino,
      mode: stat.mode,
      nlink: 2,
      size: 12,
      uid: stat.uid,
      gid: stat.gid,
      blocks: stat.blocks,
      blksize: stat.blksize,
      atimeSec: -6,
      atimeNsec: 750_000_000,
      mtimeSec: 5_000_000_000,
      mtimeNsec: 500_000_000,
    });
    expect(layer.getattr(found?.node as LayerNode)).toEqual(found?.attributes);
    expect(layer.getattr(layer.root).ino).toBe(statSync(base).ino);
  });

  test('absence is undefined, a name that is too long is not', () => {
    const layer = layerOf(temporary());
    expect(layer.lookup(layer.root, 'none')).toBeUndefined();
    expect(codeOf(() => layer.lookup(layer.root, 'n'.repeat(256)))).toBe('ENAMETOOLONG');
  });

  test('names of 255 bytes, also of characters of several bytes', () => {
    const base = temporary();
    for (const name of ['n'.repeat(255), 'é'.repeat(127), '😀'.repeat(63)]) {
      writeFileSync(`${base}/${name}`, name);
      const layer = layerOf(base);
      expect(readAll(layer, find(layer, name))).toBe(name);
    }
  });

  test.each(['', '.', '..', 'a/b', '../x', 'nul\0'])('%j names no entry', (name) => {
    const layer = layerOf(temporary());
    expect(codeOf(() => layer.lookup(layer.root, name))).toBe('EINVAL');
  });

  test('an entry of a file is ENOTDIR', () => {
    const base = temporary();
    writeFileSync(`${base}/f`, '');
    const layer = layerOf(base);
    expect(codeOf(() => layer.lookup(find(layer, 'f'), 'x'))).toBe('ENOTDIR');
  });
});

describe('readdir', () => {
  test('names that are no UTF-8 survive, and can be looked up', () => {
    const base = temporary();
    const raw = [
      Buffer.from([0xff, 0x61]),
      Buffer.from('ordinary'),
      Buffer.from('öä'),
      Buffer.from([0xed, 0xa0, 0x80]),
    ];
    for (const name of raw) writeFileSync(Buffer.concat([Buffer.from(`${base}/`), name]), name);
    const layer = layerOf(base);
    const names = layer.readdir(layer.root).map((entry) => entry.name);
    expect(new Set(names)).toEqual(new Set(['\udcffa', 'ordinary', 'öä', '\udced\udca0\udc80']));
    for (const name of names) expect(layer.lookup(layer.root, name)?.attributes.size).toBeGreaterThan(1);
  });

  test('types and inode numbers, and nothing for "." and ".."', () => {
    const base = temporary();
    writeFileSync(`${base}/f`, '');
    mkdirSync(`${base}/d`);
    mkdirSync(`${base}/..three`);
    symlinkSync('f', `${base}/l`);
    execFileSync('mkfifo', [`${base}/p`]);
    const layer = layerOf(base);
    const entries = layer.readdir(layer.root).sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(entries.map(({ name, type }) => [name, type])).toEqual([
      ['..three', DT_DIR],
      ['d', DT_DIR],
      ['f', DT_REG],
      ['l', DT_LNK],
      ['p', DT_FIFO],
    ]);
    expect(entries[2]?.ino).toBe(statSync(`${base}/f`).ino);
  });

  test('more entries than one buffer holds', () => {
    const base = temporary();
    const names = Array.from({ length: 3000 }, (_, i) => `${'x'.repeat(200)}${i}`);
    for (const name of names) writeFileSync(`${base}/${name}`, '');
    const layer = layerOf(base);
    expect(new Set(layer.readdir(layer.root).map((entry) => entry.name))).toEqual(new Set(names));
  });
});

describe('files', () => {
  test('reads at positions, short only at the end', () => {
    const base = temporary();
    writeFileSync(`${base}/f`, 'abcdef');
    const layer = layerOf(base);
    const file = layer.open(find(layer, 'f'));
    const buffer = Buffer.alloc(4);
    expect([file.read(buffer, 1), buffer.toString()]).toEqual([4, 'bcde']);
    expect(file.read(buffer, 4)).toBe(2);
    expect(file.read(buffer, 99)).toBe(0);
    file.close();
    file.close(); // harmless: the number may be somebody else's by now
  });

  test('data and holes', () => {
    const base = temporary();
    const fd = openSync(`${base}/f`, 'w');
    writeSync(fd, 'x', 1 << 20);
    ftruncateSync(fd, 2 << 20);
    closeSync(fd);
    const layer = layerOf(base);
    const file = layer.open(find(layer, 'f'));
    expect(file.seek(0, 'data')).toBe(1 << 20);
    expect(file.seek(0, 'hole')).toBe(0);
    expect(file.seek(1 << 20, 'hole')).toBeGreaterThan(1 << 20);
    expect(codeOf(() => file.seek(3 << 20, 'data'))).toBe('ENXIO');
    file.close();
  });

  test('only regular files are opened, and a FIFO in the place of one does not block', () => {
    const base = temporary();
    execFileSync('mkfifo', [`${base}/p`]);
    mkdirSync(`${base}/d`);
    writeFileSync(`${base}/f`, '');
    const layer = layerOf(base);
    expect(codeOf(() => layer.open(find(layer, 'p')))).toBe('EINVAL');
    expect(codeOf(() => layer.open(find(layer, 'd')))).toBe('EISDIR');
    const file = find(layer, 'f');
    renameSync(`${base}/p`, `${base}/f`);
    layer.open(file).close();
  });
});

/** Makes a link with the longest target that the file system takes: 4095 bytes on most, 1023 on XFS. */
function longestLink(path: string): string {
  for (const target of ['t'.repeat(4095), 't'.repeat(1023)]) {
    try {
      symlinkSync(target, path);
      return target;
    } catch {}
  }
  throw new Error('no long links here');
}

describe('symbolic links', () => {
  test('targets of any bytes and of the longest length', () => {
    const base = temporary();
    symlinkSync(Buffer.from([0x2f, 0xfe, 0x41]), `${base}/raw`);
    const longest = longestLink(`${base}/long`);
    writeFileSync(`${base}/f`, '');
    const layer = layerOf(base);
    expect(layer.readlink(find(layer, 'raw'))).toBe('/\udcfeA');
    expect(layer.readlink(find(layer, 'long'))).toBe(longest);
    expect(codeOf(() => layer.readlink(find(layer, 'f')))).toBe('EINVAL');
  });

  test('are never followed: not as a directory, not as a file', () => {
    const base = temporary();
    mkdirSync(`${base}/outside`);
    writeFileSync(`${base}/outside/secret`, 'secret');
    mkdirSync(`${base}/layer`);
    symlinkSync('../outside', `${base}/layer/dir`);
    symlinkSync('../outside/secret', `${base}/layer/file`);
    const layer = layerOf(`${base}/layer`);
    expect(codeOf(() => layer.lookup(find(layer, 'dir'), 'secret'))).toBe('ENOTDIR');
    expect(codeOf(() => layer.readdir(find(layer, 'dir')))).toBe('ENOTDIR');
    expect(codeOf(() => layer.open(find(layer, 'file')))).toBe('EINVAL');
  });

  test('swapped in for a directory after its lookup, they do not lead out', () => {
    const base = temporary();
    mkdirSync(`${base}/layer/dir/sub`, { recursive: true });
    mkdirSync(`${base}/outside/sub`, { recursive: true });
    writeFileSync(`${base}/layer/dir/file`, 'inside');
    writeFileSync(`${base}/outside/file`, 'secret');
    const layer = layerOf(`${base}/layer`);
    const dir = find(layer, 'dir');
    renameSync(`${base}/layer/dir`, `${base}/away`);
    symlinkSync('../outside', `${base}/layer/dir`);
    expect(codeOf(() => layer.lookup(dir, 'file'))).toBe('ESTALE');
    // The other order: the descriptor was open before, and goes on meaning the old directory.
    const again = layerOf(`${base}/away`);
    const sub = again.root;
    const file = find(again, 'file');
    renameSync(`${base}/away`, `${base}/gone`);
    symlinkSync('outside', `${base}/away`);
    expect(readAll(again, file)).toBe('inside');
    expect(again.lookup(sub, 'sub')).toBeDefined();
  });

  test('swapped in for a file after its lookup, they are not opened', () => {
    const base = temporary();
    mkdirSync(`${base}/layer`);
    writeFileSync(`${base}/secret`, 'secret');
    writeFileSync(`${base}/layer/f`, 'inside');
    const layer = layerOf(`${base}/layer`);
    const file = find(layer, 'f');
    symlinkSync('../secret', `${base}/layer/l`);
    renameSync(`${base}/layer/l`, `${base}/layer/f`);
    expect(codeOf(() => layer.open(file))).toBe('ESTALE');
    expect(layer.listxattr(file)).toEqual([]);
  });
});

describe('directory descriptors', () => {
  test('trees deeper than PATH_MAX and than the cache', () => {
    const base = temporary();
    const name = 'd'.repeat(200);
    let fd = openat(AT_FDCWD, base, O_PATH | O_DIRECTORY);
    for (let depth = 0; depth < 100; depth++) {
      mkdirSync(`/proc/self/fd/${fd}/${name}`);
      const next = openat(fd, name, O_PATH | O_DIRECTORY);
      close(fd);
      fd = next;
    }
    writeFileSync(`/proc/self/fd/${fd}/file`, 'deep');
    close(fd);
    const layer = layerOf(base);
    const file = find(layer, ...Array.from({ length: 100 }, () => name), 'file');
    expect(readAll(layer, file)).toBe('deep');
  });

  test('the cache stays bounded, reopens what it dropped, and spares what is pinned', () => {
    const base = temporary();
    const cache = new DirectoryCache((roots) => 4 - roots);
    cache.rootOpened();
    const root = new HostDirectory(undefined, base);
    root.fd = openat(AT_FDCWD, base, O_PATH | O_DIRECTORY);
    const chain: HostNode[] = [];
    let path = base;
    for (let i = 0, parent = root; i < 10; i++) {
      path += `/${i}`;
      mkdirSync(path);
      parent = new HostDirectory(parent, `${i}`);
      chain.push(parent);
    }
    const open = readdirSync('/proc/self/fd').length;
    const deepest = chain[9] as HostNode;
    expect(statSync(`/proc/self/fd/${cache.fd(deepest)}`).ino).toBe(statSync(path).ino);
    const first = chain[0] as HostNode;
    const pinned = cache.pin(first);
    for (let round = 0; round < 5; round++) for (const node of chain) cache.fd(node);
    expect(cache.size).toBe(3);
    expect(first.fd).toBe(pinned);
    expect(statSync(`/proc/self/fd/${pinned}`).ino).toBe(statSync(`${base}/0`).ino);
    cache.unpin(first);
    cache.forgetTree(root);
    expect(cache.size).toBe(0);
    expect(chain.every((node) => node.fd === -1)).toBe(true);
    expect(readdirSync('/proc/self/fd').length).toBe(open);
    close(root.fd);
  });

  test('closing a layer closes all of its descriptors', () => {
    const base = temporary();
    for (let i = 0; i < 20; i++) mkdirSync(`${base}/${i}/sub`, { recursive: true });
    const before = readdirSync('/proc/self/fd').length;
    const layer = hostLayer(base);
    for (let i = 0; i < 20; i++) layer.lookup(find(layer, `${i}`), 'sub');
    expect(readdirSync('/proc/self/fd').length).toBe(before + 21);
    layer.close?.();
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});

describe('mounts inside a layer', () => {
  test('are crossed, and have their own device', (ctx) => {
    requireOrSkip(ctx, isRoot, 'mounting needs root');
    const base = temporary();
    mkdirSync(`${base}/m`);
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', `${base}/m`]);
    onTestFinished(() => void execFileSync('umount', ['-l', `${base}/m`]));
    writeFileSync(`${base}/m/f`, 'mounted');
    const layer = layerOf(base);
    const inner = find(layer, 'm', 'f');
    expect(readAll(layer, inner)).toBe('mounted');
    expect(layer.getattr(inner).dev).not.toBe(layer.getattr(layer.root).dev);
    const { dev } = statSync(`${base}/m/f`);
    expect(layer.getattr(inner).dev).toBe(dev);
    // Each file system has its own UUID, so a handle is resolved only where it belongs.
    const handle = layer.fileHandle?.(inner);
    expect(handle?.uuid.some((byte) => byte !== 0)).toBe(true);
    expect(layer.resolveHandle?.(handle as never)).toBeUndefined();
  });
});

describe('file handles', () => {
  test('name the object across renames, and nothing once it is gone', (ctx) => {
    const base = temporary();
    mkdirSync(`${base}/d`);
    const layer = layerOf(base);
    const handle = layer.fileHandle?.(find(layer, 'd'));
    requireOrSkip(ctx, handle, 'this file system has no handles');
    renameSync(`${base}/d`, `${base}/e`);
    expect(layer.resolveHandle?.(handle)?.ino).toBe(statSync(`${base}/e`).ino);
    expect(layer.resolveHandle?.({ ...handle, uuid: new Uint8Array(16).fill(7) })).toBeUndefined();
    requireOrSkip(ctx, isRoot, 'only root sees whether the object still lives');
    rmdirSync(`${base}/e`);
    expect(layer.resolveHandle?.(handle)).toBeUndefined();
  });

  test('are those that the kernel writes into the origin attribute', (ctx) => {
    requireOrSkip(ctx, isRoot, 'mounting overlayfs needs root');
    for (const base of [temporary(), temporary('/dev/shm')]) {
      for (const dir of ['lower', 'upper', 'work', 'merged']) mkdirSync(`${base}/${dir}`);
      writeFileSync(`${base}/lower/f`, 'x');
      const options = `lowerdir=${base}/lower,upperdir=${base}/upper,workdir=${base}/work`;
      execFileSync('mount', ['-t', 'overlay', 'o', '-o', options, `${base}/merged`]);
      try {
        chmodSync(`${base}/merged/f`, 0o600);
      } finally {
        execFileSync('umount', [`${base}/merged`]);
      }
      const lower = layerOf(`${base}/lower`);
      const upper = layerOf(`${base}/upper`);
      const origin = upper.getxattr(find(upper, 'f'), 'trusted.overlay.origin') as Uint8Array;
      const handle = lower.fileHandle?.(find(lower, 'f'));
      expect(origin[4]).toBe(handle?.type);
      expect(origin.subarray(5, 21)).toEqual(handle?.uuid);
      expect(origin.subarray(21)).toEqual(handle?.bytes);
    }
  });

  test.each([
    ['ext4', 1, 'dd855600945d0085', 0x5685dd],
    ['tmpfs', 1, 'd11c13b81100000000000000', 17],
    ['xfs', 0x81, '83000000010000000a0b0c0d', 0x1_0000_0083],
    ['btrfs', 0x4d, '010100000000000005000000000000000700000000000000'.slice(0, 40), 257],
    ['unknown', 0x99, '00', undefined],
  ])('the inode number in a handle of %s', (_, type, hex, ino) => {
    expect(parseInode(type, Uint8Array.from(Buffer.from(hex, 'hex')))).toBe(ino);
  });
});

test('statfs', () => {
  const base = temporary();
  const layer = layerOf(base);
  const mine = layer.statfs();
  expect(mine.namelen).toBe(255);
  expect(mine.blocks).toBeGreaterThanOrEqual(mine.bfree);
  expect(mine.bsize).toBeGreaterThan(0);
});

test('a layer that is no directory', () => {
  const base = temporary();
  writeFileSync(`${base}/f`, '');
  expect(codeOf(() => hostLayer(`${base}/f`))).toBe('ENOTDIR');
  expect(codeOf(() => hostLayer(`${base}/none`))).toBe('ENOENT');
});
