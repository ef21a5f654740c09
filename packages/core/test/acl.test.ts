// What a new object inherits of its directory's default ACL; the tables are answers of ext4.
import {
  ACL_ACCESS,
  ACL_DEFAULT,
  inheritAcl,
  listxattr,
  maskAcl,
  memoryLayer,
  Overlay,
  removexattr,
  runSync,
  setxattr,
} from '@ovl/core';
import { describe, expect, it } from 'vitest';

const tags = { user: 0x01, u: 0x02, group: 0x04, g: 0x08, mask: 0x10, other: 0x20 };

/** An ACL from entries such as "user:7", "u1000:6". */
function acl(...entries: string[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 + 8 * entries.length));
  view.setUint32(0, 2, true);
  entries.forEach((entry, i) => {
    const [, tag, id, permission] = /^([a-z]+)(\d*):(\d)$/.exec(entry) as unknown as [
      string,
      keyof typeof tags,
      string,
      string,
    ];
    view.setUint16(4 + 8 * i, tags[tag], true);
    view.setUint16(6 + 8 * i, Number(permission), true);
    view.setUint32(8 + 8 * i, id === '' ? 0xffffffff : Number(id), true);
  });
  return new Uint8Array(view.buffer);
}

const MINIMAL = acl('user:7', 'group:5', 'other:0');
const NAMED = acl('user:7', 'u1000:7', 'group:5', 'mask:7', 'other:5');

describe('maskAcl', () => {
  it('an ACL that says no more than the mode leaves a file the mode', () => {
    expect(maskAcl(MINIMAL, 0o100666)).toEqual({ mode: 0o100640, acls: [] });
  });

  it('a directory passes it on whole', () => {
    expect(maskAcl(MINIMAL, 0o040777)).toEqual({ mode: 0o040750, acls: [[ACL_DEFAULT, MINIMAL]] });
    const access = acl('user:7', 'u1000:7', 'group:5', 'mask:5', 'other:5');
    expect(maskAcl(NAMED, 0o042755)).toEqual({
      mode: 0o042755,
      acls: [
        [ACL_ACCESS, access],
        [ACL_DEFAULT, NAMED],
      ],
    });
  });

  it('where there is a mask, it stands for the mode of the group', () => {
    const access = acl('user:6', 'u1000:7', 'group:5', 'mask:4', 'other:0');
    expect(maskAcl(NAMED, 0o104640)).toEqual({ mode: 0o104640, acls: [[ACL_ACCESS, access]] });
  });

  it('does not change what it is given', () => {
    const before = NAMED.slice();
    maskAcl(NAMED, 0o100000);
    expect(NAMED).toEqual(before);
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['half an entry', NAMED.subarray(0, NAMED.length - 4)],
    ['another version', Uint8Array.from([1, ...NAMED.subarray(1)])],
    ['no group', acl('user:7', 'other:0')],
    ['an unknown tag', Uint8Array.from([...NAMED.subarray(0, 4), 0x40, ...NAMED.subarray(5)])],
  ])('EIO for %s', (_what, bytes) => {
    expect(() => maskAcl(bytes, 0o100644)).toThrow(expect.objectContaining({ code: 'EIO' }));
  });
});

describe('an overlay with ACLs', () => {
  const lower = memoryLayer({ from: { d: { gone: 'x' }, plain: {} } });
  lower.setxattr(lower.lookup(lower.root, 'd')?.node as object, ACL_DEFAULT, NAMED);
  const make = (dir: string, name: string, mode: number): { mode: number; acls: string[] } => {
    const overlay = runSync(Overlay.open<'sync'>({ lower: [lower], upper: memoryLayer(), acl: inheritAcl }));
    const parent = runSync(overlay.lookup(overlay.root, dir))?.inode as typeof overlay.root;
    if (name === 'gone') runSync(overlay.unlink(parent, name));
    const { inode } = runSync(overlay.create(parent, name, { mode, umask: 0o027, uid: 0, gid: 0, target: 't' }));
    const { attributes } = runSync(overlay.lookup(parent, name)) as { attributes: { mode: number } };
    return {
      mode: attributes.mode,
      acls: runSync(overlay.perform(listxattr, inode)).filter((each) => each.startsWith('system.')),
    };
  };

  it('the umask counts where there is no default ACL', () => {
    expect(make('plain', 'f', 0o100666)).toEqual({ mode: 0o100640, acls: [] });
    expect(make('plain', 'd', 0o040777)).toEqual({ mode: 0o040750, acls: [] });
  });

  it.each(['new', 'gone'])('and the default ACL where there is one: %s', (name) => {
    expect(make('d', name, 0o100666)).toEqual({ mode: 0o100664, acls: [ACL_ACCESS] });
    expect(make('d', name, 0o040777)).toEqual({ mode: 0o040775, acls: [ACL_ACCESS, ACL_DEFAULT] });
    expect(make('d', name, 0o120777)).toEqual({ mode: 0o120777, acls: [] });
  });

  it('one that is set or removed counts from then on', () => {
    const overlay = runSync(Overlay.open<'sync'>({ lower: [lower], upper: memoryLayer(), acl: inheritAcl }));
    const parent = runSync(overlay.lookup(overlay.root, 'plain'))?.inode as typeof overlay.root;
    const modeOf = (name: string): number =>
      runSync(overlay.create(parent, name, { mode: 0o100666, umask: 0o077, uid: 0, gid: 0 })).attributes.mode;
    expect(modeOf('a')).toBe(0o100600);
    runSync(overlay.perform(setxattr, parent, ACL_DEFAULT, MINIMAL));
    expect(modeOf('b')).toBe(0o100640);
    runSync(overlay.perform(removexattr, parent, ACL_DEFAULT));
    expect(modeOf('c')).toBe(0o100600);
  });
});
