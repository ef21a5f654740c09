// What the property tests share: layers in memory from specs, overlays over them, comparison with the model.
import {
  deepCopyUp,
  inodeIndex,
  type Layer,
  type MemoryLayer,
  memoryLayer,
  metacopies,
  Overlay,
  type OverlayOptions,
  runSync,
} from '@ovl/core';
import { extents, sparseMemoryLayer } from '@ovl/core/extents';
import {
  type Arbitrary,
  type ArbitraryOptions,
  apply,
  canonical,
  concrete,
  DEFAULT_OPTIONS,
  type FileOperation,
  type Model,
  OverlayDriver,
  type OverlayDriverOptions,
  populate,
  type Result,
  snapshot,
  type TreeSpec,
} from '@ovl/core/testing';
import type * as fc from 'fast-check';
import { expect } from 'vitest';
import { seedOfRun } from '../../../test/support/seed.js';

const RUNS = Number(process.env.OVL_RUNS ?? 1);
/** For tests that {@link parameters} may prolong, in milliseconds. */
export const TIMEOUT: { timeout: number } = { timeout: 60_000 * Math.max(1, RUNS) };

/** `OVL_RUNS=10` runs every property ten times as often, `OVL_SEED=n` repeats one. */
export function parameters<T>(numRuns: number): fc.Parameters<T> {
  return { numRuns: Math.ceil(numRuns * RUNS), seed: seedOfRun() };
}

/** The arbitraries of `@ovl/core/testing` know only a part of fast-check's interface; these are made by fast-check. */
export function given<T>(arbitrary: Arbitrary<T>): fc.Arbitrary<T> {
  return arbitrary as fc.Arbitrary<T>;
}

function layerOf(tree: TreeSpec): MemoryLayer {
  const layer = memoryLayer();
  runSync(populate(layer, tree));
  return layer;
}

const WITH_LINKS: ArbitraryOptions = { ...DEFAULT_OPTIONS, links: true };

/** The worlds that the properties hold in: what the layers may hold, and what the overlay is opened with. */
export const KINDS: readonly {
  kind: string;
  layers: ArbitraryOptions;
  options: Partial<OverlayOptions>;
  upper?: () => MemoryLayer;
}[] = [
  { kind: 'plain', layers: DEFAULT_OPTIONS, options: { deepCopyUp } },
  { kind: 'with an index', layers: WITH_LINKS, options: { deepCopyUp, index: inodeIndex('on') } },
  { kind: 'leaving data below', layers: DEFAULT_OPTIONS, options: { deepCopyUp, metacopy: metacopies('make') } },
  {
    kind: 'leaving data below, with an index',
    layers: WITH_LINKS,
    options: { deepCopyUp, metacopy: metacopies('make'), index: inodeIndex('on') },
  },
  {
    kind: 'by deep copy-up, with an index',
    layers: WITH_LINKS,
    options: { deepCopyUp, redirectMax: 0, index: inodeIndex('on') },
  },
  {
    kind: 'copying up what is written, with an index',
    layers: WITH_LINKS,
    options: { deepCopyUp, metacopy: extents({ chunk: 2 }), index: inodeIndex('on') },
    upper: sparseMemoryLayer,
  },
];

export interface World {
  upper: MemoryLayer;
  lower: MemoryLayer[];
}

export function worldOf(trees: readonly TreeSpec[], upper: () => MemoryLayer = memoryLayer): World {
  return { upper: upper(), lower: trees.map(layerOf) };
}

export function open(
  layers: { upper: OverlayOptions['upper']; lower: readonly Layer[] },
  driver: Partial<OverlayDriverOptions> = {},
  options: Partial<OverlayOptions> = {},
): OverlayDriver {
  const { upper, lower } = layers;
  const overlay = runSync(Overlay.open({ ...(upper === undefined ? {} : { upper }), lower, ...options }));
  return new OverlayDriver(overlay, { mode: 'sync', inodes: 'keep', ...driver });
}

/** Performs an operation on both and compares what they answer. */
export async function inStep(driver: OverlayDriver, model: Model, pattern: FileOperation): Promise<Result> {
  const operation = concrete(model.paths(), pattern);
  const expected = await apply(model, operation);
  const actual = await apply(driver, operation);
  if (JSON.stringify(actual) !== JSON.stringify(expected)) {
    expect({ operation, result: actual }).toEqual({ operation, result: expected });
  }
  return actual;
}

/** Inode numbers by the model's identities: each object keeps its number, and no two share one. */
export type Numbers = Map<number, number>;

/** Compares all that can be seen. With `numbers`, also with the inode numbers seen earlier. */
export async function sameTree(driver: OverlayDriver, model: Model, when: string, numbers?: Numbers): Promise<void> {
  const actual = await snapshot(driver);
  const expected = await snapshot(model);
  expect(canonical(actual), when).toEqual(canonical(expected));
  if (numbers === undefined) return;
  const changed: string[] = [];
  for (const [path, { id }] of Object.entries(expected)) {
    const number = actual[path]?.id as number;
    const earlier = numbers.get(id) ?? number;
    if (earlier !== number) changed.push(`${path}: ${earlier} is now ${number}`);
    numbers.set(id, number);
  }
  expect(changed, `inode numbers ${when}`).toEqual([]);
  expect(new Set(numbers.values()).size, `two objects with one inode number ${when}`).toBe(numbers.size);
}

/** Closes the handles that both have open. */
export async function closeAll(driver: OverlayDriver, model: Model): Promise<void> {
  for (const slot of [0, 1]) await apply(driver, { kind: 'close', slot });
  model.closeAll();
  expect(driver.openCount).toBe(0);
}

/** What an overlay of any kind shows now, without what differs from one run to the next. */
export async function seen(overlay: Overlay): Promise<Record<string, unknown>> {
  return canonical(await snapshot(new OverlayDriver(overlay, { mode: 'async', inodes: 'keep' })));
}
