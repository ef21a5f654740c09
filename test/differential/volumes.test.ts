// Volumes beside the kernel's bind mounts: the same operations on a view over memory layers and on a directory with real
// mounts, each answer and all trees compared.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memoryLayer, type MemoryTree, overlay, type Overlay, runSync } from '@ovl/core';
import { volumes } from '@ovl/core/volumes';
import { createFs } from '@ovl/node';
import * as fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { seedOfRun } from '../support/seed.js';
import { actions, seen } from './volume-actions.mjs';

interface Operation {
  kind: string;
  path?: string;
  to?: string;
  text?: string;
  slot?: number;
  flags?: string;
  tree?: string;
  from?: string;
  readOnly?: boolean;
  lazy?: boolean;
}

const TREES: Record<string, MemoryTree> = {
  base: { a: 'file a', d: { a: 'in d', e: { b: 'deep' } }, e: {}, m: { hidden: 'covered' }, f: 'covered file' },
  one: { a: 'one a', d: { b: 'one b', e: {} } },
  two: { d: { a: 'two a', d: {} }, e: { b: 'two b' }, f: 'two f' },
  three: { a: 'read only', e: { f: 'file' } },
};

const name = fc.constantFrom('a', 'b', 'd', 'e', 'f', 'm');
const step = fc.oneof({ weight: 9, arbitrary: name }, { weight: 1, arbitrary: fc.constant('..') });
const path = fc
  .tuple(name, fc.array(step, { maxLength: 2 }))
  .map(([first, rest]) => `/${[first, ...rest].join('/')}`)
  .filter((each) => !/^\/\w+\/\.\.\/\.\./.test(each)); // no further up than the view
/** Of a rename to or from ".." across mounts, the kernel sees the mounts first. */
const named = path.filter((each) => !each.endsWith('..'));
const text = fc.constantFrom('x', 'some text');
const slot = fc.nat({ max: 1 });
const on = (...kinds: string[]): fc.Arbitrary<Operation> => fc.record({ kind: fc.constantFrom(...kinds), path });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom('write', 'append'), path, text }) },
  { weight: 8, arbitrary: on('read', 'readdir', 'stat', 'realpath', 'access') },
  { weight: 5, arbitrary: on('mkdir', 'rmdir', 'unlink') },
  { weight: 2, arbitrary: on('truncate', 'chmod', 'utimes') },
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('rename', 'link'), path: named, to: named }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('symlink'), path, to: fc.constantFrom('a', '../d', 'm/d') }) },
  {
    weight: 7,
    arbitrary: fc.record({
      kind: fc.constant('mount'),
      path: fc.oneof(fc.constantFrom('/m', '/e', '/d/e', '/f', '/m/d'), path),
      tree: fc.constantFrom('one', 'two', 'three'),
      from: fc.constantFrom('', '', '/d', '/e', '/a', '/f'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('unmount'), path, lazy: fc.nat({ max: 2 }).map((n) => n === 2) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('open'), path, slot, flags: fc.constantFrom('r', 'r+', 'a') }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('put', 'close'), slot, text }) },
);

const mounted = (at: string, tree: string, from: string): Operation => ({ kind: 'mount', path: at, tree, from });
/** What most scenarios begin with: directories, files, one in another, two parts of one tree. */
const usual = fc.subarray([
  mounted('/m', 'one', ''),
  mounted('/e', 'two', '/d'),
  mounted('/f', 'two', '/f'),
  mounted('/m/d', 'three', ''),
  mounted('/d/e', 'two', '/e'),
]);
const scenario = fc
  .tuple(usual, fc.array(operation, { minLength: 5, maxLength: 30 }))
  .map(([first, then]) => [...first, ...then]);

const attempt = (action: () => unknown): { value?: unknown; code?: string } => {
  try {
    return { value: action() ?? null };
  } catch (error) {
    return { code: (error as { code?: string }).code ?? String(error) };
  }
};

/** What a view makes of it, and what of that the kernel is to be asked, too. */
function inView(wanted: readonly Operation[]) {
  const trees: Record<string, Overlay<'sync'>> = {
    base: overlay({ lower: [memoryLayer({ from: TREES.base as MemoryTree })], upper: memoryLayer() }),
    one: overlay({ lower: [], upper: memoryLayer({ from: TREES.one as MemoryTree }) }),
    two: overlay({ lower: [memoryLayer({ from: TREES.two as MemoryTree })], upper: memoryLayer() }),
    three: overlay({ lower: [], upper: memoryLayer({ from: TREES.three as MemoryTree }) }),
  };
  const view = volumes(trees.base as Overlay<'sync'>);
  const fs = createFs(view);
  const open = new Map<number, number>();
  const operations: Operation[] = [];
  const results: { value?: unknown; code?: string }[] = [];
  for (const each of wanted) {
    const { kind, tree = '', from, lazy = false } = each;
    const at = each.path as string;
    const readOnly = tree === 'three';
    // On the kernel's side, that is a mount, too.
    if (kind === 'unmount' && attempt(() => fs.realpathSync(at)).value === '/') continue;
    const result = attempt(() => {
      if (kind === 'mount') runSync(view.mount(at, trees[tree] as Overlay<'sync'>, { from: from || '/', readOnly }));
      else if (kind === 'unmount') runSync(view.unmount(at, { lazy }));
      else return actions(fs, '', open)[kind]?.(each);
    });
    // The kernel mounts over mounts, and the same tree twice.
    if (kind === 'mount' && result.code === 'EBUSY') continue;
    operations.push(kind === 'mount' ? { ...each, readOnly } : each);
    results.push(result);
  }
  const left = Object.keys(trees).map((key) => {
    const whole = createFs(key === 'base' ? view : (trees[key] as Overlay<'sync'>));
    return [key, seen(whole, '', '')];
  });
  return { operations, results, trees: Object.fromEntries(left) };
}

function inNamespace(scenarios: readonly { trees: typeof TREES; operations: Operation[] }[], folder: string) {
  const script = fileURLToPath(new URL('bind-mounts.mjs', import.meta.url));
  const args = ['--mount', '--propagation', 'private', process.execPath, script, folder];
  const { stdout, stderr, status } = spawnSync('unshare', args, {
    input: JSON.stringify(scenarios),
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    timeout: 100_000,
  });
  if (status !== 0) throw new Error(`the kernel's side failed: ${stderr}`);
  return JSON.parse(stdout) as { results: unknown[]; trees: unknown }[];
}

test('answers as the kernel does with bind mounts', { timeout: 120_000 }, (ctx) => {
  const canMount = process.getuid?.() === 0 && spawnSync('unshare', ['--mount', 'true']).status === 0;
  requireOrSkip(ctx, canMount, 'bind mounts need root and a mount namespace');
  const seed = seedOfRun();
  const runs = 60 * Number(process.env.OVL_RUNS ?? 1);
  const samples = fc.sample(scenario, { numRuns: runs, seed });
  const folder = mkdtempSync(join(tmpdir(), 'ovl-volumes-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const ours = samples.map(inView);
  const theirs = inNamespace(
    ours.map(({ operations }) => ({ trees: TREES, operations })),
    folder,
  );
  let mounts = 0;
  for (const [i, { operations, results, trees }] of ours.entries()) {
    const kernel = theirs[i] as { results: unknown[]; trees: unknown };
    for (const [at, result] of results.entries()) {
      const history = operations
        .slice(0, at + 1)
        .map((each) => JSON.stringify(each))
        .join('\n');
      expect(result, `seed ${seed}, scenario ${i}:\n${history}`).toEqual(kernel.results[at]);
      if (operations[at]?.kind === 'mount' && result.code === undefined) mounts++;
    }
    expect(trees, `seed ${seed}, scenario ${i}: what is left`).toEqual(kernel.trees);
  }
  expect(mounts).toBeGreaterThan(runs);
});
