// ZenFS: its CopyOnWrite has one layer below and one above, so that more of them are such pairs in each other.
import { CopyOnWrite, fs, InMemory, mount, resolveMountConfig, umount } from '@zenfs/core';
import { nodeFace } from '../node-face.mjs';

let isFirst = true;

/** @param {import('../stack.mjs').Lower[]} lowers Topmost first. */
export async function open(lowers) {
  let below;
  if (isFirst) umount('/'); // it begins with a layer of its own
  isFirst = false;
  const layers = [];
  for (const lower of lowers.toReversed()) {
    const layer = await resolveMountConfig({ backend: InMemory });
    mount('/', layer);
    for (const [path, bytes] of lower()) {
      if (bytes === 'directory') fs.mkdirSync(path);
      else fs.writeFileSync(path, bytes);
    }
    umount('/');
    layers.unshift(layer);
    below = below ? await resolveMountConfig({ backend: CopyOnWrite, readable: below, writable: layer }) : layer;
  }
  const top = await resolveMountConfig({ backend: CopyOnWrite, readable: below, writable: { backend: InMemory } });
  mount('/', top);
  return {
    face: nodeFace(fs),
    /** What a lower layer holds now, seen by itself. */
    below: (/** @type {number} */ index, /** @type {(lower: any) => unknown} */ look) => {
      umount('/');
      mount('/', layers[index]);
      const answer = look(nodeFace(fs));
      umount('/');
      mount('/', top);
      return answer;
    },
    close: () => umount('/'),
  };
}
