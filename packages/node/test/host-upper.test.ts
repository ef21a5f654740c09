// The writable side of a host layer: objects exactly as asked for, and objects that outlive their names.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import {
  type LayerNode,
  type NewObject,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
  makedev,
} from '@ovl/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { arrivesAsAsked } from '../src/host-create.js';
import { hostLayer } from '../src/host-layer.js';
import {
  codeOf,
  freshUpper,
  gid,
  isRoot,
  makeDir,
  makeFile,
  readAll,
  temporary,
  uid,
  writeAll,
} from './host-support.js';

const kinds: [string, NewObject][] = [
  ['file', { mode: S_IFREG | 0o640, uid, gid }],
  ['unreadable file', { mode: S_IFREG, uid, gid }],
  ['file for all', { mode: S_IFREG | 0o666, uid, gid }],
  ['set-user-ID file', { mode: S_IFREG | 0o4755, uid, gid }],
  ['set-group-ID file', { mode: S_IFREG | 0o2775, uid, gid }],
  ['directory for all', { mode: S_IFDIR | 0o777, uid, gid }],
  ['sticky directory', { mode: S_IFDIR | 0o1777, uid, gid }],
  ['set-group-ID directory', { mode: S_IFDIR | 0o2775, uid, gid }],
  ['set-user-ID directory', { mode: S_IFDIR | 0o4711, uid, gid }],
  ['link', { mode: S_IFLNK | 0o777, uid, gid, target: 'to/where\udcff' }],
  ['fifo', { mode: S_IFIFO | 0o622, uid, gid }],
  ['socket', { mode: S_IFSOCK | 0o755, uid, gid }],
];
const foreign: [string, NewObject][] = kinds.map(([name, object]) => [
  `${name} of others`,
  { ...object, uid: 1234, gid: 5678 },
]);
const devices: [string, NewObject][] = [
  ['character device', { mode: S_IFCHR | 0o620, uid, gid, rdev: makedev(5, 300) }],
  ['block device', { mode: S_IFBLK | 0o600, uid: 3, gid: 4, rdev: makedev(259, 70000) }],
];

describe.each([
  ['umask 022', 0o022],
  ['umask 0', 0],
  ['umask 077', 0o077],
])('%s', (_, mask) => {
  const withMask = (act: () => void): void => {
    const old = process.umask(mask);
    try {
      act();
    } finally {
      process.umask(old);
    }
  };

  test.each([...kinds, ...foreign, ...devices])('a %s is as asked, made in place and staged', (name, object) => {
    if (!isRoot && (object.uid !== uid || /device/.test(name))) return; // in their own test below
    withMask(() => {
      const { upper, dir, work } = freshUpper();
      for (const parentMode of [0o700, 0o2770]) {
        const parent = makeDir(upper, upper.root, `p${parentMode}`);
        chmodSync(`${dir}/p${parentMode}`, parentMode);
        if (isRoot) chownSync(`${dir}/p${parentMode}`, 0, 77);
        if (isRoot) chmodSync(`${dir}/p${parentMode}`, parentMode);
        const made = upper.create({ dir: parent, name: 'made' }, object);
        const staged = upper.stage(object);
        expect(upper.getattr(staged.node)).toEqual(staged.attributes);
        expect(readdirSync(`${dir}/p${parentMode}`)).toEqual(['made']);
        upper.commit({ kind: 'link', node: staged.node, to: { dir: parent, name: 'staged' }, over: 'nothing' });
        for (const which of ['made', 'staged']) {
          const stat = lstatSync(`${dir}/p${parentMode}/${which}`);
          expect([stat.mode, stat.uid, stat.gid]).toEqual([object.mode, object.uid, object.gid]);
          expect(stat.rdev).toBe(object.rdev ?? 0);
          const node = which === 'made' ? made.node : staged.node;
          expect(upper.getattr(node)).toEqual(upper.lookup(parent, which)?.attributes);
        }
        expect(made.attributes).toEqual(upper.getattr(made.node));
        if (object.target !== undefined) {
          expect(upper.readlink(made.node)).toBe(object.target);
          expect(readlinkSync(`${dir}/p${parentMode}/made`, 'buffer')).toEqual(Buffer.from('to/where\xff', 'latin1'));
        }
      }
      expect(readdirSync(work).length).toBeLessThanOrEqual(1); // the whiteout that others are links of
    });
  });
});

describe('create', () => {
  test('EEXIST at a name that is taken, on both ways', () => {
    const { upper, work } = freshUpper();
    makeFile(upper, upper.root, 'f');
    const before = readdirSync(work);
    for (const mode of [S_IFREG | 0o600, S_IFREG | 0o4600, S_IFDIR | 0o700, S_IFIFO | 0o600]) {
      expect(codeOf(() => upper.create({ dir: upper.root, name: 'f' }, { mode, uid, gid }))).toBe('EEXIST');
    }
    expect(readdirSync(work)).toEqual(before);
  });

  test('names of 255 bytes, of bytes that are no UTF-8, and no longer ones', () => {
    const { upper, dir } = freshUpper();
    makeFile(upper, upper.root, 'n'.repeat(255), 'long');
    makeFile(upper, upper.root, 'raw\udcff\udc80', 'raw');
    expect(readdirSync(dir, 'buffer').map((name) => name.toString('latin1'))).toContain('raw\xff\x80');
    expect(codeOf(() => makeFile(upper, upper.root, 'n'.repeat(256)))).toBe('ENAMETOOLONG');
    expect(codeOf(() => makeFile(upper, upper.root, '../out'))).toBe('EINVAL');
  });

  test('a default ACL of the parent does not change the mode', (ctx) => {
    const { upper, dir } = freshUpper();
    const parent = makeDir(upper, upper.root, 'p');
    try {
      execFileSync('setfacl', ['-d', '-m', 'u:1:rwx,g::r,o::-', `${dir}/p`], { stdio: 'ignore' });
    } catch {
      requireOrSkip(ctx, false, 'no setfacl, or no ACLs on this file system');
    }
    for (const mode of [S_IFREG | 0o666, S_IFDIR | 0o777]) {
      const { attributes } = upper.create({ dir: parent, name: `f${mode}` }, { mode, uid, gid });
      expect(attributes.mode).toBe(mode);
    }
  });

  test('whether the bare system call does', () => {
    const around = { uid: 1, gid: 2, setgid: false, defaultAcl: false, umask: 0o022 };
    const file = (mode: number, more = {}): boolean =>
      arrivesAsAsked({ mode: S_IFREG | mode, uid: 1, gid: 2 }, { ...around, ...more });
    const dir = (mode: number, more = {}): boolean =>
      arrivesAsAsked({ mode: S_IFDIR | mode, uid: 1, gid: 2 }, { ...around, ...more });
    expect([file(0o755), file(0o775), file(0o775, { umask: 0 }), file(0o4755), file(0o1755)]).toEqual([
      true,
      false,
      true,
      false,
      true,
    ]);
    expect([dir(0o1755), dir(0o2755), dir(0o2755, { setgid: true }), dir(0o755, { setgid: true })]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect([file(0o755, { uid: 9 }), file(0o755, { gid: 9 })]).toEqual([false, false]);
  });
});

describe('writing', () => {
  test('a new file may be written whatever its mode, once opened by its maker or by its owner', () => {
    const { upper, dir } = freshUpper();
    const { node } = upper.create({ dir: upper.root, name: 'ro' }, { mode: S_IFREG | 0o444, uid, gid });
    writeAll(upper, node, 'first');
    writeAll(upper, node, 'again');
    expect(readAll(upper, node)).toBe('again');
    expect(lstatSync(`${dir}/ro`).mode & 0o7777).toBe(0o444);
  });

  test('extends, punches, allocates, syncs', () => {
    const { upper, dir } = freshUpper();
    const node = makeFile(upper, upper.root, 'f');
    const file = upper.openWritable(node);
    expect(file.write(Buffer.alloc(8192, 'a'), 4096)).toBe(8192);
    file.allocate({ keepSize: true, punchHole: true, zeroRange: false }, 4096, 4096);
    file.allocate({ keepSize: true, punchHole: false, zeroRange: false }, 0, 1 << 20);
    file.fsync('data');
    file.fsync('all');
    file.close();
    upper.fsyncdir(upper.root);
    upper.sync();
    const content = readFileSync(`${dir}/f`);
    expect(content.length).toBe(12288);
    expect(content.subarray(0, 8192).every((byte) => byte === 0)).toBe(true);
    expect(content.subarray(8192).every((byte) => byte === 0x61)).toBe(true);
  });

  test.each([
    ['with holes', '1M', '3M'],
    ['that ends in a hole', '0', '2M'],
    ['that is all hole', undefined, '1M'],
  ])('copyData of a file %s', (_, seek, size) => {
    const base = temporary();
    mkdirSync(`${base}/lower`);
    writeFileSync(`${base}/lower/f`, '');
    if (seek !== undefined) {
      execFileSync(
        'dd',
        ['if=/dev/urandom', `of=${base}/lower/f`, 'bs=4k', 'count=10', `seek=${seek}`, 'oflag=seek_bytes'],
        {
          stdio: 'ignore',
        },
      );
    }
    execFileSync('truncate', ['-s', size, `${base}/lower/f`]);
    const { upper, dir } = freshUpper(base);
    const lower = hostLayer(`${base}/lower`);
    onTestFinished(() => lower.close?.());
    const found = lower.lookup(lower.root, 'f');
    const from = lower.open(found?.node as LayerNode);
    for (const length of [lstatSync(`${base}/lower/f`).size, 1_040_000]) {
      const node = makeFile(upper, upper.root, `copy${length}`);
      const to = upper.openWritable(node);
      expect(upper.copyData?.(from, to, length)).toBe(true);
      to.close();
      const expected = readFileSync(`${base}/lower/f`).subarray(0, length);
      expect(readFileSync(`${dir}/copy${length}`).equals(expected)).toBe(true);
      expect(upper.getattr(node).blocks).toBeLessThanOrEqual(200);
    }
    from.close();
  });

  test('copyData between file systems that cannot is false', (ctx) => {
    requireOrSkip(ctx, isRoot, 'mounting needs root');
    const { upper } = freshUpper();
    const lower = hostLayer('/proc');
    onTestFinished(() => lower.close?.());
    const from = lower.open(lower.lookup(lower.root, 'cpuinfo')?.node as LayerNode);
    const to = upper.openWritable(makeFile(upper, upper.root, 'f'));
    expect(upper.copyData?.(from, to, 10)).toBe(false);
    from.close();
    to.close();
  });
});

describe('setattr', () => {
  test('size, owner, mode and times at once, each as asked', () => {
    const { upper, dir } = freshUpper();
    const node = makeFile(upper, upper.root, 'f', 'some content');
    const change = {
      size: 4,
      uid,
      gid,
      mode: 0o4751,
      atime: { sec: -7, nsec: 5 },
      mtime: { sec: 5_000_000_000, nsec: 999_999_999 },
    };
    upper.setattr(node, change);
    expect(upper.getattr(node)).toMatchObject({
      size: 4,
      mode: S_IFREG | 0o4751,
      atimeSec: -7,
      atimeNsec: 5,
      mtimeSec: 5_000_000_000,
      mtimeNsec: 999_999_999,
    });
    upper.setattr(node, { atime: 'now' });
    expect(upper.getattr(node)).toMatchObject({ mtimeSec: 5_000_000_000 });
    expect(Math.abs(upper.getattr(node).atimeSec - Date.now() / 1000)).toBeLessThan(60);
    expect(readFileSync(`${dir}/f`, 'utf8')).toBe('some');
  });

  test('of a link is of the link itself, and its mode cannot change', () => {
    const { upper, dir } = freshUpper();
    makeFile(upper, upper.root, 'f');
    const { node } = upper.create({ dir: upper.root, name: 'l' }, { mode: S_IFLNK | 0o777, uid, gid, target: 'f' });
    upper.setattr(node, { mtime: { sec: 9, nsec: 0 } });
    expect(lstatSync(`${dir}/l`).mtimeMs).toBe(9000);
    expect(codeOf(() => upper.setattr(node, { mode: 0o600 }))).toBe('EOPNOTSUPP');
    expect(lstatSync(`${dir}/f`).mtimeMs).not.toBe(9000);
  });

  test('owner, and a new owner is inherited where a directory says so', (ctx) => {
    requireOrSkip(ctx, isRoot, 'chown needs root');
    const { upper, dir } = freshUpper();
    const parent = makeDir(upper, upper.root, 'p');
    makeFile(upper, parent, 'before'); // remembers that nothing is inherited
    upper.setattr(parent, { gid: 99, mode: 0o2775 });
    expect(lstatSync(`${dir}/p`).gid).toBe(99);
    makeFile(upper, parent, 'own');
    upper.create({ dir: parent, name: 'inherited' }, { mode: S_IFREG | 0o644, uid: 0, gid: 99 });
    expect([lstatSync(`${dir}/p/own`).gid, lstatSync(`${dir}/p/inherited`).gid]).toEqual([gid, 99]);
  });
});

describe('extended attributes', () => {
  test('conditions, long values, long lists, removal', () => {
    const { upper } = freshUpper();
    const node = makeFile(upper, upper.root, 'f');
    const value = Buffer.alloc(1500, 'v');
    upper.setxattr(node, 'user.long', value, 'create');
    expect(codeOf(() => upper.setxattr(node, 'user.long', value, 'create'))).toBe('EEXIST');
    expect(codeOf(() => upper.setxattr(node, 'user.none', value, 'replace'))).toBe('ENODATA');
    expect(upper.getxattr(node, 'user.long')).toEqual(new Uint8Array(value));
    upper.setxattr(node, 'user.empty', new Uint8Array(0));
    expect(upper.getxattr(node, 'user.empty')).toEqual(new Uint8Array(0));
    const names = ['user.long', 'user.empty'];
    for (let i = 0; i < 10; i++) {
      names.push(`user.${'n'.repeat(40)}${i}`);
      upper.setxattr(node, names.at(-1) as string, Buffer.from('x'));
    }
    expect(new Set(upper.listxattr(node).filter((name) => name.startsWith('user.')))).toEqual(new Set(names));
    upper.removexattr(node, 'user.long');
    expect(upper.getxattr(node, 'user.long')).toBeUndefined();
    expect(codeOf(() => upper.removexattr(node, 'user.long'))).toBe('ENODATA');
    expect(codeOf(() => upper.setxattr(node, 'user.x', new Uint8Array(65537)))).toBe('E2BIG');
  });

  test('links and fifos hold no user attributes, and say so by having none', () => {
    const { upper } = freshUpper();
    const { node } = upper.create({ dir: upper.root, name: 'l' }, { mode: S_IFLNK | 0o777, uid, gid, target: 'f' });
    expect(upper.getxattr(node, 'user.x')).toBeUndefined();
    expect(codeOf(() => upper.setxattr(node, 'user.x', Buffer.from('1')))).toBe('EPERM');
  });

  test('the prefix fits what the process may do', () => {
    const { upper } = freshUpper();
    expect(upper.xattrPrefix).toBe(isRoot ? 'trusted.overlay.' : 'user.overlay.');
    const node = makeDir(upper, upper.root, 'd');
    upper.setxattr(node, `${upper.xattrPrefix}opaque`, Buffer.from('y'));
    expect(upper.getxattr(node, `${upper.xattrPrefix}opaque`)).toEqual(new Uint8Array([0x79]));
    expect(upper.getxattr(upper.root, `${upper.xattrPrefix}opaque`)).toBeUndefined();
  });
});

describe('objects that outlive their names', () => {
  test('a file keeps everything', () => {
    const { upper } = freshUpper();
    const node = makeFile(upper, upper.root, 'f', 'content');
    upper.setxattr(node, 'user.x', Buffer.from('1'));
    const before = upper.getattr(node);
    upper.commit({ kind: 'unlink', from: { dir: upper.root, name: 'f' }, occupant: 'non-directory', keep: node });
    makeFile(upper, upper.root, 'f', 'another');
    expect(upper.getattr(node)).toMatchObject({ ino: before.ino, nlink: 0, size: 7 });
    expect(readAll(upper, node)).toBe('content');
    writeAll(upper, node, 'CON');
    expect(readAll(upper, node)).toBe('CONtent');
    upper.setattr(node, { size: 3, mode: 0o640, uid, gid, mtime: { sec: 5, nsec: 0 } });
    expect(upper.getattr(node)).toMatchObject({ size: 3, mode: S_IFREG | 0o640, mtimeSec: 5 });
    expect(upper.getxattr(node, 'user.x')).toEqual(new Uint8Array([0x31]));
    upper.setxattr(node, 'user.y', Buffer.from('2'));
    expect(upper.listxattr(node)).toContain('user.y');
    upper.removexattr(node, 'user.y');
    upper.release?.(node);
    expect(codeOf(() => upper.getattr(node))).toBe('ESTALE');
  });

  test('a link and a fifo', () => {
    const { upper } = freshUpper();
    const link = upper.create({ dir: upper.root, name: 'l' }, { mode: S_IFLNK | 0o777, uid, gid, target: 'to' }).node;
    const fifo = upper.create({ dir: upper.root, name: 'p' }, { mode: S_IFIFO | 0o600, uid, gid }).node;
    upper.commit({ kind: 'unlink', from: { dir: upper.root, name: 'l' }, occupant: 'non-directory', keep: link });
    upper.commit({ kind: 'unlink', from: { dir: upper.root, name: 'p' }, occupant: 'non-directory', keep: fifo });
    expect(upper.readlink(link)).toBe('to');
    upper.setattr(link, { mtime: { sec: 3, nsec: 0 } });
    upper.setattr(fifo, { mode: 0o644 });
    expect([upper.getattr(link).mtimeSec, upper.getattr(fifo).mode]).toEqual([3, S_IFIFO | 0o644]);
    expect(upper.listxattr(link)).toEqual([]);
  });

  test('a directory, of which nothing is left but itself', () => {
    const { upper } = freshUpper();
    const dir = makeDir(upper, upper.root, 'd');
    upper.readdir(dir);
    upper.commit({ kind: 'unlink', from: { dir: upper.root, name: 'd' }, occupant: 'directory', keep: dir });
    expect(upper.getattr(dir)).toMatchObject({ nlink: 0 });
    expect(upper.readdir(dir)).toEqual([]);
    expect(upper.lookup(dir, 'x')).toBeUndefined();
    expect(codeOf(() => makeFile(upper, dir, 'x'))).toBe('ENOENT');
    upper.setattr(dir, { mode: 0o711 });
    expect(upper.getattr(dir).mode).toBe(S_IFDIR | 0o711);
  });

  test('a file under a whiteout, one renamed over, one with other names; no descriptor is left over', () => {
    const { upper } = freshUpper();
    const descriptors = readdirSync('/proc/self/fd').length;
    const at = (name: string): { dir: LayerNode; name: string } => ({ dir: upper.root, name });
    const covered = makeFile(upper, upper.root, 'covered', 'covered');
    const whiteout = upper.stage({ mode: S_IFCHR, uid: 0, gid: 0, rdev: 0 });
    upper.commit({ kind: 'link', node: whiteout.node, to: at('covered'), over: 'non-directory', keep: covered });
    const replaced = makeFile(upper, upper.root, 'replaced', 'replaced');
    const moved = makeFile(upper, upper.root, 'moved', 'moved');
    upper.commit({
      kind: 'rename',
      node: moved,
      from: at('moved'),
      to: at('replaced'),
      over: 'non-directory',
      leave: 'nothing',
      keep: replaced,
    });
    const linked = makeFile(upper, upper.root, 'a', 'linked');
    upper.commit({ kind: 'link', node: linked, to: at('b'), over: 'nothing' });
    upper.commit({ kind: 'unlink', from: at('a'), occupant: 'non-directory', keep: linked });
    expect([covered, replaced, moved, linked].map((node) => readAll(upper, node))).toEqual([
      'covered',
      'replaced',
      'moved',
      'linked',
    ]);
    expect(upper.getattr(linked).nlink).toBe(1);
    upper.commit({ kind: 'link', node: linked, to: at('c'), over: 'nothing' });
    expect(upper.getattr(linked).nlink).toBe(2);
    for (const node of [covered, replaced, linked]) upper.release?.(node);
    expect(readdirSync('/proc/self/fd').length).toBe(descriptors);
  });

  test('a change that fails leaves the node as it was', () => {
    const { upper } = freshUpper();
    const dir = makeDir(upper, upper.root, 'd');
    const file = makeFile(upper, dir, 'f', 'here');
    expect(
      codeOf(() => upper.commit({ kind: 'unlink', from: { dir, name: 'g' }, occupant: 'non-directory', keep: file })),
    ).toBe('ENOENT');
    upper.commit({
      kind: 'rename',
      node: dir,
      from: { dir: upper.root, name: 'd' },
      to: { dir: upper.root, name: 'e' },
      over: 'nothing',
      leave: 'nothing',
    });
    expect(readAll(upper, file)).toBe('here');
  });
});

describe('staging', () => {
  test('whiteouts are names of one inode', () => {
    const { upper, dir } = freshUpper();
    for (const name of ['a', 'b', 'c']) {
      const { node, attributes } = upper.stage({ mode: S_IFCHR, uid: 7, gid: 7, rdev: 0 });
      expect([attributes.mode, attributes.rdev]).toEqual([S_IFCHR, 0]);
      upper.commit({ kind: 'link', node, to: { dir: upper.root, name }, over: 'nothing' });
    }
    upper.create({ dir: upper.root, name: 'd' }, { mode: S_IFCHR, uid: 7, gid: 7, rdev: 0 });
    const inodes = ['a', 'b', 'c', 'd'].map((name) => lstatSync(`${dir}/${name}`).ino);
    expect(new Set(inodes).size).toBe(1);
    expect(lstatSync(`${dir}/a`).nlink).toBe(5);
  });

  test('discard leaves nothing behind, of a directory with content neither', () => {
    const { upper, work } = freshUpper();
    const before = readdirSync(work);
    const file = upper.stage({ mode: S_IFREG | 0o600, uid, gid });
    const dir = upper.stage({ mode: S_IFDIR | 0o700, uid, gid });
    makeFile(upper, makeDir(upper, dir.node, 'sub'), 'f');
    expect(readdirSync(work).length).toBe(before.length + 2);
    upper.discard(file.node);
    upper.discard(dir.node);
    expect(readdirSync(work)).toEqual(before);
  });

  test('of what others own takes privilege', (ctx) => {
    if (isRoot) ctx.skip('root has the privilege');
    const { upper, work } = freshUpper();
    const before = readdirSync(work);
    const object = { mode: S_IFREG | 0o600, uid: 1, gid: 1 };
    const refusals = ['EPERM', 'EINVAL']; // the second for an owner that the user namespace does not know
    expect(refusals).toContain(codeOf(() => upper.stage(object)));
    expect(refusals).toContain(codeOf(() => upper.create({ dir: upper.root, name: 'f' }, object)));
    expect(upper.lookup(upper.root, 'f')).toBeUndefined();
    expect(readdirSync(work)).toEqual(before);
  });
});
