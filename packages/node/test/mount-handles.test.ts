// File handles of a mount: what NFS servers keep in place of paths.
import { closeSync, mkdirSync, openSync, renameSync, rmSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { type RawHandle, nameToHandle, targetOfHandle } from '../src/host-handles.js';
import { AT_FDCWD } from '../src/syscalls.js';
import { mountAt, place, requireFuse, unmountAt } from './mount-support.js';

const handleOf = (path: string): RawHandle => {
  const handle = nameToHandle(AT_FDCWD, path);
  if (handle === undefined) throw new Error(`${path} has no handle`);
  return handle;
};

/** The inode number of what the handle names on the mount, or undefined if it is stale. */
function find(mountpoint: string, { type, bytes }: RawHandle): number | undefined {
  const fd = openSync(mountpoint, 'r');
  try {
    return targetOfHandle(fd, { uuid: new Uint8Array(16), type, bytes })?.ino;
  } finally {
    closeSync(fd);
  }
}

/** Makes the kernel forget what nobody uses. */
const forget = (): void => writeFileSync('/proc/sys/vm/drop_caches', '2');

test('nfs_export=on: handles hold until the unmount, for what still has a name', async (ctx) => {
  requireFuse(ctx, 'root');
  requireOrSkip(ctx, process.getuid?.() === 0, 'root');
  const { lower, upper, work, mountpoint: merged } = place();
  mkdirSync(join(lower, 'dir/deep'), { recursive: true });
  for (const name of ['dir/deep/file', 'dir/other', 'removed']) writeFileSync(join(lower, name), name);
  mkdirSync(join(lower, 'gone'));
  mountAt({ lower: [lower], upper, work, mountpoint: merged, nfsExport: true });
  const names = ['dir/deep/file', 'dir/other', 'dir', 'dir/deep'];
  const handles = names.map((name) => ({
    handle: handleOf(join(merged, name)),
    ino: statSync(join(merged, name)).ino,
  }));
  const removed = [handleOf(join(merged, 'removed')), handleOf(join(merged, 'gone'))];
  forget();
  for (const { handle, ino } of handles) expect(find(merged, handle)).toBe(ino);
  writeFileSync(join(merged, 'dir/deep/file'), 'copied up');
  renameSync(join(merged, 'dir/other'), join(merged, 'moved'));
  rmSync(join(merged, 'removed'));
  rmdirSync(join(merged, 'gone'));
  forget();
  for (const { handle, ino } of handles) expect(find(merged, handle)).toBe(ino);
  for (const handle of removed) expect(find(merged, handle)).toBeUndefined();
  unmountAt(merged);
  mountAt({ lower: [lower], upper, work, mountpoint: merged, nfsExport: true });
  statSync(join(merged, 'dir/deep/file')); // a node of the same number, maybe
  for (const { handle } of handles) expect(find(merged, handle)).toBeUndefined();
});
