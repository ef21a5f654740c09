/** Reading a layer in a test: by path, and whole. */
import type { Found, Layer, LayerNode } from '../layer.js';
import { decodeName } from '../names.js';
import { check } from './runner.js';

export async function found(layer: Layer, dir: LayerNode, name: string): Promise<Found> {
  const entry = await layer.lookup(dir, name);
  check(entry !== undefined, `${name} is there`);
  return entry;
}

export async function at(layer: Layer, path: string): Promise<Found> {
  let node = layer.root;
  let entry: Found | undefined;
  for (const name of path.split('/')) {
    entry = await found(layer, node, name);
    node = entry.node;
  }
  return entry as Found;
}

export async function contentOf(layer: Layer, node: LayerNode): Promise<string> {
  const opened = await layer.open(node);
  const buffer = new Uint8Array((await layer.getattr(node)).size);
  const length = await opened.read(buffer, 0);
  await opened.close();
  return decodeName(buffer, 0, length);
}

export async function namesIn(layer: Layer, dir: LayerNode): Promise<string[]> {
  return (await layer.readdir(dir)).map(({ name }) => name).sort();
}
