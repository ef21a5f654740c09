/**
 * What a synchronous face asks most, as plain functions: generators cost more than these answers. Each answers at once from what is
 * known and from layers that never wait, or not at all: undefined says nothing, and lookup.ts has to be asked.
 */
import { type Attributes, isRegular } from './attributes.js';
import type { Inode, Stack } from './inode.js';
import type { Layer, LayerFile, LayerNode } from './layer.js';
import { asShown, isPlainLowerFile } from './lookup.js';
import { NAME_MAX } from './names.js';
import { isThenable } from './run.js';

/** As Node: larger files are refused, in full. */
const MAX_AT_ONCE = 2 ** 31 - 1;

/** A directory that is cached under this name. No layer is asked: what has become of it shows when it is used. */
export function knownDirectory(stack: Stack, dir: Inode, name: string): Inode | undefined {
  if (stack.options.revalidation !== undefined) return undefined;
  const child = dir.children?.get(name);
  return child?.isDirectory === true ? child : undefined;
}

/** Whether there is nothing under a name of a path; of long ones it is not said, which may be too long. */
export function knownAbsent({ options }: Stack, dir: Inode, name: string): true | undefined {
  if (options.revalidation !== undefined || name.length > NAME_MAX / 3 || dir.children?.has(name)) return undefined;
  return dir.listing?.has(name) === false ? true : undefined;
}

/** The attributes behind a name. */
export function attributesNow(stack: Stack, dir: Inode, name: string): Attributes | undefined {
  return stack.options.owners === undefined ? seenNow(stack, dir, name)?.attributes : undefined;
}

/** The whole of a regular file whose data is all in one place. Throws what the layer does. */
export function contentNow(stack: Stack, dir: Inode, name: string): Uint8Array | undefined {
  const seen = seenNow(stack, dir, name);
  if (seen === undefined || !isRegular(seen.attributes.mode) || seen.attributes.size > MAX_AT_ONCE) return undefined;
  const { inode, layer, node } = seen;
  const isWhole =
    inode === undefined
      ? layer.getxattr(node, `${stack.prefix}metacopy`) === undefined
      : inode.whole === node && inode.pending === undefined;
  if (!isWhole) return undefined;
  const file = layer.open(node) as LayerFile<'sync'>;
  const content = new Uint8Array(seen.attributes.size);
  try {
    return file.read(content, 0) === content.length ? content : undefined;
  } finally {
    file.close();
  }
}

/** The object behind a name; a lower file without an inode, which nobody would hold. */
function seenNow(
  stack: Stack,
  dir: Inode,
  name: string,
): { inode?: Inode; layer: Layer; node: LayerNode; attributes: Attributes } | undefined {
  if (stack.options.revalidation !== undefined) return undefined;
  const inode = dir.children?.get(name);
  if (inode !== undefined) {
    const { layer, node } = stack.real(inode);
    const answer = layer.getattr(node);
    return isThenable(answer) ? undefined : { inode, layer, node, attributes: asShown(inode, answer) };
  }
  const index = dir.listing?.get(name)?.layer;
  if (index === undefined) return undefined;
  const layer = stack.layer(index);
  const found = layer.lookup(stack.part(dir, index) as LayerNode, name);
  if (!isPlainLowerFile(stack, index, found)) return undefined;
  const { node, attributes } = found;
  attributes.ino = stack.presentIno(attributes.dev, attributes.ino);
  return { layer, node, attributes };
}
