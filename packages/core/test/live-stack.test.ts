// Lower layers pushed and popped while the overlay is in use: what is seen is at any moment what an overlay shows that is opened over
// the stack as it is then, whatever was done between, whoever holds what; and it costs layers, not files.
import {
  deepCopyUp,
  type Inode,
  type Layer,
  memoryLayer,
  metacopies,
  type Overlay,
  type OverlayOptions,
  runAsync,
  type UpperLayer,
} from '@ovl/core';
import { type Checkpoint, pop, push, SnapshotOverlay } from '@ovl/core/snapshots';
import {
  apply,
  arbitraryLayers,
  arbitraryOperations,
  asyncLayer,
  canonical,
  concrete,
  type FileOperation,
  OverlayDriver,
  Scheduler,
  type Snapshot,
  snapshot,
  type TreeSpec,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rawTree } from '../src/testing/overlay/world.js';
import { given, parameters, TIMEOUT, worldOf } from './worlds.js';

type Step =
  | { kind: 'operations'; operations: FileOperation[] }
  /** Of the layers outside the stack, one; below one of those inside or on top. */
  | { kind: 'push'; which: number; under: number }
  | { kind: 'pop'; which: number }
  | { kind: 'checkpoint' }
  | { kind: 'rollback' };

/** Each name of a file below gets a copy of its own, so links do not outlive a checkpoint. */
const operations = given(arbitraryOperations(fc, { min: 1, max: 10 })).map((all) =>
  all.filter(({ kind }) => kind !== 'link'),
);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: operations.map((some): Step => ({ kind: 'operations', operations: some })) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('push' as const), which: fc.nat(3), under: fc.nat(3) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('pop' as const), which: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'checkpoint' }) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'rollback' }) },
  ),
  { minLength: 3, maxLength: 12 },
);

interface Given {
  trees: readonly TreeSpec[];
  spares: readonly TreeSpec[];
  plan: readonly Step[];
  /** Whether everything in view is held when the stack changes, or nothing but what is open. */
  inodes: 'hold' | 'forget';
  options?: Partial<OverlayOptions>;
  late?: Scheduler;
}

/** Plays a plan beside a twin with an upper of its own, which is opened anew over the stack whenever that changes. */
async function showsWhatARemountShows({ trees, spares, plan, inodes, options = {}, late }: Given): Promise<void> {
  const seen = <L extends Layer>(layer: L): L => (late === undefined ? layer : asyncLayer<L>(layer, late));
  const mode = late === undefined ? 'sync' : 'async';
  const world = worldOf([...trees, ...spares]);
  const first = await Promise.all(world.lower.map(rawTree));
  let lower: Layer[] = world.lower.slice(0, trees.length).map((layer) => seen<Layer>(layer));
  let outside: Layer[] = world.lower.slice(trees.length).map((layer) => seen<Layer>(layer));
  const view = await runAsync(SnapshotOverlay.open({ ...options, upper: seen(world.upper), lower }));
  const live = new OverlayDriver(view, { mode, inodes: 'forget' });
  const held = new Set<Inode>();

  let twinUpper = memoryLayer();
  let twinFormer: Layer[] = [];
  const remount = async (upper: UpperLayer = twinUpper, former = twinFormer): Promise<OverlayDriver> => {
    const layers = { upper, lower: [...former, ...lower], sealed: former.length };
    const overlay = await runAsync(SnapshotOverlay.open({ ...options, ...layers }));
    return new OverlayDriver(overlay, { mode, inodes: 'keep' });
  };
  let twin = await remount();
  let last: Checkpoint | undefined;
  let isOut = false;
  /** What is renamed while its layer is out keeps a number that another has when the layer is back. */
  let movedWhileOut = false;

  const same = async (when: string): Promise<Snapshot> => {
    const expected = await snapshot(twin);
    const shown = await snapshot(live);
    expect(inView(shown), when).toEqual(inView(expected));
    return shown;
  };
  const paths = async (): Promise<{ path: string; type: number; empty: boolean }[]> =>
    Object.entries(await snapshot(twin)).map(([path, { mode: bits, entries }]) => {
      return { path, type: bits >>> 12, empty: entries?.length === 0 };
    });
  const open = (): Promise<unknown[]> =>
    Promise.all([0, 1].map((slot) => apply(live, { kind: 'pread', slot, position: 0, length: 99 })));

  const change = async (how: () => Promise<unknown>, wanted: Layer[]): Promise<boolean> => {
    const before = await same('before the change');
    if (inodes === 'hold') await holdAll(view, held);
    const [read, order] = [await open(), view.lower];
    try {
      await how();
    } catch (error) {
      expect(error, 'the only ground to refuse').toMatchObject({ code: 'EBUSY', path: expect.stringMatching(/^\//) });
      expect(options.metacopy).toBeDefined();
      expect(view.lower).toEqual(order);
      await same('after a change that was refused');
      return false;
    }
    lower = wanted;
    expect(view.lower).toEqual(wanted);
    twin = await remount();
    expect(await open(), 'open files').toEqual(read);
    const after = await same('after the change');
    expect(await open(), 'open files, once all was looked at').toEqual(read);
    const reopened = await snapshot(await remount(view.upper, view.sealed));
    expect(inView(reopened), 'reopened').toEqual(inView(after));
    if (!movedWhileOut) {
      const both = shared(reopened);
      expect(
        shared(after).filter((each) => !both.includes(each)),
        'two with one inode number',
      ).toEqual([]);
    }
    if (inodes === 'hold') await sameNumbers(before, after, view.upper);
    for (const slot of [0, 1]) await apply(live, { kind: 'close', slot });
    expect(live.openCount).toBe(0);
    return true;
  };

  for (const step of plan) {
    switch (step.kind) {
      case 'operations':
        for (const pattern of step.operations) {
          const operation = concrete(await paths(), pattern);
          movedWhileOut ||= isOut && operation.kind === 'rename';
          const expected = await apply(twin, operation);
          expect({ operation, result: await apply(live, operation) }).toEqual({ operation, result: expected });
        }
        break;
      case 'push': {
        const layer = outside[step.which % (outside.length || 1)];
        if (layer === undefined) break;
        const at = step.under % (lower.length + 1);
        const under = lower[at - 1];
        const wanted = [...lower.slice(0, at), layer, ...lower.slice(at)];
        if (await change(() => runAsync(push(view, layer, under && { under })), wanted)) {
          outside = outside.filter((each) => each !== layer);
        }
        break;
      }
      case 'pop': {
        const layer = lower[step.which % (lower.length || 1)];
        if (layer === undefined) break;
        const wanted = lower.filter((each) => each !== layer);
        const popped = async (): Promise<void> => expect(await runAsync(pop(view, layer))).toBe(layer);
        if (await change(popped, wanted)) outside.push(layer);
        isOut = true;
        break;
      }
      case 'checkpoint':
        last = await runAsync(view.checkpoint(seen(memoryLayer())));
        for (const slot of [0, 1]) await Promise.all([live, twin].map((each) => apply(each, { kind: 'close', slot })));
        twinFormer = [twinUpper, ...twinFormer];
        twinUpper = memoryLayer();
        await runAsync((twin.overlay as SnapshotOverlay).checkpoint(twinUpper));
        twin = await remount();
        break;
      case 'rollback':
        if (last === undefined) break;
        for (const slot of [0, 1]) await apply(live, { kind: 'close', slot });
        await runAsync(view.rollback(seen(memoryLayer()), last));
        twinFormer = view.sealed;
        twin = await remount(memoryLayer());
        twinUpper = memoryLayer();
        await runAsync((twin.overlay as SnapshotOverlay).rollback(twinUpper));
        break;
    }
    await same(`after ${step.kind}`);
  }
  expect(await Promise.all(world.lower.map(rawTree))).toEqual(first);
  for (const slot of [0, 1]) await apply(live, { kind: 'close', slot });
  for (const inode of held) view.forget(inode);
  expect(view.inodeCount).toBe(1);
}

/** As an adapter that gives nothing back. */
async function holdAll(overlay: Overlay, held: Set<Inode>, dir: Inode = overlay.root): Promise<void> {
  for (const { name } of await runAsync(overlay.readdir(dir))) {
    const inode = (await runAsync(overlay.lookup(dir, name)))?.inode as Inode;
    if (!held.has(inode)) overlay.retain(inode);
    held.add(inode);
    if (inode.isDirectory) await holdAll(overlay, held, inode);
  }
}

/** What can be seen; of inode numbers, which names are one file. */
function inView(seen: Snapshot): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(canonical(seen)).map(([path, object]) => {
      const { same, ...rest } = object as { same: unknown };
      return [path, (seen[path]?.nlink ?? 1) > 1 ? { same, ...rest } : rest];
    }),
  );
}

/** Paths that share an inode number with one before them. */
function shared(seen: Snapshot): string[] {
  const first = new Map<number, string>();
  return Object.entries(seen).flatMap(([path, { id }]) => {
    const other = first.get(id) ?? path;
    first.set(id, other);
    return other === path ? [] : [`${path} as ${other}`];
  });
}

/** What the upper has keeps its inode number. */
async function sameNumbers(before: Snapshot, after: Snapshot, upper: Layer): Promise<void> {
  const changed: string[] = [];
  for (const [path, { id }] of Object.entries(after)) {
    const was = before[path];
    if (was !== undefined && was.id !== id && (await isIn(upper, path)))
      changed.push(`${path}: ${was.id} is now ${id}`);
  }
  expect(changed).toEqual([]);
}

async function isIn(layer: Layer, path: string): Promise<boolean> {
  let node: Layer['root'] | undefined = layer.root;
  for (const name of path.split('/').filter(Boolean)) node = node && (await layer.lookup(node, name))?.node;
  return node !== undefined;
}

const KINDS: { kind: string; options: Partial<OverlayOptions> }[] = [
  { kind: 'plain', options: { deepCopyUp } },
  { kind: 'leaving data below', options: { deepCopyUp, metacopy: metacopies('make') } },
];

describe('push and pop ≡ opening the new stack', () => {
  for (const { kind, options } of KINDS) {
    for (const inodes of ['hold', 'forget'] as const) {
      it(`any operations between (${kind}, inodes: ${inodes})`, TIMEOUT, async () => {
        const layers = given(arbitraryLayers(fc));
        const property = fc.asyncProperty(layers, layers, steps, (trees, spares, plan) =>
          showsWhatARemountShows({ trees, spares, plan, inodes, options }),
        );
        await fc.assert(property, parameters(40));
      });
    }
  }

  it('over layers that answer later', TIMEOUT, async () => {
    const layers = given(arbitraryLayers(fc));
    const property = fc.asyncProperty(layers, layers, steps, fc.nat(), (trees, spares, plan, seed) =>
      showsWhatARemountShows({ trees, spares, plan, inodes: 'hold', late: new Scheduler(seed) }),
    );
    await fc.assert(property, parameters(15));
  });
});
