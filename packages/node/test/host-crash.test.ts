// A crash at each system call that changes the upper: whatever the last one was, the next start finds the old view of the
// operation in flight or the new one, clears the work directory, and no lower layer has changed.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { type IndexOpener, inodeIndex, Overlay, runSync } from '@ovl/core';
import {
  apply,
  type Arbitrary,
  arbitraryLayers,
  arbitraryOperations,
  canonical,
  concrete,
  DEFAULT_OPTIONS,
  dir,
  file,
  type FileOperation,
  Model,
  OverlayDriver,
  populate,
  snapshot,
  type TreeSpec,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { seedOfRun } from '../../../test/support/seed.js';
import { Beside, besideMemory, runBeside } from '../src/beside.js';
import { fsck } from '../src/fsck.js';
import { hostLayer } from '../src/host-layer.js';
import { type HostUpperOptions, hostUpper } from '../src/host-upper.js';
import { mount, umount2 } from '../src/mount-syscalls.js';
import { isRoot, temporary } from './host-support.js';

/** Neither an errno nor anything else that is handled on the way. */
class Cut extends Error {}

const machine = vi.hoisted(() => ({
  /** "running" counts down; "dead" changes nothing any more, so that what is held can be closed. */
  state: 'off' as 'off' | 'running' | 'dead',
  left: 0,
}));

const LOOKING =
  /^(close|pread|getdents64|readlinkat|statx|lseek|fstatfs|flock|getrlimit|umask|name_to_handle_at|open_by_handle_at|[lf]?(get|list)xattr|fsync|fdatasync|sync_file_range|syncfs)$/;
const GETXATTRAT = 464;
const LISTXATTRAT = 465;
const O_CREAT_OR_TRUNC = 0o1100;
const MNT_DETACH = 2;

function changes(name: string, args: readonly unknown[]): boolean {
  if (name === 'openat') return (Number(args[2]) & O_CREAT_OR_TRUNC) !== 0;
  if (name === 'syscall') return args[0] !== GETXATTRAT && args[0] !== LISTXATTRAT;
  return !LOOKING.test(name);
}

vi.mock('../src/libc.js', async (importOriginal) => {
  const original = await importOriginal<typeof import('../src/libc.js')>();
  const bind = (declaration: string): unknown => {
    const call = original.bind<(...args: never[]) => number>(declaration);
    const name = /(\w+)\(/.exec(declaration)?.[1] ?? '';
    return (...args: never[]): number => {
      if (machine.state !== 'off' && changes(name, args)) {
        if (machine.state === 'dead') return 0;
        if (machine.left-- === 0) {
          machine.state = 'dead';
          throw new Cut(declaration);
        }
      }
      return call(...args);
    };
  };
  return { ...original, bind };
});

vi.mock('../src/write-order.js', () => ({ writeOrderOf: () => 'journal' }));

interface Directories {
  lower: string[];
  upper: string;
  work: string;
  index: IndexOpener;
  /** Called for each file that is copied ahead of its time. */
  ahead?: () => void;
}

function open({ lower, upper, work, index, ahead }: Directories): OverlayDriver {
  const layers = {
    lower: lower.map((path) => hostLayer(path)),
    upper: hostUpper({ upper, work, ...besides(ahead) }),
    index,
  };
  // What is copied ahead is guessed by the nodes of a directory that is in use.
  return new OverlayDriver(runSync(Overlay.open(layers)), { mode: 'sync', inodes: ahead ? 'keep' : 'forget' });
}

/** What is done beside is done at once, and cut off like everything else. */
function besides(ahead: (() => void) | undefined): Partial<HostUpperOptions> {
  if (ahead === undefined) return {};
  const memory = besideMemory();
  const beside = new Beside(memory, (task) => {
    if (task.kind === 'stage') task.files.forEach(ahead);
    runBeside(memory, task, () => {});
  });
  return { beside, copyAhead: 'on' };
}

function build(root: string, tree: TreeSpec): void {
  mkdirSync(`${root}.work`);
  mkdirSync(root);
  const layer = hostUpper({ upper: root, work: `${root}.work` });
  runSync(populate(layer, tree));
  layer.close?.();
}

/** What a shell sees of a tree, times and overlay attributes included. */
function look(paths: readonly string[]): string {
  const script =
    'find "$@" -printf "%p %y %m %U:%G %s %T@ %l\\n" | sort; find "$@" -exec getfattr -hdm - --absolute-names {} + ; find "$@" -type f -exec cat {} +';
  return execFileSync('sh', ['-c', script, 'sh', ...paths], { encoding: 'latin1' });
}

const view = async (driver: OverlayDriver | Model): Promise<string> =>
  JSON.stringify(canonical(await snapshot(driver)));

/** The operation that was cut off, or undefined if none was. */
async function work(driver: OverlayDriver, operations: readonly FileOperation[]): Promise<number | undefined> {
  for (const [i, operation] of operations.entries()) {
    try {
      await apply(driver, operation);
    } catch (error) {
      if (error instanceof Cut) return i;
      throw error;
    }
  }
  return undefined;
}

async function finish(driver: OverlayDriver): Promise<void> {
  for (const slot of [0, 1]) await apply(driver, { kind: 'close', slot });
  runSync(driver.overlay.close());
}

/** A start that is cut off, too. */
function crashAtOpening(directories: Directories, after: number): void {
  machine.left = after;
  machine.state = 'running';
  try {
    const driver = open(directories);
    machine.state = 'dead';
    runSync(driver.overlay.close());
  } catch (error) {
    if (machine.state !== 'dead') throw error; // whatever the cut was turned into on its way
  } finally {
    machine.state = 'off';
  }
}

/** With `after` changes let through. False if the operations ended before the cut. */
async function crash(
  directories: Directories,
  operations: readonly FileOperation[],
  models: readonly Model[],
  after: number,
): Promise<boolean> {
  const { upper, work: workdir } = directories;
  for (const path of [upper, workdir]) {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path, 0o755);
  }
  const driver = open(directories);
  machine.left = after;
  machine.state = 'running';
  let last: number | undefined;
  try {
    last = await work(driver, operations);
  } finally {
    machine.state = 'dead';
    await finish(driver);
    machine.state = 'off';
  }
  const count = last ?? operations.length;
  crashAtOpening(directories, after % 8);
  const reopened = open(directories);
  const found = await view(reopened);
  await finish(reopened);
  const candidates = await Promise.all(models.slice(count, count + 2).map(view));
  if (!candidates.includes(found)) {
    expect(JSON.parse(found), `after ${after} changes, in ${JSON.stringify(operations[count])}`).toEqual(
      JSON.parse(candidates[0] as string),
    );
  }
  expect(readdirSync(`${workdir}/work`)).toEqual([]);
  // Whiteouts that hide nothing are RENAME_WHITEOUT's; and a directory that takes a whiteout's place is exchanged with it.
  const findings = fsck({ ...directories, repair: 'safe' });
  expect(findings.filter(({ kind, repaired }) => kind !== 'dangling-whiteout' || !repaired)).toEqual([]);
  return last !== undefined;
}

function given<T>(arbitrary: Arbitrary<T>): fc.Arbitrary<T> {
  return arbitrary as fc.Arbitrary<T>;
}

/** Returns how many crashes there were. */
async function crashAtEach(
  base: string,
  index: IndexOpener,
  trees: TreeSpec[],
  patterns: readonly FileOperation[],
  ahead?: () => void,
): Promise<number> {
  mkdirSync(base);
  const lower = trees.map((_, i) => `${base}/${i}`);
  const directories: Directories = { lower, upper: `${base}/upper`, work: `${base}/work`, index };
  if (ahead !== undefined) directories.ahead = ahead;
  for (const [i, tree] of trees.entries()) build(directories.lower[i] as string, tree);
  const before = look(directories.lower);
  const models = [new Model(trees)];
  const operations: FileOperation[] = [];
  for (const pattern of patterns) {
    const next = (models.at(-1) as Model).clone();
    const operation = concrete(next.paths(), pattern);
    await apply(next, operation);
    operations.push(operation);
    models.push(next);
  }
  let after = 0;
  while (await crash(directories, operations, models, after)) after++;
  expect(look(directories.lower)).toBe(before);
  rmSync(base, { recursive: true, force: true });
  return after;
}

const RUNS = Number(process.env.OVL_RUNS ?? 1);

test.for(['off', 'on'] as const)(
  'a crash at each change of the upper, index %s',
  { timeout: 120_000 * RUNS },
  async (index, ctx) => {
    requireOrSkip(ctx, isRoot, 'root');
    process.umask(0);
    // In memory: a copy-up waits for the disk.
    const disk = temporary();
    mount('ovl-crash', disk, 'tmpfs', 0, 'size=64m');
    onTestFinished(() => umount2(disk, MNT_DETACH));
    let crashes = 0;
    const everyCrash = async (trees: TreeSpec[], patterns: FileOperation[]): Promise<void> => {
      crashes += await crashAtEach(`${disk}/${crashes}`, inodeIndex(index), trees, patterns);
    };
    const property = fc.asyncProperty(
      given(arbitraryLayers(fc, { ...DEFAULT_OPTIONS, links: index === 'on' })),
      given(arbitraryOperations(fc, { min: 1, max: 8 })),
      everyCrash,
    );
    await fc.assert(property, { numRuns: 15 * RUNS, seed: seedOfRun() });
    console.log(`${crashes} crashes`);
  },
);

test('a crash while files are copied before they are asked for', { timeout: 60_000 }, async (ctx) => {
  requireOrSkip(ctx, isRoot, 'root');
  process.umask(0);
  const disk = temporary();
  mount('ovl-crash', disk, 'tmpfs', 0, 'size=512m'); // so much must be free for a guess
  onTestFinished(() => umount2(disk, MNT_DETACH));
  const names = Array.from({ length: 9 }, (_, i) => `f${i}`);
  const tree: TreeSpec = { d: dir(Object.fromEntries(names.map((name) => [name, file(`content of ${name}`)]))) };
  const operations: FileOperation[] = names.map((name) => ({ kind: 'chmod', path: `/d/${name}`, mode: 0o640 }));
  operations.splice(7, 0, { kind: 'unlink', path: '/d/f8' }); // which was copied by then
  let ahead = 0;
  const crashes = await crashAtEach(`${disk}/0`, inodeIndex('on'), [tree], operations.slice(0, 9), () => ahead++);
  expect(ahead).toBeGreaterThan(0);
  expect(crashes).toBeGreaterThan(9 * 4);
});
