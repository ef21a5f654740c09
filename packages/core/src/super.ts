/** Opening an overlay (overlayfs: super.c): looks at every layer's root and refuses what is not understood. */
import { FsError } from './errors.js';
import { unknownXattr } from './format.js';
import type { Inode, Real, Stack } from './inode.js';
import type { Layer } from './layer.js';
import { readMarks } from './lookup.js';
import { maybe, type Operation, wait } from './run.js';

/** Opens the root: the topmost root's attributes over every layer, after refusing what is not understood. */
export function* openRoot(stack: Stack): Operation<Inode> {
  for (let index = 0; index < stack.layers.length; index++) {
    const layer = stack.layer(index);
    const dev = yield* admit(stack, layer);
    // File systems are numbered in the order of the layers, so that inode numbers are the same at the next mount.
    stack.presentIno(dev, 0);
    const isMerged = index >= stack.firstLower && index < stack.firstData;
    if (isMerged && !stack.origins.some((origin) => origin.dev === dev)) {
      stack.origins.push({ layer: index, dev });
    }
  }
  const attributes = yield* wait(stack.top.getattr(stack.top.root));
  const lower: Real[] = [];
  for (let index = stack.firstLower; index < stack.firstData; index++) {
    lower.push({ layer: index, node: stack.layer(index).root });
  }
  const upperRoot = stack.firstLower === 0 ? undefined : stack.top.root;
  const root = stack.newInode(attributes.mode, 0, upperRoot, lower);
  root.ino = stack.presentIno(attributes.dev, attributes.ino); // the upper's own, as in the kernel (`ovl_get_root`)
  if (upperRoot !== undefined) root.impure = (yield* readMarks(stack, { layer: stack.first, node: upperRoot })).impure;
  stack.root = root;
  stack.index = yield* maybe(stack.options.index?.(stack));
  return root;
}

/** Refuses a layer with a feature that is not understood. Returns its device number. */
export function* admit(stack: Stack, layer: Layer): Operation<number> {
  const unknown = unknownXattr(yield* wait(layer.listxattr(layer.root)), stack.prefix);
  if (unknown !== undefined) throw new FsError('EOPNOTSUPP', { syscall: 'overlay', path: unknown });
  return (yield* wait(layer.getattr(layer.root))).dev;
}
