/**
 * Where ours may answer otherwise than the kernel: each rule makes the answers of both sides equal, and says why that is no
 * fault. docs/differences.md tells users the same. What is not compared at all is left out where it is read (execute.ts).
 */
import type { Operation, Result } from './operations.js';

/** The answer with everything replaced that may differ. */
export function canonical(operation: Operation, result: Result): Result {
  // An attribute of no namespace that Linux knows does not exist; whether that is "no such attribute" or "no such kind of
  // attribute" depends on the file system of the layer, and a layer need not be one of Linux's.
  if ('name' in operation && !/^(user|trusted|security|system)\./.test(operation.name)) {
    if ('errno' in result && result.errno === 'ENODATA') return { errno: 'EOPNOTSUPP' };
  }
  // Two names of one object: POSIX asks for nothing to happen. Where they are hard links of a lower object that can hold no
  // origin (a symbolic link, with userxattr), the kernel takes them for two objects, and fails when they turn out to be one.
  if (operation.op === 'rename' && 'errno' in result && result.errno === 'ESTALE') return { value: null };
  // FUSE shows the server a request without content, which also comes before every write that takes set-id bits away; so
  // it cannot refuse it, and leaves the bits alone.
  if (operation.op === 'chown' && operation.uid === -1 && operation.gid === -1 && operation.as !== undefined) {
    if ('errno' in result && result.errno === 'EPERM') return { value: null };
  }
  return result;
}

/**
 * A directory that merges layers shows a link count of 1, which stands for "unknown". Ours copies nothing up for a change
 * that fails (the kernel does before it looks, for `setxattr` with XATTR_CREATE or XATTR_REPLACE), so a directory may be
 * merged there and not here. Makes the counts of two directories equal where one is unknown.
 */
export function reconcileLinks(a: unknown, b: unknown): void {
  if (!isDirectoryStat(a) || !isDirectoryStat(b)) return;
  if (a.nlink === 1 || b.nlink === 1) a.nlink = b.nlink = 1;
}

function isDirectoryStat(value: unknown): value is { mode: string; nlink: number } {
  return typeof value === 'object' && value !== null && 'nlink' in value && 'mode' in value && !('size' in value);
}
