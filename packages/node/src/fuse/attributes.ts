/** Requests about attributes: `stat`, its changes, extended attributes, and the file system's statistics. */
import {
  ACL_ACCESS,
  ACL_DEFAULT,
  type AttributeChange,
  encodeName,
  errnoOf,
  findXattr,
  FsError,
  isFsError,
  listxattr as listXattr,
  removexattr as removeXattr,
  runSync,
  S_ISGID,
  setxattr as setXattr,
  type Time,
} from '@ovl/core';
import {
  ARGUMENT,
  ARGUMENT_BYTES,
  Fattr,
  Header,
  REPLY,
  SETXATTR_ACL_KILL_SGID,
  XATTR_CREATE,
  XATTR_MAX_BYTES,
  XATTR_REPLACE,
} from './protocol.js';
import type { Handler, Server } from './server.js';
import type { Wire } from './wire.js';

const ENODATA = errnoOf('ENODATA');

export const getattr: Handler = (server) => server.wire.putAttrOut(runSync(server.overlay.getattr(server.inode)));

/** As {@link getattr}, for a mode that a write may be about to change: the kernel asks again before it uses it. */
function getattrOnce(server: Server): number {
  const length = getattr(server);
  server.wire.out.fill(0, REPLY, REPLY + 3);
  return length;
}

const CHANGES = Fattr.mode | Fattr.uid | Fattr.gid | Fattr.size | Fattr.atime | Fattr.mtime;

export const setattr: Handler = (server) => {
  const { wire, overlay } = server;
  const valid = wire.u32(ARGUMENT);
  const namesNothing = (valid & CHANGES) === 0;
  if (namesNothing && !mayWrite(server) && !isWrittenByKernel(server)) return getattrOnce(server);
  // HANDLE_KILLPRIV_V2: the kernel asks for it at a truncation, and relies on us at every change of owner.
  const asksToClear = namesNothing || (valid & (Fattr.killSuidgid | Fattr.uid | Fattr.gid)) !== 0;
  const clear = asksToClear ? 'clear-set-id' : undefined;
  return wire.putAttrOut(runSync(overlay.setattr(server.inode, attributeChange(wire, valid), clear)));
};

/**
 * A request to change nothing comes before a write that takes set-id bits away, and is also what `chown(path, -1, -1)`
 * shows as, for which the kernel checks no permission. So it is for those who may write: they learn the new mode from the
 * answer. Of a caller's groups only one is known; members by another take the bits away with the write itself.
 */
function mayWrite({ wire, overlay, inode }: Server): boolean {
  const { mode, uid, gid } = runSync(overlay.getattr(inode));
  const caller = wire.u32(Header.uid);
  if (caller === 0 || caller === uid) return true;
  return (mode & (wire.u32(Header.gid) === gid ? 0o020 : 0o002)) !== 0;
}

/** Then it comes from who has the file open for writing, perhaps by somebody else's doing; no WRITE will say that the bits are to go. */
function isWrittenByKernel({ passthrough, wire }: Server): boolean {
  return passthrough?.isWritten(wire.nodeid) === true;
}

/** `struct fuse_setattr_in`. A ctime is not taken over: it moves to now by itself. */
function attributeChange(wire: Wire, valid: number): AttributeChange {
  const change: AttributeChange = {};
  if ((valid & Fattr.mode) !== 0) change.mode = wire.u32(ARGUMENT + 17) & 0o7777;
  if ((valid & Fattr.uid) !== 0) change.uid = wire.u32(ARGUMENT + 19);
  if ((valid & Fattr.gid) !== 0) change.gid = wire.u32(ARGUMENT + 20);
  if ((valid & Fattr.size) !== 0) change.size = wire.u64(ARGUMENT + 4);
  if ((valid & Fattr.atimeNow) !== 0) change.atime = 'now';
  else if ((valid & Fattr.atime) !== 0) change.atime = time(wire, ARGUMENT + 8, ARGUMENT + 14);
  if ((valid & Fattr.mtimeNow) !== 0) change.mtime = 'now';
  else if ((valid & Fattr.mtime) !== 0) change.mtime = time(wire, ARGUMENT + 10, ARGUMENT + 15);
  return change;
}

function time(wire: Wire, seconds: number, nanoseconds: number): Time {
  return { sec: wire.i64(seconds), nsec: wire.u32(nanoseconds) };
}

export const statfs: Handler = ({ wire, overlay }) => wire.putStatfs(runSync(overlay.statfs()));

/** ACLs where they are off: neither shown nor stored, for they would be kept but not obeyed. */
function isHidden({ options }: Server, name: string): boolean {
  return options.acl === 'off' && isAcl(name);
}

function isAcl(name: string): boolean {
  return name === ACL_ACCESS || name === ACL_DEFAULT;
}

function xattrName(server: Server, after: number): string {
  const name = server.wire.name(after);
  if (isHidden(server, name)) throw new FsError('EOPNOTSUPP', { syscall: 'getxattr', path: name });
  return name;
}

export const getxattr: Handler = (server) => {
  const { wire, overlay } = server;
  const size = wire.u32(ARGUMENT);
  const value = runSync(overlay.perform(findXattr, server.inode, xattrName(server, 8)));
  return value === undefined ? -ENODATA : sized(wire, size, value);
};

export const listxattr: Handler = (server) => {
  const { wire, overlay } = server;
  const isRoot = wire.u32(Header.uid) === 0;
  // The kernel leaves it to us that "trusted." names are not even listed to those who may not read them.
  const names = runSync(overlay.perform(listXattr, server.inode)).filter(
    (name) => !isHidden(server, name) && (isRoot || !name.startsWith('trusted.')),
  );
  return sized(wire, wire.u32(ARGUMENT), encodeName(names.map((name) => `${name}\0`).join('')));
};

/** A size of 0 asks how long the value is. Throws ERANGE if it is longer than the caller has room for. */
function sized(wire: Wire, size: number, value: Uint8Array): number {
  if (value.length > XATTR_MAX_BYTES) throw new FsError('E2BIG');
  if (size === 0) {
    wire.out[REPLY] = value.length;
    wire.out[REPLY + 1] = 0;
    return 8;
  }
  if (value.length > size) throw new FsError('ERANGE');
  return wire.putBytes(value);
}

export const setxattr: Handler = (server) => {
  const { wire, overlay } = server;
  const size = wire.u32(ARGUMENT);
  const condition = xattrCondition(wire.u32(ARGUMENT + 1));
  const setxattrFlags = server.longSetxattr ? wire.u32(ARGUMENT + 2) : 0;
  const name = xattrName(server, server.longSetxattr ? 16 : 8);
  const start = ARGUMENT_BYTES + wire.nameEnd;
  // A copy, since a layer in memory may keep what it is given and the buffer is used again.
  runSync(
    overlay.perform(setXattr, server.inode, name, Uint8Array.from(wire.input.subarray(start, start + size)), condition),
  );
  if ((setxattrFlags & SETXATTR_ACL_KILL_SGID) !== 0) clearSetGroupId(server);
  return 0;
};

/** As `posix_acl_update_mode` does for somebody outside the group; directories lose the bit too. */
function clearSetGroupId({ overlay, inode }: Server): void {
  const { mode } = runSync(overlay.getattr(inode));
  if ((mode & S_ISGID) !== 0) runSync(overlay.setattr(inode, { mode: mode & 0o7777 & ~S_ISGID }));
}

function xattrCondition(flags: number): 'create' | 'replace' | undefined {
  if (flags === XATTR_CREATE) return 'create';
  if (flags === XATTR_REPLACE) return 'replace';
  if (flags === 0) return undefined;
  throw new FsError('EINVAL', { syscall: 'setxattr' });
}

export const removexattr: Handler = (server: Server) => {
  const name = xattrName(server, 0);
  try {
    runSync(server.overlay.perform(removeXattr, server.inode, name));
  } catch (error) {
    // An ACL that is not there has been removed, as other file systems have it.
    if (!isAcl(name) || !isFsError(error, 'ENODATA')) throw error;
  }
  return 0;
};
