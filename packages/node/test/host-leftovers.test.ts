// Directories that a change leaves in the work directory: out of view at once, emptied later, whoever ends in between.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Overlay, runSync, syncFs } from '@ovl/core';
import { expect, onTestFinished, test } from 'vitest';
import { hostLayer } from '../src/host-layer.js';
import { type HostUpperLayer, hostUpper } from '../src/host-upper.js';
import type { Leftovers } from '../src/leftovers.js';
import { isRoot, temporary } from './host-support.js';

interface Bench {
  fs: ReturnType<typeof syncFs>;
  upper: HostUpperLayer;
  leftovers: Leftovers;
  work: string;
  dir: string;
  close(): void;
}

/** An overlay over `dirs` directories of `files` files. */
function bench(dirs: number, files: number): Bench {
  const base = temporary();
  for (const name of ['lower', 'upper', 'work']) mkdirSync(join(base, name));
  for (let d = 0; d < dirs; d++) {
    mkdirSync(join(base, 'lower', `d${d}`));
    for (let f = 0; f < files; f++) writeFileSync(join(base, 'lower', `d${d}`, `f${f}`), '');
  }
  const upper = hostUpper({ upper: join(base, 'upper'), work: join(base, 'work') });
  const leftovers = upper.clearLater?.() as Leftovers;
  const overlay = runSync(Overlay.open({ lower: [hostLayer(join(base, 'lower'))], upper }));
  let closed = false;
  const close = (): void => {
    if (!closed) runSync(overlay.close());
    closed = true;
  };
  onTestFinished(close);
  return { fs: syncFs(overlay), upper, leftovers, work: join(base, 'work/work'), dir: join(base, 'upper'), close };
}

function removeTree({ fs }: Bench, dir: string): void {
  for (const name of fs.readdirSync(dir) as string[]) fs.unlinkSync(`${dir}/${name}`);
  fs.rmdirSync(dir);
}

const directoriesIn = (path: string): string[] =>
  readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));

test('a directory of whiteouts is out of view at once, and emptied step by step', () => {
  const at = bench(2, 5);
  removeTree(at, '/d0');
  expect(at.fs.readdirSync('/')).toEqual(['d1']);
  expect(directoriesIn(at.dir)).toEqual([]);
  const [left] = directoriesIn(at.work) as [string];
  expect(readdirSync(join(at.work, left))).toHaveLength(5);
  expect(at.leftovers.isPending).toBe(true);
  at.leftovers.step();
  expect(readdirSync(join(at.work, left)).length).toBeLessThan(5);
  at.fs.mkdirSync('/d0'); // the name is free again, whatever is still to be done
  at.fs.writeFileSync('/d0/new', 'x');
  at.leftovers.finish();
  expect(at.leftovers.isPending).toBe(false);
  expect(directoriesIn(at.work)).toEqual([]);
  expect(at.fs.readdirSync('/d0')).toEqual(['new']);
});

test('closing the upper empties the rest', () => {
  const at = bench(3, 4);
  for (const dir of ['/d0', '/d1', '/d2']) removeTree(at, dir);
  at.leftovers.step();
  expect(directoriesIn(at.work)).toHaveLength(3);
  at.close();
  expect(readdirSync(at.work)).toEqual([]);
});

test('no more than 64 wait', () => {
  const at = bench(70, 1);
  for (let d = 0; d < 70; d++) removeTree(at, `/d${d}`);
  expect(directoriesIn(at.work)).toHaveLength(64);
});

test('what cannot be emptied stays, and stops nobody', (ctx) => {
  if (!isRoot) ctx.skip('needs root');
  const at = bench(2, 2);
  for (const dir of ['/d0', '/d1']) removeTree(at, dir);
  const [left] = directoriesIn(at.work) as [string];
  const mounted = join(at.work, left);
  execFileSync('mount', ['-t', 'tmpfs', 'none', mounted]);
  try {
    writeFileSync(join(mounted, 'kept'), '');
    at.leftovers.finish();
    expect(readdirSync(mounted)).toEqual(['kept']);
    expect(directoriesIn(at.work)).toEqual([left]);
  } finally {
    execFileSync('umount', [mounted]);
  }
});
