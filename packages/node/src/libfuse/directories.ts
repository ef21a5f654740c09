/** Operations on directories. libfuse2 asks for the whole list at once, keeps it while it is read, and cuts it itself. */
import { type DirectoryEntry, entryIno, type Inode, isFsError, runSync } from '@ovl/core';
import { type Operation, act } from './operation.js';
import type { PathServer } from './server.js';
import { entryStat } from './values.js';

const DT_DIR = 4;
/** From a directory entry's type to the type bits of a mode. */
const TYPE_SHIFT = 12;

export const readdir: Operation<[path: string]> = {
  run: (server, path) => {
    const dir = server.paths.inode(path);
    const names = ['.', '..'];
    const stats = [dir, dir.dentry?.dir ?? dir].map(({ ino }) => describe(server, DT_DIR, ino));
    for (const entry of runSync(server.overlay.readdir(dir))) {
      names.push(entry.name);
      stats.push(describe(server, entry.type, inoOf(server, dir, entry)));
    }
    return { result: 0, values: [names, stats] };
  },
  failed: () => [[], []],
};

function describe({ inos }: PathServer, type: number, ino: number): Uint32Array {
  return entryStat(type << TYPE_SHIFT, inos.of(ino));
}

/** An entry that cannot be looked up (gone meanwhile, or its layer fails) is listed all the same. */
function inoOf({ overlay }: PathServer, dir: Inode, { name, ino }: DirectoryEntry): number {
  try {
    return runSync(overlay.perform(entryIno, dir, name)) ?? ino;
  } catch (error) {
    if (isFsError(error)) return ino;
    throw error;
  }
}

export const fsyncdir: Operation = act(({ overlay, paths, volatile }, path: string) => {
  if (volatile !== undefined) volatile.check(undefined);
  else runSync(overlay.fsyncdir(paths.inode(path)));
});
