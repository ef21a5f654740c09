/** Requests about names: finding, making, linking, renaming and removing objects, and reading symbolic links. */
import { type Creation, exchange, FsError, type RenameFlag, S_IFDIR, S_IFLNK, encodeName, runSync } from '@ovl/core';
import { ARGUMENT, Header, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, REPLY } from './protocol.js';
import { NO_REPLY, type Handler, type Server } from './server.js';

export const lookup: Handler = (server) => {
  const { wire, overlay, options } = server;
  const name = wire.name(0);
  if (options.nfsExport === true && (name === '.' || name === '..')) return lookupByHandle(server, name);
  const entry = runSync(overlay.lookup(server.inode, name));
  if (entry !== undefined) return server.entry(entry.inode, entry.attributes);
  if (options.timeout === 0) throw new FsError('ENOENT');
  return wire.putNoEntry(REPLY);
};

/** The object behind a file handle, and a directory's parent, by the node id alone. */
function lookupByHandle(server: Server, name: '.' | '..'): number {
  const { inode } = server;
  if (inode.isNameless) throw new FsError('ESTALE');
  const found = name === '.' ? inode : (inode.dentry?.dir ?? inode);
  return server.entry(found, runSync(server.overlay.getattr(found)));
}

export const forget: Handler = ({ wire, nodes }) => {
  nodes.forget(wire.nodeid, wire.u64(ARGUMENT));
  return NO_REPLY;
};

/** `struct fuse_batch_forget_in`, then pairs of a node id and a number of lookups. */
export const batchForget: Handler = ({ wire, nodes }) => {
  const count = wire.u32(ARGUMENT);
  for (let i = 0, word = ARGUMENT + 2; i < count; i++, word += 4) nodes.forget(wire.u64(word), wire.u64(word + 2));
  return NO_REPLY;
};

export const readlink: Handler = (server) =>
  server.wire.putBytes(encodeName(runSync(server.overlay.readlink(server.inode))));

/** An object that belongs to the caller. Without ACLs the kernel has applied the umask, and the overlay takes no notice of it. */
export function owned({ wire }: Server, object: Omit<Creation, 'uid' | 'gid'>): Creation {
  return { ...object, uid: wire.u32(Header.uid), gid: wire.u32(Header.gid) };
}

export function create(server: Server, name: string, object: Omit<Creation, 'uid' | 'gid'>): number {
  const { inode, attributes } = runSync(server.overlay.create(server.inode, name, owned(server, object)));
  return server.entry(inode, attributes);
}

export const mknod: Handler = (server) => {
  const { wire } = server;
  const mode = wire.u32(ARGUMENT);
  const rdev = wire.u32(ARGUMENT + 1);
  return create(server, wire.name(16), { mode, rdev, umask: wire.u32(ARGUMENT + 2) });
};

export const mkdir: Handler = (server) => {
  const { wire } = server;
  const mode = S_IFDIR | (wire.u32(ARGUMENT) & 0o7777);
  return create(server, wire.name(8), { mode, umask: wire.u32(ARGUMENT + 1) });
};

export const symlink: Handler = (server) => {
  const { wire } = server;
  const name = wire.name(0);
  return create(server, name, { mode: S_IFLNK | 0o777, target: wire.name(wire.nameEnd) });
};

export const link: Handler = (server) => {
  const { wire, overlay, nodes, passthrough } = server;
  const nodeid = wire.u64(ARGUMENT);
  passthrough?.check(nodeid, nodes.get(nodeid), 'change');
  const { inode, attributes } = runSync(overlay.link(nodes.get(nodeid), server.inode, wire.name(8)));
  return server.entry(inode, attributes);
};

export const unlink: Handler = (server) => {
  runSync(server.overlay.unlink(server.inode, server.wire.name(0)));
  return 0;
};

export const rmdir: Handler = (server) => {
  runSync(server.overlay.rmdir(server.inode, server.wire.name(0)));
  return 0;
};

export const rename: Handler = (server) => renameTo(server, 8, 0);

export const rename2: Handler = (server) => renameTo(server, 16, server.wire.u32(ARGUMENT + 2));

/** `namesAt`: bytes into the arguments where the old name starts, and after it the new one. */
function renameTo(server: Server, namesAt: number, flags: number): number {
  const { wire, overlay, nodes } = server;
  const from = wire.name(namesAt);
  const to = wire.name(wire.nameEnd);
  const target = nodes.get(wire.u64(ARGUMENT));
  if (flags === RENAME_EXCHANGE) runSync(overlay.perform(exchange, server.inode, from, target, to));
  else runSync(overlay.rename(server.inode, from, target, to, renameFlag(flags)));
  return 0;
}

/** Throws EINVAL for flags that are not known, and for combinations that Linux does not let through either. */
function renameFlag(flags: number): RenameFlag | undefined {
  switch (flags) {
    case 0:
      return undefined;
    case RENAME_NOREPLACE:
      return 'noreplace';
    case RENAME_WHITEOUT:
      return 'whiteout';
    case RENAME_NOREPLACE | RENAME_WHITEOUT:
      return 'noreplace-whiteout';
    default:
      throw new FsError('EINVAL', { syscall: 'rename' });
  }
}
