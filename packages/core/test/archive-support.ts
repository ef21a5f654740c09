// What the tests of archives share: trees as archive entries, and reading a layer whole.
import { createHash } from 'node:crypto';
import { FsError, isDirectory, isRegular, isSymlink, type Layer, type LayerNode, S_IFMT } from '@ovl/core';
import type { RandomAccess } from '@ovl/core/tar';
import { modeOf, type ObjectSpec, type TreeSpec } from '@ovl/core/testing';

/** An object of a tree with its path, in the order in which an archive names them. */
export function* objectsIn(
  tree: TreeSpec,
  below = '',
): Generator<{ path: string; spec: Exclude<ObjectSpec, { type: 'whiteout' }>; mode: number }> {
  for (const [name, spec] of Object.entries(tree)) {
    if (spec.type === 'whiteout') throw new Error('an archive of the suites has no whiteouts');
    yield { path: below + name, spec, mode: modeOf(spec) };
    if (spec.type === 'directory') yield* objectsIn(spec.entries, `${below}${name}/`);
  }
}

export interface Read {
  type: number;
  ino: number;
  nlink: number;
  size: number;
  content?: string;
  target?: string;
}

/** Everything in a layer; of large files the ends. Must not fail, except with what the layer throws. */
export async function readAll(layer: Layer): Promise<Record<string, Read>> {
  const found: Record<string, Read> = {};
  const visit = async (node: LayerNode, path: string): Promise<void> => {
    const { mode, ino, nlink, size } = await layer.getattr(node);
    const read: Read = { type: (mode & S_IFMT) >>> 12, ino, nlink, size };
    found[path] = read;
    for (const name of await layer.listxattr(node)) await layer.getxattr(node, name);
    if (isSymlink(mode)) read.target = await layer.readlink(node);
    if (isRegular(mode)) {
      const file = await layer.open(node);
      const buffer = new Uint8Array(Math.min(size, 1 << 16));
      const count = await file.read(buffer, 0);
      read.content = new TextDecoder().decode(buffer.subarray(0, count));
      if (size > 0) {
        await file.read(new Uint8Array(10), size - 1);
        const hole = await file.seek(0, 'hole');
        if (!(hole >= 0 && hole <= size)) throw new TypeError(`a hole at ${hole} of ${size}`);
      }
      await file.close();
    }
    if (!isDirectory(mode)) return;
    for (const { name } of await layer.readdir(node)) {
      const entry = await layer.lookup(node, name);
      await visit(entry?.node as LayerNode, path === '/' ? `/${name}` : `${path}/${name}`);
    }
  };
  await visit(layer.root, '/');
  return found;
}

/** An archive that answers later, and never more than it likes. */
export function lateSource(bytes: Uint8Array): RandomAccess {
  return {
    size: bytes.length,
    async read(buffer, position) {
      await Promise.resolve();
      const part = bytes.subarray(position, position + Math.min(buffer.length, 700));
      buffer.set(part);
      return part.length;
    },
  };
}

/**
 * Every object of a layer as it is stored, but for its numbers: those of objects are by their first names. With `skipsHoles`, where data
 * is does not count, only what is read.
 */
export async function rawTree(layer: Layer, { skipsHoles }: { skipsHoles: boolean }): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const firsts = new Map<number, string>();
  const visit = async (node: LayerNode, path: string): Promise<void> => {
    const { dev: _dev, ino, blocks: _blocks, blksize: _blksize, ...attributes } = await layer.getattr(node);
    if (isDirectory(attributes.mode)) attributes.size = 0;
    if (!firsts.has(ino)) firsts.set(ino, path);
    const xattrs: Record<string, number[]> = {};
    for (const name of [...(await layer.listxattr(node))].sort())
      xattrs[name] = [...((await layer.getxattr(node, name)) as Uint8Array)];
    const target = isSymlink(attributes.mode) ? await layer.readlink(node) : '';
    const data = isRegular(attributes.mode) ? await dataOf(layer, node, attributes.size, skipsHoles) : [];
    found[path] = { ...attributes, first: firsts.get(ino), xattrs, target, data };
    if (!isDirectory(attributes.mode)) return;
    const names = (await layer.readdir(node)).map(({ name }) => name).sort();
    for (const name of names)
      await visit((await layer.lookup(node, name))?.node as LayerNode, path === '/' ? `/${name}` : `${path}/${name}`);
  };
  await visit(layer.root, '/');
  return found;
}

async function dataOf(layer: Layer, node: LayerNode, size: number, skipsHoles: boolean): Promise<unknown[]> {
  const opened = await layer.open(node);
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; ) at += await opened.read(bytes.subarray(at), at);
  const ends: number[] = [];
  for (let at = 0; !skipsHoles && at < size; ) {
    try {
      const start = await opened.seek(at, 'data');
      at = await opened.seek(start, 'hole');
      ends.push(start, at);
    } catch (error) {
      if (!(error instanceof FsError && error.code === 'ENXIO')) throw error;
      break;
    }
  }
  await opened.close();
  return [createHash('sha256').update(bytes).digest('hex'), ends];
}
