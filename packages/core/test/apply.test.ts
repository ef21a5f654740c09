// Changes made to another tree: what the merged view shows is what the other tree then is, or it is as it was.
import { deepCopyUp, type Layer, memoryLayer, Overlay, runAsync, runSync, type UpperLayer } from '@ovl/core';
import {
  apply as applyChanges,
  type Aspect,
  carryOut,
  type Change,
  clear,
  ConflictError,
  diff,
  type Plan,
  prepare,
  RollbackError,
  type Step,
  takeBack,
} from '@ovl/core/changes';
import { createFs, type Fs } from '@ovl/core/fs';
import {
  apply,
  arbitraryLayers,
  arbitraryOperations,
  asyncLayer,
  concrete,
  dir,
  file,
  type FileOperation,
  faultLayer,
  Model,
  OverlayDriver,
  Scheduler,
  type Seen,
  type Snapshot,
  snapshot,
  type TreeSpec,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { given, KINDS, open, parameters, seen, TIMEOUT, type World, worldOf } from './worlds.js';

const worlds = KINDS.filter(({ options }) => options.index === undefined);
const renames = fc.constantFrom('detect' as const, 'expand' as const);

async function perform(
  overlay: Overlay,
  trees: readonly TreeSpec[],
  operations: readonly FileOperation[],
): Promise<void> {
  const driver = new OverlayDriver(overlay, { mode: 'sync', inodes: 'keep' });
  const model = new Model(trees);
  for (const pattern of operations) {
    const operation = concrete(model.paths(), pattern);
    await apply(model, operation);
    await apply(driver, operation);
  }
  for (const slot of [0, 1]) await apply(driver, { kind: 'close', slot });
}

/** What an overlay over `trees` shows after the operations. */
async function changed(
  trees: readonly TreeSpec[],
  operations: readonly FileOperation[],
  options: object = {},
): Promise<World & { merged: Overlay }> {
  const world = worldOf(trees);
  const { overlay } = open(world, {}, { deepCopyUp, ...options });
  await perform(overlay, trees, operations);
  return { ...world, merged: overlay };
}

function over(world: Pick<World, 'lower'> & { upper: UpperLayer }): Overlay<'sync'> {
  return open(world, {}, { deepCopyUp }).overlay as Overlay<'sync'>;
}

const EMPTY = (): Overlay => runSync(Overlay.open({ lower: [memoryLayer()] }));

/** What `trees` merge to, as one plain tree. */
function plainLayer(trees: readonly TreeSpec[]): UpperLayer {
  const upper = memoryLayer();
  const everything = runSync(diff(over(worldOf(trees)), { older: EMPTY() }));
  runSync(applyChanges(everything, runSync(Overlay.open({ lower: [], upper }))));
  return upper;
}

describe('the changes of an upper, made to a copy of the layers below', () => {
  for (const { kind, layers, options } of worlds) {
    it(`give the merged view (${kind})`, TIMEOUT, async () => {
      const property = fc.asyncProperty(
        given(arbitraryLayers(fc, layers)),
        given(arbitraryOperations(fc, { min: 1, max: 12 })),
        renames,
        async (trees, operations, renames) => {
          const { merged, lower } = await changed(trees, operations, options);
          const expected = await seen(merged);
          const changes = runSync(diff(merged, { renames, directoryTimes: 'report' }));
          for (const target of [over(worldOf(trees)), over({ lower: [], upper: plainLayer(trees) })]) {
            runSync(applyChanges(changes, target));
            expect(await seen(target)).toEqual(expected);
          }
          // Where both start with the same times, they end with the same, down to those of the directories.
          const target = over({ lower, upper: memoryLayer() });
          runSync(applyChanges(changes, target));
          expect(await seen(target)).toEqual(expected);
          const left = runSync(diff(merged, { older: target, directoryTimes: 'report', renames: 'expand' })).filter(
            isVisible,
          );
          expect(left.map(brief)).toEqual([]);
        },
      );
      await fc.assert(property, parameters(60));
    });
  }

  it('give it over layers that answer later', TIMEOUT, async () => {
    const property = fc.asyncProperty(
      given(arbitraryLayers(fc)),
      given(arbitraryOperations(fc, { min: 1, max: 8 })),
      fc.integer({ min: 1, max: 1e6 }),
      async (trees, operations, seed) => {
        const scheduler = new Scheduler(seed);
        const world = worldOf(trees);
        await perform(over(world), trees, operations);
        const slow = (layer: Layer): Layer => asyncLayer(layer, scheduler);
        const merged = await runAsync(
          Overlay.open({ lower: world.lower.map(slow), upper: asyncLayer<UpperLayer>(world.upper, scheduler) }),
        );
        const upper = asyncLayer(plainLayer(trees), scheduler);
        const target = await runAsync(Overlay.open({ lower: [], upper }));
        await runAsync(applyChanges(await runAsync(diff(merged)), target));
        expect(await seen(target)).toEqual(await seen(merged));
      },
    );
    await fc.assert(property, parameters(15));
  });
});

/** A directory that was made anew looks as it did. */
function isVisible({ kind, differs }: Change): boolean {
  return kind !== 'replaced' || differs.length > 0;
}

function brief({ kind, path, differs }: Change): string {
  return [kind, path, ...differs].join(' ');
}

describe('a fault at each call of the target', () => {
  it('leaves the old tree or the new one', TIMEOUT, async () => {
    const property = fc.asyncProperty(
      given(arbitraryLayers(fc)),
      given(arbitraryOperations(fc, { min: 1, max: 6 })),
      fc.boolean(),
      async (trees, operations, isPlain) => {
        const { merged } = await changed(trees, operations);
        const expected = await seen(merged);
        const changes = runSync(diff(merged));
        for (let after = 0; ; after++) {
          const world = isPlain ? { lower: [], upper: plainLayer(trees) } : worldOf(trees);
          const before = await seen(over(world));
          const fault = faultLayer<UpperLayer>(world.upper);
          const target = over({ ...world, upper: fault.layer });
          fault.arm(after, 'EIO');
          let error: unknown;
          try {
            runSync(applyChanges(changes, target));
          } catch (thrown) {
            error = thrown;
          }
          fault.disarm();
          const where = `${fault.failed} failed: ${String(error)}`;
          if (error !== undefined) {
            expect(fault.failed, where).toBeDefined();
            expect(await seen(target), where).toEqual(before);
            expect(await seen(over(world)), `${where}, reopened`).toEqual(before);
          } else {
            expect(await seen(target), where).toEqual(expected);
            expect(await seen(over(world)), `${where}, reopened`).toEqual(expected);
          }
          expect(fault.openFiles, where).toBe(0);
          expect(fault.stagedObjects, where).toBe(0);
          if (fault.failed === undefined) break;
        }
      },
    );
    await fc.assert(property, parameters(12));
  });
});

describe('a target that was changed, too', () => {
  it('is changed where it was not, or is in conflict and as it was', TIMEOUT, async () => {
    const operations = given(arbitraryOperations(fc, { min: 1, max: 6 }));
    const property = fc.asyncProperty(
      given(arbitraryLayers(fc)),
      operations,
      operations,
      async (trees, ours, theirs) => {
        const { merged } = await changed(trees, theirs);
        const changes = runSync(diff(merged, { renames: 'expand' }));
        const { merged: target } = await changed(trees, ours);
        const [base, before, wanted] = [await tree(over(worldOf(trees))), await tree(target), await tree(merged)];
        try {
          runSync(applyChanges(changes, target));
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error;
          expect(await tree(target)).toEqual(before);
          for (const { reason, path } of error.conflicts) {
            const where = `${reason} ${path}`;
            if (reason === 'exists') expect(before[path], where).toBeDefined();
            else if (reason === 'missing') expect(before[path], where).toBeUndefined();
            else if (reason === 'differs') expect(before[path], where).not.toEqual(base[path]);
            else expect(before[path.slice(0, path.lastIndexOf('/')) || '/']?.entries, where).toBeUndefined();
          }
          return;
        }
        const after = await tree(target);
        const touched = new Map(changes.map((change) => [change.path, change]));
        for (const [path, { kind, differs, linkOf }] of touched) {
          if (kind === 'deleted') expect(after[path], path).toBeUndefined();
          else if (kind === 'added' && linkOf === undefined)
            expect(unlinked(after[path]), path).toEqual(unlinked(wanted[path]));
          for (const key of differs.flatMap((aspect) => KEYS[aspect] ?? []))
            expect(after[path]?.[key], `${key} of ${path}`).toEqual(wanted[path]?.[key]);
        }
        for (const path of Object.keys(before)) {
          const isGone = [...touched.values()].some(
            (change) =>
              (change.kind === 'deleted' || change.kind === 'replaced') && `${path}/`.startsWith(`${change.path}/`),
          );
          const isShared = (before[path]?.nlink ?? 1) > 1; // it may have been changed by another of its names
          if (!isGone && !isShared && !touched.has(path))
            expect(unlinked(after[path]), path).toEqual(unlinked(before[path]));
        }
      },
    );
    await fc.assert(property, parameters(80));
  });

  it('is asked about, and all conflicts are told at once', () => {
    const world = worldOf([{ a: file('a'), b: file('b'), c: file('c'), d: dir({ x: file('x') }), e: file('e') }]);
    const mine = over(world);
    const theirs = over({ lower: world.lower, upper: memoryLayer() });
    const [ours, changed] = [createFs(mine), createFs(theirs)];
    const fill = (fs: Fs, who: string): void => {
      fs.writeFileSync('/a', who);
      fs.writeFileSync('/new', who);
    };
    fill(ours, 'ours');
    fill(changed, 'theirs');
    changed.chmodSync('/b', 0o600);
    ours.writeFileSync('/b', 'other content');
    changed.rmSync('/d', { recursive: true });
    ours.writeFileSync('/d/y', 'kept?');
    changed.writeFileSync('/c', 'gone below');
    ours.unlinkSync('/c');
    changed.writeFileSync('/e', 'same');
    ours.writeFileSync('/e', 'same');
    const changes = runSync(diff(theirs));
    const conflicts = (): string[] => {
      try {
        runSync(applyChanges(changes, mine));
      } catch (error) {
        if (error instanceof ConflictError)
          return error.conflicts.map(({ reason, path }) => `${reason} ${path}`).sort();
        throw error;
      }
      return [];
    };
    expect(conflicts()).toEqual(['differs /a', 'differs /d/y', 'exists /new', 'missing /c']);
    expect(ours.readdirSync('/')).toEqual(['a', 'b', 'd', 'e', 'new']);
    const asked: string[] = [];
    const applied = runSync(
      applyChanges(changes, mine, {
        onConflict: ({ path }) => {
          asked.push(path);
          return path === '/a' || path === '/d/y' ? 'ours' : 'theirs';
        },
      }),
    );
    expect(asked.sort()).toEqual(['/a', '/c', '/d/y', '/new']);
    expect(applied.conflicts.map(({ conflict, kept }) => `${conflict.path} ${kept}`).sort()).toEqual([
      '/a ours',
      '/c theirs',
      '/d/y ours',
      '/new theirs',
    ]);
    expect(['a', 'b', 'c', 'new', 'd/x', 'd/y'].map((name) => ours.readFileSync(`/${name}`, 'utf8'))).toEqual([
      'ours',
      'other content',
      'gone below',
      'theirs',
      'x',
      'kept?',
    ]);
    expect(ours.statSync('/b').mode & 0o777).toBe(0o600);
    expect(ours.readdirSync('/')).toEqual(['a', 'b', 'c', 'd', 'e', 'new']);
  });

  it('takes theirs whole where a directory is not what it was', () => {
    const world = worldOf([{ d: dir({ x: file('x'), y: file('y') }), f: file('f') }]);
    const mine = over(world);
    const theirs = over({ lower: world.lower, upper: memoryLayer() });
    const [ours, changed] = [createFs(mine), createFs(theirs)];
    changed.chmodSync('/d', 0o700);
    changed.linkSync('/d/x', '/d/z');
    ours.rmSync('/d', { recursive: true });
    ours.writeFileSync('/d', 'a file now');
    changed.renameSync('/f', '/g');
    ours.mkdirSync('/g');
    runSync(applyChanges(runSync(diff(theirs)), mine, { onConflict: 'theirs' }));
    expect([ours.readdirSync('/'), ours.readdirSync('/d')]).toEqual([
      ['d', 'g'],
      ['x', 'y', 'z'],
    ]);
    expect(ours.statSync('/d/z').ino).toBe(ours.statSync('/d/x').ino);
    expect(ours.readFileSync('/g', 'utf8')).toBe('f');
  });

  it('cannot be changed in a directory that it does not have, but for the rest', () => {
    const world = worldOf([{ d: dir({ x: file('x') }), f: file('f') }]);
    const mine = over(world);
    const theirs = over({ lower: world.lower, upper: memoryLayer() });
    const [ours, changed] = [createFs(mine), createFs(theirs)];
    changed.writeFileSync('/d/new', '');
    changed.writeFileSync('/f', 'changed');
    ours.rmSync('/d', { recursive: true });
    const changes = runSync(diff(theirs));
    expect(() => runSync(applyChanges(changes, mine, { onConflict: 'theirs' }))).toThrow(ConflictError);
    expect(runSync(applyChanges(changes, mine, { onConflict: 'ours' })).changes).toBe(1);
    expect(ours.readFileSync('/f', 'utf8')).toBe('changed');
  });
});

const KEYS: Partial<Record<Aspect, (keyof Seen)[]>> = {
  content: ['content', 'size'],
  target: ['target'],
  mode: ['mode'],
  owner: ['uid', 'gid'],
  xattrs: ['xattrs'],
};

const tree = (overlay: Overlay): Promise<Snapshot> =>
  snapshot(new OverlayDriver(overlay, { mode: 'async', inodes: 'keep' }));

/** What is an object's own. */
function unlinked(object: Seen | undefined): Partial<Seen> | undefined {
  const { id: _id, nlink: _nlink, entries: _entries, ...own } = object ?? {};
  return object && own;
}

describe('an application in steps', () => {
  const prepared = (): { target: Overlay; fs: Fs; plan: Plan } => {
    const world = worldOf([{ a: file('a'), d: dir({ x: file('x') }) }]);
    const theirs = over({ lower: world.lower, upper: memoryLayer() });
    const changed = createFs(theirs);
    changed.renameSync('/d', '/e');
    changed.writeFileSync('/a', 'new');
    changed.chmodSync('/e/x', 0o600);
    const target = over(world);
    const { plan } = runSync(prepare(runSync(diff(theirs)), target));
    return { target, fs: createFs(target), plan: plan as Plan };
  };

  it('is a plan first, of which only the staged objects are there', () => {
    const { fs, plan } = prepared();
    expect(plan.steps.map(({ kind }) => kind)).toEqual(['move', 'exchange', 'move', 'set']);
    expect([fs.readdirSync('/'), fs.readFileSync('/a', 'utf8')]).toEqual([[plan.staging.slice(1), 'a', 'd'], 'a']);
  });

  it('can be taken back after it was carried out', async () => {
    const { target, fs, plan } = prepared();
    runSync(carryOut(target, plan));
    expect([fs.readdirSync('/').slice(1), fs.readFileSync('/a', 'utf8')]).toEqual([['a', 'e'], 'new']);
    runSync(takeBack(target, plan));
    expect(await seen(target)).toEqual(await seen(over(worldOf([{ a: file('a'), d: dir({ x: file('x') }) }]))));
  });

  it('is over when what it took away is gone', () => {
    const { target, fs, plan } = prepared();
    runSync(carryOut(target, plan));
    runSync(clear(target, plan));
    expect([fs.readdirSync('/'), fs.statSync('/e/x').mode & 0o777]).toEqual([['a', 'e'], 0o600]);
  });

  it('says so where not even taking back succeeds', () => {
    const { target, plan } = prepared();
    const steps: Step[] = [...plan.steps, { kind: 'move', from: '/absent', to: '/f' }];
    expect(() => runSync(carryOut(target, { ...plan, steps }))).toThrow('ENOENT');
    const other = prepared();
    runSync(carryOut(other.target, other.plan));
    createFs(other.target as Overlay<'sync'>).renameSync('/e', '/elsewhere');
    expect(() => runSync(takeBack(other.target, other.plan))).toThrow(RollbackError);
  });
});

it('refuses a target without an upper', () => {
  expect(() => runSync(applyChanges([], EMPTY()))).toThrow('EROFS');
});
