/** Lower files with several names, with and without an index. */
import { inodeIndex } from '../../inode-index.js';
import type { UpperLayer } from '../../layer.js';
import { encodeName } from '../../names.js';
import { Overlay } from '../../overlay.js';
import { runAsync } from '../../run.js';
import { OverlayDriver } from '../driver.js';
import type { Stat } from '../operations.js';
import { check, equal, fails } from '../runner.js';
import { dir, file, type ObjectSpec, type TreeSpec } from '../tree.js';
import { op, type Suite, type World } from './world.js';

const named = (content: string): ObjectSpec => file(content, { inode: 1, mode: 0o444 });
const tree = (): TreeSpec => ({
  a: named('content'),
  b: named('content'),
  d: dir({ c: named('content') }),
  other: file('other'),
});

async function entries(upper: UpperLayer): Promise<string[]> {
  const index = await upper.openIndex?.();
  check(index !== undefined, 'there is an index');
  return (await upper.readdir(index)).map(({ name }) => name);
}

async function stat(driver: OverlayDriver, path: string): Promise<Stat> {
  return (await driver.perform(op.stat(path))) as Stat;
}

export function indexTests({ scenario, test, harness }: Suite): void {
  const { capabilities, runner } = harness;
  for (const support of [capabilities.hardLinks, capabilities.fileHandles]) {
    if (support !== true) return runner.skip('hard links below', support);
  }
  const on = { index: inodeIndex('on') };

  scenario(
    'are one, whatever happens to the names',
    { lower: [tree()] },
    [
      op.append('/b', '+'),
      op.chmod('/d/c', 0o600),
      op.unlink('/a'),
      op.link('/d/c', '/new'),
      op.rename('/other', '/b'),
      op.rename('/d/c', '/new'),
      op.rename('/d', '/e'),
      op.append('/e/c', '!'),
      op.unlink('/e/c'),
      op.append('/new', '?'),
      op.rename('/new', '/b', 'exchange'),
      op.unlink('/b'),
      op.create('/a'),
    ],
    on,
  );
  scenario(
    'are one, whatever happens to them while they are open',
    { lower: [tree()] },
    [
      op.open(0, '/a'),
      op.open(1, '/b', 'r+'),
      op.pwrite(1, 'C'),
      op.pread(0),
      op.unlink('/a'),
      op.pread(0),
      op.unlink('/b'),
      op.stat('@1'),
      op.link('@0', '/back'),
      op.unlink('/d/c'),
      op.unlink('/back'),
      op.stat('@0'),
      op.pwrite(1, 'gone'),
      op.pread(0),
      op.close(0),
      op.close(1),
    ],
    on,
  );
  scenario(
    'keep what a layer above does not hide',
    { lower: [{ a: file('above') }, tree()] },
    [op.append('/b', '+'), op.append('/a', '+'), op.unlink('/b'), op.unlink('/d/c')],
    on,
  );

  test(
    'have no entry left when the last name is gone',
    { lower: [tree()] },
    async (world) => {
      const driver = await world.open();
      await driver.perform(op.open(0, '/a'));
      for (const path of ['/a', '/b']) await driver.perform(op.unlink(path));
      equal((await entries(world.upper)).length, 1, 'entries while there is a name');
      await driver.perform(op.unlink('/d/c'));
      equal(await entries(world.upper), [], 'entries afterwards');
      equal(await driver.perform(op.pread(0)), 'content', 'the open file');
      await driver.perform(op.close(0));
    },
    on,
  );
  test(
    'keep their number, in one overlay and in the next',
    { lower: [tree()] },
    async (world) => {
      const driver = await world.open();
      const { id } = await stat(driver, '/b');
      await driver.perform(op.append('/a', '+'));
      await driver.perform(op.unlink('/a'));
      for (const each of [driver, await world.open()]) {
        equal(await stat(each, '/d/c'), { ...(await stat(each, '/b')), id }, 'the other names');
        equal((await stat(each, '/b')).nlink, 2, 'names left');
      }
    },
    on,
  );
  test(
    'are found in the index under a new overlay, and changed there',
    { lower: [tree()] },
    async (world) => {
      const first = await world.open();
      await first.perform(op.append('/a', '+'));
      await first.perform(op.unlink('/a'));
      const second = await world.open();
      await second.perform(op.append('/b', '+'));
      equal(await second.perform({ kind: 'read', path: '/d/c' }), 'content++', 'what another name shows');
      check(
        (await world.upper.lookup(world.upper.root, 'b')) !== undefined,
        'the name that was written to is in the upper',
      );
    },
    on,
  );
  test('become different files without an index', { lower: [tree()] }, async (world) => {
    const driver = await world.open();
    await driver.perform(op.append('/a', '+'));
    for (const each of [driver, await world.open()]) {
      equal(await each.perform({ kind: 'read', path: '/a' }), 'content+', 'a');
      equal(await each.perform({ kind: 'read', path: '/b' }), 'content', 'b');
      check((await stat(each, '/a')).id !== (await stat(each, '/b')).id, 'two numbers');
      equal((await stat(each, '/a')).nlink, 1, 'nlink of a');
    }
  });
  test(
    'become different files again when the index is not used any more',
    { lower: [tree()] },
    async (world) => {
      await (await world.open()).perform(op.append('/a', '+'));
      const without = await open(world, world.lower, undefined);
      equal(await without.perform({ kind: 'read', path: '/b' }), 'content', 'b');
      check((await stat(without, '/a')).id !== (await stat(without, '/b')).id, 'two numbers');
    },
    on,
  );

  test(
    'the upper and the index belong to their layers',
    { lower: [tree(), { x: file('x') }] },
    async (world) => {
      await (await world.open()).perform(op.append('/a', '+'));
      const others = [...world.lower].reverse();
      await fails('ESTALE', () => open(world, others, 'on'), 'other lower layers');
      equal(await (await open(world, others, 'auto')).perform({ kind: 'read', path: '/b' }), 'content', 'no index');
      const index = (await world.upper.openIndex?.()) as object;
      await world.upper.setxattr(index, `${world.upper.xattrPrefix}upper`, encodeName('something else'));
      await fails('ESTALE', () => world.open(), 'another upper');
    },
    on,
  );
  test(
    'stale entries go, what is no entry is refused',
    { lower: [tree()] },
    async (world) => {
      const { upper } = world;
      await (await world.open()).perform(op.append('/a', '+'));
      const index = (await upper.openIndex?.()) as object;
      const [name] = (await entries(upper)) as [string];
      const entry = await upper.lookup(index, name);
      check(entry !== undefined, 'the entry');
      const other = await upper.lookup(upper.root, 'a');
      check(other !== undefined, 'the name');
      await upper.commit({ kind: 'unlink', from: { dir: upper.root, name: 'a' }, occupant: 'non-directory' });
      await upper.setxattr(entry.node, `${upper.xattrPrefix}nlink`, encodeName('U-1')); // as after the last name's removal
      await world.open();
      equal(await entries(upper), [], 'an entry that stands for nothing');
      await upper.create({ dir: index, name: '#1' }, { mode: 0o100600, uid: 0, gid: 0 });
      await world.open();
      equal(await entries(upper), [], 'a temporary file');
      await upper.create({ dir: index, name: 'readme' }, { mode: 0o100600, uid: 0, gid: 0 });
      await fails('EINVAL', () => world.open(), 'a name of no origin');
      await open(world, world.lower, 'auto');
      equal(await entries(upper), ['readme'], 'nothing is removed');
    },
    on,
  );
}

async function open(
  world: World,
  lower: readonly UpperLayer[],
  use: 'on' | 'auto' | undefined,
): Promise<OverlayDriver> {
  const index = use === undefined ? {} : { index: inodeIndex(use) };
  const overlay = await runAsync(Overlay.open({ upper: world.upper, lower, ...index }));
  return new OverlayDriver(overlay, { mode: 'async', inodes: 'keep' });
}
