/** What every layer does when it is read, whatever it is made of: the contracts of layer.ts, one test each. */
import { DT_UNKNOWN, S_IFBLK, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from '../attributes.js';
import type { Layer } from '../layer.js';
import { decodeName, encodeName } from '../names.js';
import type { LayerCapabilities } from './capabilities.js';
import { found, at, contentOf, namesIn } from './layer-reads.js';
import { check, equal, fails, itIf, type TestRunner } from './runner.js';
import { dir, file, symlink, type TreeSpec } from './tree.js';

/** What {@link layerSuite} needs of a kind of layer. */
export interface LayerHarness {
  /** Names the kind of layer in the tests' titles. */
  name: string;
  runner: TestRunner;
  capabilities: LayerCapabilities;
  /** A layer with this tree. Trees hold files, directories and symbolic links, and what the capabilities declare. */
  layer(tree: TreeSpec): Promise<Layer> | Layer;
  /** Called with each layer at the end of its test. */
  dispose?(layer: Layer): Promise<void> | void;
}

const TREE: TreeSpec = {
  file: file('0123456789', { mode: 0o640, mtime: 1_000_000 }),
  empty: file(''),
  dir: dir({ inner: file('inner'), sub: dir() }, { mode: 0o750 }),
  'sym link': symlink('../somewhere/é'),
  ñ: file('name'),
};

/** Reading. */
export function layerSuite(harness: LayerHarness): void {
  const { runner, capabilities } = harness;
  const test = (
    name: string,
    body: (layer: Layer) => Promise<void>,
    tree: TreeSpec = TREE,
    support = true as true | string,
  ) =>
    itIf(runner, support, name, async () => {
      const layer = await harness.layer(tree);
      try {
        await body(layer);
      } finally {
        await harness.dispose?.(layer);
      }
    });

  runner.describe(`layer: ${harness.name}`, () => {
    test('lookup finds entries with their attributes, and nothing else', async (layer) => {
      const { node, attributes } = await found(layer, layer.root, 'file');
      equal({ ...(await layer.getattr(node)) }, { ...attributes }, 'attributes');
      equal(attributes.mode, S_IFREG | 0o640, 'mode');
      equal(attributes.size, 10, 'size');
      equal(attributes.nlink, 1, 'nlink');
      equal(attributes.mtimeSec, 1_000_000, 'mtime');
      equal(await layer.lookup(layer.root, 'absent'), undefined, 'absent');
      equal(await layer.lookup(layer.root, 'File'), undefined, 'other case');
      equal((await found(layer, layer.root, 'ñ')).attributes.size, 4, 'size of ñ');
    });

    test('an object is the same under every lookup', async (layer) => {
      const [one, two] = [await at(layer, 'dir/inner'), await at(layer, 'dir/inner')];
      equal(one.attributes.ino, two.attributes.ino, 'ino');
      check(one.attributes.ino !== (await at(layer, 'file')).attributes.ino, 'two objects differ in ino');
      equal(one.attributes.dev, (await layer.getattr(layer.root)).dev, 'dev');
    });

    test('readdir lists all entries once, without "." and ".."', async (layer) => {
      const entries = await layer.readdir(layer.root);
      equal(entries.map(({ name }) => name).sort(), Object.keys(TREE).sort(), 'names');
      for (const { name, type, ino } of entries) {
        const { attributes } = await found(layer, layer.root, name);
        if (type !== DT_UNKNOWN) equal(type, (attributes.mode & S_IFMT) >>> 12, `type of ${name}`);
        equal(ino, attributes.ino, `ino of ${name}`);
      }
      equal(await namesIn(layer, (await at(layer, 'dir/sub')).node), [], 'empty directory');
    });

    test('readlink gives the target, for symbolic links only', async (layer) => {
      const { node, attributes } = await found(layer, layer.root, 'sym link');
      equal(attributes.mode & S_IFMT, S_IFLNK, 'type');
      equal(await layer.readlink(node), '../somewhere/é', 'target');
      const other = await at(layer, 'file');
      await fails('EINVAL', () => layer.readlink(other.node), 'readlink of a file');
    });

    test('read fills the buffer, short only at the end of the file', async (layer) => {
      const opened = await layer.open((await at(layer, 'file')).node);
      const read = async (length: number, position: number): Promise<string> => {
        const buffer = new Uint8Array(length).fill(0x2e);
        const count = await opened.read(buffer, position);
        return `${count}:${decodeName(buffer)}`;
      };
      equal(await read(4, 3), '4:3456');
      equal(await read(4, 8), '2:89..');
      equal(await read(4, 10), '0:....');
      equal(await read(4, 1000), '0:....');
      equal(await read(0, 0), '0:');
      await opened.close();
      equal(await contentOf(layer, (await at(layer, 'empty')).node), '', 'empty file');
    });

    test('seek sees data, and at the end a hole', async (layer) => {
      const opened = await layer.open((await at(layer, 'file')).node);
      equal(await opened.seek(3, 'data'), 3, 'data');
      equal(await opened.seek(3, 'hole'), 10, 'hole');
      await fails('ENXIO', () => opened.seek(10, 'data'), 'seek at the end');
      await fails('ENXIO', () => opened.seek(11, 'hole'), 'seek past the end');
      await opened.close();
    });

    test('an absent attribute is undefined', async (layer) => {
      const { node } = await at(layer, 'file');
      equal(await layer.getxattr(node, 'user.absent'), undefined, 'value');
    });

    test(
      'attributes are read back',
      async (layer) => {
        const { node } = await at(layer, 'f');
        equal(await layer.getxattr(node, 'user.k'), encodeName('v'), 'user.k');
        equal(await layer.getxattr(node, 'user.empty'), encodeName(''), 'user.empty');
        const names = (await layer.listxattr(node)).filter((name) => name.startsWith('user.')).sort();
        equal(names, ['user.empty', 'user.k'], 'names');
      },
      { f: file('', { xattrs: { 'user.k': 'v', 'user.empty': '' } }) },
      capabilities.userXattrs,
    );

    test(
      'special files and devices',
      async (layer) => {
        equal((await at(layer, 'fifo')).attributes.mode & S_IFMT, S_IFIFO, 'fifo');
        const block = (await at(layer, 'block')).attributes;
        equal([block.mode & S_IFMT, block.rdev], [S_IFBLK, 0x801], 'block device');
      },
      { fifo: { type: 'fifo' }, block: { type: 'block', rdev: 0x801 } },
      capabilities.specialFiles === true ? capabilities.devices : capabilities.specialFiles,
    );

    test(
      'names that are not UTF-8 survive',
      async (layer) => {
        equal(await namesIn(layer, layer.root), ['ok', '\udcff\udc80'], 'names');
        equal(await contentOf(layer, (await found(layer, layer.root, '\udcff\udc80')).node), 'bytes', 'content');
      },
      { '\udcff\udc80': file('bytes'), ok: file('') },
      capabilities.nonUtf8Names,
    );

    test(
      'file handles name objects',
      async (layer) => {
        const { node, attributes } = await at(layer, 'dir/inner');
        const handle = await layer.fileHandle?.(node);
        check(handle !== undefined, 'there is a handle');
        equal(handle.uuid.length, 16, 'length of uuid');
        check(handle.type >= 1 && handle.type <= 254, 'type of handle');
        equal(await layer.fileHandle?.((await at(layer, 'dir/inner')).node), handle, 'the same handle again');
        const target = await layer.resolveHandle?.(handle);
        equal(target?.ino, attributes.ino, 'resolved');
        equal(target?.nlink ?? attributes.nlink, attributes.nlink, 'links, if they are known');
        const other = await layer.fileHandle?.((await at(layer, 'file')).node);
        check(
          JSON.stringify([...(other?.bytes ?? [])]) !== JSON.stringify([...handle.bytes]),
          'another object, another handle',
        );
        const foreign = { ...handle, uuid: new Uint8Array(16).fill(0xee) };
        equal(await layer.resolveHandle?.(foreign), undefined, 'of another file system');
      },
      TREE,
      capabilities.fileHandles,
    );

    test('statfs is plausible', async (layer) => {
      const { bsize, namelen, blocks, bfree, bavail } = await layer.statfs();
      check(bsize > 0 && namelen >= 255 && blocks >= bfree && bfree >= bavail, 'numbers fit together');
    });
  });
}
