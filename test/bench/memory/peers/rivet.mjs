// Rivet's overlay, the only file of its package that is loaded: the whole needs Node 22. It knows promises only, and no append.
import { createInMemoryFileSystem } from '@secure-exec/core';
import { createOverlayBackend } from './node_modules/@rivet-dev/agent-os-core/dist/backends/overlay-backend.js';

/** @param {import('../stack.mjs').Lower[]} lowers Topmost first. */
export async function open(lowers) {
  const layers = [];
  for (const lower of lowers) {
    const layer = createInMemoryFileSystem();
    for (const [path, bytes] of lower())
      await (bytes === 'directory' ? layer.mkdir(path) : layer.writeFile(path, bytes));
    layers.push(layer);
  }
  const overlay = createOverlayBackend({ lowers: layers, upper: createInMemoryFileSystem() });
  return { face: faceOf(overlay), below: (/** @type {number} */ index, look) => look(faceOf(layers[index])) };
}

/** @returns {import('../node-face.mjs').Face} */
function faceOf(fs) {
  return {
    stat: (path) => fs.stat(path),
    read: (path) => fs.readFile(path),
    readdir: async (path) => (await fs.readDir(path)).filter((name) => name !== '.' && name !== '..'),
    write: (path, bytes) => fs.writeFile(path, bytes),
    append: async (path, bytes) => fs.pwrite(path, (await fs.stat(path)).size, bytes),
    unlink: (path) => fs.removeFile(path),
    writeAt: (path, position, bytes) => fs.pwrite(path, position, bytes),
    mkdir: (path) => fs.mkdir(path),
    rmdir: (path) => fs.removeDir(path),
    rename: (from, to) => fs.rename(from, to),
    chmod: (path, mode) => fs.chmod(path, mode),
    truncate: (path, length) => fs.truncate(path, length),
    symlink: (target, path) => fs.symlink(target, path),
    readlink: (path) => fs.readlink(path),
    link: (from, to) => fs.link(from, to),
  };
}
