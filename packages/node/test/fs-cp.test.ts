// `cp` of every face against Node's own on a directory of the host: what is refused, what the filter is asked, what tree is left.
import * as host from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { memoryLayer, overlay } from '@ovl/core';
import { createFs, type NodeFs } from '@ovl/node';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seedOfRun } from '../../../test/support/seed.js';

type Copy = (fs: NodeFs, from: string, to: string, options: host.CopySyncOptions) => unknown;
const FACES: Record<string, Copy> = {
  sync: (fs, ...args) => fs.cpSync(...args),
  callback: (fs, from, to, options) =>
    new Promise<void>((resolve, reject) => {
      fs.cp(from, to, options, (error) => (error === null ? resolve() : reject(error)));
    }),
  promises: (fs, ...args) => fs.promises.cp(...args),
};

/** In the lower layer of the overlay, on the host at `root`. */
function fill(fs: NodeFs, root: string): void {
  for (const path of ['dir/sub', 'other/sub', 'empty']) fs.mkdirSync(`${root}/${path}`, { recursive: true });
  for (const path of ['a', 'dir/b', 'dir/sub/c', 'other/b', 'dir/taken/x', 'other/taken']) {
    fs.mkdirSync(dirname(`${root}/${path}`), { recursive: true });
    fs.writeFileSync(`${root}/${path}`, path, { mode: 0o640 });
    fs.utimesSync(`${root}/${path}`, 1e9, 1e9);
  }
  fs.symlinkSync('a', `${root}/link`);
  fs.symlinkSync('dir', `${root}/dirlink`);
  fs.symlinkSync('../a', `${root}/dir/link`);
  fs.symlinkSync('nowhere', `${root}/dangling`);
}

function tree(fs: NodeFs, root: string): unknown[] {
  const entries = fs.readdirSync(root || '/', { recursive: true, withFileTypes: true }); // behind no link
  const paths = entries.map(({ parentPath, name }) => join(parentPath, name));
  return paths.toSorted().map((at) => {
    const name = at.slice(root.length);
    const stats = fs.lstatSync(at);
    if (stats.isSymbolicLink()) return [name, fs.readlinkSync(at).replace(root, '')];
    return [name, stats.mode, ...(stats.isFile() ? [fs.readFileSync(at, 'utf8'), stats.mtimeMs === 1e12] : [])];
  });
}

/** What is thrown, what the filter was asked, and the tree afterwards. */
async function outcome(fs: NodeFs, root: string, copy: Copy, args: Call): Promise<object> {
  const asked: string[][] = [];
  const without = args.without;
  const filter = (from: string, to: string): boolean => {
    asked.push([from.slice(root.length), to.slice(root.length)]);
    return !from.endsWith(without as string);
  };
  const options = { ...args.options, ...(without === undefined ? {} : { filter }) };
  let thrown: unknown;
  try {
    await copy(fs, root + args.from, root + args.to, options);
  } catch (error) {
    thrown = (error as NodeJS.ErrnoException).code ?? error;
  }
  return { thrown, asked: asked.toSorted(), tree: tree(fs, root) };
}

interface Call {
  from: string;
  to: string;
  without: string | undefined;
  options: host.CopySyncOptions;
}

const path = fc.constantFrom(
  '/a',
  '/dir',
  '/dir/sub',
  '/dir/taken',
  '/other',
  '/empty',
  '/link',
  '/dirlink',
  '/dangling',
  '/new',
  '/new/x',
);
const call: fc.Arbitrary<Call> = fc.record({
  from: path,
  to: path,
  without: fc.constantFrom(undefined, 'taken', '/sub', '/a', '/new'),
  options: fc.record(
    {
      recursive: fc.constantFrom(true, true, false),
      force: fc.boolean(),
      errorOnExist: fc.boolean(),
      dereference: fc.boolean(),
      preserveTimestamps: fc.boolean(),
      verbatimSymlinks: fc.boolean(),
    },
    { requiredKeys: ['recursive'] },
  ),
});

async function sameAsHost(copy: Copy, args: Call): Promise<void> {
  const root = host.mkdtempSync(join(tmpdir(), 'ovl-cp-'));
  try {
    fill(host, root);
    const lower = memoryLayer();
    fill(createFs(overlay({ lower: [], upper: lower })), '');
    const fs = createFs(overlay({ lower: [lower], upper: memoryLayer() }));
    const expected = await outcome(host, root, copy, args);
    expect({ ...args, ...(await outcome(fs, '', copy, args)) }).toEqual({ ...args, ...expected });
  } finally {
    host.rmSync(root, { recursive: true });
  }
}

describe.each(Object.keys(FACES))('cp, %s', (face) => {
  const copy = FACES[face] as Copy;

  test('asks the filter before anything else: what it leaves out may be missing, or not fit', async () => {
    const options = { recursive: true };
    await sameAsHost(copy, { from: '/dir', to: '/other', without: 'taken', options });
    await sameAsHost(copy, { from: '/nowhere', to: '/other', without: '/nowhere', options });
    await sameAsHost(copy, { from: '/dir', to: '/a', without: '/dir', options });
  });

  test('does what Node does', async () => {
    const property = fc.asyncProperty(call, (args) => sameAsHost(copy, args));
    await fc.assert(property, { numRuns: 60 * Number(process.env.OVL_RUNS ?? 1), seed: seedOfRun() });
  });
});
