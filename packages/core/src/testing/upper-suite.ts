/** What every writable layer does: staging, each change of names with each occupant, objects, their attributes. */
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, type Attributes } from '../attributes.js';
import type { Found, LayerNode, NewObject, Occupant, Place, UpperLayer } from '../layer.js';
import { encodeName } from '../names.js';
import type { LayerCapabilities } from './capabilities.js';
import { found, at, contentOf, namesIn } from './layer-reads.js';
import { check, equal, fails, itIf, type TestRunner } from './runner.js';

/** What {@link upperSuite} needs of a kind of writable layer. */
export interface UpperHarness {
  name: string;
  runner: TestRunner;
  capabilities: LayerCapabilities;
  /** An empty layer. */
  upper(): Promise<UpperLayer> | UpperLayer;
  dispose?(layer: UpperLayer): Promise<void> | void;
}

const FILE: NewObject = { mode: S_IFREG | 0o600, uid: 0, gid: 0 };
const DIRECTORY: NewObject = { mode: S_IFDIR | 0o700, uid: 0, gid: 0 };
const WHITEOUT: NewObject = { mode: S_IFCHR, uid: 0, gid: 0, rdev: 0 };
const OCCUPANTS: readonly Occupant[] = ['nothing', 'whiteout', 'non-directory', 'directory'];

function isWhiteout({ mode, rdev }: Attributes): boolean {
  return (mode & S_IFMT) === S_IFCHR && rdev === 0;
}

async function write(layer: UpperLayer, node: LayerNode, text: string, position = 0): Promise<void> {
  const opened = await layer.openWritable(node);
  equal(await opened.write(encodeName(text), position), encodeName(text).length, 'bytes written');
  await opened.close();
}

/** Puts an occupant at a place; undefined for "nothing". */
async function occupy(layer: UpperLayer, to: Place, occupant: Occupant): Promise<Found | undefined> {
  switch (occupant) {
    case 'nothing':
      return undefined;
    case 'whiteout': {
      const staged = await layer.stage(WHITEOUT);
      await layer.commit({ kind: 'link', node: staged.node, to, over: 'nothing' });
      return staged;
    }
    case 'non-directory': {
      const made = await layer.create(to, FILE);
      await write(layer, made.node, 'occupant');
      return made;
    }
    case 'directory':
      return await layer.create(to, DIRECTORY);
  }
}

/** Whether a change may put an object of this kind over an occupant. */
function fits(source: 'non-directory' | 'directory', over: Occupant): boolean {
  return over === 'nothing' || over === 'whiteout' || over === source;
}

/** Writing. */
export function upperSuite(harness: UpperHarness): void {
  const { runner, capabilities } = harness;
  const test = (name: string, body: (layer: UpperLayer) => Promise<void>, support = true as true | string) =>
    itIf(runner, support, name, async () => {
      const layer = await harness.upper();
      try {
        await body(layer);
      } finally {
        await harness.dispose?.(layer);
      }
    });

  runner.describe(`upper layer: ${harness.name}`, () => {
    namespaceTests(test, capabilities);
    objectTests(test, capabilities);
  });
}

type Test = (name: string, body: (layer: UpperLayer) => Promise<void>, support?: true | string) => void;

function namespaceTests(test: Test, capabilities: LayerCapabilities): void {
  test('create makes each type at once, and throws EEXIST', async (layer) => {
    const to = (name: string): Place => ({ dir: layer.root, name });
    const made = await layer.create(to('f'), { ...FILE, mode: S_IFREG | 0o777 });
    equal(made.attributes.mode, S_IFREG | 0o777, 'mode, whatever the umask');
    equal((await found(layer, layer.root, 'f')).attributes.ino, made.attributes.ino, 'ino');
    await layer.create(to('d'), { ...DIRECTORY, mode: S_IFDIR | 0o1777 });
    equal((await found(layer, layer.root, 'd')).attributes.mode, S_IFDIR | 0o1777, 'mode of directory');
    await layer.create(to('l'), { mode: S_IFLNK | 0o777, uid: 0, gid: 0, target: 'nowhere' });
    equal(await layer.readlink((await found(layer, layer.root, 'l')).node), 'nowhere', 'target');
    for (const name of ['f', 'd', 'l']) {
      await fails('EEXIST', () => layer.create(to(name), FILE), `create over ${name}`);
      await fails('EEXIST', () => layer.create(to(name), DIRECTORY), `mkdir over ${name}`);
    }
    equal(await namesIn(layer, layer.root), ['d', 'f', 'l'], 'names');
  });

  test('a staged object is usable, invisible, and arrives when linked', async (layer) => {
    const { node } = await layer.stage(FILE);
    equal(await namesIn(layer, layer.root), [], 'names before');
    await write(layer, node, 'staged');
    await layer.setattr(node, { mode: 0o644 });
    equal(await contentOf(layer, node), 'staged', 'content before');
    await layer.commit({ kind: 'link', node, to: { dir: layer.root, name: 'x' }, over: 'nothing' });
    const arrived = await found(layer, layer.root, 'x');
    equal(await contentOf(layer, arrived.node), 'staged', 'content');
    equal([arrived.attributes.mode, arrived.attributes.nlink], [S_IFREG | 0o644, 1], 'mode, nlink');
    equal((await layer.getattr(node)).ino, arrived.attributes.ino, 'the node goes on naming it');
  });

  test('a staged object can be discarded', async (layer) => {
    for (const object of [FILE, DIRECTORY, WHITEOUT]) await layer.discard((await layer.stage(object)).node);
    equal(await namesIn(layer, layer.root), [], 'names');
  });

  for (const source of ['non-directory', 'directory'] as const) {
    for (const over of OCCUPANTS.filter((occupant) => fits(source, occupant))) {
      test(`link: a staged ${source} over ${over}`, async (layer) => {
        const to = { dir: layer.root, name: 'x' };
        await occupy(layer, to, over);
        const { node } = await layer.stage(source === 'directory' ? DIRECTORY : FILE);
        await layer.commit({ kind: 'link', node, to, over });
        const arrived = await found(layer, layer.root, 'x');
        equal(arrived.attributes.mode & S_IFMT, source === 'directory' ? S_IFDIR : S_IFREG, 'type');
        equal(await namesIn(layer, layer.root), ['x'], 'names');
      });
    }
  }

  test('link: a whiteout over a file and over a directory that holds whiteouts', async (layer) => {
    for (const over of ['non-directory', 'directory'] as const) {
      const to = { dir: layer.root, name: over };
      const occupant = (await occupy(layer, to, over)) as Found;
      if (over === 'directory') await occupy(layer, { dir: occupant.node, name: 'w' }, 'whiteout');
      const { node } = await layer.stage(WHITEOUT);
      await layer.commit({ kind: 'link', node, to, over });
      check(isWhiteout((await found(layer, layer.root, over)).attributes), `a whiteout over a ${over}`);
    }
  });

  test('link: what stood there stays usable when kept', async (layer) => {
    const to = { dir: layer.root, name: 'x' };
    const old = (await occupy(layer, to, 'non-directory')) as Found;
    const { node } = await layer.stage(FILE);
    await layer.commit({ kind: 'link', node, to, over: 'non-directory', keep: old.node });
    equal(await contentOf(layer, old.node), 'occupant', 'content of what was kept');
    await write(layer, old.node, 'X');
    equal((await layer.getattr(old.node)).nlink, 0, 'nlink of what was kept');
    equal(await contentOf(layer, (await found(layer, layer.root, 'x')).node), '', 'content of the new one');
    layer.release?.(old.node);
  });

  test(
    'link: a second name',
    async (layer) => {
      const { node } = await layer.create({ dir: layer.root, name: 'a' }, FILE);
      await layer.commit({ kind: 'link', node, to: { dir: layer.root, name: 'b' }, over: 'nothing' });
      await occupy(layer, { dir: layer.root, name: 'c' }, 'whiteout');
      await layer.commit({ kind: 'link', node, to: { dir: layer.root, name: 'c' }, over: 'whiteout' });
      const [a, b, c] = [await at(layer, 'a'), await at(layer, 'b'), await at(layer, 'c')];
      equal([b.attributes.ino, c.attributes.ino], [a.attributes.ino, a.attributes.ino], 'ino');
      equal(a.attributes.nlink, 3, 'nlink');
      await write(layer, b.node, 'shared');
      equal(await contentOf(layer, c.node), 'shared', 'content');
      await layer.commit({ kind: 'unlink', from: { dir: layer.root, name: 'a' }, occupant: 'non-directory' });
      equal((await at(layer, 'b')).attributes.nlink, 2, 'nlink after unlink');
    },
    capabilities.hardLinks,
  );

  test('link and create refuse a taken name', async (layer) => {
    await occupy(layer, { dir: layer.root, name: 'x' }, 'non-directory');
    const { node } = await layer.stage(FILE);
    const to = { dir: layer.root, name: 'x' };
    await fails('EEXIST', () => layer.commit({ kind: 'link', node, to, over: 'nothing' }), 'link');
    await layer.discard(node);
    equal(await contentOf(layer, (await at(layer, 'x')).node), 'occupant', 'content');
  });

  for (const occupant of ['whiteout', 'non-directory', 'directory'] as const) {
    test(`unlink: a ${occupant}, leaving nothing`, async (layer) => {
      const from = { dir: layer.root, name: 'x' };
      const held = (await occupy(layer, from, occupant)) as Found;
      if (occupant === 'directory') await occupy(layer, { dir: held.node, name: 'w' }, 'whiteout');
      await layer.commit({ kind: 'unlink', from, occupant });
      equal(await layer.lookup(layer.root, 'x'), undefined, 'lookup');
      equal(await namesIn(layer, layer.root), [], 'names');
    });
  }

  test('unlink: an open file and a kept node go on', async (layer) => {
    const from = { dir: layer.root, name: 'x' };
    const { node } = (await occupy(layer, from, 'non-directory')) as Found;
    const opened = await layer.openWritable(node);
    await layer.commit({ kind: 'unlink', from, occupant: 'non-directory', keep: node });
    await opened.write(encodeName('O'), 0);
    equal(await contentOf(layer, node), 'Occupant', 'content');
    await layer.setattr(node, { size: 2 });
    equal((await layer.getattr(node)).size, 2, 'size');
    await opened.close();
    layer.release?.(node);
  });

  test('unlink of nothing is ENOENT', async (layer) => {
    const from = { dir: layer.root, name: 'x' };
    await fails('ENOENT', () => layer.commit({ kind: 'unlink', from, occupant: 'non-directory' }), 'unlink');
  });

  for (const source of ['non-directory', 'directory'] as const) {
    for (const over of OCCUPANTS.filter((occupant) => fits(source, occupant))) {
      for (const leave of ['nothing', 'whiteout'] as const) {
        test(`rename: a ${source} over ${over}, leaving ${leave}`, async (layer) => {
          const target = await layer.create({ dir: layer.root, name: 'target' }, DIRECTORY);
          const from = { dir: layer.root, name: 'x' };
          const to = { dir: target.node, name: 'y' };
          const { node, attributes } = (await occupy(layer, from, source)) as Found;
          if (source === 'directory') await layer.create({ dir: node, name: 'child' }, FILE);
          await occupy(layer, to, over);
          await layer.commit({ kind: 'rename', node, from, to, over, leave });
          const moved = await at(layer, 'target/y');
          equal(moved.attributes.ino, attributes.ino, 'ino');
          equal((await layer.getattr(node)).ino, attributes.ino, 'the node goes on naming it');
          if (source === 'directory') equal(await namesIn(layer, node), ['child'], 'names inside');
          const left = await layer.lookup(layer.root, 'x');
          equal(
            left === undefined ? 'nothing' : isWhiteout(left.attributes) ? 'whiteout' : 'object',
            leave,
            'left behind',
          );
        });
      }
    }
  }

  test('rename: what stood at the target stays usable when kept', async (layer) => {
    const [from, to] = [
      { dir: layer.root, name: 'a' },
      { dir: layer.root, name: 'b' },
    ];
    const source = (await occupy(layer, from, 'non-directory')) as Found;
    const old = (await occupy(layer, to, 'non-directory')) as Found;
    await write(layer, old.node, 'OLD');
    await layer.commit({
      kind: 'rename',
      node: source.node,
      from,
      to,
      over: 'non-directory',
      leave: 'nothing',
      keep: old.node,
    });
    equal(await contentOf(layer, old.node), 'OLDupant', 'content of what was kept');
    equal(await contentOf(layer, (await at(layer, 'b')).node), 'occupant', 'content of the new one');
    layer.release?.(old.node);
  });

  test('exchange swaps objects of any two types', async (layer) => {
    for (const [one, two] of [
      ['non-directory', 'non-directory'],
      ['non-directory', 'directory'],
      ['directory', 'directory'],
    ] as const) {
      const parent = (await layer.create({ dir: layer.root, name: `${one} ${two}` }, DIRECTORY)).node;
      const sub = (await layer.create({ dir: parent, name: 'sub' }, DIRECTORY)).node;
      const [a, b] = [
        { dir: parent, name: 'a' },
        { dir: sub, name: 'b' },
      ];
      const [first, second] = [(await occupy(layer, a, one)) as Found, (await occupy(layer, b, two)) as Found];
      await layer.commit({ kind: 'exchange', a: { ...a, node: first.node }, b: { ...b, node: second.node } });
      equal((await found(layer, parent, 'a')).attributes.ino, second.attributes.ino, 'ino of a');
      equal((await found(layer, sub, 'b')).attributes.ino, first.attributes.ino, 'ino of b');
      equal((await layer.getattr(first.node)).ino, first.attributes.ino, 'the node goes on naming it');
    }
  });
}

function objectTests(test: Test, capabilities: LayerCapabilities): void {
  const make = async (layer: UpperLayer, object: NewObject = FILE): Promise<LayerNode> =>
    (await layer.create({ dir: layer.root, name: 'x' }, object)).node;

  test('write extends, overwrites, and leaves zeros in between', async (layer) => {
    const node = await make(layer);
    await write(layer, node, 'hello');
    await write(layer, node, 'J');
    equal(await contentOf(layer, node), 'Jello', 'content');
    await write(layer, node, '!', 8);
    equal(await contentOf(layer, node), 'Jello\0\0\0!', 'content past the end');
    const opened = await layer.openWritable(node);
    equal(await opened.write(new Uint8Array(0), 100), 0, 'empty write');
    await opened.fsync('data');
    await opened.fsync('all');
    await opened.close();
    equal((await layer.getattr(node)).size, 9, 'size');
  });

  test('a buffer stays the caller’s', async (layer) => {
    const node = await make(layer);
    const opened = await layer.openWritable(node);
    const buffer = encodeName('mine');
    await opened.write(buffer, 0);
    buffer.fill(0x58);
    await opened.close();
    equal(await contentOf(layer, node), 'mine', 'content');
  });

  test('truncation shortens, and extends with zeros', async (layer) => {
    const node = await make(layer);
    await write(layer, node, 'truncate');
    await layer.setattr(node, { size: 5 });
    await layer.setattr(node, { size: 7 });
    equal(await contentOf(layer, node), 'trunc\0\0', 'content');
    await layer.setattr(node, { size: 0 });
    await write(layer, node, 'x', 2);
    equal(await contentOf(layer, node), '\0\0x', 'nothing old shows');
  });

  test('setattr changes what it names and nothing else', async (layer) => {
    const node = await make(layer);
    const before = await layer.getattr(node);
    await layer.setattr(node, { mode: 0o4711 });
    const after = await layer.getattr(node);
    equal(after.mode, S_IFREG | 0o4711, 'mode');
    equal([after.uid, after.gid, after.size], [before.uid, before.gid, before.size], 'the rest');
    equal([after.mtimeSec, after.mtimeNsec], [before.mtimeSec, before.mtimeNsec], 'mtime');
    await layer.setattr(node, {});
  });

  test('setattr with a mode and an owner keeps the set-id bits', async (layer) => {
    const node = await make(layer);
    const { uid, gid } = await layer.getattr(node);
    await layer.setattr(node, { uid, gid, mode: 0o6755 });
    equal((await layer.getattr(node)).mode, S_IFREG | 0o6755, 'mode');
  });

  test(
    'owners',
    async (layer) => {
      const node = await make(layer, { ...FILE, uid: 12, gid: 34 });
      let { uid, gid } = await layer.getattr(node);
      equal([uid, gid], [12, 34], 'from the start');
      await layer.setattr(node, { uid: 56 });
      ({ uid, gid } = await layer.getattr(node));
      equal([uid, gid], [56, 34], 'changed');
    },
    capabilities.owner,
  );

  test('times are set together with other changes and stay', async (layer) => {
    const node = await make(layer);
    await write(layer, node, 'x');
    const nsec = capabilities.nanoseconds === true ? 123_456_789 : 0;
    await layer.setattr(node, { size: 0, mode: 0o600, mtime: { sec: 86_400, nsec }, atime: { sec: 5, nsec: 0 } });
    const set = await layer.getattr(node);
    equal([set.mtimeSec, set.mtimeNsec, set.atimeSec, set.atimeNsec], [86_400, nsec, 5, 0], 'times');
    await layer.setattr(node, { mtime: 'now' });
    check((await layer.getattr(node)).mtimeSec > 1_600_000_000, 'mtime now');
    equal((await layer.getattr(node)).atimeSec, 5, 'atime');
    await layer.setattr(node, { mtime: { sec: 7, nsec: 0 } });
    await write(layer, node, 'y');
    check((await layer.getattr(node)).mtimeSec > 1_600_000_000, 'a write moves mtime');
  });

  test('a new name moves its directory’s mtime', async (layer) => {
    await layer.setattr(layer.root, { mtime: { sec: 7, nsec: 0 } });
    await make(layer);
    check((await layer.getattr(layer.root)).mtimeSec > 7, 'mtime');
  });

  test(
    'extended attributes and their conditions',
    async (layer) => {
      const node = await make(layer);
      await fails('ENODATA', () => layer.setxattr(node, 'user.k', encodeName('0'), 'replace'), 'replace of nothing');
      await layer.setxattr(node, 'user.k', encodeName('1'), 'create');
      await fails('EEXIST', () => layer.setxattr(node, 'user.k', encodeName('2'), 'create'), 'create again');
      equal(await layer.getxattr(node, 'user.k'), encodeName('1'), 'value');
      await layer.setxattr(node, 'user.k', encodeName('22'), 'replace');
      await layer.setxattr(node, 'user.e', new Uint8Array(0));
      equal(
        (await layer.listxattr(node)).filter((name) => name.startsWith('user.')).sort(),
        ['user.e', 'user.k'],
        'names',
      );
      await layer.setxattr(node, 'user.k', encodeName('3'));
      equal(await layer.getxattr(node, 'user.k'), encodeName('3'), 'value in the end');
      await layer.removexattr(node, 'user.k');
      equal(await layer.getxattr(node, 'user.k'), undefined, 'removed');
      await fails('ENODATA', () => layer.removexattr(node, 'user.k'), 'removed again');
    },
    capabilities.userXattrs,
  );

  test('the overlay’s own attributes can be kept on files and directories', async (layer) => {
    for (const name of ['f', 'd']) {
      const { node } = await layer.create({ dir: layer.root, name }, name === 'f' ? FILE : DIRECTORY);
      await layer.setxattr(node, `${layer.xattrPrefix}origin`, encodeName('o'));
      equal(await layer.getxattr(node, `${layer.xattrPrefix}origin`), encodeName('o'), `on ${name}`);
    }
  });

  test(
    'attributes on symbolic links and special files',
    async (layer) => {
      const { node } = await layer.create(
        { dir: layer.root, name: 'l' },
        { ...FILE, mode: S_IFLNK | 0o777, target: 't' },
      );
      await layer.setxattr(node, 'trusted.k', encodeName('v'));
      equal(await layer.getxattr(node, 'trusted.k'), encodeName('v'), 'value');
    },
    capabilities.trustedXattrs === true ? capabilities.xattrsOnAll : capabilities.trustedXattrs,
  );

  test(
    'special files',
    async (layer) => {
      const node = await make(layer, { mode: S_IFIFO | 0o622, uid: 0, gid: 0 });
      equal((await layer.getattr(node)).mode, S_IFIFO | 0o622, 'mode');
    },
    capabilities.specialFiles,
  );

  test(
    'devices',
    async (layer) => {
      const node = await make(layer, { mode: S_IFBLK | 0o660, uid: 0, gid: 0, rdev: 0x10203 });
      equal((await layer.getattr(node)).rdev, 0x10203, 'rdev');
    },
    capabilities.devices,
  );

  test(
    'unwritten parts are holes',
    async (layer) => {
      const node = await make(layer);
      const far = 1 << 24;
      await write(layer, node, 'end', far);
      const opened = await layer.open(node);
      check((await opened.seek(0, 'data')) > 0, 'the file begins with a hole');
      equal(await opened.seek(0, 'hole'), 0, 'hole');
      await opened.close();
      check((await layer.getattr(node)).blocks * 512 < far, 'blocks');
    },
    capabilities.holes,
  );

  test(
    'allocate extends, keeps the size, punches and zeroes',
    async (layer) => {
      const node = await make(layer);
      await write(layer, node, '0123456789');
      const opened = await layer.openWritable(node);
      await opened.allocate({ keepSize: true, punchHole: false, zeroRange: false }, 0, 20);
      equal(await contentOf(layer, node), '0123456789', 'size kept');
      await opened.allocate({ keepSize: true, punchHole: true, zeroRange: false }, 2, 3);
      equal(await contentOf(layer, node), '01\0\0\x0056789', 'punched');
      await opened.allocate({ keepSize: false, punchHole: false, zeroRange: false }, 0, 12);
      equal(await contentOf(layer, node), '01\0\0\x0056789\0\0', 'extended');
      await opened.close();
    },
    capabilities.allocate,
  );

  test('sync and fsyncdir answer', async (layer) => {
    await make(layer);
    await layer.fsyncdir(layer.root);
    await layer.sync();
  });
}
