// just-bash's OverlayFs: one directory of the host below, and what is written in memory. It knows promises only.
import fs, { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OverlayFs } from 'just-bash';
import { nodeFace } from '../node-face.mjs';

/** @param {import('../stack.mjs').Lower[]} lowers One. */
export async function open([lower]) {
  const root = mkdtempSync(join(tmpdir(), 'ovl-bench-'));
  const close = () => rmSync(root, { recursive: true, force: true });
  process.once('exit', close); // whatever ends it
  for (const [path, bytes] of lower()) {
    if (bytes === 'directory') fs.mkdirSync(root + path);
    else fs.writeFileSync(root + path, bytes);
  }
  // What it refuses to read by default is smaller than the large file.
  const overlay = new OverlayFs({ root, mountPoint: '/', maxFileReadSize: 2 ** 30, allowSymlinks: true });
  const host = nodeFace(fs);
  const rooted = Object.fromEntries(
    Object.entries(host).map(([name, act]) => [name, (path, ...rest) => act(root + path, ...rest)]),
  );
  return {
    face: faceOf(overlay),
    below: (_index, look) => look(rooted),
    close: () => {
      process.off('exit', close);
      close();
    },
  };
}

/** @returns {import('../node-face.mjs').Face} */
function faceOf(overlay) {
  return {
    stat: (path) => overlay.stat(path),
    read: (path) => overlay.readFileBuffer(path),
    readdir: (path) => overlay.readdir(path),
    write: (path, bytes) => overlay.writeFile(path, bytes),
    append: (path, bytes) => overlay.appendFile(path, bytes),
    unlink: (path) => overlay.rm(path),
    // There is nothing that writes a part.
    writeAt: async (path, position, bytes) => {
      const content = await overlay.readFileBuffer(path);
      content.set(bytes, position);
      await overlay.writeFile(path, content);
    },
    mkdir: (path) => overlay.mkdir(path),
    rmdir: (path) => overlay.rm(path),
    rename: (from, to) => overlay.mv(from, to),
    chmod: (path, mode) => overlay.chmod(path, mode),
    truncate: async (path, length) => overlay.writeFile(path, (await overlay.readFileBuffer(path)).slice(0, length)),
    symlink: (target, path) => overlay.symlink(target, path),
    readlink: (path) => overlay.readlink(path),
    link: (from, to) => overlay.link(from, to),
  };
}
