/** Counting what the objects of a tree take, by a walk: one listing a directory, one lookup an entry. */
import { isDirectory } from '../attributes.js';
import { isWhiteoutDevice } from '../format.js';
import type { Layer, LayerNode } from '../layer.js';
import { type Operation, wait } from '../run.js';
import type { Usage } from './account.js';
import { BLOCK } from './room.js';

/** Everything at and below some directories; what has several names counts once, unless it is a whiteout. */
export function* count(layer: Layer, directories: readonly LayerNode[]): Operation<Usage> {
  const sum: Usage = { bytes: 0, inodes: 0 };
  const linked = new Set<number>();
  const left: LayerNode[] = [];
  for (const node of directories) {
    const { blocks } = yield* wait(layer.getattr(node));
    sum.bytes += blocks * BLOCK;
    sum.inodes++;
    left.push(node);
  }
  for (let dir = left.pop(); dir !== undefined; dir = left.pop()) {
    const entries = yield* wait(layer.readdir(dir));
    for (const { name } of entries) {
      const found = yield* wait(layer.lookup(dir, name));
      if (found === undefined) continue; // removed meanwhile
      const { mode, nlink, ino, blocks } = found.attributes;
      if (isWhiteoutDevice(found.attributes)) {
        sum.inodes++;
        continue;
      }
      if (isDirectory(mode)) left.push(found.node);
      else if (nlink > 1) {
        if (linked.has(ino)) continue;
        linked.add(ino);
      }
      sum.bytes += blocks * BLOCK;
      sum.inodes++;
    }
  }
  return sum;
}
