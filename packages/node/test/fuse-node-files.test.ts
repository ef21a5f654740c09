// A kernel that opens files without asking: requests name nodes, and the server decides what stays open.
import { errnoOf, memoryLayer } from '@ovl/core';
import { expect, test } from 'vitest';
import { NodeFiles } from '../src/fuse/node-files.js';
import { ENTRY_BYTES, Opcode } from '../src/fuse/protocol.js';
import { Client, join, nodeidOf, text, words32, words64 } from './fuse-support.js';

const ROOT = 1;
const LIMIT = 2;
const O_TMPFILE = 0o20200000;

function unasked(lower: Record<string, string>): Client {
  const client = new Client(lower, memoryLayer());
  client.server.nodes.files = new NodeFiles(client.overlay, LIMIT);
  return client;
}

const openFiles = (client: Client): number => client.server.nodes.files?.size ?? -1;

test('OPEN and CREATE are declined, and a new file comes by MKNOD', () => {
  const client = unasked({ f: 'x' });
  const declined = -errnoOf('ENOSYS');
  expect(client.request(Opcode.open, client.lookup(ROOT, 'f'), words32(0, 0)).error).toBe(declined);
  expect(client.request(Opcode.create, ROOT, join(words32(0, 0o644, 0, 0), text('n'))).error).toBe(declined);
  expect(client.lookup(ROOT, 'n')).toBe(0);
  const made = nodeidOf(client.content(Opcode.mknod, ROOT, join(words32(0o100444, 0, 0, 0), text('n'))));
  expect(client.write(made, 0, 0, 'new')).toBe(3);
  expect(client.read(made, 0, 0, 10)).toBe('new');
});

test('a lower file is copied up by its first write, and read from the copy', () => {
  const client = unasked({ f: 'lower' });
  const f = client.lookup(ROOT, 'f');
  expect(client.read(f, 0, 0, 10)).toBe('lower');
  expect(client.server.nodes.get(f).upper).toBeUndefined();
  expect(client.write(f, 0, 0, 'LO')).toBe(2);
  expect(client.server.nodes.get(f).upper).toBeDefined();
  expect(client.read(f, 0, 0, 10)).toBe('LOwer');
  expect(openFiles(client)).toBe(1);
});

test('the files used last stay open, and what is forgotten does not', () => {
  const names = ['a', 'b', 'c', 'd'];
  const client = unasked(Object.fromEntries(names.map((name) => [name, name])));
  const ids = names.map((name) => client.lookup(ROOT, name));
  for (let round = 0; round < 3; round++) {
    for (const [i, id] of ids.entries()) expect(client.read(id, 0, 0, 10)).toBe(names[i]);
    expect(openFiles(client)).toBe(LIMIT);
  }
  for (const id of ids) client.forget(id, 1);
  expect(openFiles(client)).toBe(0);
  expect(client.overlay.inodeCount).toBe(1);
});

test('without a name, and closed meanwhile, a file is read and written until it is forgotten', () => {
  const client = unasked({ lower: 'lower', other: 'o', third: 't' });
  const made = nodeidOf(client.content(Opcode.mknod, ROOT, join(words32(0o100644, 0, 0, 0), text('upper'))));
  client.write(made, 0, 0, 'upper');
  const lower = client.lookup(ROOT, 'lower');
  for (const name of ['lower', 'upper']) client.content(Opcode.unlink, ROOT, text(name));
  const others = ['other', 'third'].map((name) => client.lookup(ROOT, name));
  const useOthers = () => others.forEach((id) => client.read(id, 0, 0, 1)); // until nothing else is open
  useOthers();
  expect(client.read(lower, 0, 0, 10)).toBe('lower');
  expect(client.read(made, 0, 0, 10)).toBe('upper');
  useOthers();
  expect(client.write(lower, 0, 5, '!')).toBe(1);
  expect(client.write(made, 0, 5, '!')).toBe(1);
  useOthers();
  expect(client.read(lower, 0, 0, 10)).toBe('lower!');
  expect(client.read(made, 0, 0, 10)).toBe('upper!');
  for (const id of [lower, made]) client.forget(id, 1);
  expect(client.server.nodes.size).toBe(3);
});

test('copy_file_range goes by the two nodes, which may be one', () => {
  const client = unasked({ from: '0123456789', to: 'abc' });
  const from = client.lookup(ROOT, 'from');
  const to = client.lookup(ROOT, 'to');
  const copy = (source: number, at: number, target: number, targetAt: number, length: number): number =>
    client
      .content(Opcode.copyFileRange, source, join(words64(0, at, target, 0, targetAt, length), words64(0)))
      .readUInt32LE(0);
  expect(client.read(to, 0, 0, 1)).toBe('a'); // open for reading only
  expect(copy(from, 2, to, 1, 3)).toBe(3);
  expect(client.read(to, 0, 0, 10)).toBe('a234');
  expect(copy(from, 0, from, 8, 4)).toBe(4);
  expect(client.read(from, 0, 0, 20)).toBe('012345670123');
});

test('a file without a name from the start: nothing to release', () => {
  const client = unasked({});
  const reply = client.content(Opcode.tmpfile, ROOT, join(words32(O_TMPFILE | 2, 0o600, 0, 0), text('')));
  expect(Number(reply.readBigUInt64LE(ENTRY_BYTES))).toBe(0);
  const made = nodeidOf(reply);
  expect(client.write(made, 0, 0, 'data')).toBe(4);
  client.content(Opcode.release, made, words64(0, 0, 0));
  expect(client.read(made, 0, 0, 10)).toBe('data');
  client.content(Opcode.fsync, made, join(words64(0), words32(0, 0)));
  client.content(Opcode.link, ROOT, join(words64(made), text('named')));
  expect(client.lookup(ROOT, 'named')).toBe(made);
});
