// What the random runs have found, each in its smallest form.
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { Comparison } from './compare.js';
import type { Case, Operation, TreeEntry, TreeNode } from './operations.js';
import { withBase } from './property.js';
import { requireKernel } from './requirements.js';
import type { Flavour, SideKind } from './sides.js';

const redirects: Flavour = { userxattr: false, redirectDir: true };
const noRedirects: Flavour = { userxattr: false, redirectDir: false };

async function check(test: Case, kind: SideKind, flavour: Flavour): Promise<void> {
  await withBase('tmpfs', async (base) => {
    const comparison = await Comparison.start(base, ['kernel', kind], [flavour, flavour]);
    try {
      await comparison.run(test);
    } finally {
      await comparison.end();
    }
  });
}

const entry = (path: string, node: TreeNode): TreeEntry => ({ path, node, uid: 0, gid: 0, mtime: [1, 1], xattrs: {} });
const directory: TreeNode = { type: 'directory', mode: 0o755, opaque: false };
const file = (offset: number, mode = 0o644): TreeNode => {
  return { type: 'file', mode, chunks: [{ offset, length: 5, fill: 1 }], size: 0 };
};
const at = (path: string): { path: string } => ({ path });

const found: { what: string; layer: TreeEntry[]; history?: Operation[]; operations: Operation[]; flavour?: Flavour }[] =
  [
    {
      what: 'the root has the inode number of the upper directory',
      layer: [],
      operations: [{ op: 'stat', path: at('') }],
    },
    {
      what: 'a sparse lower file is copied up, and then changed',
      layer: [entry('a', file(20_000))],
      operations: [
        { op: 'chmod', path: at('a'), mode: 0o600 },
        { op: 'read', path: at('a') },
      ],
    },
    {
      what: 'a redirect leads through a name of 255 bytes',
      layer: [entry('n'.repeat(255), directory), entry(`${'n'.repeat(255)}/a`, directory), entry('b/a', directory)],
      history: [{ op: 'rename', from: at('n'.repeat(255)), to: at('b/a/a'), flags: 0 }],
      operations: [{ op: 'readdir', path: at('b/a/a') }],
    },
    {
      what: 'an absolute redirect below an opaque directory leads on',
      layer: [entry('a/b', directory), entry('c/c', directory)],
      history: [
        { op: 'mkdir', path: at('a/c'), mode: 0o755 },
        { op: 'rename', from: at('c'), to: at('a/c/c'), flags: 0 },
        { op: 'mkdir', path: at('a/a'), mode: 0o755 },
      ],
      operations: [{ op: 'rename', from: at('a/a'), to: at('a/c/c'), flags: 2 }],
    },
    {
      what: 'chown to nobody takes set-id bits away',
      layer: [entry('a', file(0, 0o6755)), entry('b', { type: 'fifo', mode: 0o4755 })],
      operations: [
        { op: 'chown', path: at('a'), uid: -1, gid: -1 },
        { op: 'chown', path: at('b'), uid: 1, gid: -1 },
      ],
    },
    {
      what: 'a write takes set-id bits away at once',
      layer: [entry('b', file(0, 0o6777)), entry('d', { type: 'directory', mode: 0o777, opaque: false })],
      operations: [
        { op: 'append', path: at('b'), length: 5, fill: 1, as: 1000 },
        { op: 'link', from: at('b'), to: at('d/c'), as: 1000 }, // allowed for files without set-id bits only
      ],
    },
    {
      what: 'fallocate takes set-id bits away',
      layer: [entry('b', file(0, 0o2755))],
      operations: [
        { op: 'open', slot: 0, path: at('b'), open: { access: 'rw' }, mode: 0 },
        { op: 'fallocate', slot: 0, mode: 0, offset: 0, length: 4096, as: 1 },
        { op: 'stat', path: at('b') },
      ],
    },
    {
      what: 'copy_file_range takes set-id bits away',
      layer: [entry('a', file(0)), entry('b', file(0, 0o6755))],
      operations: [
        { op: 'open', slot: 0, path: at('a'), open: { access: 'r' }, mode: 0 },
        { op: 'open', slot: 1, path: at('b'), open: { access: 'rw' }, mode: 0 },
        { op: 'copy', from: 0, fromOffset: 0, to: 1, toOffset: 1, length: 3, as: 1 },
        { op: 'stat', path: at('b') },
        { op: 'read', path: at('b') },
      ],
    },
    {
      what: 'a directory that may not move is EXDEV whatever the target holds',
      layer: [entry('a/a', directory), entry('c/c', directory)],
      operations: [{ op: 'rename', from: at('c/c'), to: at('a'), flags: 0 }],
      flavour: noRedirects,
    },
    {
      what: 'one of several names of a lower file is opened for writing, and another name goes',
      layer: [entry('a', file(0)), entry('b', { type: 'link', to: 'a' })],
      operations: [
        { op: 'open', slot: 0, path: at('b'), open: { access: 'rw' }, mode: 0 },
        { op: 'unlink', path: at('a') },
        { op: 'fstat', slot: 0 },
      ],
    },
  ];

for (const kind of ['core', 'ovl'] as const) {
  // The core leaves permissions to the system above it.
  const cases = found.filter(({ operations }) => kind === 'ovl' || operations.every(({ as }) => as === undefined));
  test.for(cases)(`${kind}: $what`, async ({ layer, history, operations, flavour }, ctx) => {
    requireKernel(ctx);
    if (kind === 'ovl') requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse is missing');
    await check(
      { layers: [layer], history: history ?? [], umask: 0o022, phases: [operations] },
      kind,
      flavour ?? redirects,
    );
  });
}

// A counterexample as fast-check prints it: OVL_CASE names the file, OVL_SIDE is "core" (the default) or "ovl".
const given = process.env.OVL_CASE;
if (given !== undefined) {
  test('the case that OVL_CASE names', { timeout: 120_000 }, async () => {
    const text = readFileSync(given as string, 'utf8').replaceAll(/__proto__:null,?/g, '');
    const [only] = JSON.parse(text) as [Case];
    const flavour = {
      userxattr: process.env.OVL_FLAVOUR === 'userxattr',
      redirectDir: process.env.OVL_FLAVOUR === undefined,
    };
    await check(only, (process.env.OVL_SIDE as SideKind | undefined) ?? 'core', flavour);
  });
}
