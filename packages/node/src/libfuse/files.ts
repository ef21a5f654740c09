/** Operations on open files. */
import { type OpenHandle, runSync } from '@ovl/core';
import { makeFile } from './names.js';
import { type Lent, type Operation, act, tell } from './operation.js';
import type { PathServer } from './server.js';
import { join64 } from './values.js';

const O_ACCMODE = 3;
const O_WRONLY = 1;
const O_RDWR = 2;

function openPath({ overlay, paths, files }: PathServer, path: string, access: number): number {
  const write = access === O_WRONLY || access === O_RDWR;
  // Neither appended nor truncated by us: the kernel positions writes itself, and asks for a truncation before it opens.
  const flags = { read: access !== O_WRONLY, write, append: false, truncate: false };
  return files.add(runSync(overlay.open(paths.inode(path), flags)));
}

export const open: Operation = tell(0, (server, path: string, flags: number) =>
  openPath(server, path, flags & O_ACCMODE),
);

/** The addon keeps the flags to itself, so the file is opened for everything; the kernel lets through what was asked for. */
export const create: Operation = tell(0, (server, path: string, mode: number) => {
  makeFile(server, path, mode);
  return openPath(server, path, O_RDWR);
});

/** An operation that returns a count and gives libfuse's memory back. */
function transfer(
  run: (server: PathServer, handle: OpenHandle, memory: Lent, position: number) => number,
): Operation<[path: string, handle: number, memory: Lent, length: number, low: number, high: number]> {
  return {
    run: (server, _path, handle, memory, _length, low, high) => ({
      result: run(server, server.files.get(handle), memory, join64(low, high)),
      values: [0, memory.buffer],
    }),
    failed: (_path, _handle, memory) => [0, memory.buffer],
  };
}

export const read: Operation = transfer(({ overlay }, handle, memory, position) =>
  runSync(overlay.read(handle, memory, position)),
);

export const write: Operation = transfer(({ overlay }, handle, memory, position) =>
  runSync(overlay.write(handle, memory, position)),
);

export const release: Operation = act(({ overlay, files }, _path: string, handle: number) => {
  runSync(overlay.release(files.remove(handle)));
});

export const fsync: Operation = act((server, _path: string, dataOnly: number, handle: number) => {
  const opened = server.files.get(handle);
  if (server.volatile !== undefined) server.volatile.check(opened.file.fd);
  else runSync(server.overlay.fsync(opened, dataOnly === 0 ? 'all' : 'data'));
});

export const truncate: Operation = act(({ overlay, paths }, path: string, low: number, high: number) => {
  runSync(overlay.setattr(paths.inode(path), { size: join64(low, high) }));
});

export const ftruncate: Operation = act(
  ({ overlay, files }, _path: string, handle: number, low: number, high: number) => {
    runSync(overlay.setattr(files.get(handle).inode, { size: join64(low, high) }));
  },
);
