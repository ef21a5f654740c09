// With copy-up after the answer, whatever is done in between: the view is the flat model's; and what a crash leaves of each file
// is what it was below, whole, or what it is now.
import { deepCopyUp, type OverlayOptions, runSync, type UpperLayer } from '@ovl/core';
import { LazyCopyUps } from '@ovl/core/lazy';
import {
  arbitraryLayers,
  arbitraryOperations,
  concrete,
  crashLayer,
  type FileOperation,
  faultLayer,
  apply,
  Model,
  type OverlayDriver,
  snapshot,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyingBeside } from './copying-beside.js';
import { closeAll, given, inStep, KINDS, open, parameters, sameTree, TIMEOUT, worldOf } from './worlds.js';

interface Lazily {
  driver: OverlayDriver;
  work(): void;
}

function openLazily(
  layers: { upper: UpperLayer; lower: ReturnType<typeof worldOf>['lower'] },
  options: Partial<OverlayOptions>,
): Lazily {
  const lazy = new LazyCopyUps({ unsettled: 'wait', attributes: 'later', minBytes: 1 });
  const driver = open(layers, {}, { ...options, lazy });
  return { driver, work: () => runSync(driver.overlay.perform((stack) => lazy.work(stack))) };
}

/** A piece of work is done after an operation as often as its number says. */
const paces = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 10 });

describe('copy-up after the answer', () => {
  for (const { kind, layers, options } of KINDS) {
    it(`looks like the flat model (${kind})`, TIMEOUT, async () => {
      const property = fc.asyncProperty(
        given(arbitraryLayers(fc, layers)),
        given(arbitraryOperations(fc, { min: 1, max: 30 })),
        paces,
        async (trees, operations, pace) => {
          const world = worldOf(trees);
          copyingBeside(world.upper, { looks: 2, failure: undefined, log: [] });
          const model = new Model(trees);
          const { driver, work } = openLazily(world, options);
          for (const [i, operation] of operations.entries()) {
            await inStep(driver, model, operation);
            for (let n = 0; n < (pace[i % pace.length] as number); n++) work();
          }
          await sameTree(driver, model, 'after');
          await closeAll(driver, model);
          runSync(driver.overlay.sync());
          await sameTree(open(world, {}, options), model, 'as the upper has it');
        },
      );
      await fc.assert(property, parameters(60));
    });
  }

  it('leaves each file old or new when it is cut off, and what was synced', TIMEOUT, async () => {
    const property = fc.asyncProperty(
      given(arbitraryLayers(fc)),
      given(arbitraryOperations(fc, { min: 2, max: 30 })),
      paces,
      fc.nat({ max: 30 }),
      async (trees, operations, pace, syncAt) => {
        const world = worldOf(trees);
        copyingBeside(world.upper, { looks: 2, failure: undefined, log: [] });
        const crash = crashLayer(world.upper);
        const { driver, work } = openLazily({ upper: crash.layer, lower: world.lower }, { deepCopyUp });
        const model = new Model(trees);
        let states = [await snapshot(model)];
        for (const [i, pattern] of operations.entries()) {
          await inStep(driver, model, pattern);
          for (let n = 0; n < (pace[i % pace.length] as number); n++) work();
          states.push(await snapshot(model));
          if (i !== syncAt) continue;
          runSync(driver.overlay.sync());
          states = states.slice(-1);
        }
        model.closeAll();
        const now = await snapshot(model);
        const found = await snapshot(open({ upper: crash.recover('kill'), lower: world.lower }, {}, { deepCopyUp }));
        expect(Object.keys(found)).toEqual(Object.keys(now)); // names are changed at once
        const text = (object: object): string => JSON.stringify({ ...object, id: 0 });
        for (const [path, object] of Object.entries(found)) {
          // By identity: a directory above may have been renamed meanwhile.
          const had = [now, ...states].flatMap((state) =>
            Object.values(state).filter(({ id }) => id === now[path]?.id),
          );
          expect(had.map(text), path).toContain(text(object));
        }
      },
    );
    await fc.assert(property, parameters(150));
  });

  it('tells a failure and leaves the old view or the new one', TIMEOUT, async () => {
    const property = fc.asyncProperty(
      given(arbitraryLayers(fc)),
      given(arbitraryOperations(fc, { min: 1, max: 12 })),
      fc.nat({ max: 60 }),
      async (trees, operations, after) => {
        const world = worldOf(trees);
        copyingBeside(world.upper, { looks: 1, failure: undefined, log: [] });
        const faulty = faultLayer(world.upper);
        const { driver, work } = openLazily({ upper: faulty.layer, lower: world.lower }, { deepCopyUp });
        faulty.arm(after, 'EIO');
        const done: FileOperation[] = [];
        const model = new Model(trees);
        for (const pattern of operations) {
          const operation = concrete(model.paths(), pattern);
          const before = faulty.failed;
          const actual = await apply(driver, operation);
          work();
          if (before === undefined && faulty.failed !== undefined && 'error' in actual) return; // the other tests' subject
          done.push(operation);
          const expected = await apply(model, operation);
          if (faulty.failed === undefined) expect(actual).toEqual(expected);
          else if (JSON.stringify(actual) !== JSON.stringify(expected)) return; // told later, by another operation
        }
        for (let i = 0; i < 10; i++) work();
        try {
          runSync(driver.overlay.sync());
        } catch {
          runSync(driver.overlay.sync()); // told once
        }
        await closeAll(driver, model);
        await sameTree(open(world, {}, { deepCopyUp }), model, `after ${JSON.stringify(done)}, ${faulty.failed}`);
      },
    );
    await fc.assert(property, parameters(150));
  });
});
