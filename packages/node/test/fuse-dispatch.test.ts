// What the kernel asks and what it gets, over memory layers: lookups counted, listings, sizes of attributes, failures.
import { errnoOf, FsError, memoryLayer, S_IFDIR, S_IFREG } from '@ovl/core';
import { describe, expect, test } from 'vitest';
import { ENTRY_BYTES, Opcode, REPLY_BYTES } from '../src/fuse/protocol.js';
import { direntBytes } from '../src/fuse/wire.js';
import { attrOf, Client, join, nodeidOf, readArgument, text, words32, words64 } from './fuse-support.js';

const ROOT = 1;
const O_RDWR = 2;
const O_TRUNC = 0o1000;

function manyFiles(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`file${i}`, `content ${i}`]));
}

test('what is looked up is held until it is forgotten as often', () => {
  const client = new Client({ d: { f: 'x' } });
  const d = client.lookup(ROOT, 'd');
  const f = client.lookup(d, 'f');
  expect(client.lookup(d, 'f')).toBe(f);
  expect(client.server.nodes.size).toBe(3);
  client.forget(f, 1);
  expect(client.server.nodes.size).toBe(3);
  client.forget(f, 1);
  client.forget(d, 1);
  expect(client.server.nodes.size).toBe(1);
  expect(client.overlay.inodeCount).toBe(1);
  expect(client.request(Opcode.getattr, f, words32(0, 0, 0, 0)).error).toBe(-errnoOf('ESTALE'));
});

test('memory does not grow with files visited and dropped', () => {
  const client = new Client(manyFiles(200));
  for (let round = 0; round < 5; round++) {
    const ids = Array.from({ length: 200 }, (_, i) => client.lookup(ROOT, `file${i}`));
    expect(client.server.nodes.size).toBe(201);
    const pairs = ids.map((id) => words64(id, 1));
    expect(client.request(Opcode.batchForget, 0, join(words32(ids.length, 0), ...pairs)).content).toBeUndefined();
    expect(client.server.nodes.size).toBe(1);
    expect(client.overlay.inodeCount).toBe(1);
  }
});

test('the root is never forgotten', () => {
  const client = new Client({ f: 'x' });
  client.forget(ROOT, 1000);
  expect(client.lookup(ROOT, 'f')).toBeGreaterThan(ROOT);
});

test('an absent name is an entry without a node, or ENOENT where nothing may be kept', () => {
  const client = new Client({});
  expect(client.lookup(ROOT, 'none')).toBe(0);
  const uncached = new Client({}, memoryLayer(), { timeout: 0 });
  expect(uncached.request(Opcode.lookup, ROOT, text('none')).error).toBe(-errnoOf('ENOENT'));
});

test('readdirplus lists "." and "..", then entries, each counted as a lookup', () => {
  const client = new Client({ d: { f: 'x', s: {} } });
  const d = client.lookup(ROOT, 'd');
  const entries = client.readdirplus(d, 0, 4096);
  expect(entries.map(({ name }) => name).toSorted()).toEqual(['.', '..', 'f', 's']);
  expect(entries.slice(0, 2).map(({ nodeid }) => nodeid)).toEqual([0, 0]);
  expect(entries.slice(0, 2).map(({ ino }) => ino)).toEqual([d, ROOT].map((id) => client.server.nodes.get(id).ino));
  expect(client.server.nodes.size).toBe(4);
  for (const { nodeid } of entries.slice(2)) client.forget(nodeid, 1);
  expect(client.server.nodes.size).toBe(2);
  expect(client.readdirplus(d, entries[2]?.offset as number, 4096).map(({ name }) => name)).toEqual([entries[3]?.name]);
  expect(client.readdirplus(d, entries[3]?.offset as number, 4096)).toEqual([]);
});

test('readdir lists the same names with the numbers that stat shows, and holds nothing', () => {
  const client = new Client({ f: 'x', s: {} });
  const content = client.content(Opcode.readdir, ROOT, readArgument(0, 0, 4096));
  const names: [string, bigint][] = [];
  for (let at = 0; at < content.length; ) {
    const length = content.readUInt32LE(at + 16);
    names.push([content.toString('utf8', at + 24, at + 24 + length), content.readBigUInt64LE(at)]);
    at += direntBytes(length);
  }
  expect(client.server.nodes.size).toBe(1);
  expect(client.overlay.inodeCount).toBe(1);
  expect(names.map(([name]) => name).toSorted()).toEqual(['.', '..', 'f', 's']);
  for (const [name, ino] of names.slice(2)) {
    expect(BigInt(client.server.nodes.get(client.lookup(ROOT, name)).ino)).toBe(ino);
  }
});

test('entries that do not fit are not counted, and come next', () => {
  const client = new Client(manyFiles(50));
  const size = ENTRY_BYTES + direntBytes('file00'.length);
  const seen: string[] = [];
  let counted = 1;
  for (let offset = 0; ; ) {
    const entries = client.readdirplus(ROOT, offset, 5 * size - 1);
    if (entries.length === 0) break;
    seen.push(...entries.map(({ name }) => name));
    counted += entries.filter(({ nodeid }) => nodeid !== 0).length;
    expect(client.server.nodes.size).toBe(counted);
    offset = entries.at(-1)?.offset as number;
  }
  expect(seen.toSorted()).toEqual(['.', '..', ...Object.keys(manyFiles(50))].toSorted());
});

test('offsets stay valid while entries are removed; a rewind reads the directory anew', () => {
  const client = new Client(manyFiles(20));
  const size = ENTRY_BYTES + direntBytes('file00'.length);
  const first = client.readdirplus(ROOT, 0, 8 * size);
  for (const { name } of first.slice(2)) client.request(Opcode.unlink, ROOT, text(name));
  const rest = client.readdirplus(ROOT, first.at(-1)?.offset as number, 1 << 20);
  expect(first.length + rest.length).toBe(22);
  expect(client.readdirplus(ROOT, 0, 1 << 20).map(({ name }) => name)).toHaveLength(22 - (first.length - 2));
});

test('an entry that vanished is not listed', () => {
  const client = new Client({ a: 'x', b: 'y' });
  client.readdirplus(ROOT, 0, 2 * (ENTRY_BYTES + direntBytes(2)));
  client.request(Opcode.unlink, ROOT, text('b'));
  const entries = client.readdirplus(ROOT, 2, 4096);
  expect(entries.map(({ name }) => name)).toEqual(['a']);
});

test('one entry whose lookup fails does not end the listing', () => {
  const lower = memoryLayer({ from: { a: 'x', bad: 'y', c: 'z' } });
  const lookup = lower.lookup.bind(lower);
  lower.lookup = (dir, name) => {
    if (name === 'bad') throw new FsError('EIO');
    return lookup(dir, name);
  };
  const client = new Client(lower);
  const entries = client.readdirplus(ROOT, 0, 4096);
  expect(entries.map(({ name }) => name).toSorted()).toEqual(['.', '..', 'a', 'bad', 'c']);
  expect(entries.find(({ name }) => name === 'bad')?.nodeid).toBe(0);
  expect(client.request(Opcode.lookup, ROOT, text('bad')).error).toBe(-errnoOf('EIO'));
});

test('new objects belong to the caller', () => {
  const client = new Client({});
  const caller = { uid: 1000, gid: 100 };
  const dir = client.content(Opcode.mkdir, ROOT, join(words32(0o755, 0o22), text('d')), caller);
  expect(attrOf(dir, 40)).toMatchObject({ mode: S_IFDIR | 0o755, uid: 1000, gid: 100 });
  const link = client.content(Opcode.symlink, ROOT, join(text('l'), text('the target')), caller);
  expect(client.content(Opcode.readlink, nodeidOf(link), Buffer.alloc(0)).toString()).toBe('the target');
  const node = client.content(Opcode.mknod, ROOT, join(words32(S_IFREG | 0o600, 0, 0, 0), text('n')), caller);
  expect(attrOf(node, 40)).toMatchObject({ mode: S_IFREG | 0o600, uid: 1000 });
});

test('create opens what it made; write, read, truncate by open, release', () => {
  const client = new Client({});
  const made = client.content(Opcode.create, ROOT, join(words32(O_RDWR, 0o644, 0, 0), text('f')));
  const nodeid = nodeidOf(made);
  const handle = Number(made.readBigUInt64LE(ENTRY_BYTES));
  expect(client.write(nodeid, handle, 0, 'hello world')).toBe(11);
  expect(client.read(nodeid, handle, 6, 100)).toBe('world');
  client.request(Opcode.release, nodeid, join(words64(handle), words32(0, 0), words64(0)));
  expect(client.server.files.size).toBe(0);
  const again = client.open(nodeid, O_RDWR | O_TRUNC);
  expect(client.read(nodeid, again, 0, 100)).toBe('');
  expect(client.request(Opcode.read, nodeid, readArgument(99, 0, 10)).error).toBe(-errnoOf('EBADF'));
});

test('create of a name that another client made opens that, unless O_EXCL', () => {
  const client = new Client({ f: 'there' });
  const made = client.content(Opcode.create, ROOT, join(words32(O_RDWR, 0o644, 0, 0), text('f')));
  expect(client.read(nodeidOf(made), Number(made.readBigUInt64LE(ENTRY_BYTES)), 0, 100)).toBe('there');
  const exclusive = client.request(Opcode.create, ROOT, join(words32(O_RDWR | 0o200, 0o644, 0, 0), text('f')));
  expect(exclusive.error).toBe(-errnoOf('EEXIST'));
});

test('set-id bits go with a write that asks for it, and with a change of owner', () => {
  const client = new Client({ f: 'x' });
  const f = client.lookup(ROOT, 'f');
  const setattr = (valid: number, mode: number, uid = 0): Buffer => {
    const argument = Buffer.alloc(88);
    argument.writeUInt32LE(valid, 0);
    argument.writeUInt32LE(mode, 68);
    argument.writeUInt32LE(uid, 76);
    return client.content(Opcode.setattr, f, argument);
  };
  expect(attrOf(setattr(1, 0o6755), 16).mode).toBe(S_IFREG | 0o6755);
  const handle = client.open(f, O_RDWR);
  client.write(f, handle, 0, 'y');
  expect(attrOf(client.content(Opcode.getattr, f, Buffer.alloc(16)), 16).mode).toBe(S_IFREG | 0o6755);
  client.write(f, handle, 0, 'z', undefined, 1 << 2);
  expect(attrOf(client.content(Opcode.getattr, f, Buffer.alloc(16)), 16).mode).toBe(S_IFREG | 0o755);
  setattr(1, 0o4755);
  expect(attrOf(setattr(2, 0, 1000), 16)).toMatchObject({ mode: S_IFREG | 0o755, uid: 1000 });
});

test('extended attributes: sizes asked for, too small a buffer, conditions', () => {
  const client = new Client({ f: 'x' });
  const f = client.lookup(ROOT, 'f');
  const set = (value: string, flags = 0): number =>
    client.request(Opcode.setxattr, f, join(words32(value.length, flags), text('user.a'), Buffer.from(value))).error;
  const get = (name: string, size: number): Buffer | number => {
    const { error, content } = client.request(Opcode.getxattr, f, join(words32(size, 0), text(name)));
    return content ?? error;
  };
  expect(set('value', 2)).toBe(-errnoOf('ENODATA'));
  expect(set('value', 1)).toBe(0);
  expect(set('value', 1)).toBe(-errnoOf('EEXIST'));
  expect(get('user.a', 0)).toEqual(words32(5, 0));
  expect(get('user.a', 5)).toEqual(Buffer.from('value'));
  expect(get('user.a', 4)).toBe(-errnoOf('ERANGE'));
  expect(get('user.b', 100)).toBe(-errnoOf('ENODATA'));
  expect(client.content(Opcode.listxattr, f, words32(0, 0))).toEqual(words32(7, 0));
  expect(client.content(Opcode.listxattr, f, words32(7, 0)).toString()).toBe('user.a\0');
  expect(client.request(Opcode.listxattr, f, words32(6, 0)).error).toBe(-errnoOf('ERANGE'));
  expect(client.request(Opcode.removexattr, f, text('user.a')).error).toBe(0);
  expect(client.content(Opcode.listxattr, f, words32(100, 0))).toHaveLength(0);
});

test('rename and its flags', () => {
  const client = new Client({ a: 'A', b: 'B' });
  const rename2 = (from: string, to: string, flags: number): number =>
    client.request(Opcode.rename2, ROOT, join(words64(ROOT), words32(flags, 0), text(from), text(to))).error;
  expect(rename2('a', 'b', 1)).toBe(-errnoOf('EEXIST'));
  expect(rename2('a', 'b', 2)).toBe(0);
  expect(rename2('a', 'c', 1 | 2)).toBe(-errnoOf('EINVAL'));
  const a = client.lookup(ROOT, 'a');
  expect(client.read(a, client.open(a, 0), 0, 10)).toBe('B');
  expect(client.request(Opcode.rename, ROOT, join(words64(ROOT), text('a'), text('b'))).error).toBe(0);
  expect(client.lookup(ROOT, 'a')).toBe(0);
  expect(rename2('b', 'a', 4)).toBe(0);
  expect(client.lookup(ROOT, 'b')).toBe(0);
  expect(rename2('a', 'b', 1 | 4)).toBe(0);
  expect(rename2('b', 'a', 2 | 4)).toBe(-errnoOf('EINVAL'));
});

test('a file without a name, and its name', () => {
  const client = new Client({});
  const reply = client.content(Opcode.tmpfile, ROOT, join(words32(O_RDWR, 0o640, 0, 0), text('/')), { uid: 7, gid: 8 });
  const nodeid = nodeidOf(reply);
  expect(attrOf(reply, 40)).toMatchObject({ mode: 0o100640, uid: 7, gid: 8 });
  expect(reply.readUInt32LE(40 + 64)).toBe(0); // the link count
  client.write(nodeid, Number(reply.readBigUInt64LE(ENTRY_BYTES)), 0, 'abc');
  const linked = client.content(Opcode.link, ROOT, join(words64(nodeid), text('name')));
  expect(nodeidOf(linked)).toBe(nodeid);
  expect(client.read(client.lookup(ROOT, 'name'), client.open(nodeid, 0), 0, 9)).toBe('abc');
});

describe('POSIX ACLs', () => {
  const NAME = text('system.posix_acl_access');
  const get = (client: Client, nodeid: number): number =>
    client.request(Opcode.getxattr, nodeid, join(words32(100, 0), NAME)).error;

  test('without them the attributes are neither stored nor shown', () => {
    const client = new Client({ f: '' }, memoryLayer(), { acl: 'off' });
    const f = client.lookup(ROOT, 'f');
    const set = client.request(Opcode.setxattr, f, join(words32(1, 0), NAME, Buffer.from('v')));
    expect([set.error, get(client, f)]).toEqual([-errnoOf('EOPNOTSUPP'), -errnoOf('EOPNOTSUPP')]);
    const made = client.content(Opcode.mkdir, ROOT, join(words32(0o755, 0o077), text('d')));
    expect(attrOf(made, 40).mode).toBe(0o040755); // the kernel has masked it
  });

  test('somebody outside the group loses the set-group-id bit where the kernel says so', () => {
    const client = new Client({ f: '' }, memoryLayer());
    client.server.longSetxattr = true;
    const f = client.lookup(ROOT, 'f');
    const mode = (): number => attrOf(client.content(Opcode.getattr, f, Buffer.alloc(16)), 16).mode;
    const chmod = Buffer.alloc(88);
    chmod.writeUInt32LE(1, 0); // FATTR_MODE
    chmod.writeUInt32LE(0o2775, 68);
    client.content(Opcode.setattr, f, chmod);
    const set = (flags: number): number =>
      client.request(Opcode.setxattr, f, join(words32(1, 0, flags, 0), NAME, Buffer.from('v'))).error;
    expect([set(0), mode(), set(1), mode(), get(client, f)]).toEqual([0, 0o102775, 0, 0o100775, 0]);
  });
});

test('what we have no answer for: ENOSYS, ENOTTY, or silence', () => {
  const client = new Client({});
  for (const opcode of [34, 25, 52, 40, 31, 999]) {
    expect(client.request(opcode, ROOT, Buffer.alloc(64)).error, `opcode ${opcode}`).toBe(-errnoOf('ENOSYS'));
  }
  expect(client.request(Opcode.ioctl, ROOT, Buffer.alloc(32)).error).toBe(-errnoOf('ENOTTY'));
  expect(client.request(Opcode.interrupt, ROOT, Buffer.alloc(8))).toEqual({ error: 0, content: undefined });
});

test('a failure of ours is EIO, is logged, and the next request is answered', () => {
  const lines: string[] = [];
  const lower = memoryLayer({ from: { f: 'x' } });
  const client = new Client(lower, memoryLayer(), { log: (line) => lines.push(line) });
  const f = client.lookup(ROOT, 'f');
  const { getattr } = lower;
  lower.getattr = () => {
    throw new TypeError('a bug');
  };
  expect(client.request(Opcode.getattr, f, Buffer.alloc(16)).error).toBe(-errnoOf('EIO'));
  expect(lines.join('\n')).toContain('a bug');
  lower.getattr = getattr;
  expect(client.request(Opcode.getattr, f, Buffer.alloc(16)).error).toBe(0);
});

test('a read-only overlay says EROFS', () => {
  const client = new Client({ f: 'x' }, 'none');
  expect(client.request(Opcode.unlink, ROOT, text('f')).error).toBe(-errnoOf('EROFS'));
});

test('data is read in place, right after the header', () => {
  const client = new Client({ f: 'abcdef' });
  const f = client.lookup(ROOT, 'f');
  const handle = client.open(f, 0);
  client.read(f, handle, 2, 4096);
  const { output } = client.server.wire;
  expect(output.subarray(REPLY_BYTES, REPLY_BYTES + 4).toString()).toBe('cdef');
});
