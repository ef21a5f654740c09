// Directories read in parts while they change: what stays is listed once, whatever comes and goes meanwhile.
import { memoryLayer, Overlay, Revalidation, runSync, syncFs } from '@ovl/core';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { seedOfRun } from '../../../test/support/seed.js';
import { ENTRY_BYTES, Opcode } from '../src/fuse/protocol.js';
import { direntBytes } from '../src/fuse/wire.js';
import { Client, join, text, words32, words64 } from './fuse-support.js';

const ROOT = 1;
const RENAME_EXCHANGE = 2;
const ENTRY = ENTRY_BYTES + direntBytes('n00'.length);

const names = Array.from({ length: 12 }, (_, i) => `n${String(i).padStart(2, '0')}`);
const READERS = 3;

type Step =
  | { kind: 'make' | 'remove' | 'make outside' | 'remove outside'; name: string }
  | { kind: 'rename' | 'exchange'; name: string; to: string }
  | { kind: 'read'; reader: number; entries: number }
  | { kind: 'rewind'; reader: number };

const name = fc.constantFrom(...names);
const reader = fc.nat(READERS - 1);
const steps = (makers: ('make' | 'remove' | 'make outside' | 'remove outside')[]): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      fc.record({ kind: fc.constantFrom(...makers), name }),
      fc.record({ kind: fc.constantFrom('rename' as const, 'exchange' as const), name, to: name }),
      {
        weight: 3,
        arbitrary: fc.record({ kind: fc.constant('read' as const), reader, entries: fc.integer({ min: 2, max: 5 }) }),
      },
      fc.record({ kind: fc.constant('rewind' as const), reader }),
    ),
    { maxLength: 60 },
  );

/** Who reads the directory from its start to its end, as the kernel asks on behalf of one open descriptor. */
class Reader {
  offset = 0;
  seen: string[] = [];
  /** What was there from the start on. */
  stayed = new Set<string>();

  constructor(readonly client: Client) {
    this.rewind();
  }

  rewind(): void {
    this.offset = 0;
    this.seen = [];
    this.stayed = new Set(names.filter((each) => this.client.lookup(ROOT, each) !== 0));
  }

  /** False at the end. */
  read(entries: number): boolean {
    const found = this.client.readdirplus(ROOT, this.offset, entries * ENTRY);
    this.seen.push(...found.map((entry) => entry.name).filter((each) => !each.startsWith('.')));
    this.offset = found.at(-1)?.offset ?? this.offset;
    return found.length > 0;
  }

  finish(): void {
    while (this.read(4));
    expect(
      this.seen.filter((each, i) => this.seen.indexOf(each) !== i),
      'listed twice',
    ).toEqual([]);
    expect(
      [...this.stayed].filter((each) => !this.seen.includes(each)),
      'left out',
    ).toEqual([]);
  }
}

function perform(client: Client, outside: ReturnType<typeof syncFs> | undefined, readers: Reader[], step: Step): void {
  if (step.kind === 'read') return void (readers[step.reader] as Reader).read(step.entries);
  if (step.kind === 'rewind') return (readers[step.reader] as Reader).rewind();
  const gone = (each: string): void => readers.forEach(({ stayed }) => stayed.delete(each));
  if (step.kind === 'make') client.request(Opcode.mknod, ROOT, join(words32(0o100644, 0, 0, 0), text(step.name)));
  else if (step.kind === 'remove') {
    if (client.request(Opcode.unlink, ROOT, text(step.name)).error === 0) gone(step.name);
  } else if (step.kind === 'make outside') outside?.writeFileSync(`/${step.name}`, 'outside');
  else if (step.kind === 'remove outside') {
    if (outside?.existsSync(`/${step.name}`) === true) outside.unlinkSync(`/${step.name}`);
    gone(step.name);
  } else if ('to' in step) {
    const flags = step.kind === 'exchange' ? RENAME_EXCHANGE : 0;
    const argument = join(words64(ROOT), words32(flags, 0), text(step.name), text(step.to));
    const { error } = client.request(Opcode.rename2, ROOT, argument);
    if (error === 0 && step.kind === 'rename' && step.name !== step.to) gone(step.name);
  }
}

const lower = (): Record<string, string> => Object.fromEntries(names.slice(0, 8).map((each) => [each, each]));

test('three readers and a directory that changes', () => {
  const property = fc.property(steps(['make', 'remove']), (script) => {
    const client = new Client(lower());
    const readers = Array.from({ length: READERS }, () => new Reader(client));
    for (const step of script) perform(client, undefined, readers, step);
    for (const each of readers) each.finish();
  });
  fc.assert(property, { numRuns: 150, seed: seedOfRun() });
});

test('the same where a layer below changes too, so that its names are read anew', () => {
  const property = fc.property(steps(['make', 'remove', 'make outside', 'remove outside']), (script) => {
    const layer = memoryLayer({ from: lower() });
    const outside = syncFs(runSync(Overlay.open<'sync'>({ lower: [memoryLayer()], upper: layer })));
    const client = new Client(layer, memoryLayer(), {}, { revalidation: new Revalidation() });
    const readers = Array.from({ length: READERS }, () => new Reader(client));
    for (const step of script) perform(client, outside, readers, step);
    for (const each of readers) each.finish();
  });
  fc.assert(property, { numRuns: 150, seed: seedOfRun() });
});

test('who makes a file for each one read comes to an end', () => {
  const client = new Client(lower());
  const seen: string[] = [];
  for (let offset = 0; ; ) {
    const [entry] = client.readdirplus(ROOT, offset, ENTRY);
    if (entry === undefined) break;
    ({ offset } = entry);
    seen.push(entry.name);
    const made = join(words32(0o100644, 0, 0, 0), text(`x${seen.length}`));
    expect(client.request(Opcode.mknod, ROOT, made).error).toBe(0);
  }
  expect(seen).toEqual(['.', '..', 'x2', 'x1', ...names.slice(0, 8)]); // what came before the first name is there
  expect(client.readdirplus(ROOT, 0, 1 << 20)).toHaveLength(2 + 8 + seen.length);
});

test('more directories at once than are kept, each read in parts', () => {
  const tree = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`d${i}`, lower()]));
  const client = new Client(tree);
  const dirs = Object.keys(tree).map((each) => ({ nodeid: client.lookup(ROOT, each), offset: 0, seen: 0 }));
  for (let more = true; more; ) {
    more = false;
    for (const dir of dirs) {
      const entries = client.readdirplus(dir.nodeid, dir.offset, 3 * ENTRY);
      dir.seen += entries.length;
      dir.offset = entries.at(-1)?.offset ?? dir.offset;
      more ||= entries.length > 0;
    }
    expect(client.server.listings.size).toBeLessThanOrEqual(16);
  }
  expect(dirs.map(({ seen }) => seen)).toEqual(dirs.map(() => 8 + 2));
  expect(client.server.listings.size).toBe(0);
});
