/** Operations on names: making, linking, renaming and removing objects, and reading symbolic links. */
import { type Creation, FsError, S_IFDIR, S_IFLNK, S_IFREG, runSync } from '@ovl/core';
import { type Operation, act, tell } from './operation.js';
import { isText, requireText } from './path-table.js';
import type { PathServer } from './server.js';

/** The kernel has applied the umask. */
function make({ overlay, owner, paths }: PathServer, path: string, object: Omit<Creation, 'uid' | 'gid'>): void {
  const { dir, name } = paths.newPlace(path);
  runSync(overlay.create(dir, name, { ...object, ...owner }));
}

export function makeFile(server: PathServer, path: string, mode: number): void {
  make(server, path, { mode: S_IFREG | (mode & 0o7777) });
}

export const mknod: Operation = act((server, path: string, mode: number, rdev: number) =>
  make(server, path, { mode, rdev }),
);

export const mkdir: Operation = act((server, path: string, mode: number) =>
  make(server, path, { mode: S_IFDIR | (mode & 0o7777) }),
);

export const symlink: Operation = act((server, target: string, path: string) => {
  requireText(target);
  make(server, path, { mode: S_IFLNK | 0o777, target });
});

export const link: Operation = act(({ overlay, paths }, from: string, to: string) => {
  const { dir, name } = paths.newPlace(to);
  runSync(overlay.link(paths.inode(from), dir, name));
});

export const unlink: Operation = act(({ overlay, paths }, path: string) => {
  if (paths.reveal(path)) return; // it has been gone since it was hidden
  const { dir, name } = paths.place(path);
  runSync(overlay.unlink(dir, name));
});

export const rmdir: Operation = act(({ overlay, paths }, path: string) => {
  const { dir, name } = paths.place(path);
  paths.checkNothingHidden(path);
  runSync(overlay.rmdir(dir, name));
});

/** libfuse2 has none of the flags: the kernel gets EINVAL for them without our being asked. */
export const rename: Operation = act(({ overlay, paths }, from: string, to: string) => {
  if (paths.isHiding(from, to, ({ handles }) => handles > 0)) {
    paths.hide(from, to);
    return;
  }
  const source = paths.place(from);
  const target = paths.newPlace(to);
  if (from !== to) paths.checkNothingHidden(to);
  runSync(overlay.rename(source.dir, source.name, target.dir, target.name));
  paths.moved(from, to);
});

export const readlink: Operation = tell('', ({ overlay, paths }, path: string) => {
  const target = runSync(overlay.readlink(paths.inode(path)));
  if (!isText(target)) throw new FsError('EILSEQ', { syscall: 'readlink', path });
  return target;
});
