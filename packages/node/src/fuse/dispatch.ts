/** Which handler answers which request, and what becomes of its failure. */
import { FsError, errnoOf, runSync } from '@ovl/core';
import * as attributes from './attributes.js';
import * as directories from './directories.js';
import * as files from './files.js';
import * as namespace from './namespace.js';
import { Header, Opcode } from './protocol.js';
import { NO_REPLY, type Handler, type Server } from './server.js';

/** A reply without content: what it reports (the end of the mount) needs nothing done. */
const done: Handler = () => 0;
const unanswered: Handler = () => NO_REPLY;
const notTty: Handler = () => {
  throw new FsError('ENOTTY');
};
/** The kernel stops asking, and does what is right without us. */
const unsupported: Handler = () => {
  throw new FsError('ENOSYS');
};

const syncfs: Handler = (server) => {
  runSync(server.overlay.sync());
  return 0;
};

/**
 * By opcode. Whatever is not here is ENOSYS: ACCESS (the kernel checks permissions itself), FLUSH (nothing is held
 * back until close), STATX, POLL, BMAP and the locks, which stay the kernel's. An INTERRUPT comes too late
 * for a request that was answered before the next is read, and needs no reply.
 */
const handlers: (Handler | undefined)[] = [];
handlers[Opcode.lookup] = namespace.lookup;
handlers[Opcode.forget] = namespace.forget;
handlers[Opcode.batchForget] = namespace.batchForget;
handlers[Opcode.readlink] = namespace.readlink;
handlers[Opcode.symlink] = namespace.symlink;
handlers[Opcode.mknod] = namespace.mknod;
handlers[Opcode.mkdir] = namespace.mkdir;
handlers[Opcode.unlink] = namespace.unlink;
handlers[Opcode.rmdir] = namespace.rmdir;
handlers[Opcode.rename] = namespace.rename;
handlers[Opcode.rename2] = namespace.rename2;
handlers[Opcode.link] = namespace.link;
handlers[Opcode.getattr] = attributes.getattr;
handlers[Opcode.setattr] = attributes.setattr;
handlers[Opcode.statfs] = attributes.statfs;
handlers[Opcode.setxattr] = attributes.setxattr;
handlers[Opcode.getxattr] = attributes.getxattr;
handlers[Opcode.listxattr] = attributes.listxattr;
handlers[Opcode.removexattr] = attributes.removexattr;
handlers[Opcode.open] = files.open;
handlers[Opcode.create] = files.createFile;
handlers[Opcode.tmpfile] = files.tmpfile;
handlers[Opcode.read] = files.read;
handlers[Opcode.write] = files.write;
handlers[Opcode.release] = files.release;
handlers[Opcode.fsync] = files.fsync;
handlers[Opcode.fallocate] = files.fallocate;
handlers[Opcode.lseek] = files.lseek;
handlers[Opcode.copyFileRange] = files.copyFileRange;
handlers[Opcode.copyFileRange64] = files.copyFileRange64;
handlers[Opcode.opendir] = directories.opendir;
handlers[Opcode.readdir] = directories.readdir;
handlers[Opcode.readdirplus] = directories.readdirplus;
handlers[Opcode.releasedir] = directories.releasedir;
handlers[Opcode.fsyncdir] = directories.fsyncdir;
handlers[Opcode.syncfs] = syncfs;
handlers[Opcode.ioctl] = notTty;
handlers[Opcode.interrupt] = unanswered;
handlers[Opcode.destroy] = done;

const EIO = errnoOf('EIO');

/** Requests on what is open already: who was let in goes on, as in libfuse. */
const afterOpening: ReadonlySet<number> = new Set([
  Opcode.read,
  Opcode.write,
  Opcode.fsync,
  Opcode.release,
  Opcode.readdir,
  Opcode.readdirplus,
  Opcode.fsyncdir,
  Opcode.releasedir,
  Opcode.forget,
  Opcode.batchForget,
  Opcode.interrupt,
  Opcode.destroy,
]);

/** Throws EACCES for anybody but the owner and root. */
function checkCaller({ wire, options }: Server): void {
  const uid = wire.u32(Header.uid);
  if (uid === options.owner || uid === 0 || afterOpening.has(wire.u32(Header.opcode))) return;
  throw new FsError('EACCES');
}

/** An old id's object would not show the change under its name, which the kernel then looks up again; see passthrough.ts. */
const changesByNode: readonly number[] = [Opcode.setattr, Opcode.setxattr, Opcode.removexattr];

const xattrRequests: readonly number[] = [Opcode.getxattr, Opcode.listxattr, Opcode.setxattr, Opcode.removexattr];

/** Answers the request on the wire, returning or throwing what its handler does. */
export function dispatch(server: Server): number {
  const opcode = server.wire.u32(Header.opcode);
  server.overlay.beginRequest();
  if (server.options.owner !== undefined) checkCaller(server);
  if (changesByNode.includes(opcode) && server.nodes.isRetired(server.wire.nodeid)) throw new FsError('ESTALE');
  if (server.options.xattrs === 'off' && xattrRequests.includes(opcode)) return unsupported(server);
  return (handlers[opcode] ?? unsupported)(server);
}

/** The positive errno for what a handler threw. What is not a POSIX failure is a bug of ours: logged, and EIO. */
export function failure(server: Server, error: unknown): number {
  if (error instanceof FsError) return -error.errno;
  const opcode = server.wire.u32(Header.opcode);
  server.options.log?.(
    `request ${opcode} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  );
  return EIO;
}
