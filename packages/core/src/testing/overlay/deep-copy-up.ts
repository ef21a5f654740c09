/** Directories that are renamed where no redirect can tell their old place. */
import { deepCopyUp } from '../../deep-copy-up.js';
import { metacopies } from '../../metacopy.js';
import { apply, canonical, snapshot } from '../operations.js';
import { check, equal } from '../runner.js';
import { dir, file, symlink, type TreeSpec, whiteout } from '../tree.js';
import { op, rawTree, type Suite } from './world.js';

export function deepCopyUpTests({ scenario, test }: Suite): void {
  const options = { deepCopyUp, redirectMax: 0 };
  const tree: TreeSpec = {
    d: dir(
      {
        f: file('content', { mode: 0o640, mtime: 1_000_000 }),
        l: symlink('f'),
        sub: dir({ g: file('g'), deep: dir({ h: file('h') }) }, { mode: 0o750, mtime: 1_000_000 }),
        empty: dir(),
      },
      { mode: 0o711 },
    ),
    e: dir({ x: file('x') }),
  };
  const above: TreeSpec = { d: dir({ sub: dir({ top: file('top'), g: whiteout() }), f: file('newer') }) };
  scenario('a lower directory', { lower: [tree] }, [op.rename('/d', '/new'), op.append('/new/sub/g', '+')], options);
  scenario(
    'a merged one, over layers with whiteouts',
    { lower: [above, tree] },
    [
      op.unlink('/d/sub/deep/h'),
      op.append('/d/f', '+'),
      op.rename('/d/sub', '/d/sub2'),
      op.rename('/d', '/e/d'),
      op.mkdir('/d'),
      op.rename('/e/d/sub2', '/d/sub'),
    ],
    options,
  );
  scenario(
    'exchanged, and over an empty one',
    { lower: [tree] },
    [
      op.rename('/d', '/e', 'exchange'),
      op.rename('/d', '/e/empty'),
      op.rename('/e/sub', '/sub'),
      op.rename('/e', '/sub/deep/e'),
    ],
    options,
  );
  scenario(
    'what is open in it stays open',
    { lower: [tree] },
    [
      op.open(0, '/d/sub/g', 'r+'),
      op.open(1, '/d/f'),
      op.rename('/d', '/e/d'),
      op.pwrite(0, 'G'),
      op.pread(1),
      op.unlink('/e/d/sub/g'),
      op.pread(0),
      op.close(0),
      op.close(1),
    ],
    options,
  );
  scenario(
    'with metacopies in it',
    { lower: [tree] },
    [op.chmod('/d/f', 0o600), op.chmod('/d/sub/g', 0o600), op.rename('/d', '/e/d'), op.append('/e/d/f', '+')],
    { ...options, metacopy: metacopies('make') },
  );
  test(
    'without redirects nothing of the old place is needed',
    { lower: [tree] },
    async (world) => {
      const driver = await world.open();
      await driver.perform(op.rename('/d', '/e/d'));
      const shown = canonical(await snapshot(driver));
      const [lower] = world.lower;
      check(lower !== undefined, 'a lower layer');
      const raw = JSON.stringify(await rawTree(world.upper));
      check(!raw.includes('overlay.redirect'), 'no redirect');
      equal(canonical(await snapshot(await world.open())), shown, 'the tree reopened');
    },
    options,
  );
  const long = 'n'.repeat(100);
  scenario(
    'a path too long for a redirect',
    {
      lower: [{ [long]: dir({ [long]: dir({ [long]: dir({ f: file('f'), s: dir({ g: file('g') }) }) }) }) }],
    },
    [op.rename(`/${long}/${long}/${long}`, '/x'), op.rename('/x', `/${long}/x`)],
    { deepCopyUp },
  );
  test(
    'what has a record by path keeps it',
    { lower: [tree] },
    async (world) => {
      const first = await world.open();
      await first.perform(op.rename('/e', '/d/e')); // by path
      const driver = await world.open();
      await driver.perform(op.rename('/d/sub', '/sub'));
      equal(await apply(driver, { kind: 'read', path: '/d/e/x' }), { ok: 'x' }, 'read');
    },
    { deepCopyUp },
  );
}
