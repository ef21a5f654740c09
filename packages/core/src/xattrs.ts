/**
 * Extended attributes as users see them: the overlay's own are hidden, and a user's overlay attributes (those of a nested
 * overlay) are escaped ("Nesting overlayfs mounts").
 */
import { told } from './change-feed.js';
import { copyUp } from './copy-up.js';
import { FsError } from './errors.js';
import { escapeXattr, isForeignMark, unescapeXattr } from './format.js';
import { type Inode, settle, type Stack } from './inode.js';
import { type Operation, wait } from './run.js';

/** Linux's limits (`XATTR_NAME_MAX`, `XATTR_SIZE_MAX`), in bytes. */
const XATTR_NAME_MAX = 255;
const XATTR_SIZE_MAX = 65536;

/** The value, or undefined if there is none. Overlay attributes are hidden, nested ones unescaped. */
export function* findXattr(stack: Stack, inode: Inode, name: string): Operation<Uint8Array | undefined> {
  if (isForeignMark(name)) return undefined;
  const { layer, node } = stack.real(inode);
  return yield* wait(layer.getxattr(node, escapeXattr(name, stack.prefix)));
}

/** As {@link findXattr}. Throws ENODATA when there is none. */
export function* getxattr(stack: Stack, inode: Inode, name: string): Operation<Uint8Array> {
  const value = yield* findXattr(stack, inode, name);
  if (value === undefined) throw new FsError('ENODATA', { syscall: 'getxattr', path: name });
  return value;
}

/** The names, without the overlay's own; nested ones unescaped. */
export function* listxattr(stack: Stack, inode: Inode): Operation<string[]> {
  const { layer, node } = stack.real(inode);
  const shown: string[] = [];
  const names = yield* wait(layer.listxattr(node));
  for (const name of names) {
    const own = unescapeXattr(name, stack.prefix);
    if (own !== undefined) shown.push(own);
  }
  return shown;
}

/** Throws EEXIST and ENODATA as the condition says, EPERM, ERANGE, E2BIG. */
export function setxattr(
  stack: Stack,
  inode: Inode,
  name: string,
  value: Uint8Array,
  condition?: 'create' | 'replace',
): Operation<void> {
  return told(stack, set(stack, inode, name, value, condition), 'change', inode.dentry);
}

function* set(
  stack: Stack,
  inode: Inode,
  name: string,
  value: Uint8Array,
  condition: 'create' | 'replace' | undefined,
): Operation<void> {
  const upper = stack.writable();
  if (isForeignMark(name)) throw new FsError('EPERM', { syscall: 'setxattr', path: name });
  const escaped = escapeXattr(name, stack.prefix);
  if (escaped.length > XATTR_NAME_MAX) throw new FsError('ERANGE', { syscall: 'setxattr', path: name });
  if (value.length > XATTR_SIZE_MAX) throw new FsError('E2BIG', { syscall: 'setxattr', path: name });
  if (condition !== undefined) {
    const exists = (yield* findXattr(stack, inode, name)) !== undefined;
    if (condition === 'create' && exists) throw new FsError('EEXIST', { syscall: 'setxattr', path: name });
    if (condition === 'replace' && !exists) throw new FsError('ENODATA', { syscall: 'setxattr', path: name });
  }
  const node = yield* copyUp(stack, inode, 'metadata');
  if (name.startsWith('security.')) yield* settle(stack, inode); // copying takes capabilities away
  inode.defaultAcl = undefined;
  yield* wait(upper.setxattr(node, escaped, value, condition));
}

/** Throws ENODATA when there is none. */
export function removexattr(stack: Stack, inode: Inode, name: string): Operation<void> {
  return told(stack, remove(stack, inode, name), 'change', inode.dentry);
}

function* remove(stack: Stack, inode: Inode, name: string): Operation<void> {
  const upper = stack.writable();
  if ((yield* findXattr(stack, inode, name)) === undefined) {
    throw new FsError('ENODATA', { syscall: 'removexattr', path: name }); // and nothing is copied up for it
  }
  const node = yield* copyUp(stack, inode, 'metadata');
  inode.defaultAcl = undefined;
  yield* wait(upper.removexattr(node, escapeXattr(name, stack.prefix)));
}
