/** Removing, making again, renaming. */
import type { FileOperation } from '../operations.js';
import { equal } from '../runner.js';
import { dir, file, symlink, whiteout, type TreeSpec } from '../tree.js';
import { op, play, type Suite, type Trees } from './world.js';

export function removalTests({ scenario, test }: Suite): void {
  const lower = [
    { d: dir({ f: file('old'), sub: dir({ g: file('old') }) }), f: file('old'), 'two words': file('old') },
  ];
  scenario('what was deleted stays deleted', { lower }, [
    op.unlink('/f'),
    op.unlink('/two words'),
    op.unlink('/d/f'),
    op.rmdir('/d'),
    op.unlink('/d/sub/g'),
    op.rmdir('/d/sub'),
    op.rmdir('/d'),
  ]);
  scenario('made again it shows nothing old', { lower }, [
    op.unlink('/d/f'),
    op.unlink('/d/sub/g'),
    op.rmdir('/d/sub'),
    op.rmdir('/d'),
    op.mkdir('/d'),
    op.mkdir('/d/sub'),
    op.create('/d/f'),
    op.unlink('/d/f'),
    op.rmdir('/d/sub'),
    op.rmdir('/d'),
    op.create('/d'),
    op.unlink('/d'),
    op.mkdir('/d'),
    op.unlink('/f'),
    op.mkdir('/f'),
    op.rmdir('/f'),
    op.create('/f'),
  ]);
  scenario(
    'a directory that holds only whiteouts is empty',
    { upper: { d: dir({ f: whiteout() }) }, lower: [{ d: dir({ f: file('') }) }] },
    [op.rmdir('/d'), op.mkdir('/d')],
  );
  test('what is only in the upper leaves no whiteout', { lower: [{}] }, async (world) => {
    const driver = await world.open();
    for (const operation of [
      op.create('/f'),
      op.mkdir('/d'),
      op.create('/d/g'),
      op.unlink('/d/g'),
      op.rmdir('/d'),
      op.unlink('/f'),
    ]) {
      await driver.perform(operation);
    }
    equal(await world.upper.readdir(world.upper.root), [], 'entries of the upper');
  });
}

/** What a rename meets, by name; each built from the layers or by operations. */
const ENDS: Readonly<
  Record<string, { upper?: TreeSpec[string]; lower?: TreeSpec[string]; operations?: (path: string) => FileOperation[] }>
> = {
  nothing: {},
  'a whiteout': { lower: file('hidden'), operations: (path) => [op.unlink(path)] },
  'a lower file': { lower: file('lower') },
  'an upper file': { upper: file('upper') },
  'a copied-up file': { lower: file('lower'), operations: (path) => [op.append(path, '+')] },
  'a recreated file': { lower: dir(), operations: (path) => [op.rmdir(path), op.create(path)] },
  'an empty lower directory': { lower: dir() },
  'a lower directory': { lower: dir({ x: file('x'), sub: dir({ y: file('y') }) }) },
  'an upper directory': { upper: dir({ x: file('upper x') }) },
  'an empty upper directory': { upper: dir() },
  'a merged directory': { upper: dir({ u: file('u') }), lower: dir({ l: file('l') }) },
  'a merged directory, emptied': { lower: dir({ l: file('l') }), operations: (path) => [op.unlink(`${path}/l`)] },
  'a recreated directory': {
    lower: dir({ l: file('l') }),
    operations: (path) => [op.unlink(`${path}/l`), op.rmdir(path), op.mkdir(path)],
  },
};

export function renameTests({ harness, scenario }: Suite): void {
  for (const [sourceName, source] of Object.entries(ENDS)) {
    if (sourceName === 'nothing' || sourceName === 'a whiteout') continue;
    for (const flag of [undefined, 'noreplace', 'exchange'] as const) {
      harness.runner.it(`${sourceName} onto anything${flag === undefined ? '' : `, ${flag}`}`, async () => {
        for (const [targetName, target] of Object.entries(ENDS)) {
          for (const [from, to] of [
            ['/p/from', '/p/to'],
            ['/p/from', '/q/to'],
          ] as const) {
            try {
              await play(harness, renameTrees(source, target, to), [
                ...(source.operations?.(from) ?? []),
                ...(target.operations?.(to) ?? []),
                op.rename(from, to, flag),
                op.mkdir(from),
                op.create(`${to}/new`),
              ]);
            } catch (error) {
              throw new Error(`onto ${targetName} (${to}): ${(error as Error).message}`, { cause: error });
            }
          }
        }
      });
    }
  }

  const full = dir({ f: file('f'), sub: dir({ g: file('g') }) });
  scenario(
    'a storm of directory renames',
    { lower: [{ a: full, z: dir({ other: file('') }) }, { a: dir({ deep: file('deep') }) }] },
    [
      op.rename('/a', '/b'),
      op.rename('/b', '/c'),
      op.mkdir('/a'),
      op.rename('/c/sub', '/a/sub'),
      op.rename('/a', '/c/a'),
      op.rename('/c', '/z/c'),
      op.rename('/z/c/a/sub/g', '/a'),
      op.rename('/z/c', '/z/b', 'noreplace'),
      op.rename('/z/b/a/sub', '/z/b/a2'),
      op.rename('/z', '/a', 'exchange'),
      op.rename('/a', '/b'),
      op.rename('/b/b', '/a'),
      op.append('/a/deep', '+'),
      op.unlink('/a/f'),
      op.create('/a/f'),
    ],
  );
  scenario('files around in a circle', { lower: [{ a: file('a'), b: file('b'), d: dir({ c: file('c') }) }] }, [
    op.rename('/a', '/t'),
    op.rename('/b', '/a'),
    op.rename('/d/c', '/b'),
    op.rename('/t', '/d/c'),
    op.rename('/a', '/b', 'exchange'),
    op.rename('/a', '/a'),
    op.rename('/a', '/d/c'),
  ]);
  scenario(
    'errors come in Linux’s order',
    { lower: [{ d: dir({ e: dir({ f: file('') }) }), f: file(''), l: symlink('f') }] },
    [
      op.rename('/d', '/d/e/x'),
      op.rename('/d', '/d/e'),
      op.rename('/d/e', '/d'),
      op.rename('/d/e/f', '/d'),
      op.rename('/d/e/f', '/d', 'exchange'),
      op.rename('/f', '/f', 'noreplace'),
      op.rename('/f', '/f', 'exchange'),
      op.rename('/f', '/d'),
      op.rename('/d', '/f'),
      op.rename('/none', '/f'),
      op.rename('/none', '/f', 'noreplace'),
      op.rename('/f', '/none', 'exchange'),
      op.rename('/f/x', '/y'),
      op.rename('/f', '/l/y'),
      op.rename('/none/x', '/y'),
      op.rename('/none', 'x'.repeat(256)),
      op.rename('/f', `/${'x'.repeat(256)}`),
    ],
  );
}

function renameTrees(source: (typeof ENDS)[string], target: (typeof ENDS)[string], to: string): Trees {
  const inLayer = (layer: 'upper' | 'lower'): TreeSpec => {
    const [from, at] = [source[layer], target[layer]];
    const p: TreeSpec = from === undefined ? {} : { from };
    const q: TreeSpec = {};
    if (at !== undefined) (to.startsWith('/p') ? p : q)['to'] = at;
    return { p: dir(p), q: dir(q) };
  };
  return { upper: inLayer('upper'), lower: [inLayer('lower')] };
}
