/**
 * What an overlay does, over any kind of layer. Most tests are scenarios: trees in the layers, operations, and after each
 * of them the same answer and the same tree as the flat model has, in this overlay and in one newly opened over the same
 * layers; and in the end lower layers that nobody has touched.
 */
import { S_IFREG, S_IFSOCK } from '../attributes.js';
import type { OverlayOptions } from '../inode.js';
import type { Layer, LayerNode, UpperLayer } from '../layer.js';
import { decodeName, encodeName } from '../names.js';
import { Overlay } from '../overlay.js';
import { runAsync } from '../run.js';
import type { LayerCapabilities } from './capabilities.js';
import { OverlayDriver } from './driver.js';
import { Model } from './model.js';
import { apply, canonical, type FileOperation, snapshot, type Stat } from './operations.js';
import { check, equal, fails, itIf, type Support, type TestRunner } from './runner.js';
import { dir, file, populate, symlink, type TreeSpec, whiteout, type WhiteoutForm, type OpaqueForm } from './tree.js';

export interface OverlayHarness {
  name: string;
  runner: TestRunner;
  capabilities: LayerCapabilities;
  /** An empty writable layer. Lower layers are made as upper ones and then only read. */
  layer(): Promise<UpperLayer> | UpperLayer;
  /** The same layer as a later mount finds it. Default: the same object. */
  reopen?(layer: UpperLayer): Promise<UpperLayer> | UpperLayer;
  /** Called with the layers of each test when it ends. */
  dispose?(layers: readonly UpperLayer[]): Promise<void> | void;
}

interface Trees {
  /** Absent: an empty upper. */
  upper?: TreeSpec;
  lower: readonly TreeSpec[];
  /** Puts in place what trees cannot say. */
  prepare?(lower: readonly UpperLayer[]): Promise<void>;
}

type Options = Partial<Pick<OverlayOptions, 'redirectDir' | 'fsync'>>;

class World {
  readonly upper: UpperLayer;
  readonly lower: readonly UpperLayer[];
  readonly #harness: OverlayHarness;
  readonly #options: Options;

  constructor(harness: OverlayHarness, upper: UpperLayer, lower: readonly UpperLayer[], options: Options) {
    this.#harness = harness;
    this.upper = upper;
    this.lower = lower;
    this.#options = options;
  }

  /** A new overlay over the same layers. */
  async open(without?: 'without-upper'): Promise<OverlayDriver> {
    const again = async (layer: UpperLayer): Promise<UpperLayer> => (await this.#harness.reopen?.(layer)) ?? layer;
    const lower: UpperLayer[] = [];
    for (const layer of this.lower) lower.push(await again(layer));
    const upper = without === undefined ? { upper: await again(this.upper) } : { xattrPrefix: this.upper.xattrPrefix };
    const overlay = await runAsync(Overlay.open({ ...upper, lower, ...this.#options }));
    return new OverlayDriver(overlay, { mode: 'async', inodes: 'keep' });
  }
}

async function inWorld(
  harness: OverlayHarness,
  trees: Trees,
  body: (world: World) => Promise<void>,
  options: Options = {},
): Promise<void> {
  const make = async (tree: TreeSpec): Promise<UpperLayer> => {
    const layer = await harness.layer();
    await runAsync(populate(layer, tree));
    return layer;
  };
  const upper = await make(trees.upper ?? {});
  const lower: UpperLayer[] = [];
  for (const tree of trees.lower) lower.push(await make(tree));
  await trees.prepare?.(lower);
  const before = await Promise.all(lower.map(rawTree));
  try {
    await body(new World(harness, upper, lower, options));
    equal(await Promise.all(lower.map(rawTree)), before, 'the lower layers');
  } finally {
    await harness.dispose?.([upper, ...lower]);
  }
}

/** Everything in a layer, as it is stored. */
async function rawTree(layer: Layer): Promise<unknown> {
  const visit = async (node: LayerNode): Promise<unknown> => {
    const { mode, uid, gid, rdev, size, nlink, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec } = await layer.getattr(node);
    const attributes = { mode, uid, gid, rdev, nlink, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec };
    const xattrs: Record<string, unknown> = {};
    for (const name of await layer.listxattr(node)) xattrs[name] = await layer.getxattr(node, name);
    const entries: Record<string, unknown> = {};
    if (mode >>> 12 === 4) {
      for (const { name } of await layer.readdir(node)) {
        entries[name] = await visit(((await layer.lookup(node, name)) as { node: LayerNode }).node);
      }
    }
    const content = mode >>> 12 === 8 ? await read(layer, node, size) : undefined;
    return { attributes, xattrs, entries, content };
  };
  return await visit(layer.root);
}

async function read(layer: Layer, node: LayerNode, size: number): Promise<string> {
  const opened = await layer.open(node);
  const buffer = new Uint8Array(size);
  await opened.read(buffer, 0);
  await opened.close();
  return decodeName(buffer);
}

async function sameTree(driver: OverlayDriver, model: Model, when: string): Promise<void> {
  equal(canonical(await snapshot(driver)), canonical(await snapshot(model)), `the tree ${when}`);
}

/** Performs operations and compares after each. `shows`: what the layers merge to, where the model cannot tell. */
async function play(
  harness: OverlayHarness,
  trees: Trees & { shows?: TreeSpec },
  operations: readonly FileOperation[] = [],
  options: Options = {},
): Promise<void> {
  const { upper = {}, lower, shows } = trees;
  const body = async (world: World): Promise<void> => {
    const driver = await world.open();
    const model = new Model(shows === undefined ? [upper, ...lower] : [shows]);
    await sameTree(driver, model, 'before');
    for (const operation of operations) {
      const expected = await apply(model, operation);
      const when = `after ${JSON.stringify(operation)}`;
      equal(await apply(driver, operation), expected, `result ${when}`);
      await sameTree(driver, model, when);
      await sameTree(await world.open(), model, `reopened ${when}`);
    }
  };
  await inWorld(harness, trees, body, options);
}

/** Short forms of the operations that the scenarios are made of. */
const op = {
  create: (path: string): FileOperation => ({ kind: 'create', path, mode: 0o644, uid: 0, gid: 0 }),
  mkdir: (path: string): FileOperation => ({ kind: 'mkdir', path, mode: 0o755, uid: 0, gid: 0 }),
  unlink: (path: string): FileOperation => ({ kind: 'unlink', path }),
  rmdir: (path: string): FileOperation => ({ kind: 'rmdir', path }),
  rename: (from: string, to: string, flag?: 'noreplace' | 'exchange'): FileOperation =>
    flag === undefined ? { kind: 'rename', from, to } : { kind: 'rename', from, to, flag },
  link: (from: string, to: string): FileOperation => ({ kind: 'link', from, to }),
  append: (path: string, text: string): FileOperation => ({ kind: 'append', path, text }),
  chmod: (path: string, mode: number): FileOperation => ({ kind: 'chmod', path, mode }),
  open: (slot: number, path: string, how: 'r' | 'r+' | 'w' | 'a' = 'r'): FileOperation => ({
    kind: 'open',
    slot,
    path,
    how,
  }),
  pread: (slot: number): FileOperation => ({ kind: 'pread', slot, position: 0, length: 50 }),
  pwrite: (slot: number, text: string, position = 0): FileOperation => ({ kind: 'pwrite', slot, position, text }),
  stat: (path: string): FileOperation => ({ kind: 'stat', path }),
  close: (slot: number): FileOperation => ({ kind: 'close', slot }),
} as const;

interface Suite {
  harness: OverlayHarness;
  /** A test of a world. */
  test(name: string, trees: Trees, body: (world: World) => Promise<void>, options?: Options, support?: Support): void;
  /** A test that compares with the model. */
  scenario(
    name: string,
    trees: Trees & { shows?: TreeSpec },
    operations?: readonly FileOperation[],
    options?: Options,
  ): void;
}

export function overlaySuite(harness: OverlayHarness): void {
  const { runner } = harness;
  const suite: Suite = {
    harness,
    test: (name, trees, body, options, support = true) =>
      itIf(runner, support, name, () => inWorld(harness, trees, body, options)),
    scenario: (name, trees, operations, options) => runner.it(name, () => play(harness, trees, operations, options)),
  };
  runner.describe(`overlay: ${harness.name}`, () => {
    runner.describe('merging', () => mergeTests(suite));
    runner.describe('redirects', () => redirectTests(suite));
    runner.describe('copy-up', () => copyUpTests(suite));
    runner.describe('metacopy', () => metacopyTests(suite));
    runner.describe('removing and making again', () => removalTests(suite));
    runner.describe('rename', () => renameTests(suite));
    runner.describe('links and open files', () => linkTests(suite));
    runner.describe('inode numbers', () => inodeTests(suite));
    runner.describe('extended attributes', () => xattrTests(suite));
    runner.describe('errors', () => errorTests(suite));
    runner.describe('at the same time', () => concurrencyTests(suite));
  });
}

const WHITEOUTS: readonly WhiteoutForm[] = ['device', 'xattr', 'name'];
const OPAQUES: readonly OpaqueForm[] = ['y', '.wh..wh..opq', 'fuse-overlayfs'];

function mergeTests({ scenario, harness }: Suite): void {
  scenario('directories merge, the topmost layer’s attributes count, first occurrence wins', {
    upper: { d: dir({ u: file('upper'), same: file('from upper') }, { mode: 0o700 }) },
    lower: [
      { d: dir({ m: file('middle'), same: file('from middle') }, { mode: 0o755 }), only: dir({ m: file('m') }) },
      { d: dir({ l: file('lower'), same: file('from lower') }, { mode: 0o777 }), only: dir({ l: file('l') }) },
    ],
  });
  scenario('a file hides a directory below, and a directory a file, also from what is below them', {
    lower: [
      { a: file('file'), b: dir({ x: file('x') }) },
      { a: dir({ hidden: file('') }), b: file('hidden') },
      { a: dir({ hidden2: file('') }), b: dir({ hidden: file('') }) },
    ],
  });
  for (const form of WHITEOUTS) {
    const marked = form === 'xattr' ? { opaque: 'x' as const } : {};
    const gone = dir({ f: whiteout(form), d: whiteout(form), kept: file('kept') }, marked);
    const full = dir({ f: file('hidden'), d: dir({ x: file('hidden') }), other: file('other') });
    // The kernel looks for xattr whiteouts in lower layers only: tools make them, overlays do not.
    const top = { top: gone };
    const trees = form === 'xattr' ? { lower: [top, { top: full }] } : { upper: top, lower: [{ top: full }] };
    scenario(`whiteouts (${form}) at the top`, trees, [
      op.create('/top/f'),
      op.mkdir('/top/d'),
      op.unlink('/top/f'),
      op.rmdir('/top/d'),
      op.rename('/top/kept', '/top/d'),
      op.rename('/top/other', '/top/f'),
      op.rename('/top/f', '/top/d'),
      op.unlink('/top/d'),
    ]);
    scenario(`whiteouts (${form}) below`, { lower: [{}, { top: gone }, { top: full }] }, [
      op.mkdir('/top/d'),
      op.create('/top/f'),
      op.unlink('/top/f'),
      op.unlink('/top/other'),
    ]);
    scenario(`a directory above a whiteout (${form}) does not merge with what it hides`, {
      lower: [{ top: dir({ d: dir({ new: file('new') }) }) }, { top: gone }, { top: full }],
    });
  }
  scenario('a .wh. file hides what is below, not its own layer’s entry', {
    lower: [
      { '.wh.f': file(''), f: file('same layer'), '.wh.d': file(''), d: dir({ a: file('a') }) },
      { f: file('hidden'), d: dir({ b: file('hidden') }) },
    ],
    shows: { f: file('same layer'), d: dir({ a: file('a') }) },
  });
  for (const opaque of OPAQUES) {
    const above = dir({ new: file('new') }, { opaque });
    const below = dir({ old: file('old'), new: file('old') });
    scenario(`opaque directories (${opaque}) in the upper`, { upper: { d: above }, lower: [{ d: below }] }, [
      op.unlink('/d/new'),
      op.create('/d/new'),
      op.chmod('/d', 0o711),
      op.rename('/d', '/e'),
      op.mkdir('/d'),
    ]);
    scenario(`opaque directories (${opaque}) in a lower layer`, { lower: [{ d: dir() }, { d: above }, { d: below }] }, [
      op.unlink('/d/new'),
      op.chmod('/d', 0o711),
      op.rename('/d', '/e'),
      op.mkdir('/d'),
    ]);
  }
  const hundred = Array.from({ length: 100 }, (_, i): TreeSpec => {
    return { all: dir({ [`from ${i}`]: file(`${i}`), same: file(`${i}`) }), [`top ${i}`]: file(`${i}`) };
  });
  scenario('a hundred layers', { lower: hundred }, [op.append('/all/from 99', '!'), op.rename('/all', '/renamed')]);
  harness.runner.it('no layers at all is EINVAL', async () => {
    await fails('EINVAL', () => runAsync(Overlay.open({ lower: [] })));
  });
}

function redirectTests({ scenario, test }: Suite): void {
  const old = dir({ f: file('f'), sub: dir({ g: file('g') }) });
  scenario('by name, in the same directory', {
    upper: { d: dir({ new: dir({ own: file('own') }, { redirect: 'old' }), old: whiteout() }) },
    lower: [{ d: dir({ old }) }],
    shows: { d: dir({ new: dir({ own: file('own'), f: file('f'), sub: dir({ g: file('g') }) }) }) },
  });
  scenario(
    'by path, through an opaque ancestor',
    {
      upper: { o: dir({ new: dir({}, { redirect: '/d/old' }) }, { opaque: 'y' }), d: dir({ old: whiteout() }) },
      lower: [{ d: dir({ old }), o: dir({ hidden: file('') }) }],
      shows: { o: dir({ new: old }), d: dir() },
    },
    [op.append('/o/new/sub/g', '+'), op.rename('/o/new', '/o/newer'), op.rename('/o/newer', '/d/again')],
  );
  scenario('a chain through three layers', {
    upper: { c: dir({ u: file('u') }, { redirect: 'b' }), b: whiteout() },
    lower: [
      { b: dir({ m: file('m') }, { redirect: '/a' }), a: whiteout() },
      { a: dir({ l: file('l') }), b: dir({ no: file('') }) },
    ],
    shows: { c: dir({ u: file('u'), m: file('m'), l: file('l') }) },
  });
  scenario('in a middle layer, below a merged parent', {
    lower: [
      { p: dir({ q: dir({ top: file('') }) }) },
      { p: dir({ q: dir({}, { redirect: 'r' }), r: whiteout() }) },
      { p: dir({ r: dir({ found: file('found') }), q: dir({ no: file('') }) }) },
    ],
    shows: { p: dir({ q: dir({ top: file(''), found: file('found') }) }) },
  });
  scenario('the path of a redirect goes through redirected directories below', {
    upper: { x: dir({}, { redirect: '/p2/q' }), p2: whiteout() },
    lower: [{ p2: dir({}, { redirect: 'p1' }), p1: whiteout() }, { p1: dir({ q: dir({ f: file('f') }) }) }],
    shows: { x: dir({ f: file('f') }) },
  });
  scenario('a whiteout, a file or an opaque directory on the path ends it', {
    upper: { a: dir({}, { redirect: '/w' }), b: dir({}, { redirect: '/f' }), c: dir({}, { redirect: '/o/x' }) },
    lower: [
      { w: whiteout(), f: file('file'), o: dir({}, { opaque: 'y' }) },
      { w: dir({ no: file('') }), f: dir({ no: file('') }), o: dir({ x: dir({ no: file('') }) }) },
    ],
    shows: { a: dir(), b: dir(), c: dir(), f: file('file'), o: dir() },
  });
  scenario('one that leads nowhere is an empty directory', {
    upper: { a: dir({}, { redirect: '/nowhere/at/all' }) },
    lower: [{ b: file('') }],
    shows: { a: dir(), b: file('') },
  });
  scenario(
    'with nofollow they are ignored',
    {
      upper: { new: dir({ own: file('own') }, { redirect: 'old' }) },
      lower: [{ old }],
      shows: { new: dir({ own: file('own') }), old },
    },
    [],
    { redirectDir: 'nofollow' },
  );
  for (const redirectDir of ['follow', 'nofollow'] as const) {
    const trees = { upper: {}, lower: [{ old }] };
    const body = async (world: World): Promise<void> => {
      const driver = await world.open();
      equal(await apply(driver, op.rename('/old', '/new')), { error: 'EXDEV' }, 'rename of a lower directory');
      equal(await apply(driver, op.rename('/old/f', '/old/g')), { ok: undefined }, 'rename of a lower file');
      await driver.perform(op.mkdir('/made'));
      equal(await apply(driver, op.rename('/made', '/old/made')), { ok: undefined }, 'rename of an upper directory');
    };
    test(`with ${redirectDir} the rename of a lower directory is EXDEV`, trees, body, { redirectDir });
  }
  for (const redirect of ['a/b', '', '/', '//a', '/a/../b', '..', `/${'x'.repeat(256)}`]) {
    test(`a malformed one (${JSON.stringify(redirect.slice(0, 8))}) is EIO`, {
      upper: { d: dir({}, { redirect }) },
      lower: [{ d: dir() }],
    }, async (world) => {
      equal(await apply(await world.open(), op.stat('/d')), { error: 'EIO' }, 'stat');
    });
  }
  const long = 'n'.repeat(100);
  test('a path too long for a redirect is EXDEV, and nothing has changed', {
    lower: [{ [long]: dir({ [long]: dir({ [long]: dir({ f: file('f') }) }) }) }],
  }, async (world) => {
    const driver = await world.open();
    const before = canonical(await snapshot(driver));
    equal(await apply(driver, op.rename(`/${long}/${long}/${long}`, '/x')), { error: 'EXDEV' }, 'rename');
    equal(canonical(await snapshot(driver)), before, 'the tree');
    equal(canonical(await snapshot(await world.open())), before, 'the tree reopened');
    equal(
      await apply(driver, op.rename(`/${long}/${long}/${long}`, `/${long}/${long}/x`)),
      { ok: undefined },
      'by name',
    );
  });
}

function copyUpTests({ scenario, test, harness }: Suite): void {
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

function metacopyTests({ scenario, test }: Suite): void {
  const trees = {
    upper: {
      d: dir({ f: file('', { metacopy: 7, mode: 0o600 }), moved: file('', { metacopy: 5, redirect: '/d/g' }) }),
    },
    lower: [{ d: dir({ f: file('content', { mode: 0o644 }), g: file('other') }) }],
    shows: { d: dir({ f: file('content', { mode: 0o600 }), moved: file('other'), g: file('other') }) },
  };
  scenario('data is read from below', trees);
  scenario('the first write brings the data up', trees, [op.append('/d/f', '!'), op.append('/d/moved', '!')]);
  scenario('it can be renamed', trees, [op.rename('/d/f', '/d/h'), op.rename('/d/moved', '/away')]);
  scenario('it can be truncated', trees, [
    { kind: 'truncate', path: '/d/f', size: 3 },
    { kind: 'truncate', path: '/d/moved', size: 8 },
  ]);
  test('without data below it is EIO', {
    upper: { f: file('', { metacopy: 7 }) },
    lower: [{ g: file('') }],
  }, async (world) => {
    const driver = await world.open();
    equal(await apply(driver, { kind: 'read', path: '/f' }), { error: 'EIO' }, 'read');
    equal(await apply(driver, op.append('/f', 'x')), { error: 'EIO' }, 'append');
  });
}

function removalTests({ scenario, test }: Suite): void {
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

function renameTests({ harness, scenario }: Suite): void {
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

function linkTests({ scenario, test, harness }: Suite): void {
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
    const prepare = async ([layer]: readonly UpperLayer[]): Promise<void> => {
      if (layer === undefined) return;
      const { node } = await layer.create({ dir: layer.root, name: 'a' }, { mode: S_IFREG | 0o644, uid: 0, gid: 0 });
      await layer.commit({ kind: 'link', node, to: { dir: layer.root, name: 'b' }, over: 'nothing' });
    };
    test('of a lower file’s names, a write changes the one that it was made to', {
      lower: [{}],
      prepare,
    }, async (world) => {
      const driver = await world.open();
      await driver.perform(op.append('/a', 'new'));
      for (const each of [driver, await world.open()]) {
        equal(await each.perform({ kind: 'read', path: '/a' }), 'new', 'a');
        equal(await each.perform({ kind: 'read', path: '/b' }), '', 'b');
        const [a, b] = [(await each.perform(op.stat('/a'))) as Stat, (await each.perform(op.stat('/b'))) as Stat];
        check(a.id !== b.id, 'they are two objects now');
        equal(a.nlink, 1, 'nlink of a');
      }
    });
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

function inodeTests({ test }: Suite): void {
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
      equal(await runAsync(overlay.entryIno(found.inode, name)), entry?.attributes.ino, name);
    }
  });
}

function xattrTests({ test, scenario, harness }: Suite): void {
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

function errorTests({ scenario, test }: Suite): void {
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

function concurrencyTests({ test }: Suite): void {
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
