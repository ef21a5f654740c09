/**
 * What an overlay does, over any kind of layer. Most tests are scenarios: trees in the layers, operations, and after each
 * of them the same answer and the same tree as the flat model has, in this overlay and in one newly opened over the same
 * layers; and in the end lower layers that nobody has touched.
 */
import { removalTests, renameTests } from './overlay/change.js';
import { copyUpTests } from './overlay/copy-up.js';
import { deepCopyUpTests } from './overlay/deep-copy-up.js';
import { indexTests } from './overlay/inode-index.js';
import { concurrencyTests, errorTests } from './overlay/errors.js';
import { mergeTests } from './overlay/merge.js';
import { metacopyTests } from './overlay/metacopy.js';
import { inodeTests, linkTests, xattrTests } from './overlay/objects.js';
import { redirectTests } from './overlay/redirect.js';
import { inWorld, type OverlayHarness, play, type Suite } from './overlay/world.js';
import { itIf } from './runner.js';

export type { OverlayHarness };

/**
 * Defines the tests that an overlay over a kind of writable layer has to pass, with the runner that the harness brings.
 */
export function overlaySuite(harness: OverlayHarness): void {
  const { runner } = harness;
  const suite: Suite = {
    harness,
    test: (name, trees, body, options, support = true) =>
      itIf(runner, support, name, () => inWorld(harness, trees, body, options)),
    scenario: (name, trees, operations, options) => runner.it(name, () => play(harness, trees, operations, options)),
  };
  runner.describe(`overlay: ${harness.name}`, () => {
    runner.describe('merging', () => mergeTests(suite));
    runner.describe('redirects', () => redirectTests(suite));
    runner.describe('copy-up', () => copyUpTests(suite));
    runner.describe('metacopy', () => metacopyTests(suite));
    runner.describe('deep copy-up', () => deepCopyUpTests(suite));
    runner.describe('removing and making again', () => removalTests(suite));
    runner.describe('rename', () => renameTests(suite));
    runner.describe('links and open files', () => linkTests(suite));
    runner.describe('lower files with several names', () => indexTests(suite));
    runner.describe('inode numbers', () => inodeTests(suite));
    runner.describe('extended attributes', () => xattrTests(suite));
    runner.describe('errors', () => errorTests(suite));
    runner.describe('at the same time', () => concurrencyTests(suite));
  });
}
