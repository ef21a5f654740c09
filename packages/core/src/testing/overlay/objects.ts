/** Links, open files, inode numbers, extended attributes. */
import { encodeName } from '../../names.js';
import { entryIno } from '../../readdir.js';
import { runAsync } from '../../run.js';
import { OverlayDriver } from '../driver.js';
import { apply, type Stat } from '../operations.js';
import { check, equal, fails } from '../runner.js';
import { dir, file, symlink, type TreeSpec } from '../tree.js';
import { op, type Suite, type World } from './world.js';

export function linkTests({ scenario, harness }: Suite): void {
  const { capabilities } = harness;
  const lower = [{ f: file('content'), d: dir({ g: file('g') }) }];
  if (capabilities.hardLinks === true) {
    scenario('hard links share everything', { lower }, [
      op.link('/f', '/d/f2'),
      op.append('/d/f2', '+'),
      op.link('/d/f2', '/f3'),
      op.unlink('/f'),
      op.chmod('/f3', 0o600),
      op.rename('/f3', '/d/f2'),
      op.rename('/f3', '/d/g'),
      op.unlink('/d/f2'),
      op.append('/d/g', '!'),
      op.link('/d/g', '/f'),
    ]);
    scenario('the errors of link', { lower }, [
      op.link('/d', '/x'),
      op.link('/d', '/f'),
      op.link('/f', '/d/g'),
      op.link('/none', '/f'),
      op.link('/f', '/none/x'),
      op.link('/f', '/f'),
    ]);
  } else harness.runner.skip('hard links', capabilities.hardLinks);

  scenario('an open file follows its copy-up, by whatever name', { lower }, [
    op.open(0, '/f'),
    op.pread(0),
    op.append('/f', '+'),
    op.pread(0),
    op.open(1, '/f', 'r+'),
    op.pwrite(1, 'C'),
    op.pread(0),
    op.rename('/f', '/d/f'),
    op.pwrite(1, 'O', 1),
    op.pread(0),
    op.chmod('@0', 0o600),
  ]);
  scenario('an open file outlives its name', { lower }, [
    op.open(0, '/f'),
    op.unlink('/f'),
    op.pread(0),
    op.stat('@0'),
    op.create('/f'),
    op.append('/f', 'other'),
    op.pread(0),
    op.open(1, '/d/g', 'a'),
    op.rename('/f', '/d/g'),
    op.pwrite(1, 'still'),
    op.stat('@1'),
    op.link('@1', '/back'),
    { kind: 'truncate', path: '@1', size: 2 },
    op.pread(1),
    { kind: 'fsync', slot: 1 },
  ]);
  scenario('an open lower file that was unlinked can be changed', { lower }, [
    op.open(0, '/f'),
    op.unlink('/f'),
    op.chmod('@0', 0o600),
    op.stat('@0'),
    { kind: 'truncate', path: '@0', size: 3 },
    op.pread(0),
    op.close(0),
  ]);
  scenario('an open file whose directory is renamed and removed', { lower }, [
    op.open(0, '/d/g', 'r+'),
    op.rename('/d', '/e'),
    op.pwrite(0, 'G'),
    op.unlink('/e/g'),
    op.rmdir('/e'),
    op.pwrite(0, 'H', 1),
    op.pread(0),
  ]);
  scenario('what opening refuses', { lower: [{ d: dir(), l: symlink('d'), f: file('') }] }, [
    op.open(0, '/d'),
    op.open(0, '/l'),
    op.open(0, '/none'),
    op.open(0, '/f/x'),
    op.open(0, '/f'),
    op.pwrite(0, 'x'),
    op.open(0, '/d', 'w'),
  ]);
}

export function inodeTests({ test }: Suite): void {
  const tree: TreeSpec = { f: file('f'), d: dir({ g: file('g'), sub: dir({ h: file('h') }) }), l: symlink('f') };
  const support = (world: World): boolean => world.lower[0]?.fileHandle !== undefined;
  test('they stay, across copy-up, rename and reopening', {
    lower: [tree, { d: dir({ x: file('x') }) }],
  }, async (world) => {
    if (!support(world)) return;
    const driver = await world.open();
    const number = async (each: OverlayDriver, path: string): Promise<number> =>
      ((await each.perform(op.stat(path))) as Stat).id;
    const paths = ['/', '/f', '/d', '/d/g', '/d/sub', '/d/sub/h', '/d/x'];
    const before = new Map<string, number>();
    for (const path of paths) before.set(path, await number(driver, path));
    equal(new Set(before.values()).size, paths.length, 'different numbers');
    for (const path of ['/f', '/d/g', '/d/sub/h', '/d/x']) await driver.perform(op.append(path, '+'));
    await driver.perform(op.rename('/d', '/e'));
    await driver.perform(op.rename('/f', '/e/f'));
    const now: Record<string, string> = {
      '/d': '/e',
      '/f': '/e/f',
      '/d/g': '/e/g',
      '/d/sub': '/e/sub',
      '/d/sub/h': '/e/sub/h',
      '/d/x': '/e/x',
    };
    for (const path of paths) {
      for (const each of [driver, await world.open()])
        equal(await number(each, now[path] ?? path), before.get(path), path);
    }
  });
  test('a directory’s entries carry the numbers that stat shows', {
    lower: [tree],
    upper: { d: dir({ u: file('') }) },
  }, async (world) => {
    const { overlay } = await world.open();
    const found = await runAsync(overlay.lookup(overlay.root, 'd'));
    check(found !== undefined, 'd is there');
    for (const { name } of await runAsync(overlay.readdir(found.inode))) {
      const entry = await runAsync(overlay.lookup(found.inode, name));
      equal(await runAsync(overlay.perform(entryIno, found.inode, name)), entry?.attributes.ino, name);
    }
  });
}

export function xattrTests({ test, scenario, harness }: Suite): void {
  const { capabilities } = harness;
  if (capabilities.userXattrs === true) {
    scenario(
      'are read, set, replaced, removed',
      { lower: [{ f: file('', { xattrs: { 'user.k': 'lower' } }), d: dir() }] },
      [
        { kind: 'getxattr', path: '/f', name: 'user.k' },
        { kind: 'setxattr', path: '/f', name: 'user.k', value: 'x', condition: 'create' },
        { kind: 'setxattr', path: '/f', name: 'user.none', value: 'x', condition: 'replace' },
        { kind: 'removexattr', path: '/f', name: 'user.none' },
        { kind: 'setxattr', path: '/f', name: 'user.k', value: 'upper', condition: 'replace' },
        { kind: 'setxattr', path: '/d', name: 'user.new', value: '', condition: 'create' },
        { kind: 'removexattr', path: '/f', name: 'user.k' },
        { kind: 'getxattr', path: '/f', name: 'user.k' },
      ],
    );
  } else harness.runner.skip('user attributes', capabilities.userXattrs);

  test('the overlay’s own are hidden, and a nested overlay’s are its own', {
    lower: [{ d: dir({ f: file('f') }) }, { d: dir({ g: file('g') }) }],
  }, async (world) => {
    const driver = await world.open();
    const prefix = world.upper.xattrPrefix;
    await driver.perform(op.rename('/d', '/e'));
    const name = `${prefix}redirect`;
    equal(await driver.perform({ kind: 'listxattr', path: '/e' }), [], 'names');
    equal(await apply(driver, { kind: 'getxattr', path: '/e', name }), { error: 'ENODATA' }, 'redirect');
    await driver.perform({ kind: 'setxattr', path: '/e', name, value: 'nested' });
    await driver.perform({ kind: 'setxattr', path: '/e', name: `${prefix}opaque`, value: 'y' });
    for (const each of [driver, await world.open()]) {
      equal(await each.perform({ kind: 'getxattr', path: '/e', name }), 'nested', 'redirect');
      equal(await each.perform({ kind: 'listxattr', path: '/e' }), [`${prefix}opaque`, name], 'names');
      equal(await each.perform({ kind: 'readdir', path: '/e' }), ['f:8', 'g:8'], 'entries');
    }
    const stored = await world.upper.lookup(world.upper.root, 'e');
    check(stored !== undefined, 'e is in the upper');
    equal(await world.upper.getxattr(stored.node, `${prefix}overlay.redirect`), encodeName('nested'), 'as stored');
    await driver.perform({ kind: 'removexattr', path: '/e', name });
    equal(await driver.perform({ kind: 'readdir', path: '/e' }), ['f:8', 'g:8'], 'entries in the end');
  });
  test('a root with a feature that is not understood is refused', { lower: [{}] }, async (world) => {
    await world.upper.setxattr(world.upper.root, `${world.upper.xattrPrefix}unheard-of`, encodeName('1'));
    await fails('EOPNOTSUPP', () => world.open(), 'open');
  });
}
