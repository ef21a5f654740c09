/**
 * POSIX ACLs, as far as a file system has to do with them: what a new object inherits (Linux's fs/posix_acl.c,
 * `posix_acl_create`). Whether an ACL lets somebody in is decided by who asks, the kernel; that an access ACL and the mode
 * agree after a `chmod` is the affair of the layer that stores both.
 */
import { isDirectory, isSymlink } from './attributes.js';
import { FsError } from './errors.js';
import type { Inode, Stack } from './inode.js';
import { type Operation, wait } from './run.js';

/** The attribute that holds an object's POSIX ACL. */
export const ACL_ACCESS = 'system.posix_acl_access';
/** The attribute that holds what a directory's new entries inherit. */
export const ACL_DEFAULT = 'system.posix_acl_default';

/** The permissions of an object to be made: its mode, and ACLs by the names of their attributes. */
export interface Permissions {
  mode: number;
  acls: readonly (readonly [name: string, value: Uint8Array])[];
}

/** How new objects get their permissions in an overlay that knows ACLs: `OverlayOptions.acl`. */
export type InheritPermissions = (stack: Stack, dir: Inode, mode: number, umask: number) => Operation<Permissions>;

/** The directory's default ACL, where it has one, takes the place of the umask. */
export const inheritAcl: InheritPermissions = function* (stack, dir, mode, umask) {
  if (isSymlink(mode)) return { mode, acls: [] };
  if (dir.defaultAcl === undefined) {
    const { layer, node } = stack.real(dir);
    dir.defaultAcl = (yield* wait(layer.getxattr(node, ACL_DEFAULT))) ?? 'none';
  }
  const { defaultAcl } = dir;
  return defaultAcl === 'none' ? { mode: mode & ~umask, acls: [] } : maskAcl(defaultAcl, mode);
};

// struct posix_acl_xattr_header { le32 a_version }, then struct posix_acl_xattr_entry { le16 e_tag, e_perm; le32 e_id } each
const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const PERMISSION_BYTE = 2;
const Tag = { userObj: 0x01, user: 0x02, groupObj: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;

/**
 * What an object of `mode` gets from a default ACL (`posix_acl_create_masq`): entries lose what the mode lacks, and the
 * mode what they lack. An access ACL that says no more than the mode is left out. Throws EIO for one that is malformed.
 */
export function maskAcl(defaultAcl: Uint8Array, mode: number): Permissions {
  const access = defaultAcl.slice();
  const view = new DataView(access.buffer);
  const wellFormed =
    access.length >= HEADER_BYTES &&
    (access.length - HEADER_BYTES) % ENTRY_BYTES === 0 &&
    view.getUint32(0, true) === VERSION;
  if (!wellFormed) throw malformed();
  /** Where the entry is that stands for the group's bits of the mode: the mask if there is one. */
  let groupAt: number | undefined;
  let isMode = true;
  let kept = mode;
  const restrict = (at: number, shift: number): void => {
    const permission = view.getUint8(at + PERMISSION_BYTE) & (mode >> shift) & 7;
    view.setUint8(at + PERMISSION_BYTE, permission);
    kept &= (permission << shift) | ~(7 << shift);
  };
  for (let at = HEADER_BYTES; at < access.length; at += ENTRY_BYTES) {
    switch (view.getUint16(at, true)) {
      case Tag.userObj:
        restrict(at, 6);
        break;
      case Tag.other:
        restrict(at, 0);
        break;
      case Tag.groupObj:
        groupAt ??= at;
        break;
      case Tag.mask:
        groupAt = at;
        isMode = false;
        break;
      case Tag.user:
      case Tag.group:
        isMode = false;
        break;
      default:
        throw malformed();
    }
  }
  if (groupAt === undefined) throw malformed();
  restrict(groupAt, 3);
  const acls: [string, Uint8Array][] = isMode ? [] : [[ACL_ACCESS, access]];
  if (isDirectory(mode)) acls.push([ACL_DEFAULT, defaultAcl]);
  return { mode: kept, acls };
}

function malformed(): FsError {
  return new FsError('EIO', { syscall: 'getxattr', path: ACL_DEFAULT });
}
