// Serialised layers: every bit comes back, the same tree gives the same bytes, little is read, and what is damaged is refused.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeName, FsError, inodeIndex, type Layer, memoryLayer, Overlay, overlay, runSync, syncFs } from '@ovl/core';
import { sparseMemoryLayer } from '@ovl/core/extents';
import { createFs } from '@ovl/core/fs';
import { type RandomAccess, serialize, serializedLayer, serializeUpper } from '@ovl/core/serial';
import { tarLayer } from '@ovl/core/tar';
import {
  ALL_CAPABILITIES,
  apply,
  arbitraryLayers,
  arbitraryOperations,
  asyncLayer,
  canonical,
  concrete,
  dir,
  file,
  type FileOperation,
  layerSuite,
  Model,
  OverlayDriver,
  populate,
  Scheduler,
  snapshot,
  type TreeSpec,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runner } from '../../../test/support/suite-runner.js';
import { crc32 } from '../src/archive/crc32.js';
import { packTrailer, TRAILER_SIZE, type Trailer, unpackEntry, unpackTrailer } from '../src/serial/format.js';
import { lateSource, rawTree, readAll } from './archive-support.js';
import { given, KINDS, open, parameters, TIMEOUT, type World, worldOf } from './worlds.js';

function layerOf(tree: TreeSpec): ReturnType<typeof memoryLayer> {
  const layer = sparseMemoryLayer();
  runSync(populate(layer, tree));
  return layer;
}

function bytesOf(layer: Layer<'sync'>): Uint8Array {
  return Uint8Array.from(Buffer.concat([...serialize(layer)]));
}

layerSuite({
  name: 'serialised',
  runner,
  capabilities: ALL_CAPABILITIES,
  layer: (tree) => serializedLayer(bytesOf(layerOf(tree))),
});
layerSuite({
  name: 'serialised, read later',
  runner,
  capabilities: ALL_CAPABILITIES,
  layer: async (tree) => await serializedLayer(lateSource(bytesOf(layerOf(tree)))),
});

/** An index's files have names that only lower layers hold. */
function withoutIndex({ options }: (typeof KINDS)[number]): (typeof KINDS)[number]['options'] {
  const { index: _index, ...rest } = options;
  return rest;
}

/** What a random history leaves in an upper. */
async function changed(
  trees: readonly TreeSpec[],
  operations: readonly FileOperation[],
  options: (typeof KINDS)[number],
): Promise<World & { merged: Overlay<'sync'> }> {
  const world = worldOf(trees, options.upper);
  const driver = open(world, {}, withoutIndex(options));
  const model = new Model(trees);
  for (const pattern of operations) {
    const operation = concrete(model.paths(), pattern);
    await apply(model, operation);
    await apply(driver, operation);
  }
  for (const slot of [0, 1]) await apply(driver, { kind: 'close', slot });
  return { ...world, merged: driver.overlay as Overlay<'sync'> };
}

/** Attributes that tax a format, on objects of an upper. */
function dress(upper: ReturnType<typeof memoryLayer>, seed: number): void {
  const at = { dir: upper.root, name: '' };
  const names = ['\udcff\udc80', 'n'.repeat(255), 'ü'.repeat(60), 'with space', '%3D'];
  for (const [i, name] of names.entries()) {
    const { node } = upper.create({ ...at, name }, { mode: 0o100644, uid: 2 ** 32 - 2, gid: 3_000_000 });
    upper.setxattr(node, 'user.a=b%25', Uint8Array.of(0, 10, 61, i));
    upper.setxattr(node, 'user.\udcfe', new Uint8Array(i));
    const opened = upper.openWritable(node);
    opened.write(new Uint8Array((seed % 3) * 33_000 + i).fill(i + 1), i % 2 === 0 ? 0 : 70_000);
    if (i % 2 === 1) upper.setattr(node, { size: 140_000 + seed });
    upper.setattr(node, { atime: { sec: -5, nsec: 500_000_000 }, mtime: { sec: 2 ** 34 - i, nsec: i * 100 } });
  }
  const target = 't'.repeat(4095);
  upper.create({ ...at, name: 'long link' }, { mode: 0o120777, uid: 0, gid: 0, target });
  upper.create({ ...at, name: 'odd link' }, { mode: 0o120777, uid: 0, gid: 0, target: '\udc80/x' });
  upper.create({ ...at, name: 'socket' }, { mode: 0o140600, uid: 0, gid: 0 });
  upper.create({ ...at, name: 'device' }, { mode: 0o020600, uid: 0, gid: 0, rdev: 0xfff1_2345 >>> 0 });
}

describe('a serialised upper', () => {
  for (const world of KINDS.filter(({ kind }) => !kind.includes('index') || kind.includes('what is written'))) {
    it(`is the same bit by bit, and shows the same (${world.kind})`, TIMEOUT, async () => {
      const property = fc.asyncProperty(
        given(arbitraryLayers(fc, world.layers)),
        given(arbitraryOperations(fc, { min: 1, max: 12 })),
        fc.nat(5),
        async (trees, operations, seed) => {
          const { merged, upper, lower } = await changed(trees, operations, world);
          if (seed > 0) dress(upper, seed);
          const bytes = Uint8Array.from(Buffer.concat([...serializeUpper(merged)]));
          const expected = await rawTree(upper, { skipsHoles: world.upper === undefined });
          for (const layer of [serializedLayer(bytes), await serializedLayer(lateSource(bytes)), tarLayer(bytes)]) {
            const raw = await rawTree(layer as Layer, { skipsHoles: world.upper === undefined });
            expect(raw).toEqual(expected);
          }
          const reloaded = serializedLayer(bytes);
          expect(Buffer.compare(bytesOf(reloaded), bytes)).toBe(0);
          expect(Buffer.compare(bytesOf(tarLayer(bytes) as Layer<'sync'>), bytes)).toBe(0);
          const options = withoutIndex(world);
          const above = runSync(Overlay.open({ ...options, lower: [reloaded, ...lower] }));
          const seen = async (overlay: Overlay): Promise<unknown> =>
            canonical(await snapshot(new OverlayDriver(overlay, { mode: 'sync', inodes: 'keep' })));
          const fresh = runSync(Overlay.open({ ...options, lower: [upper, ...lower] }));
          expect(await seen(above)).toEqual(await seen(fresh));
        },
      );
      await fc.assert(property, parameters(25));
    });
  }
});

/** A source that counts. */
function counted(bytes: Uint8Array): RandomAccess<'sync'> & { reads: number; bytes: number } {
  return {
    reads: 0,
    bytes: 0,
    size: bytes.length,
    read(buffer, position) {
      this.reads++;
      this.bytes += buffer.length;
      const part = bytes.subarray(position, position + buffer.length);
      buffer.set(part);
      return part.length;
    },
  };
}

const errorOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof FsError) return error.message;
    throw error;
  }
  return 'none';
};

describe('a serialised layer', () => {
  it('is opened by two reads, however much is in it; then a directory is one, and data what is asked for', () => {
    const many: TreeSpec = {};
    for (let i = 0; i < 100; i++) {
      const entries: TreeSpec = {};
      for (let k = 0; k < 200; k++) entries[`file ${k}`] = file('x');
      many[`d${i}`] = dir(entries);
    }
    const tree = layerOf({ many: dir(many) });
    const { node } = tree.create({ dir: tree.root, name: 'large' }, { mode: 0o100644, uid: 0, gid: 0 });
    tree.openWritable(node).write(new Uint8Array(3 << 20).fill(7), 0);
    const source = counted(bytesOf(tree));
    const layer = serializedLayer(source);
    expect(source.reads).toBe(2);
    expect(source.bytes).toBeLessThan(256);
    const down = (...path: string[]): object =>
      path.reduce((at, name) => layer.lookup(at, name)?.node as object, layer.root);
    down('many', 'd7', 'file 1');
    down('many', 'd7', 'file 2');
    expect(source.reads).toBe(5); // the root, many, d7
    expect(source.bytes).toBeLessThan(30_000);
    const before = source.bytes;
    const opened = layer.open(down('large'));
    const buffer = new Uint8Array(10);
    expect([opened.read(buffer, 1 << 20), buffer[9], opened.read(buffer, (1 << 20) + 10)]).toEqual([10, 7, 10]);
    expect(source.bytes - before).toBe(1 << 16);
  });

  it('keeps no more directories than it may', () => {
    const tree: TreeSpec = {};
    for (let i = 0; i < 50; i++) tree[`d${i}`] = dir({ file: file('x') });
    const source = counted(bytesOf(layerOf(tree)));
    const layer = serializedLayer(source, { cacheMax: 1 });
    const walk = (): void => {
      for (const { name } of layer.readdir(layer.root)) layer.readdir(layer.lookup(layer.root, name)?.node as object);
    };
    walk();
    const { reads } = source;
    walk();
    expect(source.reads).toBeGreaterThan(reads + 50);
  });

  it('goes on as a layer over the same layers below', () => {
    const lower = memoryLayer({ from: { d: { a: 'a', b: 'b' }, kept: 'k' } });
    const merged = overlay({ lower: [lower], upper: memoryLayer() });
    const before = createFs(merged);
    before.renameSync('/d', '/e');
    before.unlinkSync('/e/a');
    before.appendFileSync('/kept', '!');
    const bytes = Buffer.concat([...serializeUpper(merged)]);
    const fs = syncFs(overlay({ lower: [serializedLayer(bytes), lower], upper: memoryLayer() }));
    expect([fs.readdirSync('/'), fs.readdirSync('/e'), fs.readFileSync('/kept', 'utf8')]).toEqual([
      ['e', 'kept'],
      ['b'],
      'k!',
    ]);
    fs.appendFileSync('/e/b', ' and on');
    expect(fs.readFileSync('/e/b', 'utf8')).toBe('b and on');
  });

  it('comes from layers that answer later, tells how far it is, and ends when it is told to', async () => {
    const tree = layerOf({ a: dir({ b: file('b'.repeat(200_000)) }), c: file('c') });
    const late = asyncLayer<Layer>(tree, new Scheduler(3));
    const told: number[] = [];
    const pieces: Uint8Array[] = [];
    const signal = new AbortController();
    for await (const piece of serialize(late, { progress: ({ bytes }) => told.push(bytes) })) pieces.push(piece);
    expect(Buffer.compare(Buffer.concat(pieces), bytesOf(tree))).toBe(0);
    expect(told).toEqual(pieces.map((_, i) => pieces.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0)));
    const cut = (async () => {
      for await (const _ of serialize(late, { signal: signal.signal })) signal.abort('enough');
    })();
    await expect(cut).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: 'enough' });
  });

  it('reads no further than it is taken, and closes what it read', () => {
    const tree = layerOf({ a: file('a'.repeat(300_000)), b: file('b') });
    let open = 0;
    let reads = 0;
    const watched: Layer<'sync'> = Object.assign(Object.create(tree) as Layer<'sync'>, {
      ...Object.fromEntries(
        (['lookup', 'getattr', 'readdir', 'getxattr', 'listxattr'] as const).map((name) => [
          name,
          tree[name].bind(tree),
        ]),
      ),
      open(node: object) {
        const opened = tree.open(node);
        open++;
        return {
          read: (buffer: Uint8Array, position: number) => (reads++, opened.read(buffer, position)),
          seek: opened.seek.bind(opened),
          close: () => void open--,
        };
      },
    });
    for (const _ of serialize(watched)) {
      expect([open, reads]).toEqual([1, 1]);
      break;
    }
    expect(open).toBe(0);
  });

  it('is refused where it cannot be whole', () => {
    const long = layerOf({});
    let at = long.root;
    for (let i = 0; i < 17; i++)
      at = long.create({ dir: at, name: 'n'.repeat(250) }, { mode: 0o040755, uid: 0, gid: 0 }).node;
    expect(errorOf(() => bytesOf(long))).toMatch(/^ENAMETOOLONG: .*nnn/);
    const wide = layerOf({ f: file('') });
    wide.setxattr(wide.lookup(wide.root, 'f')?.node as object, 'user.large', new Uint8Array(1 << 20));
    expect(errorOf(() => bytesOf(wide))).toMatch(/^E2BIG: .*'f'/);
    expect(errorOf(() => [...serializeUpper(overlay({ lower: [wide] }))])).toMatch(/^EINVAL: .*without an upper/);
    const { lower } = worldOf([{ a: file('x', { inode: 1 }), b: file('x', { inode: 1 }) }]);
    const indexed = overlay({ lower, upper: memoryLayer(), index: inodeIndex('on') });
    createFs(indexed).writeFileSync('/a', 'both names');
    expect(errorOf(() => [...serializeUpper(indexed)])).toMatch(/^EOPNOTSUPP: .*'a belongs to an inode index/);
    const shrinking = layerOf({ f: file('x'.repeat(100)) });
    const stale = Object.assign(Object.create(shrinking) as Layer<'sync'>, {
      lookup(dir: object, name: string) {
        const found = shrinking.lookup(dir, name);
        if (found !== undefined) found.attributes.size = 200;
        return found;
      },
      getattr: (node: object) => shrinking.getattr(node),
      readdir: (node: object) => shrinking.readdir(node),
      listxattr: () => [],
      open: (node: object) =>
        Object.assign(Object.create(null), {
          read: (buffer: Uint8Array, position: number) => shrinking.open(node).read(buffer, position),
          seek: (position: number, whence: string) => (whence === 'data' ? position : 200),
          close() {},
        }),
    });
    expect(errorOf(() => bytesOf(stale))).toMatch(/^ESTALE: .*f became shorter/);
  });
});

describe('what is damaged', () => {
  const tree = layerOf({
    d: dir({ f: file('content', { xattrs: { 'user.k': 'v' } }), g: file('x'.repeat(70_000), { inode: 1 }) }),
    l: file('x'.repeat(70_000), { inode: 1 }),
    s: { type: 'symlink', target: 'd/f' },
    o: dir({}, { opaque: 'y' }),
  });
  const valid = bytesOf(tree);
  const dump = async (bytes: Uint8Array): Promise<unknown> =>
    await rawTree(serializedLayer(bytes) as Layer, { skipsHoles: false });

  it('says what and where', async () => {
    expect(errorOf(() => serializedLayer(valid.slice(0, -1)))).toMatch(
      /^EINVAL: .*no index at the end \(byte \d+\): cut short/,
    );
    expect(errorOf(() => serializedLayer(new Uint8Array(3)))).toMatch(/^EINVAL: .*byte 3\): cut short/);
    expect(errorOf(() => serializedLayer(Buffer.concat([new Uint8Array(512), valid])))).toMatch(
      /^EINVAL: .*\d+ bytes where/,
    );
    const { archive, root } = unpackTrailer(valid.slice(-TRAILER_SIZE)) as Trailer;
    const flip = (at: number): Uint8Array => Uint8Array.from(valid, (byte, i) => (i === at ? byte ^ 1 : byte));
    expect(errorOf(() => serializedLayer(flip(archive + root.at + 9)))).toMatch(
      /^EIO: .*block at byte \d+ has a wrong checksum/,
    );
    await expect(dump(flip(archive + 9))).rejects.toThrow(/^EIO: .*d: the block at byte \d+ has a wrong checksum/);
    const data = Buffer.from(valid).indexOf('content');
    await expect(dump(flip(data))).rejects.toThrow(
      new RegExp(`^EIO: .*f \\(data at byte ${data}\\) has a wrong checksum`),
    );
  });

  it('is the layer that it was, or an FsError', TIMEOUT, async () => {
    const expected = await dump(valid);
    const { archive } = unpackTrailer(valid.slice(-TRAILER_SIZE)) as Trailer;
    const anywhere = fc.oneof(fc.nat(valid.length - 1), fc.integer({ min: archive, max: valid.length - 1 }));
    const damage = fc.record({
      flips: fc.array(fc.tuple(anywhere, fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
      cut: fc.option(fc.nat(valid.length), { freq: 5 }),
    });
    const property = fc.asyncProperty(damage, async ({ flips, cut }) => {
      const bytes = valid.slice(0, cut ?? undefined);
      for (const [at, value] of flips) if (at < bytes.length) bytes[at] = value;
      try {
        expect(await dump(bytes)).toEqual(expected);
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
      }
    });
    await fc.assert(property, parameters(600));
  });

  it('with the right checksums is a layer or an FsError, and soon', TIMEOUT, async () => {
    const trailer = unpackTrailer(valid.slice(-TRAILER_SIZE)) as Trailer;
    const { archive, root } = trailer;
    // Blocks are found by following the true ones, and summed anew from the innermost.
    const refs: { at: number; length: number; sumAt: number }[] = [];
    const collect = (at: number, length: number): void => {
      for (let position = at; position < at + length; ) {
        let [size, shift] = [0, 0];
        for (let more = true; more; shift += 7) {
          const byte = valid[archive + position++] as number;
          size |= (byte & 0x7f) << shift;
          more = byte >= 0x80;
        }
        const bytes = valid.slice(archive + position, archive + position + size);
        const { directory } = unpackEntry(bytes, archive);
        if (directory !== undefined && directory.length > 0) {
          collect(directory.at, directory.length);
          const word = Buffer.alloc(4);
          word.writeUInt32BE(directory.sum);
          const sumAt = archive + position + Buffer.from(bytes).indexOf(word);
          refs.push({ at: directory.at, length: directory.length, sumAt });
        }
        position += size;
      }
    };
    collect(root.at, root.length);
    expect(refs).toHaveLength(2);
    const damage = fc.array(
      fc.tuple(fc.integer({ min: archive, max: archive + root.at + root.length - 1 }), fc.nat(255)),
      {
        minLength: 1,
        maxLength: 5,
      },
    );
    const property = fc.asyncProperty(damage, async (flips) => {
      const bytes = valid.slice();
      for (const [at, value] of flips) bytes[at] = value;
      for (const { at, length, sumAt } of refs)
        new DataView(bytes.buffer).setUint32(sumAt, crc32(bytes.subarray(archive + at, archive + at + length)));
      const sum = crc32(bytes.subarray(archive + root.at, archive + root.at + root.length));
      bytes.set(packTrailer({ ...trailer, root: { ...root, sum } }), bytes.length - TRAILER_SIZE);
      try {
        await readAll(serializedLayer(bytes));
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
      }
    });
    await fc.assert(property, parameters(1500));
  });
});

describe('other programs', () => {
  const tree = (): TreeSpec => ({
    dir: dir({ [`${'long'.repeat(40)}`]: file('long', { mtime: 1_000_000 }), twin: file('same', { inode: 1 }) }),
    twin: file('same', { inode: 1, mode: 0o640 }),
    link: { type: 'symlink', target: 'dir/twin' },
    fifo: { type: 'fifo' },
  });
  const archive = (folder: string): string => {
    const layer = layerOf(tree());
    const { node } = layer.create({ dir: layer.root, name: 'sparse' }, { mode: 0o100644, uid: 0, gid: 0 });
    layer.openWritable(node).write(encodeName('middle'), 1 << 17);
    layer.setattr(node, { size: 1 << 20 });
    const path = join(folder, 'layer.tar');
    writeFileSync(path, bytesOf(layer));
    return path;
  };
  const runs = (...command: [string, ...string[]]): boolean => {
    try {
      execFileSync(command[0], command.slice(1), { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  };
  const inFolder = (use: (folder: string) => void): void => {
    const folder = mkdtempSync(join(tmpdir(), 'ovl-serial-'));
    try {
      use(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };

  it.for(['tar', 'bsdtar'])('%s unpacks it', (program, context) => {
    if (!runs(program, '--version')) context.skip(`${program} is not installed`);
    inFolder((folder) => {
      const out = join(folder, 'out');
      mkdirSync(out);
      execFileSync(program, ['--no-same-owner', '-xf', archive(folder), '-C', out]);
      expect(readFileSync(join(out, 'dir', 'long'.repeat(40)), 'utf8')).toBe('long');
      expect(statSync(join(out, 'dir', 'long'.repeat(40)), { bigint: true }).mtimeNs).toBe(1_000_000_000_000_002n);
      expect(statSync(join(out, 'twin')).ino).toBe(statSync(join(out, 'dir/twin')).ino);
      expect(statSync(join(out, 'dir/twin')).nlink).toBe(2);
      expect(readlinkSync(join(out, 'link'))).toBe('dir/twin');
      expect(statSync(join(out, 'fifo')).isFIFO()).toBe(true);
      const sparse = readFileSync(join(out, 'sparse'));
      expect([sparse.length, sparse.indexOf('middle'), statSync(join(out, 'sparse')).blocks < 2000]).toEqual([
        1 << 20,
        1 << 17,
        true,
      ]);
    });
  });

  it("Python's tarfile reads it", (context) => {
    if (!runs('python3', '-c', 'import tarfile')) context.skip('python3 is not installed');
    inFolder((folder) => {
      const program = [
        'import sys, tarfile',
        't = tarfile.open(sys.argv[1])',
        'for m in t.getmembers(): print(m.name[:12], m.type.decode(), m.size, m.linkname)',
        "print(t.extractfile('sparse').read().index(b'middle'))",
      ];
      const printed = execFileSync('python3', ['-c', program.join('\n'), archive(folder)]).toString();
      expect(printed.trim().split('\n')).toEqual([
        '. 5 0 ',
        'dir 5 0 ',
        'dir/longlong 0 4 ',
        'dir/twin 0 4 ',
        'fifo 6 0 ',
        'link 2 0 dir/twin',
        expect.stringMatching(/^sparse . 1048576 $/) as string,
        'twin 1 0 dir/twin',
        '131072',
      ]);
    });
  });
});
