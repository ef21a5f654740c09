/**
 * Files without a name (`open` with O_TMPFILE; overlayfs: ovl_tmpfile). One is staged like everything that is about to get a
 * name, so that a crash leaves nothing of it; `Overlay.link` gives it a name as long as somebody holds it.
 */
import { checkLive, type Creation, inherit } from './create.js';
import { copyUp } from './copy-up.js';
import type { Inode, Stack } from './inode.js';
import type { Entry } from './overlay.js';
import { type Operation, wait } from './run.js';

/** Makes a regular file that no directory lists; `dir` is what it inherits from. Hold it before anything else: `Overlay.retain`. */
export function* createTmpfile(stack: Stack, dir: Inode, object: Creation): Operation<Entry> {
  const upper = stack.writable();
  checkLive(dir, stack, '');
  yield* copyUp(stack, dir);
  const { dressed, acls } = yield* inherit(stack, dir, object);
  const { node, attributes } = yield* wait(upper.stage(dressed));
  try {
    for (const [name, value] of acls) yield* wait(upper.setxattr(node, name, value));
  } catch (error) {
    yield* wait(upper.discard(node));
    throw error;
  }
  const inode = stack.newInode(attributes.mode, stack.presentIno(attributes.dev, attributes.ino), node, []);
  inode.staged = 'new';
  stack.becomeNameless(inode);
  return { inode, attributes: { ...attributes, ino: inode.ino, nlink: 0 } };
}
