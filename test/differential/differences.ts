/**
 * Where ours may answer otherwise than the kernel: each rule makes the answers of both sides equal, and says why that is no
 * fault. docs/differences.md tells users the same. What is not compared at all is left out where it is read (execute.ts).
 */
import { type Case, MAY_HAVE_NO_NAME, type Operation, type Result, type Seen } from './operations.js';
import type { Flavour } from './sides.js';

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
  // Tests become another user by setfsuid, which leaves CAP_SYS_ADMIN. The kernel lists "trusted." names to whoever has that;
  // FUSE tells only the user, and ours lists them to root.
  if ((operation.op === 'listxattr' || operation.op === 'flistxattr') && operation.as !== undefined) {
    if ('value' in result && Array.isArray(result.value))
      return { value: result.value.filter((name) => !String(name).startsWith('trusted.')) };
  }
  return result;
}

/**
 * The kernel's overlayfs copies up before it finds that a change fails (`setxattr` with XATTR_CREATE or XATTR_REPLACE, a
 * rename whose redirect is too long); ours copies nothing up then. A copied-up directory merges layers, and so has a link
 * count of 1, which stands for "unknown"; a copied-up hard link is a file of its own. Makes counts equal where that may
 * be the reason. `lowerLinks`: whether files of the lower layers have several names. And where an open file was a lower one on one
 * side only, for as long as FUSE keeps the attributes from before it was opened for writing, its count is not compared on either.
 */
export function reconcileLinks(a: unknown, b: unknown, lowerLinks: boolean): void {
  if (!hasLinks(a) || !hasLinks(b) || a.nlink === b.nlink) return;
  if (a.nlink === MAY_HAVE_NO_NAME || b.nlink === MAY_HAVE_NO_NAME) {
    a.nlink = b.nlink = MAY_HAVE_NO_NAME;
    return;
  }
  const areDirectories = !('size' in a) && !('size' in b);
  if (areDirectories ? a.nlink === 1 || b.nlink === 1 : lowerLinks && a.ino === undefined) a.nlink = b.nlink = 1;
}

/**
 * When a file whose data was left below is opened for writing, the kernel's copy of the data moves its times. Ours leaves
 * them, since nothing was written. Makes them equal.
 */
export function reconcileTimes(a: unknown, b: unknown, { metacopy }: Flavour): void {
  if (metacopy !== true || !hasTime(a) || !hasTime(b) || !('size' in a)) return;
  if (a.mtime === 'now' || b.mtime === 'now') a.mtime = b.mtime = 'now';
}

function hasTime(value: unknown): value is { mtime: string } {
  return typeof value === 'object' && value !== null && 'mtime' in value;
}

function hasLinks(value: unknown): value is { nlink: number | string; ino?: string } {
  return typeof value === 'object' && value !== null && 'nlink' in value;
}

/**
 * A lower hard link that is copied up gets a new inode number, which no client of the mount has done anything for: FUSE's
 * cached directory listings go on showing the old one. Leaves out whose number is whose.
 */
export function withoutLinkIdentity(object: Seen): void {
  delete object.sameAs;
  object.ino = 'agrees';
}

/** Whether lower files have several names that copy-up parts. */
export function hasLowerLinks({ layers, history }: Case, { index, userxattr }: Flavour): boolean {
  if (index === true && !userxattr) return false;
  return layers.flat().some(({ node }) => node.type === 'link') || history.some(({ op }) => op === 'link');
}

/**
 * The operation behind which nothing is compared any more, if there is one: a rename that fails in the kernel because its
 * redirect would be too long, and that ours carries out by a deep copy-up.
 */
export function lastComparable(results: readonly Result[], { redirectDir }: Flavour): number | undefined {
  if (!redirectDir) return undefined;
  const failed = results.findIndex((result) => 'errno' in result && result.errno === 'EXDEV');
  return failed < 0 ? undefined : failed;
}
