/** Operations on attributes: `stat`, its changes, extended attributes, and the file system's statistics. */
import {
  ACL_ACCESS,
  ACL_DEFAULT,
  encodeName,
  FsError,
  getxattr as getXattr,
  listxattr as listXattr,
  removexattr as removeXattr,
  runSync,
  setxattr as setXattr,
  type Time,
} from '@ovl/core';
import { type Lent, type Operation, act, tell } from './operation.js';
import { join64, noStat, noStatfs, statfsOf } from './values.js';

/** Of a user or group that `chown` is to leave. */
const UNCHANGED = 0xffff_ffff;

export const getattr: Operation = tell(noStat, (server, path: string) =>
  server.stat(server.paths.entry(path).attributes),
);

export const fgetattr: Operation = tell(noStat, (server, _path: string, handle: number) =>
  server.stat(runSync(server.overlay.getattr(server.files.get(handle).inode))),
);

export const chmod: Operation = act(({ overlay, paths }, path: string, mode: number) => {
  runSync(overlay.setattr(paths.inode(path), { mode: mode & 0o7777 }));
});

/** The kernel sends the mode without set-id bits along, where they have to go. */
export const chown: Operation = act(({ overlay, paths }, path: string, uid: number, gid: number) => {
  const change: { uid?: number; gid?: number } = {};
  if (uid !== UNCHANGED) change.uid = uid;
  if (gid !== UNCHANGED) change.gid = gid;
  runSync(overlay.setattr(paths.inode(path), change));
});

/** Always both, in milliseconds: libfuse2 drops a change of one of them, and the addon what is finer. */
export const utimens: Operation = act(
  ({ overlay, paths }, path: string, atimeLow: number, atimeHigh: number, mtimeLow: number, mtimeHigh: number) => {
    const change = { atime: time(atimeLow, atimeHigh), mtime: time(mtimeLow, mtimeHigh) };
    runSync(overlay.setattr(paths.inode(path), change));
  },
);

/** Milliseconds in two's complement. */
function time(low: number, high: number): Time {
  const ms = join64(low, high | 0);
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: (ms - sec * 1000) * 1e6 };
}

export const statfs: Operation = tell(noStatfs, ({ overlay }, _path: string) => statfsOf(runSync(overlay.statfs())));

/** libfuse2 has the kernel obey none, so they are neither shown nor stored. */
function isAcl(name: string): boolean {
  return name === ACL_ACCESS || name === ACL_DEFAULT;
}

function checkName(name: string): void {
  if (isAcl(name)) throw new FsError('EOPNOTSUPP', { syscall: 'getxattr', path: name });
}

/** Copies to the caller's memory; without any, it is asked how long the value is. Throws ERANGE. */
function put(memory: Lent, value: Uint8Array): { result: number; values: readonly unknown[] } {
  if (memory.length > 0) {
    if (value.length > memory.length) throw new FsError('ERANGE');
    memory.set(value);
  }
  return { result: value.length, values: [memory.buffer] };
}

export const getxattr: Operation<[path: string, name: string, memory: Lent]> = {
  run: ({ overlay, paths }, path, name, memory) => {
    checkName(name);
    return put(memory, runSync(overlay.perform(getXattr, paths.inode(path), name)));
  },
  failed: (_path, _name, memory) => [memory.buffer],
};

export const listxattr: Operation<[path: string, memory: Lent]> = {
  run: ({ overlay, paths }, path, memory) => {
    const names = runSync(overlay.perform(listXattr, paths.inode(path))).filter((name) => !isAcl(name));
    return put(memory, encodeName(names.map((name) => `${name}\0`).join('')));
  },
  failed: (_path, memory) => [memory.buffer],
};

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

export const setxattr: Operation<[path: string, name: string, value: Lent, position: number, flags: number]> = {
  run: ({ overlay, paths }, path, name, value, _position, flags) => {
    checkName(name);
    const condition = flags === XATTR_CREATE ? 'create' : flags === XATTR_REPLACE ? 'replace' : undefined;
    if (condition === undefined && flags !== 0) throw new FsError('EINVAL', { syscall: 'setxattr' });
    runSync(overlay.perform(setXattr, paths.inode(path), name, Uint8Array.from(value), condition));
    return { result: 0, values: [value.buffer] };
  },
  failed: (_path, _name, value) => [value.buffer],
};

export const removexattr: Operation = act(({ overlay, paths }, path: string, name: string) => {
  checkName(name);
  runSync(overlay.perform(removeXattr, paths.inode(path), name));
});
