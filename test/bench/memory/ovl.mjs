// Ours, as built: the synchronous face over memory layers, with large files copied up by extents.
import { memoryLayer, overlay } from '@ovl/core';
import { extents, sparseMemoryLayer } from '@ovl/core/extents';
import { syncFs } from '@ovl/core/fs';
import * as functions from '@ovl/core/functions';
import { nodeFace } from './node-face.mjs';

/** @param {import('./stack.mjs').Lower[]} lowers Topmost first. */
export async function open(lowers) {
  const layers = lowers.map((lower) => memoryLayer({ from: treeOf(lower()) }));
  const stack = overlay({ lower: layers, upper: sparseMemoryLayer(), metacopy: extents() });
  return {
    face: faceOf(stack),
    below: (/** @type {number} */ index, look) => look(faceOf(overlay({ lower: [layers[index]] }))),
  };
}

const faceOf = (stack) => nodeFace(syncFs(stack, {}, functions));

/** Nested as the paths are. */
function treeOf(/** @type {Iterable<[string, Uint8Array | 'directory']>} */ entries) {
  const tree = {};
  const directories = new Map([['', tree]]);
  for (const [path, bytes] of entries) {
    const cut = path.lastIndexOf('/');
    const content = bytes === 'directory' ? {} : bytes;
    directories.get(path.slice(0, cut))[path.slice(cut + 1)] = content;
    if (bytes === 'directory') directories.set(path, content);
  }
  return tree;
}
