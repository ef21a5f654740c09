// unionfs over volumes of memfs: the one used last is asked first.
import { createFsFromVolume, Volume } from 'memfs';
import { Union } from 'unionfs';
import { nodeFace } from '../node-face.mjs';

/** @param {import('../stack.mjs').Lower[]} lowers Topmost first. */
export async function open(lowers) {
  const union = new Union();
  const layers = lowers.map((lower) => {
    const fs = createFsFromVolume(new Volume());
    for (const [path, bytes] of lower()) {
      if (bytes === 'directory') fs.mkdirSync(path);
      else fs.writeFileSync(path, bytes);
    }
    return fs;
  });
  for (const layer of layers.toReversed()) union.use(layer);
  union.use(createFsFromVolume(new Volume()));
  return { face: nodeFace(union), below: (/** @type {number} */ index, look) => look(nodeFace(layers[index])) };
}
