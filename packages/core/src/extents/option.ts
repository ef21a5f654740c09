/**
 * Copy-up of what is written and no more: the first write to a large lower file takes the chunks that it touches into the upper
 * layer, and everything else is read from below as before. A file so is a metacopy with data, and found and renamed as one.
 */
import { copyUp, dataOf } from '../copy-up.js';
import { FsError } from '../errors.js';
import { decodeMetacopy } from '../format.js';
import type { Inode, Real, Stack } from '../inode.js';
import type { LayerNode, VerityDigest } from '../layer.js';
import { findData, keepData, metacopies, modeOf } from '../metacopy.js';
import type { Metacopies } from '../options.js';
import { maybe, type Operation, wait } from '../run.js';
import { Extents } from './extents.js';
import { ExtentMap } from './map.js';

/** How much of a file is copied up at a time. */
export interface ExtentsOptions {
  /** Bytes that are copied up at least, a power of two; files that are no larger are copied whole. Default 64 KiB. */
  chunk?: number;
}

/**
 * To be passed to `Overlay.open` as `metacopy`, which it then is as with "make", too. Files are left in part below where the upper
 * layer says `holdsExtents`, and copied whole elsewhere. Whoever opens the same layers later has to pass it as well: without it,
 * reading such a file is EIO. The layers below must not change. Throws EINVAL for a chunk that is no power of two.
 */
export function extents({ chunk = 1 << 16 }: ExtentsOptions = {}): Metacopies {
  if (!Number.isInteger(Math.log2(chunk)) || chunk < 1) throw new FsError('EINVAL', { syscall: 'extents' });
  const plain = metacopies('make');
  /** One for all who use the file at the same time. */
  const known = new WeakMap<Inode, Extents>();

  const keep = (stack: Stack, inode: Inode, own: Real, map: ExtentMap, below: Real): Extents => {
    let found = known.get(inode);
    if (found?.node !== own.node) known.set(inode, (found = new Extents(stack, inode, own, map, below)));
    return found;
  };

  function* find(stack: Stack, inode: Inode, own: Real, mark: Uint8Array): Operation<Real> {
    const levels: { at: Real; map: ExtentMap }[] = [];
    const digestOf = (value: Uint8Array, at: Real): VerityDigest | undefined => {
      const map = ExtentMap.decode(value);
      if (map !== undefined) levels.push({ at, map });
      return decodeMetacopy(map?.plain ?? value);
    };
    let real = yield* findData(stack, modeOf(stack, 'make'), inode, own, mark, digestOf);
    for (const { at, map } of levels.reverse()) {
      const { size } = yield* wait(stack.layer(at.layer).getattr(at.node));
      map.length = Math.min(map.length, size);
      real = at === own ? keep(stack, inode, at, map, real) : new Extents(stack, inode, at, map, real);
    }
    return yield* keepData(stack, inode, own, real);
  }

  function* mayStay(stack: Stack, inode: Inode): Operation<boolean> {
    if (stack.upper?.holdsExtents !== true || modeOf(stack, 'make') !== 'make') return false;
    const { layer, node } = stack.real(inode);
    return (yield* wait(layer.getattr(node))).size > chunk;
  }

  /** The file as one that may be written, if any of its data is below. */
  function* split(stack: Stack, inode: Inode): Operation<Extents | undefined> {
    const data = yield* dataOf(stack, inode);
    const node = inode.upper as LayerNode;
    if (data.node === node) return data instanceof Extents ? data : undefined;
    const { layer, index } = stack.real(inode);
    const { size } = yield* wait(layer.getattr(node));
    const plainMark = (yield* wait(layer.getxattr(node, `${stack.prefix}metacopy`))) ?? new Uint8Array(0);
    if (inode.data !== data) return yield* split(stack, inode); // another one was faster
    const made = keep(stack, inode, { layer: index, node }, ExtentMap.empty(size, plainMark, chunk), data);
    inode.data = made;
    return made;
  }

  return {
    ...plain,
    find,
    *complete(stack, inode, wanted) {
      const file = yield* split(stack, inode);
      if (file === undefined) return;
      const stays = wanted < Infinity && (yield* mayStay(stack, inode));
      yield* stays ? file.resize(wanted) : file.complete();
    },
    *mark(stack, data) {
      // What has data of its own has no digest of all.
      return data instanceof Extents && stack.options.verity !== undefined ? undefined : yield* plain.mark(stack, data);
    },
    *openWritable(stack, inode) {
      if (!(yield* mayStay(stack, inode))) return undefined;
      yield* copyUp(stack, inode, 'metadata');
      return yield* maybe((yield* split(stack, inode))?.openWritable());
    },
  };
}
