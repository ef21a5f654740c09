/** Changing attributes: copies up first, without the data that a truncation would drop. */
import {
  type AttributeChange,
  type Attributes,
  isDirectory,
  isRegular,
  S_ISGID,
  S_ISUID,
  isSymlink,
} from './attributes.js';
import { copyUp } from './copy-up.js';
import { FsError } from './errors.js';
import type { Inode, Stack } from './inode.js';
import type { LayerNode } from './layer.js';
import { getattr } from './lookup.js';
import { maybe, type Operation, wait } from './run.js';

/** See `Overlay.setattr`. */
export function* setattr(
  stack: Stack,
  inode: Inode,
  change: AttributeChange,
  clearSetId?: 'clear-set-id',
): Operation<Attributes> {
  if (change.size !== undefined) {
    if (isDirectory(inode.type)) throw new FsError('EISDIR', { syscall: 'truncate' });
    if (!isRegular(inode.type)) throw new FsError('EINVAL', { syscall: 'truncate' });
  }
  if (change.mode !== undefined && isSymlink(inode.type)) throw new FsError('EOPNOTSUPP', { syscall: 'chmod' });
  if (yield* maybe(stack.options.lazy?.defer(stack, inode, change))) return yield* getattr(stack, inode);
  yield* copyUp(stack, inode, change.size ?? 'metadata');
  return yield* inode.lock.hold(apply(stack, inode, change, clearSetId));
}

function* apply(
  stack: Stack,
  inode: Inode,
  change: AttributeChange,
  clearSetId: 'clear-set-id' | undefined,
): Operation<Attributes> {
  const node = inode.upper as LayerNode;
  const upper = stack.writable();
  let wanted = change;
  if (clearSetId !== undefined && change.mode === undefined) {
    const { mode } = yield* wait(upper.getattr(node));
    const kept = withoutSetId(mode);
    if (kept !== mode) wanted = { ...change, mode: kept & 0o7777 };
  }
  yield* wait((inode.pending ?? upper).setattr(node, wanted));
  inode.group = undefined;
  return yield* getattr(stack, inode);
}

/**
 * A mode as a write by an unprivileged process leaves it: set-group-id stays where the group may not execute, since
 * there it marks mandatory locking instead. Directories keep theirs.
 */
function withoutSetId(mode: number): number {
  if (isDirectory(mode) || isSymlink(mode)) return mode;
  const cleared = mode & ~S_ISUID;
  return (mode & 0o010) === 0 ? cleared : cleared & ~S_ISGID;
}
