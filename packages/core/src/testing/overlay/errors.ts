/** What is refused, and what happens at the same time. */
import { Model } from '../model.js';
import { apply, canonical, snapshot, type FileOperation } from '../operations.js';
import { check, equal } from '../runner.js';
import { dir, file, symlink, type TreeSpec } from '../tree.js';
import { op, sameTree, type Suite } from './world.js';

export function errorTests({ scenario, test }: Suite): void {
  const tree: TreeSpec = { f: file('f'), d: dir({ g: file('g') }), e: dir(), l: symlink('f') };
  const long = 'x'.repeat(256);
  scenario('of names and paths', { lower: [tree] }, [
    op.create('/f'),
    op.create('/d'),
    op.mkdir('/f'),
    op.create('/none/x'),
    op.create('/f/x'),
    op.create('/l/x'),
    op.create(`/${long}`),
    op.mkdir(`/d/${long}`),
    op.stat(`/${'é'.repeat(128)}`),
    op.create(`/${'x'.repeat(255)}`),
    op.unlink('/none'),
    op.unlink('/d'),
    op.unlink('/f/x'),
    op.rmdir('/none'),
    op.rmdir('/f'),
    op.rmdir('/d'),
    op.rmdir('/l'),
    { kind: 'readdir', path: '/f' },
    { kind: 'readlink', path: '/f' },
    { kind: 'readlink', path: '/d' },
    { kind: 'read', path: '/d' },
    { kind: 'truncate', path: '/d', size: 0 },
    { kind: 'symlink', path: '/f', target: 'x' },
    { kind: 'symlink', path: '/new', target: 'x'.repeat(4096) },
    { kind: 'symlink', path: '/new', target: '' },
    { kind: 'symlink', path: '/new', target: 'x'.repeat(4095) },
    { kind: 'mknod', path: '/zero', mode: 0o020600, rdev: 0 },
    { kind: 'mknod', path: '/f', mode: 0o020600, rdev: 0 },
    op.chmod('/l', 0o600),
  ]);
  test('names that mean something to layers cannot be made', { lower: [{ f: file('') }] }, async (world) => {
    const driver = await world.open();
    for (const name of ['.wh.f', '.wh..wh..opq', '.wh.']) {
      equal(await apply(driver, op.create(`/${name}`)), { error: 'EINVAL' }, `create ${name}`);
      equal(await apply(driver, op.rename('/f', `/${name}`)), { error: 'EINVAL' }, `rename to ${name}`);
    }
  });
  test('without an upper every change is EROFS, and reading works', { lower: [tree] }, async (world) => {
    const driver = await world.open('without-upper');
    check(!driver.overlay.writable, 'not writable');
    const changes: FileOperation[] = [
      op.create('/new'),
      op.mkdir('/new'),
      op.unlink('/f'),
      op.rmdir('/e'),
      op.rename('/f', '/new'),
      op.link('/f', '/new'),
      op.append('/f', 'x'),
      op.open(0, '/f', 'w'),
      op.chmod('/f', 0o600),
      { kind: 'chown', path: '/f', uid: 1, gid: 1 },
      { kind: 'utimes', path: '/d', seconds: 1 },
      { kind: 'truncate', path: '/f', size: 0 },
      { kind: 'setxattr', path: '/f', name: 'user.k', value: 'v' },
      { kind: 'removexattr', path: '/f', name: 'user.k' },
      { kind: 'symlink', path: '/new', target: 'x' },
      { kind: 'mknod', path: '/new', mode: 0o010600, rdev: 0 },
    ];
    for (const change of changes) equal(await apply(driver, change), { error: 'EROFS' }, change.kind);
    equal(await apply(driver, op.create('/f')), { error: 'EEXIST' }, 'create of what is there');
    await sameTree(driver, new Model([tree]), 'read-only');
  });
}

export function concurrencyTests({ test }: Suite): void {
  test('twenty appends lose nothing', { lower: [{ log: file('lower|') }] }, async (world) => {
    const driver = await world.open();
    const words = Array.from({ length: 20 }, (_, i) => `word ${i}|`);
    await Promise.all(words.map((text) => driver.perform(op.append('/log', text))));
    for (const each of [driver, await world.open()]) {
      const content = (await each.perform({ kind: 'read', path: '/log' })) as string;
      check(content.startsWith('lower|'), 'the lower bytes come first');
      equal(content.slice(6).split('|').sort(), words.join('').split('|').sort(), 'words');
    }
  });
  test('of many who create, link, remove or move one name, one wins', {
    lower: [{ a: file('a'), b: file('b') }],
  }, async (world) => {
    const driver = await world.open();
    const winners = async (operations: FileOperation[]): Promise<number> => {
      const results = await Promise.all(operations.map((operation) => apply(driver, operation)));
      return results.filter((result) => 'ok' in result).length;
    };
    const eight = Array.from({ length: 8 }, (_, i) => i);
    equal(await winners(eight.map(() => op.create('/new'))), 1, 'create');
    equal(await winners(eight.map(() => op.mkdir('/dir'))), 1, 'mkdir');
    equal(await winners(eight.map(() => op.unlink('/a'))), 1, 'unlink');
    equal(await winners(eight.map((i) => op.rename('/b', `/b${i}`))), 1, 'rename');
    equal(await winners(eight.map(() => op.rmdir('/dir'))), 1, 'rmdir');
    equal(canonical(await snapshot(driver)), canonical(await snapshot(await world.open())), 'reopened');
  });
  test('readers and writers of one directory', {
    lower: [{ d: dir(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`${i}`, file(`${i}`)]))) }],
  }, async (world) => {
    const driver = await world.open();
    const work: PromiseLike<unknown>[] = [];
    for (let i = 0; i < 20; i++) {
      work.push(apply(driver, i % 2 === 0 ? op.unlink(`/d/${i}`) : op.append(`/d/${i}`, '+')));
      work.push(apply(driver, op.create(`/d/new ${i}`)), apply(driver, { kind: 'readdir', path: '/d' }));
    }
    await Promise.all(work);
    const names = (await driver.perform({ kind: 'readdir', path: '/d' })) as string[];
    equal(names.length, 30, 'entries');
    equal(canonical(await snapshot(driver)), canonical(await snapshot(await world.open())), 'reopened');
  });
}
