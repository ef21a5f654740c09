// Every change of the upper is the last one once: what is found afterwards is the old or the new view of the operation in
// flight, and with a power loss no byte is missing that fsync had answered for.
import {
  apply,
  arbitraryLayers,
  arbitraryOperations,
  canonical,
  concrete,
  crashLayer,
  dir,
  file,
  type FileOperation,
  Model,
  type Snapshot,
  snapshot,
  type TreeSpec,
} from '@ovl/core/testing';
import type { MemoryLayer, OverlayOptions } from '@ovl/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { given, inStep, KINDS, open, parameters, sameTree, TIMEOUT, worldOf } from './worlds.js';

type Loss = 'kill' | 'power';

/** Lets the model have the contents that were found, where a power loss allows them. */
function settle(model: Model, found: Snapshot): void {
  for (const [path, { content }] of Object.entries(found)) {
    if (content !== undefined && model.mayHold(path)?.includes(content) === true) model.settle(path, content);
  }
}

/** Whether `found` is what `model` shows, up to the contents that a power loss takes. */
async function agrees(model: Model, found: Snapshot, loss: Loss): Promise<Model | undefined> {
  const settled = model.clone();
  settled.closeAll();
  if (loss === 'power') settle(settled, found);
  const same = JSON.stringify(canonical(await snapshot(settled))) === JSON.stringify(canonical(found));
  return same ? settled : undefined;
}

/** Runs operations until the upper is cut off before its `after`-th change; then reopens it and goes on. */
async function withCrash(
  trees: readonly TreeSpec[],
  operations: readonly FileOperation[],
  options: Partial<OverlayOptions>,
  loss: Loss,
  after: number,
  upper?: () => MemoryLayer,
): Promise<number> {
  const world = worldOf(trees, upper);
  const crash = crashLayer(world.upper);
  const driver = open({ upper: crash.layer, lower: world.lower }, {}, options);
  crash.cutAfter(after);
  let model = new Model(trees);
  let old = model;
  let done = 0;
  for (const pattern of operations) {
    const operation = concrete(model.paths(), pattern);
    old = model.clone();
    if (crash.isCut) break;
    const expected = await apply(model, operation);
    const actual = await apply(driver, operation);
    done++;
    if (crash.isCut) break;
    expect({ operation, result: actual }).toEqual({ operation, result: expected });
  }
  const { mutations } = crash;
  const reopened = open({ upper: crash.recover(loss), lower: world.lower }, {}, options);
  const found = await snapshot(reopened);
  const survivor = (await agrees(model, found, loss)) ?? (await agrees(old, found, loss));
  if (survivor === undefined) {
    const last = JSON.stringify(concrete(old.paths(), operations[done - 1] as FileOperation));
    expect(canonical(found), `neither the old view of ${last} nor this new one`).toEqual(
      canonical(await snapshot(model)),
    );
  }
  model = survivor as Model;
  for (const operation of operations.slice(done)) await inStep(reopened, model, operation);
  await sameTree(reopened, model, 'in the end');
  return mutations;
}

describe('with a crash at each change of the upper', () => {
  it('an empty directory that is about to be replaced keeps its attributes', async () => {
    const trees: TreeSpec[] = [{ d: dir({ x: file('') }, { mode: 0o700, xattrs: { 'user.k': 'kept' } }), a: dir() }];
    const operations: FileOperation[] = [
      { kind: 'unlink', path: '/d/x' },
      { kind: 'rename', from: '/a', to: '/d' },
    ];
    const mutations = await withCrash(trees, operations, {}, 'kill', Number.POSITIVE_INFINITY);
    for (let after = 0; after < mutations; after++) await withCrash(trees, operations, {}, 'kill', after);
  });
  for (const { kind, layers, options, upper } of KINDS) {
    for (const loss of ['kill', 'power'] as const) {
      it(`after any operations (${kind}, ${loss})`, TIMEOUT, async () => {
        const everyCrash = async (trees: TreeSpec[], operations: FileOperation[]): Promise<void> => {
          const mutations = await withCrash(trees, operations, options, loss, Infinity, upper);
          for (let after = 0; after < mutations; after++)
            await withCrash(trees, operations, options, loss, after, upper);
        };
        const property = fc.asyncProperty(
          given(arbitraryLayers(fc, layers)),
          given(arbitraryOperations(fc, { min: 1, max: 6 })),
          everyCrash,
        );
        await fc.assert(property, parameters(25));
      });
    }
  }
});
