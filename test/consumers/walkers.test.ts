// glob, fast-glob and tinyglobby walk random layers through their `fs` options. They find what they find in a directory of the
// host to which the same was done, and our own `glob` finds it too.
import * as hostFs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFs as createCoreFs } from '@ovl/core/fs';
import type { NodeFs } from '@ovl/node';
import fc from 'fast-check';
import fastGlob from 'fast-glob';
import { glob, globSync } from 'glob';
import { glob as tinyGlob } from 'tinyglobby';
import { expect, test } from 'vitest';
import { seedOfRun } from '../support/seed.js';
import { BASES, type Files, stacked, write } from './layers.js';

type Change =
  | { do: 'write' | 'make' | 'remove' | 'replace'; path: string }
  | { do: 'link'; path: string; target: string }
  | { do: 'move'; path: string; to: string };

const lowest: Files = { '/a/d.ts': '1', '/a/b/': '', '/b/a/c.js': '2', '/b/.hidden': '3', '/d.ts': { link: 'a/d.ts' } };

const name = fc.constantFrom('a', 'b', 'c.js', 'd.ts', '.hidden');
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}`);
const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('write', 'make'), path }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('remove', 'replace'), path }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('link'), path, target: fc.constantFrom('a', '../a', 'b/a', 'gone') }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('move'), path, to: path }) },
);
const layers = fc.array(fc.array(change, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 4 });

/** A change below `root`; what cannot be done is left. */
function apply(fs: NodeFs, root: string, step: Change): void {
  const at = root + step.path;
  try {
    if (step.do === 'make' || step.do === 'write')
      fs.mkdirSync(step.do === 'make' ? at : parent(at), { recursive: true });
    if (step.do === 'write') fs.writeFileSync(at, step.path, { flag: 'wx' });
    if (step.do === 'remove' || step.do === 'replace') fs.rmSync(at, { recursive: true });
    if (step.do === 'replace') fs.mkdirSync(at); // opaque, where there is a directory below
    if (step.do === 'link') fs.symlinkSync(step.target, at);
    if (step.do === 'move') fs.renameSync(at, root + step.to);
  } catch (error) {
    if (
      !/^(E(EXIST|INVAL|ISDIR|LOOP|NOENT|NOTDIR|NOTEMPTY)|ERR_FS_EISDIR)$/.test(
        (error as NodeJS.ErrnoException).code ?? '',
      )
    )
      throw error;
  }
}

const parent = (of: string): string => of.slice(0, of.lastIndexOf('/')) || '/';

/** What a walker finds, or the code of what it throws: fast-glob does, where a pattern begins with the name of a file. */
async function sorted(find: () => string[] | Promise<string[]>): Promise<string[]> {
  try {
    return (await find()).toSorted();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return [code];
  }
}

/** What each walker finds from `cwd`, by what was asked of it. */
async function walk(fs: NodeFs, cwd: string): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const pattern of ['**', '**/*.js', 'a/**/*', '*/b/*', '{a,b}/**/*.ts', '**/.*']) {
    for (const dot of [false, true]) {
      const asked = `${pattern}${dot ? ' with dots' : ''}`;
      const options = { fs, cwd, dot } as { fs: never; cwd: string; dot: boolean };
      const sync = { ...options, onlyFiles: false, followSymbolicLinks: false };
      found[`glob ${asked}`] = await sorted(() => glob(pattern, { ...options, mark: true }));
      found[`globSync ${asked}`] = await sorted(() => globSync(pattern, { ...options, nodir: true }));
      found[`fast-glob ${asked}`] = await sorted(() =>
        fastGlob(pattern, { ...options, markDirectories: true, deep: 4 }),
      );
      found[`fast-glob.sync ${asked}`] = await sorted(() => fastGlob.sync(pattern, sync));
      found[`tinyglobby ${asked}`] = await sorted(() => tinyGlob(pattern, { ...options, onlyFiles: false, deep: 4 }));
    }
  }
  return found;
}

test.each(BASES)('walkers find what is shown, over %s', async (base) => {
  const inTree = Object.fromEntries(Object.entries(lowest).map(([at, content]) => [`/tree${at}`, content]));
  const property = fc.asyncProperty(layers, async (steps) => {
    const host = hostFs.mkdtempSync(join(tmpdir(), 'ovl-walkers-'));
    try {
      write(hostFs, lowest, host);
      for (const step of steps.flat()) apply(hostFs, host, step);
      const below = steps.map((changes) => (fs: NodeFs) => changes.forEach((each) => apply(fs, '/tree', each)));
      const { overlay, fs } = stacked(base, inTree, ...below);
      const found = await walk(fs, '/tree');
      expect(found).toEqual(await walk(hostFs, host));

      const own = createCoreFs(overlay).globSync;
      for (const pattern of ['**/*', '**/*.js', '*', '[ab]*', '**/.*']) {
        const theirs = await glob(pattern, { fs: fs as never, cwd: '/tree' });
        expect([pattern, ...(own(pattern, { cwd: '/tree' }) as string[]).toSorted()]).toEqual([
          pattern,
          ...theirs.toSorted(),
        ]);
      }
    } finally {
      hostFs.rmSync(host, { recursive: true });
    }
  });
  await fc.assert(property, { numRuns: 8, seed: seedOfRun() });
});
