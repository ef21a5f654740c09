// What libfuse asks and what it gets, over layers in memory: paths to inodes, files that are removed while they are open,
// values that have to fit, failures. How the addon passes it on is seen on real mounts only, in libfuse-mount.test.ts.
import { FsError, isFsError, memoryLayer, type MemoryTree, Overlay, runSync } from '@ovl/core';
import { describe, expect, test } from 'vitest';
import * as attributes from '../src/libfuse/attributes.js';
import * as directories from '../src/libfuse/directories.js';
import { resultOf } from '../src/libfuse/errors.js';
import * as files from '../src/libfuse/files.js';
import { libfuseOptions } from '../src/libfuse/mount-options.js';
import * as names from '../src/libfuse/names.js';
import type { Operation } from '../src/libfuse/operation.js';
import { PathServer } from '../src/libfuse/server.js';
import { InodeNumbers, join64, statfsOf } from '../src/libfuse/values.js';
import type { AttachRequest } from '../src/transport.js';

const O_RDONLY = 0;
const O_RDWR = 2;
const HIDDEN = '.fuse_hidden0000000200000001';

function scene(from: MemoryTree = {}): {
  server: PathServer;
  ask: (operation: Operation, ...given: unknown[]) => unknown;
} {
  const overlay = runSync(Overlay.open<'sync'>({ lower: [memoryLayer({ from })], upper: memoryLayer() }));
  const server = new PathServer(overlay, { volatile: false });
  const ask = (operation: Operation, ...given: unknown[]): unknown => {
    const { result, values } = operation.run(server, ...given);
    return values.length > 0 ? values[0] : result;
  };
  return { server, ask };
}

function lent(text: string | number): Buffer<ArrayBuffer> {
  const bytes = typeof text === 'number' ? new ArrayBuffer(text) : new TextEncoder().encode(text).buffer;
  return Buffer.from(bytes);
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (isFsError(error)) return error.code;
    throw error;
  }
  return 'none';
}

/** Type and permission bits, link count, size and inode number of a path. */
function stat({ ask }: Pick<ReturnType<typeof scene>, 'ask'>, path: string) {
  const words = ask(attributes.getattr, path) as Uint32Array;
  return { mode: words[0], nlink: words[6], size: words[3], ino: words[7] };
}

describe('a file that is removed while it is open', () => {
  const opened = () => {
    const { server, ask } = scene({ d: { f: 'content' } });
    const handle = ask(files.open, '/d/f', O_RDWR) as number;
    ask(names.rename, '/d/f', `/d/${HIDDEN}`);
    return { server, ask, handle };
  };

  test('is gone from its directory, and goes on under the hidden path', () => {
    const { server, ask, handle } = opened();
    expect(ask(directories.readdir, '/d')).toEqual(['.', '..']);
    expect(codeOf(() => ask(attributes.getattr, '/d/f'))).toBe('ENOENT');
    expect(stat({ ask }, `/d/${HIDDEN}`)).toMatchObject({ nlink: 0, size: 7 });
    const memory = lent('C');
    expect(files.write.run(server, `/d/${HIDDEN}`, handle, memory, 1, 0, 0).result).toBe(1);
    const buffer = lent(16);
    expect(files.read.run(server, `/d/${HIDDEN}`, handle, buffer, 16, 0, 0).result).toBe(7);
    expect(buffer.toString('latin1', 0, 7)).toBe('Content');
  });

  test('moves with its directory, which stays while it is in use', () => {
    const { ask, handle } = opened();
    ask(names.mkdir, '/e', 0o755);
    expect(codeOf(() => ask(names.rmdir, '/d'))).toBe('ENOTEMPTY');
    expect(codeOf(() => ask(names.rename, '/e', '/d'))).toBe('ENOTEMPTY');
    ask(names.rename, '/d', '/e/d');
    expect(stat({ ask }, `/e/d/${HIDDEN}`)).toMatchObject({ nlink: 0, size: 7 });
    ask(files.release, `/e/d/${HIDDEN}`, handle);
    ask(names.unlink, `/e/d/${HIDDEN}`);
    ask(names.rmdir, '/e/d');
  });

  test('its last close leaves nothing', () => {
    const { server, ask, handle } = opened();
    ask(files.release, `/d/${HIDDEN}`, handle);
    ask(names.unlink, `/d/${HIDDEN}`);
    expect(codeOf(() => ask(attributes.getattr, `/d/${HIDDEN}`))).toBe('ENOENT');
    expect(server.files.size).toBe(0);
    server.paths.close();
    expect(server.overlay.inodeCount).toBe(1);
  });

  test('the end of the mount finds it open', () => {
    const { server } = opened();
    server.close();
    expect(server.overlay.inodeCount).toBe(1);
  });

  test('a name like libfuse’s hidden ones is a name, for a file that nobody has open', () => {
    const { ask } = scene({ f: 'content', d: {} });
    ask(names.rename, '/f', `/${HIDDEN}`);
    expect((ask(directories.readdir, '/') as string[]).toSorted()).toEqual(['.', '..', HIDDEN, 'd']); // in no order
    expect(stat({ ask }, `/${HIDDEN}`)).toMatchObject({ nlink: 1, size: 7 });
    ask(names.unlink, `/${HIDDEN}`);
    expect(codeOf(() => ask(attributes.getattr, `/${HIDDEN}`))).toBe('ENOENT');
  });
});

test('an open file is followed through renames of it and of its directory', () => {
  const { server, ask } = scene({ a: { b: { f: 'x' } } });
  const handle = ask(files.open, '/a/b/f', O_RDWR) as number;
  ask(names.rename, '/a/b', '/c');
  ask(names.rename, '/c/f', '/g');
  expect(files.write.run(server, '/g', handle, lent('yz'), 2, 0, 0).result).toBe(2);
  expect(stat({ ask }, '/g').size).toBe(2);
  expect(codeOf(() => ask(attributes.getattr, '/a/b/f'))).toBe('ENOENT');
  expect(codeOf(() => ask(attributes.getattr, '/g/f'))).toBe('ENOTDIR');
});

test('hard links are one inode by every name', () => {
  const { ask } = scene({ f: 'x', d: {} });
  ask(names.link, '/f', '/d/g');
  ask(files.truncate, '/d/g', 5, 0);
  expect(stat({ ask }, '/f')).toEqual(stat({ ask }, '/d/g'));
  expect(stat({ ask }, '/f')).toMatchObject({ nlink: 2, size: 5 });
});

test('what is made belongs to the process that serves', () => {
  const { server, ask } = scene();
  ask(names.mkdir, '/d', 0o1750);
  const handle = ask(files.create, '/d/f', 0o100640);
  expect(handle).toBe(0);
  for (const path of ['/d', '/d/f']) {
    const { uid, gid } = server.paths.entry(path).attributes;
    expect({ uid, gid }).toEqual(server.owner);
  }
  expect([stat({ ask }, '/d').mode, stat({ ask }, '/d/f').mode]).toEqual([0o041750, 0o100640]);
});

test('names that fuse-native has lost the bytes of make nothing', () => {
  const { ask } = scene({ f: 'x' });
  for (const name of ['\uFFFD', 'a\uDC80'])
    for (const attempt of [
      () => ask(names.mkdir, `/${name}`, 0o755),
      () => ask(files.create, `/${name}`, 0o644),
      () => ask(names.symlink, 'target', `/${name}`),
      () => ask(names.symlink, name, '/l'),
      () => ask(names.rename, '/f', `/${name}`),
      () => ask(names.link, '/f', `/${name}`),
    ])
      expect(codeOf(attempt)).toBe('EILSEQ');
  expect(ask(directories.readdir, '/')).toEqual(['.', '..', 'f']);
});

test('extended attributes: a length is told, a short buffer refused', () => {
  const { server, ask } = scene({ f: 'x' });
  ask(attributes.setxattr, '/f', 'user.a', lent('value'), 0, 0);
  expect(attributes.getxattr.run(server, '/f', 'user.a', lent(0)).result).toBe(5);
  const buffer = lent(8);
  expect(attributes.getxattr.run(server, '/f', 'user.a', buffer).result).toBe(5);
  expect(buffer.toString('latin1', 0, 5)).toBe('value');
  expect(codeOf(() => ask(attributes.getxattr, '/f', 'user.a', lent(4)))).toBe('ERANGE');
  expect(codeOf(() => ask(attributes.listxattr, '/f', lent(6)))).toBe('ERANGE');
  expect(attributes.listxattr.run(server, '/f', lent(7)).result).toBe('user.a\0'.length);
  expect(codeOf(() => ask(attributes.setxattr, '/f', 'user.a', lent('x'), 0, 1))).toBe('EEXIST');
  expect(codeOf(() => ask(attributes.setxattr, '/f', 'user.b', lent('x'), 0, 2))).toBe('ENODATA');
  expect(codeOf(() => ask(attributes.setxattr, '/f', 'user.b', lent('x'), 0, 3))).toBe('EINVAL');
});

test('times pass as milliseconds, and before 1970 too', () => {
  const { server, ask } = scene({ f: 'x' });
  const split = (ms: number) => [ms >>> 0, Math.floor(ms / 2 ** 32) >>> 0];
  ask(attributes.utimens, '/f', ...split(1_700_000_000_123), ...split(-1_500));
  expect(server.paths.entry('/f').attributes).toMatchObject({
    atimeSec: 1_700_000_000,
    atimeNsec: 123_000_000,
    mtimeSec: -2,
    mtimeNsec: 500_000_000,
  });
  const words = ask(attributes.getattr, '/f') as Uint32Array;
  expect(join64(words[12] as number, words[13] as number)).toBe(1_700_000_000_123);
  expect(join64(words[14] as number, words[15] as number)).toBe(0); // the addon has no sign for it
});

test('what is too great for 32 bits is made to fit', () => {
  const inos = new InodeNumbers();
  const great = [2 ** 31, 2 ** 44 + 7, 2 ** 32 + 7, 7];
  const shown = great.map((ino) => inos.of(ino));
  expect(new Set(shown).size).toBe(4);
  expect(shown.every((ino) => ino < 2 ** 32)).toBe(true);
  expect(great.map((ino) => inos.of(ino))).toEqual(shown);
  expect(shown[3]).toBe(7);

  const [bsize, frsize, blocks, bfree] = statfsOf({
    bsize: 4096,
    blocks: 2 ** 34,
    bfree: 2 ** 33,
    bavail: 2 ** 33,
    files: 2 ** 40,
    ffree: 1,
    namelen: 255,
  });
  expect([bsize, frsize, blocks, bfree]).toEqual([32768, 32768, 2 ** 31, 2 ** 30]);
});

test('a size of more than 4 GiB', () => {
  const { server, ask } = scene({ f: 'x' });
  ask(files.truncate, '/f', 1, 1);
  expect(server.paths.entry('/f').attributes.size).toBe(2 ** 32 + 1);
  const words = ask(attributes.getattr, '/f') as Uint32Array;
  expect([words[3], words[4]]).toEqual([1, 1]);
});

test('failures are this system’s numbers; what is none is EIO, and told', () => {
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  expect(resultOf(new FsError('ENOTEMPTY'), 'rmdir', log)).toBe(process.platform === 'linux' ? -39 : -66);
  expect(lines).toEqual([]);
  expect(resultOf(new TypeError('ours'), 'rmdir', log)).toBe(-5);
  expect(lines[0]).toMatch(/^rmdir failed: TypeError: ours/);
});

test('reading needs no copy, and a handle that is closed is none', () => {
  const { server, ask } = scene({ f: 'x' });
  const handle = ask(files.open, '/f', O_RDONLY) as number;
  expect(codeOf(() => files.write.run(server, '/f', handle, lent('y'), 1, 0, 0))).toBe('EBADF');
  ask(files.release, '/f', handle);
  expect(codeOf(() => files.read.run(server, '/f', handle, lent(1), 1, 0, 0))).toBe('EBADF');
});

describe('the options that libfuse gets', () => {
  const request = (change: Partial<AttachRequest>): AttachRequest => ({
    mountpoint: '/merged',
    fsname: 'ovl',
    subtype: 'ovl',
    flags: [],
    allow: 'owner',
    labels: [],
    ...change,
  });
  const options = (change: Partial<AttachRequest>, timeout?: number): string[] =>
    libfuseOptions(request(change), { timeout, owner: undefined, nfsExport: false, noOpen: false })
      .slice('-o'.length)
      .split(/(?<!\\),/);

  test('attributes are kept where nothing changes, or as long as asked', () => {
    expect(options({})).toContain('attr_timeout=0');
    expect(options({}, 3)).toEqual(expect.arrayContaining(['attr_timeout=3', 'entry_timeout=3', 'negative_timeout=3']));
    expect(options({ flags: ['ro'] })).toEqual(expect.arrayContaining(['ro', 'kernel_cache']));
    expect(options({ flags: ['ro'] })).not.toContain('attr_timeout=0');
  });

  test('a name with commas and backslashes stays one option', () => {
    expect(options({ fsname: String.raw`a,b\c` })).toContain(String.raw`fsname=a\,b\\c`);
  });

  test.each<[string, Partial<AttachRequest>, RegExp]>([
    ['others in a writable mount', { allow: 'other' }, /no allow_other, unless read-only/],
    ['what libfuse2 does not know', { flags: ['nosymfollow'] }, /no nosymfollow/],
    ['a name that would be cut', { fsname: 'x'.repeat(1100) }, /the mount options exceed 1,023 bytes/],
    ['a path that would be cut', { mountpoint: `/${'x'.repeat(1023)}` }, /the mountpoint exceed/],
  ])('refused: %s', (_, change, message) => {
    expect(() =>
      libfuseOptions(request(change), { timeout: undefined, owner: undefined, nfsExport: false, noOpen: false }),
    ).toThrow(message);
  });

  test('refused: root beside the owner', () => {
    const served = { timeout: undefined, owner: undefined, nfsExport: false, noOpen: false };
    const readOnly = request({ flags: ['ro'] });
    expect(() => libfuseOptions(readOnly, { ...served, owner: 0 })).toThrow(/no allow_root/);
    expect(() => libfuseOptions(readOnly, { ...served, nfsExport: true })).toThrow(/no nfs_export/);
    expect(() => libfuseOptions(readOnly, { ...served, noOpen: true })).toThrow(/no no_open/);
  });

  test('words about access times are not passed on', () => {
    expect(options({ flags: ['relatime', 'noatime'] })).not.toContain('relatime');
    expect(options({ flags: ['relatime', 'noatime'] })).toContain('noatime');
  });

  test('others may read a read-only mount', () => {
    expect(options({ allow: 'other', flags: ['ro'] })).toContain('allow_other');
  });
});
