/** The upper that takes the place of another: what it has to be, and making its root look like the one before. */
import { restoreAttributes } from '../copy-up.js';
import { FsError } from '../errors.js';
import { isPrivateXattr } from '../format.js';
import type { Stack } from '../inode.js';
import type { Layer, UpperLayer } from '../layer.js';
import { type Operation, wait } from '../run.js';
import type { LayerUsers } from './layer-users.js';

/**
 * Makes the root of a fresh upper look like one below, and returns its device number. Marks are left out: they say what lies
 * below that one. Throws EINVAL, ENOTEMPTY and EBUSY for one that is not fit.
 */
export function* dress(
  insides: { stack: Stack; users: LayerUsers },
  upper: UpperLayer,
  like: Layer,
): Operation<number> {
  const { prefix } = insides.stack;
  const { root } = like;
  if (upper.xattrPrefix !== prefix) throw new FsError('EINVAL', { syscall: 'checkpoint', path: upper.xattrPrefix });
  if (insides.users.has(upper)) throw new FsError('EBUSY', { syscall: 'checkpoint' });
  const { length } = yield* wait(upper.readdir(upper.root));
  if (length > 0) throw new FsError('ENOTEMPTY', { syscall: 'checkpoint' });
  const wanted = yield* wait(like.getattr(root));
  const { dev, uid, gid } = yield* wait(upper.getattr(upper.root));
  if (uid !== wanted.uid || gid !== wanted.gid) {
    yield* wait(upper.setattr(upper.root, { uid: wanted.uid, gid: wanted.gid }));
  }
  const names = yield* wait(like.listxattr(root));
  for (const name of names) {
    const value = isPrivateXattr(name, prefix) ? undefined : yield* wait(like.getxattr(root, name));
    if (value !== undefined) yield* wait(upper.setxattr(upper.root, name, value));
  }
  yield* restoreAttributes(upper, upper.root, wanted);
  return dev;
}
