/** Makes a layer on the disk out of its description, in one pass and with attributes last, so that times stay as set. */
import { makedev, S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK } from '@ovl/core';
import { Errno, type OpenRequest } from './calls.js';
import { KernelCalls } from './kernel-calls.js';
import type { TreeEntry } from './operations.js';

const CREATE: OpenRequest = {
  read: false,
  write: true,
  create: true,
  exclusive: true,
  truncate: false,
  append: false,
  directory: false,
};

/** Opaque marks are written under `prefix`. The directory `root` is there and empty. */
export function buildLayer(root: string, entries: readonly TreeEntry[], prefix: string): void {
  const calls = new KernelCalls(root);
  calls.umask(0);
  const directories = new Set(['']);
  const made: TreeEntry[] = [];
  try {
    for (const entry of entries) {
      const { path } = entry;
      const parents = path.split('/').slice(0, -1);
      for (let i = 1; i <= parents.length; i++) {
        const parent = parents.slice(0, i).join('/');
        if (tolerated(() => calls.mkdir(undefined, parent, 0o755))) directories.add(parent);
      }
      if (!directories.has(parents.join('/'))) continue;
      if (!tolerated(() => make(calls, entry))) continue;
      if (entry.node.type === 'directory') directories.add(path);
      if (entry.node.type !== 'whiteout' && entry.node.type !== 'link') made.push(entry);
    }
    // Deepest first: what is set on a child moves nothing above it, but what was made in a directory moved its times.
    for (const entry of made.reverse()) dress(calls, entry, prefix);
    for (const path of ['', ...directories]) {
      if (!made.some((entry) => entry.path === path)) calls.utimens(undefined, path || '.', [5, 5], [1_400_000_000, 7]);
    }
  } finally {
    calls.end();
  }
}

/** Whether it was made; what stands in the way is the description's fault. */
function tolerated(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (
      error instanceof Errno &&
      ['EEXIST', 'ENOENT', 'ENOTDIR', 'EPERM', 'ELOOP', 'ENAMETOOLONG'].includes(error.code)
    )
      return false;
    throw error;
  }
}

function make(calls: KernelCalls, { path, node }: TreeEntry): void {
  switch (node.type) {
    case 'directory':
      return calls.mkdir(undefined, path, 0o755);
    case 'symlink':
      return calls.symlink(node.target, undefined, path);
    case 'link':
      return calls.link(undefined, node.to, undefined, path);
    case 'fifo':
      return calls.mknod(undefined, path, S_IFIFO | node.mode, 0);
    case 'socket':
      return calls.mknod(undefined, path, S_IFSOCK | node.mode, 0);
    case 'char':
      return calls.mknod(undefined, path, S_IFCHR | node.mode, node.rdev);
    case 'block':
      return calls.mknod(undefined, path, S_IFBLK | node.mode, node.rdev);
    case 'whiteout':
      return calls.mknod(undefined, path, S_IFCHR, makedev(0, 0));
    case 'file': {
      const handle = calls.open(undefined, path, CREATE, 0o600);
      for (const { offset, length, fill } of node.chunks) {
        calls.pwrite(handle, new Uint8Array(length).fill(fill), offset);
      }
      if (node.size > calls.fstat(handle).size) calls.ftruncate(handle, node.size);
      calls.close(handle);
    }
  }
}

function dress(calls: KernelCalls, { path, node, uid, gid, mtime, xattrs }: TreeEntry, prefix: string): void {
  calls.chown(undefined, path, uid, gid);
  if ('mode' in node) calls.chmod(undefined, path, node.mode);
  for (const [name, value] of Object.entries(xattrs)) {
    tolerated(() => calls.setxattr(undefined, path, name, Buffer.from(value), 0)); // user.* only on files and directories
  }
  if (node.type === 'directory' && node.opaque) {
    calls.setxattr(undefined, path, `${prefix}opaque`, Buffer.from('y'), 0);
  }
  calls.utimens(undefined, path, [3, 3], mtime);
}
