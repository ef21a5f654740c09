/** What stands in the place of a layer that was dropped: whatever is still known to lie there is stale. */
import { FsError } from '../errors.js';
import type { Layer } from '../layer.js';

function stale(): never {
  throw new FsError('ESTALE');
}

export const GONE: Layer<'sync'> = {
  root: {},
  lookup: stale,
  getattr: stale,
  readdir: stale,
  readlink: stale,
  open: stale,
  getxattr: stale,
  listxattr: stale,
  statfs: stale,
};
