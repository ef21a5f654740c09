// The overlay is an ordinary file system: after any operations it looks like one that was never layered.
import {
  arbitraryLayers,
  arbitraryOperations,
  dir,
  type FileOperation,
  file,
  Model,
  type ObjectSpec,
  type TreeSpec,
} from '@ovl/core/testing';
import { deepCopyUp, inodeIndex, type MemoryLayer, type OverlayOptions } from '@ovl/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  closeAll,
  given,
  inStep,
  KINDS,
  type Numbers,
  open,
  parameters,
  sameTree,
  TIMEOUT,
  worldOf,
} from './worlds.js';

async function behavesAsTheModel(
  trees: readonly TreeSpec[],
  operations: readonly FileOperation[],
  inodes: 'keep' | 'forget',
  options: Partial<OverlayOptions> = {},
  upper?: () => MemoryLayer,
): Promise<void> {
  const world = worldOf(trees, upper);
  const model = new Model(trees);
  const driver = open(world, { inodes }, options);
  const numbers: Numbers = new Map();
  await sameTree(driver, model, 'before', numbers);
  for (const operation of operations) await inStep(driver, model, operation);
  await sameTree(driver, model, 'after', numbers);
  await closeAll(driver, model);
  if (inodes === 'forget') expect(driver.overlay.inodeCount).toBe(1);
  await sameTree(open(world, {}, options), model, 'reopened', numbers);
}

describe('overlay ≡ flat model', () => {
  for (const { kind, layers, options, upper } of KINDS) {
    for (const inodes of ['keep', 'forget'] as const) {
      it(`after any operations, and reopened (${kind}, inodes: ${inodes})`, TIMEOUT, async () => {
        const property = fc.asyncProperty(
          given(arbitraryLayers(fc, layers)),
          given(arbitraryOperations(fc, { min: 1, max: 30 })),
          (trees, operations) => behavesAsTheModel(trees, operations, inodes, options, upper),
        );
        await fc.assert(property, parameters(150));
      });
    }
  }
});

/** What the properties above, and others, once found. */
const found: { what: string; trees: TreeSpec[]; operations: FileOperation[] }[] = [
  {
    what: 'mknod of 0:0 on a taken name is EEXIST',
    trees: [{ a: dir() }],
    operations: [{ kind: 'mknod', path: '/a', mode: 0o020600, rdev: 0 }],
  },
  {
    what: 'link of a directory to a taken name is EEXIST',
    trees: [{ a: dir(), b: file('') }],
    operations: [{ kind: 'link', from: '/a', to: '/b' }],
  },
  {
    what: 'no-replace rename onto itself is EEXIST',
    trees: [{ a: file('') }],
    operations: [{ kind: 'rename', from: '/a', to: '/a', flag: 'noreplace' }],
  },
  {
    what: 'rename of a file onto its directory is ENOTEMPTY',
    trees: [{ a: dir({ b: file('') }) }],
    operations: [{ kind: 'rename', from: '/a/b', to: '/a' }],
  },
  {
    what: 'an open lower file that was unlinked has no links',
    trees: [{ a: file('') }],
    operations: [
      { kind: 'open', slot: 0, path: '/a', how: 'r' },
      { kind: 'unlink', path: '/a' },
      { kind: 'stat', path: '@0' },
    ],
  },
  {
    what: 'a redirect does not lead past an opaque marker file on its way',
    trees: [{ c: dir({ c: dir() }, { opaque: '.wh..wh..opq' }) }, { c: dir({ c: dir({ a: file('hidden') }) }) }],
    operations: [{ kind: 'rename', from: '/c/c', to: '/a' }],
  },
  {
    what: "fuse-overlayfs' opaque mark is not copied up",
    trees: [{ a: dir({ b: file('b') }, { opaque: 'fuse-overlayfs' }) }, { a: dir({ c: file('hidden') }) }],
    operations: [
      { kind: 'chmod', path: '/a', mode: 0o700 },
      { kind: 'setxattr', path: '/a', name: 'user.k', value: 'v' },
    ],
  },
  {
    what: 'the directories of all names of a hard link are forgotten with it',
    trees: [{ c: dir(), b: file('') }],
    operations: [
      { kind: 'open', slot: 0, path: '/b', how: 'r' },
      { kind: 'link', from: '/b', to: '/c/a' },
    ],
  },
  {
    what: 'an open file gets a new name as long as it has one, known or not',
    trees: [{ a: dir({ a: file('') }) }],
    operations: [
      { kind: 'link', from: '/a/a', to: '/a/b' },
      { kind: 'open', slot: 0, path: '/a/a', how: 'r' },
      { kind: 'unlink', path: '/a/a' },
      { kind: 'link', from: '@0', to: '/c' },
      { kind: 'unlink', path: '/a/b' },
      { kind: 'unlink', path: '/c' },
      { kind: 'link', from: '@0', to: '/d' },
    ],
  },
];

describe('found once', () => {
  for (const { what, trees, operations } of found) {
    it(what, async () => {
      await behavesAsTheModel(trees, operations, 'keep');
      await behavesAsTheModel(trees, operations, 'forget');
    });
  }
});

describe('found by random runs', () => {
  it('a deeply copied directory that is known anew keeps its inode number where it moves to', async () => {
    const operations: FileOperation[] = [
      { kind: 'rename', from: '/a', to: '/c' },
      { kind: 'mkdir', path: '/a', mode: 0o755, uid: 0, gid: 0 },
      { kind: 'stat', path: '/c' },
      { kind: 'rename', from: '/c', to: '/a/a' },
    ];
    const options = { deepCopyUp, redirectMax: 0 };
    await behavesAsTheModel([{ a: dir({ b: file('') }) }], operations, 'forget', options);
  });
  it('a deep copy-up does not lose the target directory when it lets go of a hard link in it', async () => {
    const operations: FileOperation[] = [
      { kind: 'link', from: '/a/b', to: '/d/x' },
      { kind: 'rename', from: '/a', to: '/d/a' },
    ];
    const options = { deepCopyUp, redirectMax: 0 };
    await behavesAsTheModel([{ a: dir({ b: file('') }), d: dir() }], operations, 'forget', options);
  });
  it('a name of a lower hard link can be removed right after the deep copy-up of its directory', async () => {
    const named = (): ObjectSpec => file('', { inode: 1 });
    const operations: FileOperation[] = [
      { kind: 'open', slot: 0, path: '/b', how: 'r' },
      { kind: 'stat', path: '/a/b' },
      { kind: 'rename', from: '/a', to: '/e' },
      { kind: 'unlink', path: '/e/b' },
    ];
    const options = { deepCopyUp, redirectMax: 0, index: inodeIndex('on') };
    for (const inodes of ['keep', 'forget'] as const) {
      await behavesAsTheModel([{ a: dir({ b: named() }), b: named() }], operations, inodes, options);
    }
  });
});
