// Small files that are copied before they are asked for: whatever becomes of a guess, a copy is what the file is when it is
// asked for, and nothing is left of what nobody asked for.
import { mkdirSync, readFileSync, readdirSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { type Found, type Layer, Overlay, type SyncFs, runSync, syncFs } from '@ovl/core';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { Beside, type BesideTask, besideMemory, runBeside } from '../src/beside.js';
import { hostLayer } from '../src/host-layer.js';
import { type HostUpperLayer, hostUpper } from '../src/host-upper.js';
import { temporary } from './host-support.js';

// The machine's own file system may be one without a journal.
vi.mock('../src/write-order.js', () => ({ writeOrderOf: () => 'journal' }));

const FILES = 40;

interface World {
  fs: SyncFs;
  /** In the order of the merged view. */
  names: string[];
  lower: string;
  below: Layer<'sync'>;
  upper: HostUpperLayer;
  copies: string;
  staged(): string[];
  /** Files that the other thread was told of. */
  told: string[];
  /** Has the other thread do what it was told, where it does not at once. */
  run(): void;
  close(): void;
}

function world(how: 'at once' | 'when told' = 'at once', copyAhead: 'on' | 'off' = 'on'): World {
  const base = temporary();
  const [lower, copies, work] = ['lower', 'upper', 'work'].map((name) => `${base}/${name}`) as [string, string, string];
  for (const path of [lower, `${lower}/d`, copies, work]) mkdirSync(path);
  for (let i = 0; i < FILES; i++) {
    writeFileSync(`${lower}/d/f${i}`, `content ${i}`, { mode: 0o644 });
    utimesSync(`${lower}/d/f${i}`, 1000 + i, 2000 + i);
  }
  const memory = besideMemory();
  const told: string[] = [];
  let tasks: BesideTask[] = [];
  const run = (): void => {
    const now = tasks;
    tasks = [];
    for (const task of now) runBeside(memory, task, () => {});
  };
  const beside = new Beside(memory, (task) => {
    if (task.kind === 'stage') told.push(...task.files.map(({ source }) => source));
    tasks.push(task);
    if (how === 'at once') run();
  });
  const upper = hostUpper({ upper: copies, work, beside, copyAhead });
  const below = hostLayer(lower);
  const overlay = runSync(Overlay.open<'sync'>({ lower: [below], upper }));
  let isOpen = true;
  const close = (): void => {
    if (isOpen) runSync(overlay.close());
    isOpen = false;
  };
  onTestFinished(close);
  const fs = syncFs(overlay);
  const names = fs.readdirSync('/d') as string[];
  const staged = (): string[] =>
    readdirSync(`${work}/work`).filter((name) => statSync(`${work}/work/${name}`).isFile());
  return { fs, names, lower, below, upper, copies, staged, told, run, close };
}

/** What the copies must be, of files of which only the mode was changed. */
function check({ copies, lower }: World, names: readonly string[], mode: number): void {
  for (const name of names) {
    const found = statSync(`${copies}/d/${name}`);
    const below = statSync(`${lower}/d/${name}`);
    expect(found.mode & 0o7777, name).toBe(mode);
    expect([found.uid, found.gid, found.size, found.mtimeMs]).toEqual([
      below.uid,
      below.gid,
      below.size,
      below.mtimeMs,
    ]);
    expect(readFileSync(`${copies}/d/${name}`).equals(readFileSync(`${lower}/d/${name}`)), name).toBe(true);
  }
}

test.each(['as listed', 'by name'])('files that are changed %s are copied before, and as they are', (order) => {
  const all = world();
  const names = order === 'by name' ? all.names.toSorted() : all.names;
  for (const name of names) all.fs.chmodSync(`/d/${name}`, 0o600);
  check(all, names, 0o600);
  expect(all.told.length).toBeGreaterThan(FILES - 8);
  expect(new Set(all.told).size).toBe(all.told.length);
  expect(all.staged()).toEqual([]);
  all.close();
  expect(all.staged()).toEqual([]);
});

test('other modes, and others than before', () => {
  const all = world();
  for (const [i, name] of all.names.entries()) all.fs.chmodSync(`/d/${name}`, [0o4755, 0o400, 0o640][i % 3] as number);
  for (const [i, name] of all.names.entries()) check(all, [name], [0o4755, 0o400, 0o640][i % 3] as number);
});

test('in any other order nothing is done', () => {
  const all = world();
  const sorted = all.names.toSorted();
  const left = new Set(all.names);
  const names: string[] = [];
  while (left.size > 0) {
    const last = names.at(-1) ?? '';
    const expected = [all.names, sorted].map((order) => order[order.indexOf(last) + 1]);
    const next = [...left].findLast((name) => !expected.includes(name)) ?? ([...left][0] as string);
    left.delete(next);
    names.push(next);
  }
  for (const name of names) all.fs.chmodSync(`/d/${name}`, 0o600);
  check(all, names, 0o600);
  expect(all.told).toEqual([]);
});

test('what was copied up before is passed over', () => {
  const all = world();
  const before = [12, 20, 21].map((i) => all.names[i] as string);
  for (const name of before) all.fs.chmodSync(`/d/${name}`, 0o640);
  for (const name of all.names) all.fs.chmodSync(`/d/${name}`, 0o600);
  check(all, all.names, 0o600);
  expect(all.told.length).toBeGreaterThan(FILES / 2);
  all.close();
  expect(all.staged()).toEqual([]);
});

test('what nobody asks for goes: when it is dropped, with another directory, at the end', () => {
  const all = world();
  for (const name of all.names.slice(0, 6)) all.fs.chmodSync(`/d/${name}`, 0o600);
  expect(all.staged().length).toBeGreaterThan(8);
  expect(all.upper.ahead?.isEmpty).toBe(false);
  all.upper.ahead?.drop();
  expect(all.upper.ahead?.isEmpty).toBe(true);
  expect(all.staged()).toEqual([]);
  for (const name of all.names.slice(6)) all.fs.chmodSync(`/d/${name}`, 0o600);
  check(all, all.names, 0o600);
});

test('at the end nothing is left, whatever the other thread has not begun', () => {
  const all = world('when told');
  for (const name of all.names.slice(0, 6)) all.fs.chmodSync(`/d/${name}`, 0o600);
  expect(all.told.length).toBeGreaterThan(8);
  all.close();
  all.run();
  expect(all.staged()).toEqual([]);
});

test('what the other thread has not begun is copied as ever, and by nobody else', () => {
  const all = world('when told');
  for (const name of all.names.slice(0, 20)) all.fs.chmodSync(`/d/${name}`, 0o600);
  all.run();
  for (const name of all.names.slice(20)) all.fs.chmodSync(`/d/${name}`, 0o600);
  check(all, all.names, 0o600);
  all.close();
  all.run();
  expect(all.staged()).toEqual([]);
});

test.each([
  ['of the same length', 'CONTENT'],
  ['longer', 'something much longer'],
  ['shorter', 's'],
  ['empty', ''],
])('a file that was changed below meanwhile is copied as it is now: %s', (_, content) => {
  const all = world();
  const [first, then] = [all.names.slice(0, 5), all.names.slice(5)];
  for (const name of first) all.fs.chmodSync(`/d/${name}`, 0o600);
  const changed = all.told[6] as string;
  writeFileSync(
    `${all.lower}/d/${changed}`,
    content.padEnd(content === 'CONTENT' ? `content ${changed.slice(1)}`.length : 0),
  );
  for (const name of then) all.fs.chmodSync(`/d/${name}`, 0o600);
  check(all, all.names, 0o600);
});

test('a file that is opened to be written anew is empty', () => {
  const all = world();
  for (const name of all.names.slice(0, 5)) all.fs.chmodSync(`/d/${name}`, 0o600);
  const next = all.names[5] as string;
  expect(all.told).toContain(next);
  all.fs.writeFileSync(`/d/${next}`, 'new');
  expect(readFileSync(`${all.copies}/d/${next}`, 'utf8')).toBe('new');
  const after = all.names[6] as string;
  all.fs.truncateSync(`/d/${after}`, 3);
  expect(readFileSync(`${all.copies}/d/${after}`, 'utf8')).toBe('con');
});

describe('a staged file that has its data already', () => {
  function staged(): World & { file: Found; source: Found } {
    const all = world();
    for (const name of all.names.slice(0, 5)) all.fs.chmodSync(`/d/${name}`, 0o600);
    const next = all.names[5] as string;
    expect(all.told).toContain(next);
    const lookup = vi.spyOn(all.below, 'lookup');
    all.fs.statSync(`/d/${next}`);
    const source = lookup.mock.results.at(-1)?.value as Found; // the overlay's own node, which the guess is about
    const { uid, gid } = source.attributes;
    const file = all.upper.stage({ mode: 0o100600, uid, gid }, source.node);
    expect(file.attributes.size).toBe(source.attributes.size);
    return { ...all, file, source };
  }

  test('is filled once, whoever opened it', () => {
    const { below, upper, file, source } = staged();
    upper.discard(upper.stage({ mode: 0o100600, uid: 0, gid: 0 }).node); // so that it is not the file made last
    const from = below.open(source.node);
    const to = upper.openWritable(file.node);
    expect(upper.copyData?.(from, to, source.attributes.size)).toBe(true);
    upper.setattr(file.node, { mode: 0o640 });
    expect(upper.getattr(file.node).size).toBe(source.attributes.size);
    to.close();
    from.close();
    upper.discard(file.node);
  });

  test('is empty for who opens it a second time, before anything was copied', () => {
    const { upper, file } = staged();
    const first = upper.openWritable(file.node);
    const second = upper.openWritable(file.node);
    expect(upper.getattr(file.node).size).toBe(0);
    second.write(new TextEncoder().encode('written'), 0);
    upper.setattr(file.node, { mode: 0o640 });
    expect(upper.getattr(file.node).size).toBe(7);
    first.close();
    second.close();
    upper.discard(file.node);
  });

  test('is empty for who has it copied beside', () => {
    const { below, upper, file, source } = staged();
    const from = below.open(source.node);
    const to = upper.openWritable(file.node);
    expect(upper.copiesBeside?.(from, to)).toBe(true);
    expect(upper.getattr(file.node).size).toBe(0);
    to.close();
    from.close();
    upper.discard(file.node);
  });
});

test('a guess that fails fails nothing else', () => {
  const all = world('when told');
  for (const name of all.names.slice(0, 5)) all.fs.chmodSync(`/d/${name}`, 0o600);
  const gone = all.told[4] as string;
  unlinkSync(`${all.lower}/d/${gone}`); // which only a broken setup does
  all.run();
  for (const name of all.names.slice(5).filter((name) => name !== gone)) all.fs.chmodSync(`/d/${name}`, 0o600);
  check(
    all,
    all.names.filter((name) => name !== gone),
    0o600,
  );
});

test('without being asked to, nothing is copied ahead', () => {
  const all = world('at once', 'off');
  for (const name of all.names) all.fs.chmodSync(`/d/${name}`, 0o600);
  expect(all.told).toEqual([]);
  expect(all.upper.ahead).toBeUndefined();
});
