// Directories made ready before they are asked for: what a walk is told is what is there, whatever was changed in between.
import { memoryLayer } from '@ovl/core';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { seedOfRun } from '../../../test/support/seed.js';
import { Opcode } from '../src/fuse/protocol.js';
import { attrOf, Client, join, type PlusEntry, text, words32, words64 } from './fuse-support.js';

const ROOT = 1;
const SIZE = 32 * 1024;

/** d0 … d5, each with six files and three directories of two files. */
function tree(): Record<string, unknown> {
  const files = (count: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, `file ${i}`]));
  const inner = (): Record<string, unknown> => ({ ...files(6), a: files(2), b: files(2), c: files(2) });
  return Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`d${i}`, inner()]));
}

const newClient = (): Client => new Client(tree() as ConstructorParameters<typeof Client>[0]);

function idle({ server: { readAhead } }: Client, steps = Infinity): void {
  for (let i = 0; i < steps && readAhead?.isPending === true; i++) readAhead.step();
}

/** Lists a directory and compares with what the same questions, asked one by one, are answered. */
function listed(client: Client, nodeid: number, size = SIZE): PlusEntry[] {
  const entries = client.readdirplus(nodeid, 0, size).filter(({ name }) => !name.startsWith('.'));
  for (const entry of entries) {
    expect(client.lookup(nodeid, entry.name), entry.name).toBe(entry.nodeid);
    expect(entry.attr).toEqual(attrOf(client.content(Opcode.getattr, entry.nodeid, Buffer.alloc(16)), 16));
  }
  return entries;
}

test('in a walk, all but the first directories are ready when they are asked for', () => {
  const client = newClient();
  const { lookup } = client.overlay;
  let looked = 0;
  client.overlay.lookup = (...args) => {
    looked++;
    return lookup.apply(client.overlay, args);
  };
  const found: number[] = [];
  const walk = (nodeid: number): void => {
    looked = 0;
    const entries = client.readdirplus(nodeid, 0, SIZE);
    found.push(looked);
    idle(client);
    for (const entry of entries) if (entry.type === 4 && !entry.name.startsWith('.')) walk(entry.nodeid);
  };
  walk(ROOT);
  expect(found).toHaveLength(1 + 6 * 4);
  expect(found.slice(0, 3).every((count) => count > 0)).toBe(true);
  expect(found.slice(4).filter((count) => count > 0)).toEqual([]);
});

test('a walk in the order of names is recognised', () => {
  const names = Array.from({ length: 20 }, (_, i) => `d${String((i * 7) % 20).padStart(2, '0')}`);
  const client = new Client(Object.fromEntries(names.map((name) => [name, { f: 'x' }])));
  const entries = listed(client, ROOT).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const before = client.server.nodes.size;
  const ready: boolean[] = [];
  let size = before;
  for (const { nodeid } of entries) {
    client.readdirplus(nodeid, 0, SIZE);
    ready.push(client.server.nodes.size === size);
    idle(client);
    ({ size } = client.server.nodes);
  }
  expect(ready.slice(8)).toEqual(ready.slice(8).map(() => true));
});

test('what was made ready for nobody is forgotten', () => {
  const client = newClient();
  const entries = listed(client, ROOT);
  const order = ['d0', 'd1', 'd2', 'd3', 'd5'].map((name) => entries.find((entry) => entry.name === name) as PlusEntry);
  const counts: number[] = [];
  for (const { nodeid } of order) {
    for (const entry of client.readdirplus(nodeid, 0, SIZE)) if (entry.nodeid !== 0) client.forget(entry.nodeid, 1);
    idle(client);
    counts.push(client.server.nodes.size);
  }
  idle(client);
  client.readdirplus(ROOT, 0, SIZE); // no guess comes true
  client.server.readAhead?.drop();
  expect(client.server.nodes.size).toBe(1 + 6);
});

type Step =
  | { kind: 'list'; dir: number; size: number }
  | { kind: 'idle'; steps: number }
  | { kind: 'chmod' | 'unlink' | 'make' | 'write'; dir: number; file: number }
  | { kind: 'rename'; dir: number; to: number };

const dir = fc.nat(5);
const script: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('list' as const), dir, size: fc.constantFrom(SIZE, 4096) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('idle' as const), steps: fc.nat(6) }) },
    fc.record({ kind: fc.constantFrom('chmod', 'unlink', 'make', 'write'), dir, file: fc.nat(7) }),
    fc.record({ kind: fc.constant('rename' as const), dir, to: dir }),
  ),
  { maxLength: 40 },
) as fc.Arbitrary<Step[]>;

function perform(client: Client, dirs: number[], step: Step): void {
  if (step.kind === 'idle') return idle(client, step.steps);
  const nodeid = dirs[step.dir] as number;
  if (step.kind === 'list') return void listed(client, nodeid, step.size);
  if (step.kind === 'rename') {
    const argument = join(words64(ROOT), words32(2, 0), text(`d${step.dir}`), text(`d${step.to}`));
    client.request(Opcode.rename2, ROOT, argument); // an exchange: everything goes on under another name
    return;
  }
  const name = `f${step.file}`;
  if (step.kind === 'unlink') return void client.request(Opcode.unlink, nodeid, text(name));
  if (step.kind === 'make')
    return void client.request(Opcode.mknod, nodeid, join(words32(0o100600, 0, 0, 0), text(name)));
  const file = client.lookup(nodeid, name);
  if (file === 0) return;
  if (step.kind === 'chmod') {
    const argument = Buffer.alloc(88);
    argument.writeUInt32LE(1, 0);
    argument.writeUInt32LE(0o640, 68);
    client.content(Opcode.setattr, file, argument);
  } else client.write(file, client.open(file, 1), 0, 'longer than it was before');
}

test('walks among changes', () => {
  const property = fc.property(script, (steps) => {
    const client = newClient();
    const dirs = Array.from({ length: 6 }, (_, i) => client.lookup(ROOT, `d${i}`));
    for (const nodeid of dirs.slice(0, 3)) listed(client, nodeid);
    for (const step of steps) {
      perform(client, dirs, step);
      listed(client, dirs[0] as number);
      listed(client, dirs[1] as number);
      idle(client, 2);
    }
    for (const nodeid of dirs) {
      idle(client);
      listed(client, nodeid);
    }
  });
  fc.assert(property, { numRuns: 60, seed: seedOfRun() });
});

test('without an upper, too', () => {
  const client = new Client(memoryLayer({ from: tree() as Record<string, string> }), 'none');
  for (const { nodeid } of listed(client, ROOT)) {
    expect(listed(client, nodeid)).toHaveLength(9);
    idle(client);
  }
});
