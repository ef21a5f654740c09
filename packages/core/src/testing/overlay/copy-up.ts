/** The first change of a lower object. */
import { S_IFSOCK } from '../../attributes.js';
import { runAsync } from '../../run.js';
import { OverlayDriver } from '../driver.js';
import { apply, snapshot, type Stat } from '../operations.js';
import { check, equal } from '../runner.js';
import { dir, file, symlink, type TreeSpec } from '../tree.js';
import { op, rawTree, type Suite } from './world.js';

export function copyUpTests({ scenario, test, harness }: Suite): void {
  const { capabilities } = harness;
  const owner = capabilities.owner === true ? { uid: 12, gid: 34 } : {};
  const xattrs = capabilities.userXattrs === true ? { xattrs: { 'user.k': 'v' } } : {};
  const dress = { ...owner, ...xattrs, mtime: 1_000_000 };
  const tree: TreeSpec = {
    d: dir(
      {
        f: file('content', { ...dress, mode: 0o4751 }),
        l: { ...symlink('target'), ...owner, mtime: 1_000_000 } as TreeSpec[string],
        sub: dir({ g: file('g') }, { ...dress, mode: 0o2750 }),
      },
      { ...dress, mode: 0o1777 },
    ),
  };
  scenario('a file keeps all it had', { lower: [tree] }, [
    op.append('/d/f', ' and more'),
    { kind: 'truncate', path: '/d/f', size: 3 },
    { kind: 'write', path: '/d/f', position: 5, text: 'x' },
    { kind: 'utimes', path: '/d/l', seconds: 5 },
    op.chmod('/d/sub', 0o700),
  ]);
  const times = async (driver: OverlayDriver, path: string): Promise<number[]> => {
    let inode = driver.overlay.root;
    for (const name of path.split('/').filter(Boolean)) {
      const entry = await runAsync(driver.overlay.lookup(inode, name));
      check(entry !== undefined, `${path} is there`);
      inode = entry.inode;
    }
    const { mtimeSec, mtimeNsec } = await runAsync(driver.overlay.getattr(inode));
    return [mtimeSec, mtimeNsec];
  };
  test('times: the file’s and its directories’ stay', { lower: [tree] }, async (world) => {
    const driver = await world.open();
    const nsec = capabilities.nanoseconds === true ? 2 : 0;
    await driver.perform(op.chmod('/d/sub/g', 0o600));
    await driver.perform(op.chmod('/d/f', 0o600));
    for (const path of ['/d', '/d/f', '/d/sub']) {
      equal(await times(driver, path), [1_000_000, nsec], `mtime of ${path}`);
      equal(await times(await world.open(), path), [1_000_000, nsec], `mtime of ${path} reopened`);
    }
    await driver.perform(op.append('/d/f', 'x'));
    check(((await times(driver, '/d/f'))[0] as number) > 1_600_000_000, 'a write moves mtime');
  });
  test('reading copies nothing up', { lower: [tree] }, async (world) => {
    const driver = await world.open();
    const before = await rawTree(world.upper);
    await snapshot(driver);
    for (const operation of [op.open(0, '/d/f'), op.pread(0), op.close(0)]) await driver.perform(operation);
    for (const operation of [
      op.mkdir('/d/f'),
      op.rmdir('/d'),
      op.unlink('/d/sub'),
      op.rename('/d/f', '/d', 'noreplace'),
    ]) {
      check('error' in (await apply(driver, operation)), `${operation.kind} fails`);
    }
    equal(await rawTree(world.upper), before, 'the upper');
  });
  const big = 'abcdefghij'.repeat(110_000);
  test('a big file is copied whole', { lower: [{ big: file(big) }] }, async (world) => {
    const driver = await world.open();
    await driver.perform(op.append('/big', 'end'));
    const content = (await driver.perform({ kind: 'read', path: '/big' })) as string;
    check(content === `${big}end`, 'content');
  });
  test('O_TRUNC and a truncation copy no data that goes', {
    lower: [{ a: file('0123456789'), b: file('0123456789') }],
  }, async (world) => {
    const driver = await world.open();
    for (const operation of [op.open(0, '/a', 'w'), op.pwrite(0, 'new'), op.close(0)]) await driver.perform(operation);
    await driver.perform({ kind: 'truncate', path: '/b', size: 4 });
    equal(await driver.perform({ kind: 'read', path: '/a' }), 'new', 'a');
    equal(await driver.perform({ kind: 'read', path: '/b' }), '0123', 'b');
  });
  test(
    'special files',
    { lower: [capabilities.specialFiles === true ? { d: dir({ fifo: { type: 'fifo', mode: 0o622 } }) } : {}] },
    async (world) => {
      const driver = await world.open();
      await driver.perform(op.chmod('/d/fifo', 0o600));
      const { mode } = (await driver.perform(op.stat('/d/fifo'))) as Stat;
      equal(mode, 0o010600, 'mode');
      equal(
        await apply(driver, { kind: 'mknod', path: '/d/socket', mode: S_IFSOCK | 0o600, rdev: 0 }),
        { ok: undefined },
        'mknod',
      );
    },
    {},
    capabilities.specialFiles,
  );
  test(
    'devices',
    { lower: [capabilities.devices === true ? { dev: { type: 'block', rdev: 0x801, mode: 0o660 } } : {}] },
    async (world) => {
      const driver = await world.open();
      await driver.perform(op.chmod('/dev', 0o600));
      const { mode, rdev } = (await driver.perform(op.stat('/dev'))) as Stat;
      equal([mode, rdev], [0o060600, 0x801], 'mode and rdev');
    },
    {},
    capabilities.devices,
  );
}
