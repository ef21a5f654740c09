// Every layer call fails once: the view is then the old or the new one of the operation, and nothing is left behind.
import type { Layer, MemoryLayer, OverlayOptions } from '@ovl/core';
import {
  apply,
  arbitraryLayers,
  arbitraryOperations,
  canonical,
  concrete,
  type FaultLayer,
  type FileOperation,
  faultLayer,
  Model,
  snapshot,
  type TreeSpec,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closeAll, given, KINDS, open, parameters, sameTree, TIMEOUT, worldOf } from './worlds.js';

interface Faulty {
  upper: FaultLayer<MemoryLayer>;
  lower: FaultLayer<Layer>[];
}

async function sees(driver: Parameters<typeof snapshot>[0]): Promise<Record<string, unknown>> {
  return canonical(await snapshot(driver));
}

/** Runs all operations; from the `after`-th call on `victim`, counted from the first operation, one call fails. */
async function withFault(
  trees: readonly TreeSpec[],
  operations: readonly FileOperation[],
  inodes: 'keep' | 'forget',
  options: Partial<OverlayOptions>,
  fault: { layer: 'upper' | 'lower'; after: number } | undefined,
  upper?: () => MemoryLayer,
): Promise<{ upper: number; lower: number }> {
  const world = worldOf(trees, upper);
  const faulty: Faulty = {
    upper: faultLayer(world.upper),
    lower: world.lower.map((layer) => faultLayer<Layer>(layer)),
  };
  const layers = { upper: faulty.upper.layer, lower: faulty.lower.map(({ layer }) => layer) };
  const driver = open(layers, { inodes }, options);
  const start = { upper: faulty.upper.calls, lower: faulty.lower[0]?.calls ?? 0 };
  const victim = fault?.layer === 'lower' ? faulty.lower[0] : faulty.upper;
  if (fault !== undefined) victim?.arm(fault.after, 'EIO');
  let model = new Model(trees);
  let struck = false;
  for (const pattern of operations) {
    const operation = concrete(model.paths(), pattern);
    const old = model.clone();
    const expected = await apply(model, operation);
    const actual = await apply(driver, operation);
    if (!struck && victim?.failed !== undefined) {
      struck = true;
      const where = `${victim.failed} failed in ${JSON.stringify(operation)}: ${JSON.stringify(actual)}`;
      if ('ok' in actual) expect(actual, where).toEqual(expected);
      else {
        const [seen, before, now] = [await sees(driver), await sees(old), await sees(model)];
        if (JSON.stringify(seen) === JSON.stringify(before)) model = old;
        else expect(seen, `${where}; neither the old view nor this new one`).toEqual(now);
        // A handle may be open on one side only; from here on they differ in nothing else.
        if (operation.kind === 'open' || operation.kind === 'close') {
          await apply(driver, { kind: 'close', slot: operation.slot });
          await apply(model, { kind: 'close', slot: operation.slot });
        }
      }
      expect(await sees(open(world, {}, options)), `${where}; a reopened overlay differs`).toEqual(await sees(model));
    } else expect({ operation, result: actual }).toEqual({ operation, result: expected });
    expect(faulty.upper.stagedObjects, `staged objects after ${operation.kind}`).toBeLessThanOrEqual(driver.openCount);
  }
  const calls = { upper: faulty.upper.calls - start.upper, lower: (faulty.lower[0]?.calls ?? 0) - start.lower };
  await sameTree(driver, model, 'after');
  await closeAll(driver, model);
  expect(faulty.upper.stagedObjects, 'staged objects left').toBe(0);
  expect(
    faulty.upper.openFiles + faulty.lower.reduce((sum, { openFiles }) => sum + openFiles, 0),
    'files left open',
  ).toBe(0);
  if (inodes === 'forget') expect(driver.overlay.inodeCount, 'inodes left').toBe(1);
  await sameTree(open(world, {}, options), model, 'reopened');
  return calls;
}

async function everyFault(
  trees: readonly TreeSpec[],
  operations: readonly FileOperation[],
  options: Partial<OverlayOptions>,
  upper?: () => MemoryLayer,
): Promise<void> {
  const inodes = 'forget';
  const calls = await withFault(trees, operations, inodes, options, undefined, upper);
  for (const layer of ['upper', 'lower'] as const) {
    for (let after = 0; after < calls[layer]; after++) {
      await withFault(trees, operations, inodes, options, { layer, after }, upper);
    }
  }
}

describe('with a fault at each layer call', () => {
  for (const { kind, layers, options, upper } of KINDS) {
    it(`after any operations (${kind})`, TIMEOUT, async () => {
      const property = fc.asyncProperty(
        given(arbitraryLayers(fc, layers)),
        given(arbitraryOperations(fc, { min: 1, max: 5 })),
        (trees, operations) => everyFault(trees, operations, options, upper),
      );
      await fc.assert(property, parameters(15));
    });
  }
});
