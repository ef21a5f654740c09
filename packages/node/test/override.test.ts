// Layers that keep owners, modes and types in an attribute: read through it, written with it, and whom it is believed.
import { chownSync, lstatSync, mkdirSync } from 'node:fs';
import {
  type Attributes,
  DT_CHR,
  encodeName,
  type Layer,
  makedev,
  MemoryObject,
  memoryLayer,
  Overlay,
  runSync,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFREG,
  syncFs,
} from '@ovl/core';
import { describe, expect, it } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { hostLayer } from '../src/host-layer.js';
import { hostUpper } from '../src/host-upper.js';
import { withOverride } from '../src/override-layer.js';
import { getxattr, setxattr } from '../src/syscalls.js';
import { codeOf, freshUpper, isRoot, readAll, temporary, writeAll } from './host-support.js';

const CONTAINERS = 'user.containers.override_stat';
const root = { uid: 0, gid: 0, mode: S_IFDIR | 0o755, rdev: 0 };
const override = { xattrPermissions: 2, root } as const;
const mapped = (text: string) => ({ [CONTAINERS]: encodeName(text) });

/** What `name` in the layer's root looks like. */
function look(layer: Layer<'sync'>, name: string): Attributes {
  const found = layer.lookup(layer.root, name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found.attributes;
}

describe('a lower layer', () => {
  const lower = memoryLayer({
    from: {
      f: new MemoryObject('content', { xattrs: mapped('1000:100:4711') }),
      tty: new MemoryObject('', { xattrs: mapped('0:5:620:char-5-0') }),
      plain: 'as it is',
    },
  });

  const directory = Object.assign(lower, { ignoreUuid: () => {} });

  it('is read as it is unless its root has the attribute', () => {
    expect(look(withOverride(directory), 'f')).toMatchObject({ uid: 0, mode: S_IFREG | 0o644 });
  });

  it('is read through it, types included, and copied up without it', () => {
    lower.setxattr(lower.root, CONTAINERS, encodeName('7:8:700:dir'));
    const upper = memoryLayer();
    const layer = withOverride(directory, 'all');
    expect(layer.getattr(layer.root)).toMatchObject({ uid: 7, gid: 8, mode: S_IFDIR | 0o700 });
    expect(look(layer, 'tty')).toMatchObject({ gid: 5, mode: S_IFCHR | 0o620, rdev: makedev(5, 0) });
    expect(look(layer, 'plain')).toMatchObject({ uid: 0, mode: S_IFREG | 0o644 });
    const overlay = runSync(Overlay.open<'sync'>({ lower: [layer], upper }));
    const types = new Map(runSync(overlay.readdir(overlay.root)).map(({ name, type }) => [name, type]));
    expect(types.get('tty')).toBe(DT_CHR);
    syncFs(overlay).appendFileSync('/f', '!');
    const { node, attributes } = upper.lookup(upper.root, 'f') as { node: object; attributes: Attributes };
    expect(attributes).toMatchObject({ uid: 1000, gid: 100, mode: S_IFREG | 0o4711, size: 8 });
    expect(upper.listxattr(node)).not.toContain(CONTAINERS);
  });
});

describe('an upper', () => {
  const objects = [
    ['file', { mode: S_IFREG | 0o4640, uid: 5, gid: 6 }],
    ['dir', { mode: S_IFDIR | 0o3550, uid: 5, gid: 6 }],
    ['fifo', { mode: S_IFIFO | 0o644, uid: 5, gid: 6 }],
    ['char', { mode: S_IFCHR | 0o600, uid: 5, gid: 6, rdev: makedev(1, 3) }],
    ['block', { mode: S_IFBLK | 0o660, uid: 5, gid: 6, rdev: makedev(259, 70_000) }],
  ] as const;

  it('keeps what this process could not give away as its own, without granting more than was asked', () => {
    const { upper, dir } = freshUpper(undefined, { override });
    for (const [name, object] of objects) {
      const { attributes } = upper.create({ dir: upper.root, name }, object);
      expect(attributes, name).toMatchObject(object);
      expect(look(upper, name), name).toMatchObject(object);
      const real = lstatSync(`${dir}/${name}`);
      expect(real.uid, name).toBe(process.getuid?.());
      expect(name === 'dir' ? real.isDirectory() : real.isFile(), name).toBe(true);
      expect(real.mode & 0o7777, name).toBe((object.mode & 0o777) | (name === 'dir' ? 0o700 : 0o600));
    }
  });

  it('is read again, as an upper without any option and as a lower', () => {
    const { upper, base, dir } = freshUpper(undefined, { override });
    for (const [name, object] of objects) upper.create({ dir: upper.root, name }, object);
    upper.close?.();
    const lower = hostLayer(dir);
    for (const [name, object] of objects) expect(look(lower, name), name).toMatchObject(object);
    lower.close?.();
    const again = hostUpper({ upper: dir, work: `${base}/workdir` });
    again.setattr(again.lookup(again.root, 'char')?.node as object, { uid: 9 });
    expect(look(again, 'char')).toMatchObject({ ...objects[3][1], uid: 9 });
    again.close?.();
    const seen = getxattr(-100, `${dir}/char`, CONTAINERS);
    expect(Buffer.from(seen as Uint8Array).toString()).toBe('9:6:600:char-1-3');
  });

  it('changes what is asked and takes set-id bits away with the owner', () => {
    const { upper, dir } = freshUpper(undefined, { override });
    const { node } = upper.create({ dir: upper.root, name: 'f' }, { mode: S_IFREG | 0o6755, uid: 1, gid: 2 });
    upper.setattr(node, { gid: 3 });
    expect(upper.getattr(node)).toMatchObject({ uid: 1, gid: 3, mode: S_IFREG | 0o755 });
    upper.setattr(node, { mode: 0o400 });
    expect(upper.getattr(node)).toMatchObject({ uid: 1, gid: 3, mode: S_IFREG | 0o400 });
    expect(lstatSync(`${dir}/f`).mode & 0o777).toBe(0o600);
    writeAll(upper, node, 'still written');
    expect(readAll(upper, node)).toBe('still written');
  });

  it('keeps file capabilities under another name, until the file is written', () => {
    const { upper, dir } = freshUpper(undefined, { override });
    const { node } = upper.create({ dir: upper.root, name: 'f' }, { mode: S_IFREG | 0o755, uid: 0, gid: 0 });
    const capability = Uint8Array.from({ length: 20 }, (_, i) => (i === 0 ? 1 : i === 3 ? 2 : 0));
    const set = () => upper.setxattr(node, 'security.capability', capability);
    const stored = () => getxattr(-100, `${dir}/f`, 'user.containers.override_security.capability');
    set();
    expect(upper.getxattr(node, 'security.capability')).toEqual(capability);
    expect(upper.listxattr(node)).toEqual(['security.capability']);
    expect(stored()).toEqual(capability);
    for (const change of [
      () => writeAll(upper, node, 'x'),
      () => upper.setattr(node, { size: 0 }),
      () => upper.setattr(node, { uid: 4 }),
    ]) {
      set();
      change();
      expect(stored()).toBeUndefined();
    }
    set();
    upper.setattr(node, { mode: 0o711 });
    expect(stored()).toEqual(capability);
  });

  it('hides the attribute, and keeps a user’s of the same name apart', () => {
    const { upper } = freshUpper(undefined, { override });
    const { node } = upper.create({ dir: upper.root, name: 'f' }, { mode: S_IFREG | 0o600, uid: 4, gid: 4 });
    expect(upper.getxattr(node, CONTAINERS)).toBeUndefined();
    upper.setxattr(node, CONTAINERS, encodeName('0:0:4777'));
    expect(upper.getattr(node)).toMatchObject({ uid: 4, mode: S_IFREG | 0o600 });
    expect(upper.listxattr(node)).toEqual([CONTAINERS]);
    const longest = `security.${'x'.repeat(240)}`;
    expect(codeOf(() => upper.setxattr(node, longest, encodeName('')))).toBe('ERANGE');
  });

  it('of an early fuse-overlayfs goes on with its attribute', () => {
    const base = temporary();
    mkdirSync(`${base}/upper`);
    setxattr(-100, `${base}/upper`, 'user.fuseoverlayfs.override_stat', encodeName('0:0:40711'));
    const { upper, dir } = freshUpper(base, { override });
    expect(upper.getattr(upper.root)).toMatchObject({ uid: 0, mode: S_IFDIR | 0o711 });
    const { node } = upper.create({ dir: upper.root, name: 'f' }, { mode: S_IFREG | 0o600, uid: 4, gid: 4 });
    expect(getxattr(-100, `${dir}/f`, CONTAINERS)).toBeUndefined();
    expect(codeOf(() => upper.setxattr(node, 'user.fuseoverlayfs.override_stat', encodeName('0:0:4777')))).toBe(
      'EPERM',
    );
  });

  it('gets a mark on its root, which a later reader needs', () => {
    const { dir } = freshUpper(undefined, { override });
    expect(Buffer.from(getxattr(-100, dir, CONTAINERS) as Uint8Array).toString()).toBe('0:0:755');
  });
});

describe('the machine’s administrator', () => {
  it('does not believe what somebody else marked, unless asked to', (ctx) => {
    requireOrSkip(ctx, isRoot, 'root, whose trust is tested');
    const { upper, dir } = freshUpper(undefined, { override });
    upper.create({ dir: upper.root, name: 'su' }, { mode: S_IFREG | 0o4755, uid: 0, gid: 0 });
    upper.close?.();
    chownSync(dir, 65534, 65534);
    chownSync(`${dir}/su`, 65534, 65534);
    const wary = hostLayer(dir);
    expect(look(wary, 'su')).toMatchObject({ uid: 65534, mode: S_IFREG | 0o755 });
    wary.close?.();
    const asked = hostLayer(dir, 'all');
    expect(look(asked, 'su')).toMatchObject({ uid: 0, mode: S_IFREG | 0o4755 });
    asked.close?.();
  });
});
