/**
 * The option `uuid` (overlayfs.rst "UUID and fsid"): what handles say of the file system that they belong to, and the UUID that
 * an upper itself may have. The kernel shows that one in statfs; FUSE has no way to.
 */
import { type UpperLayer, encodeName, isFsError } from '@ovl/core';
import type { HostUpperLayer } from './host-upper.js';
import { randomBytes } from './random.js';
import type { DirectoryLayer } from './seen-layer.js';

export function identifyUpper(
  use: 'null' | 'off' | 'auto' | 'on',
  upper: HostUpperLayer,
  lower: readonly DirectoryLayer[],
): void {
  if (use === 'off') {
    const layers = [upper, ...lower];
    const { dev } = upper.getattr(upper.root);
    // On several file systems handles need the UUID, and the kernel, too, goes back to "null".
    if (layers.every((layer) => layer.getattr(layer.root).dev === dev)) for (const layer of layers) layer.ignoreUuid();
  }
  if (use === 'auto' || use === 'on') persistUuid(use, upper);
}

/** With "auto" only a new upper gets one: one that holds copies was in use without (`ovl_init_uuid_xattr`). */
function persistUuid(use: 'auto' | 'on', upper: UpperLayer<'sync'>): void {
  const { root, xattrPrefix: prefix } = upper;
  if (upper.getxattr(root, `${prefix}uuid`) !== undefined) return;
  const isUsed = upper.getxattr(root, `${prefix}impure`)?.[0] === encodeName('y')[0];
  if (use === 'auto' && isUsed) return;
  try {
    upper.setxattr(root, `${prefix}uuid`, randomBytes(16));
  } catch (error) {
    if (!isFsError(error, 'EPERM', 'EOPNOTSUPP')) throw error;
  }
}
