// An overlay with checkpoints is the same file system as one without, whatever operations come between; going back gives the
// state that was; a fork goes its own way. What is sealed is never written again.
import {
  createTmpfile,
  deepCopyUp,
  encodeName,
  inodeIndex,
  type Layer,
  type MemoryLayer,
  memoryLayer,
  metacopies,
  type OverlayOptions,
  Revalidation,
  runAsync,
  runSync,
} from '@ovl/core';
import { type Checkpoint, SnapshotOverlay, snapshotOverlay } from '@ovl/core/snapshots';
import {
  apply,
  arbitraryLayers,
  arbitraryOperations,
  asyncLayer,
  canonical,
  type FileOperation,
  file,
  dir,
  Model,
  OverlayDriver,
  Scheduler,
  snapshot,
  type TreeSpec,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rawTree } from '../src/testing/overlay/world.js';
import { closeAll, given, inStep, type Numbers, parameters, sameTree, TIMEOUT, worldOf } from './worlds.js';

type Step =
  | { kind: 'operations'; operations: FileOperation[] }
  | { kind: 'checkpoint' }
  /** To the last checkpoint but `back`, or to the lower layers. */
  | { kind: 'rollback'; back: number }
  | { kind: 'fork'; back: number };

const KINDS: { kind: string; options: Partial<OverlayOptions> }[] = [
  { kind: 'plain', options: { deepCopyUp } },
  { kind: 'leaving data below', options: { deepCopyUp, metacopy: metacopies('make') } },
  { kind: 'by deep copy-up', options: { deepCopyUp, redirectMax: 0 } },
];

/** Each name of a file below gets a copy of its own, so links do not outlive a checkpoint. */
const operations = given(arbitraryOperations(fc, { min: 1, max: 12 })).map((all) =>
  all.filter(({ kind }) => kind !== 'link'),
);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: operations.map((some): Step => ({ kind: 'operations', operations: some })) },
    { weight: 3, arbitrary: fc.constant<Step>({ kind: 'checkpoint' }) },
    { weight: 2, arbitrary: fc.nat({ max: 3 }).map((back): Step => ({ kind: 'rollback', back })) },
    { weight: 1, arbitrary: fc.nat({ max: 3 }).map((back): Step => ({ kind: 'fork', back })) },
  ),
  { minLength: 2, maxLength: 10 },
);

interface State {
  checkpoint: Checkpoint;
  model: Model;
  numbers: Numbers;
  raw: unknown;
}

interface Branch {
  driver: OverlayDriver;
  overlay: SnapshotOverlay;
  model: Model;
  numbers: Numbers;
}

async function behavesAsTheModel(
  trees: readonly TreeSpec[],
  plan: readonly Step[],
  inodes: 'keep' | 'forget',
  { options = {}, late }: { options?: Partial<OverlayOptions>; late?: Scheduler } = {},
): Promise<void> {
  const world = worldOf(trees);
  const uppers: MemoryLayer[] = [world.upper];
  const seen = <L extends Layer>(layer: L): L => (late === undefined ? layer : asyncLayer<L>(layer, late));
  const fresh = (): MemoryLayer => {
    const layer = memoryLayer();
    uppers.push(layer);
    return seen(layer);
  };
  const driverOf = (overlay: SnapshotOverlay): OverlayDriver =>
    new OverlayDriver(overlay, { mode: late === undefined ? 'sync' : 'async', inodes });
  const lower = world.lower.map((layer) => seen<Layer>(layer));
  const overlay = await runAsync(SnapshotOverlay.open({ ...options, upper: seen(world.upper), lower }));
  const first = await Promise.all(world.lower.map(rawTree));
  let branch: Branch = { driver: driverOf(overlay), overlay, model: new Model(trees), numbers: new Map() };
  const begin = branch.model.clone();
  let states: State[] = [];
  let rolledBack = false; // a dropped layer had a number of its own, and the next mount gives it to another

  for (const step of plan) {
    const { driver, model, numbers } = branch;
    switch (step.kind) {
      case 'operations':
        for (const operation of step.operations) await inStep(driver, model, operation);
        break;
      case 'checkpoint': {
        const top = uppers.at(-1) as MemoryLayer;
        const checkpoint = await runAsync(branch.overlay.checkpoint(fresh()));
        states.push({ checkpoint, model: model.clone(), numbers: new Map(numbers), raw: await rawTree(top) });
        break;
      }
      case 'rollback': {
        await closeAll(driver, model);
        const to = states.at(-1 - step.back);
        states = to === undefined ? [] : states.slice(0, states.indexOf(to) + 1);
        if (to === undefined && branch.overlay.sealed.length > 0) break; // only back to what was kept
        await runAsync(branch.overlay.rollback(fresh(), to?.checkpoint));
        rolledBack = true;
        branch.model = (to?.model ?? begin).clone();
        branch.model.closeAll();
        branch.numbers = new Map(to?.numbers);
        break;
      }
      case 'fork': {
        const from = states.at(-1 - step.back);
        if (from === undefined) break;
        await closeAll(driver, model);
        const forked = await runAsync(branch.overlay.fork(from.checkpoint, fresh()));
        const copy = from.model.clone();
        copy.closeAll();
        await sameTree(driver, model, 'beside the fork');
        branch = { driver: driverOf(forked), overlay: forked, model: copy, numbers: new Map() };
        states = [];
        break;
      }
    }
    await sameTree(branch.driver, branch.model, `after ${step.kind}`, branch.numbers);
  }
  for (const { checkpoint, raw } of states) expect(await rawTree(checkpoint.layer)).toEqual(raw);
  expect(await Promise.all(world.lower.map(rawTree))).toEqual(first);
  await closeAll(branch.driver, branch.model);
  if (inodes === 'forget') expect(branch.overlay.inodeCount).toBe(1);
  const { sealed } = branch.overlay;
  const layers = { upper: branch.overlay.upper, lower: [...sealed, ...lower], sealed: sealed.length };
  const again = await runAsync(SnapshotOverlay.open({ ...options, ...layers }));
  await sameTree(driverOf(again), branch.model, 'reopened', rolledBack ? new Map() : branch.numbers);
}

describe('checkpoint, rollback, fork ≡ flat model', () => {
  for (const { kind, options } of KINDS) {
    for (const inodes of ['keep', 'forget'] as const) {
      it(`any operations between (${kind}, inodes: ${inodes})`, TIMEOUT, async () => {
        const property = fc.asyncProperty(given(arbitraryLayers(fc)), steps, (trees, plan) =>
          behavesAsTheModel(trees, plan, inodes, { options }),
        );
        await fc.assert(property, parameters(100));
      });
    }
  }
  it('over layers that answer later', TIMEOUT, async () => {
    const property = fc.asyncProperty(given(arbitraryLayers(fc)), steps, fc.nat(), (trees, plan, seed) =>
      behavesAsTheModel(trees, plan, 'keep', { late: new Scheduler(seed) }),
    );
    await fc.assert(property, parameters(40));
  });
});

/** An overlay over memory layers, its faces by path, and what tests look at. */
function scene(trees: readonly TreeSpec[]): { overlay: SnapshotOverlay<'sync'>; driver: OverlayDriver } {
  const { upper, lower } = worldOf(trees);
  const overlay = snapshotOverlay({ upper, lower });
  return { overlay, driver: new OverlayDriver(overlay, { mode: 'sync', inodes: 'keep' }) };
}

const at = (slot: number, path: string, how: 'r' | 'r+' | 'a' = 'r'): FileOperation => ({
  kind: 'open',
  slot,
  path,
  how,
});
const pread = (slot: number): FileOperation => ({ kind: 'pread', slot, position: 0, length: 50 });
const pwrite = (slot: number, text: string): FileOperation => ({ kind: 'pwrite', slot, position: 0, text });
const read = (path: string): FileOperation => ({ kind: 'read', path });
const append = (path: string, text: string): FileOperation => ({ kind: 'append', path, text });
const create = (path: string): FileOperation => ({ kind: 'create', path, mode: 0o644, uid: 0, gid: 0 });

async function all(driver: OverlayDriver, ...plan: FileOperation[]): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (const operation of plan) answers.push(await apply(driver, operation));
  return answers;
}

describe('open files', () => {
  it('go on across a checkpoint, and what was kept is not written', async () => {
    const { overlay, driver } = scene([{ f: file('lower') }]);
    await all(driver, at(0, '/f', 'r+'), at(1, '/f'), pwrite(0, 'first'), create('/gone'), at(2, '/gone', 'r+'));
    await all(driver, pwrite(2, 'unlinked'), { kind: 'unlink', path: '/gone' });
    const { layer } = runSync(overlay.checkpoint(memoryLayer()));
    const before = await rawTree(layer);
    expect(await all(driver, pread(0), pread(1), pread(2))).toEqual([
      { ok: 'first' },
      { ok: 'first' },
      { ok: 'unlinked' },
    ]);
    await all(driver, pwrite(0, 'after'), pwrite(2, 'UN'));
    const seen = await all(driver, pread(0), pread(1), pread(2), read('/f'), { kind: 'fsync', slot: 0 });
    expect(seen).toEqual([{ ok: 'after' }, { ok: 'after' }, { ok: 'UNlinked' }, { ok: 'after' }, { ok: undefined }]);
    expect(await rawTree(layer)).toEqual(before);
    for (const slot of [0, 1, 2]) expect(await apply(driver, { kind: 'close', slot })).toEqual({ ok: undefined });
  });

  it('read what was there after a rollback, and are stale where nothing was', async () => {
    const { overlay, driver } = scene([{ f: file('lower'), g: file('untouched'), d: dir({ h: file('deep') }) }]);
    await all(driver, append('/f', '+1'), append('/d/h', '+1'));
    runSync(overlay.checkpoint(memoryLayer()));
    await all(
      driver,
      at(0, '/f', 'r+'),
      at(1, '/g'),
      create('/new'),
      at(2, '/new', 'r+'),
      at(3, '/d/h'),
      pwrite(0, 'LOWER'),
    );
    await all(driver, pwrite(2, 'x'), { kind: 'rename', from: '/d', to: '/e' });
    expect(runSync(overlay.rollback(memoryLayer()))).toHaveLength(1);
    expect(await all(driver, pread(0), pread(1), pread(2), read('/f'), pwrite(2, 'y'))).toEqual([
      { ok: 'lower+1' },
      { ok: 'untouched' },
      { error: 'ESTALE' },
      { ok: 'lower+1' },
      { error: 'ESTALE' },
    ]);
    expect(await all(driver, { kind: 'stat', path: '@3' }, read('/d/h'))).toMatchObject([
      { error: 'ESTALE' },
      { ok: 'deep+1' },
    ]);
    await all(driver, pwrite(0, 'again'));
    expect(await all(driver, pread(0), read('/f'))).toEqual([{ ok: 'again+1' }, { ok: 'again+1' }]);
    for (const slot of [0, 1, 2, 3]) expect(await apply(driver, { kind: 'close', slot })).toEqual({ ok: undefined });
  });

  it('that are held by inode are found again, with the inode numbers they had', () => {
    const { overlay } = scene([{ d: dir({ f: file('x') }) }]);
    const find = (from: typeof overlay.root, name: string) => runSync(overlay.lookup(from, name))?.inode as typeof from;
    const d = find(overlay.root, 'd');
    const f = find(d, 'f');
    for (const inode of [d, f]) overlay.retain(inode);
    const { ino } = runSync(overlay.getattr(f));
    runSync(overlay.setattr(f, { mode: 0o600 }));
    runSync(overlay.rollback(memoryLayer()));
    expect(runSync(overlay.lookup(overlay.root, 'd'))?.inode).toBe(d);
    expect(runSync(overlay.getattr(f))).toMatchObject({ ino, mode: 0o100644 });
    expect(find(d, 'f')).toBe(f);
    runSync(overlay.unlink(d, 'f'));
    runSync(overlay.rollback(memoryLayer()));
    overlay.forget(f);
    overlay.forget(d);
    expect(find(find(overlay.root, 'd'), 'f').ino).toBe(ino);
  });

  it('that are held by inode are found again after several rollbacks, whatever was looked at between', () => {
    const { overlay } = scene([{ d: dir({ f: file('x') }), g: file('y') }]);
    const find = (from: typeof overlay.root, name: string) => runSync(overlay.lookup(from, name))?.inode as typeof from;
    const d = find(overlay.root, 'd');
    overlay.retain(d);
    const f = find(d, 'f');
    overlay.retain(f);
    overlay.forget(d); // which only f keeps in memory
    runSync(overlay.rollback(memoryLayer()));
    const again = find(overlay.root, 'd');
    overlay.retain(again);
    overlay.forget(again);
    expect(find(find(overlay.root, 'd'), 'f')).toBe(f);
    runSync(overlay.rollback(memoryLayer()));
    find(overlay.root, 'g');
    runSync(overlay.rollback(memoryLayer()));
    expect(find(find(overlay.root, 'd'), 'f')).toBe(f);
    overlay.forget(f);
    expect(overlay.inodeCount).toBe(1);
  });

  it('names of a hard-linked file are files of their own once one is written, as below any layer', async () => {
    const { overlay, driver } = scene([{}]);
    await all(driver, create('/a'), append('/a', '1'), { kind: 'link', from: '/a', to: '/b' });
    runSync(overlay.checkpoint(memoryLayer()));
    expect(await all(driver, append('/a', '2'), read('/a'), read('/b'))).toEqual([
      { ok: 1 },
      { ok: '12' },
      { ok: '1' },
    ]);
  });
});

describe('changes of the stack', () => {
  it('refuse what is not fit, and change nothing', () => {
    const lower = [memoryLayer()];
    const refused = (run: () => unknown, code: string): void => {
      expect(run).toThrow(expect.objectContaining({ code }));
    };
    refused(() => snapshotOverlay({ lower }), 'EROFS');
    refused(() => snapshotOverlay({ lower, upper: memoryLayer(), index: inodeIndex('auto') }), 'EOPNOTSUPP');
    refused(() => snapshotOverlay({ lower, upper: memoryLayer(), revalidation: new Revalidation() }), 'EOPNOTSUPP');
    const upper = memoryLayer();
    const overlay = snapshotOverlay({ lower, upper });
    refused(() => runSync(overlay.checkpoint(memoryLayer({ from: { a: '' } }))), 'ENOTEMPTY');
    refused(() => runSync(overlay.checkpoint(memoryLayer({ xattrPrefix: 'user.overlay.' }))), 'EINVAL');
    refused(() => runSync(overlay.checkpoint(upper)), 'EBUSY');
    expect([overlay.upper, overlay.sealed]).toEqual([upper, []]);
    const first = runSync(overlay.checkpoint(memoryLayer()));
    const second = runSync(overlay.checkpoint(memoryLayer()));
    expect(runSync(overlay.rollback(memoryLayer(), first))).toHaveLength(2);
    refused(() => runSync(overlay.rollback(memoryLayer(), second)), 'EINVAL');
    refused(() => runSync(overlay.fork(second, memoryLayer())), 'EINVAL');
    expect(overlay.sealed).toEqual([upper]);
  });

  it('shared layers are closed by the last that uses them, those dropped are given back', () => {
    const closed: string[] = [];
    const named = (name: string): MemoryLayer => Object.assign(memoryLayer(), { close: () => void closed.push(name) });
    const overlay = snapshotOverlay({ lower: [named('lower')], upper: named('first') });
    const at = runSync(overlay.checkpoint(named('second')));
    const fork = runSync(overlay.fork(at, named('fork')));
    expect(runSync(overlay.rollback(named('third'), at))).toHaveLength(1);
    runSync(overlay.close());
    expect(closed).toEqual(['third']);
    runSync(fork.close());
    expect(closed).toEqual(['third', 'fork', 'first', 'lower']);
  });

  it('what was written before a checkpoint is made durable by the fsync after it', () => {
    const synced: string[] = [];
    const upper = Object.assign(memoryLayer(), { sync: () => void synced.push('former') });
    const overlay = snapshotOverlay({ lower: [], upper });
    runSync(overlay.checkpoint(memoryLayer()));
    runSync(overlay.fsyncdir(overlay.root));
    runSync(overlay.fsyncdir(overlay.root));
    expect(synced).toEqual(['former']);
  });

  it('wait for operations under way, which lose nothing', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const scheduler = new Scheduler(seed);
      const late = (): MemoryLayer => asyncLayer(memoryLayer(), scheduler);
      const overlay = await runAsync(SnapshotOverlay.open({ lower: [late()], upper: late() }));
      const driver = new OverlayDriver(overlay, { mode: 'async', inodes: 'keep' });
      await apply(driver, create('/log'));
      const words = Array.from({ length: 12 }, (_, i) => `${i}|`);
      await Promise.all([
        ...words.map((text) => apply(driver, append('/log', text))),
        runAsync(overlay.checkpoint(late())),
        runAsync(overlay.checkpoint(late())),
      ]);
      const content = (await driver.perform(read('/log'))) as string;
      expect(content.split('|').sort(), `seed ${seed}`).toEqual(['', ...words.map((word) => word.slice(0, -1))].sort());
      expect(overlay.sealed).toHaveLength(2);
    }
  });

  it('a file without a name from before a checkpoint can get one after it', () => {
    const { overlay } = scene([{}]);
    const flags = { read: true, write: true, append: false, truncate: false };
    const { inode } = runSync(overlay.perform(createTmpfile, overlay.root, { mode: 0o100600, uid: 0, gid: 0 }));
    const handle = runSync(overlay.open(inode, flags));
    runSync(overlay.write(handle, encodeName('kept'), 0));
    runSync(overlay.checkpoint(memoryLayer()));
    runSync(overlay.link(inode, overlay.root, 'named'));
    runSync(overlay.write(handle, encodeName('K'), 0));
    runSync(overlay.release(handle));
    const driver = new OverlayDriver(overlay, { mode: 'sync', inodes: 'keep' });
    expect(driver.perform(read('/named'))).toBe('Kept');
  });

  it('a name looks the same after a hundred checkpoints', async () => {
    const { overlay, driver } = scene([{ d: dir({ f: file('lower') }) }]);
    for (let i = 0; i < 100; i++) {
      await all(driver, append('/d/f', '.'), create(`/d/${i}`), { kind: 'unlink', path: `/d/${i - 1}` });
      runSync(overlay.checkpoint(memoryLayer()));
    }
    const view = canonical(await snapshot(driver));
    expect(await driver.perform({ kind: 'readdir', path: '/d' })).toEqual(['99:8', 'f:8']);
    const { sealed } = overlay;
    const lower = [...sealed, ...worldOf([{ d: dir({ f: file('lower') }) }]).lower];
    const again = snapshotOverlay({ lower, upper: memoryLayer(), sealed: sealed.length });
    expect(canonical(await snapshot(new OverlayDriver(again, { mode: 'sync', inodes: 'keep' })))).toEqual(view);
  });
});
