/** Requests about open files. */
import {
  allocate,
  copyRange,
  createTmpfile,
  FsError,
  type Inode,
  isFsError,
  type OpenFlags,
  type OpenHandle,
  runSync,
  S_IFREG,
  S_ISGID,
  S_ISUID,
  seek,
  type UpperFile,
  currentFile,
} from '@ovl/core';
import { create, owned } from './namespace.js';
import {
  ARGUMENT,
  ENTRY_BYTES,
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
  FSYNC_FDATASYNC,
  Fopen,
  Header,
  MAX_DATA_BYTES,
  OPEN_BYTES,
  OPEN_KILL_SUIDGID,
  O_ACCMODE,
  O_EXCL,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  REPLY,
  SEEK_DATA,
  SEEK_HOLE,
  WRITE_DATA_BYTES,
  WRITE_KILL_SUIDGID,
} from './protocol.js';
import { NO_REPLY, type Handler, type Server } from './server.js';
import { type SyncsBeside, sizeOf } from './sync-beside.js';

/** Bytes that one COPY_FILE_RANGE copies at most: other requests wait for it, and callers come back for the rest. */
const COPY_MAX_BYTES = 64 << 20;

/**
 * `append` stays false: the kernel holds the inode's lock, knows the size, and has put the end of the file into each
 * write's position; O_APPEND may also be taken back later by `fcntl`, of which we are not told.
 */
function openFlags(flags: number): OpenFlags {
  const access = flags & O_ACCMODE;
  const write = access === O_WRONLY || access === O_RDWR;
  return { read: access !== O_WRONLY, write, append: false, truncate: (flags & O_TRUNC) !== 0 };
}

function openInode(server: Server, nodeid: number, inode: Inode, flags: number, killFlags: number): OpenHandle {
  const wanted = openFlags(flags);
  server.passthrough?.check(nodeid, inode, wanted.write || wanted.truncate ? 'change' : 'read');
  if (wanted.truncate && (killFlags & OPEN_KILL_SUIDGID) !== 0) {
    runSync(server.overlay.setattr(inode, { size: 0 }, 'clear-set-id'));
    wanted.truncate = false;
  }
  return runSync(server.overlay.open(inode, wanted));
}

const CACHED = { flags: Fopen.keepCache, backingId: 0 };
const UNCACHED = { flags: 0, backingId: 0 };

/** `struct fuse_open_out` at `word`. The kernel keeps its pages unless file data changes in other ways than through it. */
function putOpen(server: Server, word: number, nodeid: number, handle: OpenHandle, isNew?: 'new'): number {
  const { wire, overlay, passthrough } = server;
  wire.putU64(word, server.files.add(handle));
  const { flags, backingId } = passthrough?.open(nodeid, handle, isNew) ?? (overlay.revalidates ? UNCACHED : CACHED);
  wire.out[word + 2] = flags;
  wire.out[word + 3] = backingId;
  return OPEN_BYTES;
}

/** The open file that a request means, whose handle comes first in its arguments. */
function fileToRead({ nodes, files, wire }: Server): OpenHandle {
  return nodes.files?.forReading(nodes.get(wire.nodeid)) ?? files.get(wire.u64(ARGUMENT));
}

function fileToWrite({ nodes, files, wire }: Server): OpenHandle {
  return nodes.files?.forWriting(nodes.get(wire.nodeid)) ?? files.get(wire.u64(ARGUMENT));
}

export const open: Handler = (server) => {
  const { wire } = server;
  if (server.nodes.files !== undefined) throw new FsError('ENOSYS'); // the kernel does not ask again
  const { inode } = server;
  const handle = openInode(server, wire.nodeid, inode, wire.u32(ARGUMENT), wire.u32(ARGUMENT + 1));
  return putOpen(server, REPLY, wire.nodeid, handle);
};

/** For a request that has to name an open file where there are none. */
function putUnopened({ wire }: Server, word: number): number {
  wire.putU64(word, 0);
  wire.out[word + 2] = Fopen.keepCache;
  wire.out[word + 3] = 0;
  return OPEN_BYTES;
}

/** What `struct fuse_create_in { flags, mode, umask, open_flags }` asks for. */
function newFile({ wire }: Server): { mode: number; umask: number } {
  return { mode: S_IFREG | (wire.u32(ARGUMENT + 1) & 0o7777), umask: wire.u32(ARGUMENT + 2) };
}

/** Answered with an entry and an open file. */
export const createFile: Handler = (server) => {
  const { wire, overlay } = server;
  if (server.nodes.files !== undefined) throw new FsError('ENOSYS'); // from now on it is MKNOD: no RELEASE to answer
  let flags = wire.u32(ARGUMENT);
  const name = wire.name(16);
  try {
    create(server, name, newFile(server));
    flags &= ~O_TRUNC; // it is empty
  } catch (error) {
    // Another client of the same mount may have made it since the kernel looked.
    if ((flags & O_EXCL) !== 0 || !isFsError(error, 'EEXIST')) throw error;
    const found = runSync(overlay.lookup(server.inode, name));
    if (found === undefined) throw error;
    server.entry(found.inode, found.attributes);
  }
  return openNew(server, flags);
};

/** A file without a name: the request is CREATE's, and its name means nothing. */
export const tmpfile: Handler = (server) => {
  const { wire, overlay } = server;
  const made = runSync(overlay.perform(createTmpfile, server.inode, owned(server, newFile(server))));
  server.entry(made.inode, made.attributes);
  if (server.nodes.files !== undefined) return ENTRY_BYTES + putUnopened(server, REPLY + ENTRY_BYTES / 4);
  return openNew(server, wire.u32(ARGUMENT) & ~O_TRUNC);
};

/** Opens what the reply's entry names, and adds the open file to the reply. */
function openNew(server: Server, flags: number): number {
  const { wire, nodes } = server;
  const nodeid = (wire.out[REPLY] as number) + (wire.out[REPLY + 1] as number) * 0x1_0000_0000;
  try {
    const handle = openInode(server, nodeid, nodes.get(nodeid), flags, wire.u32(ARGUMENT + 3));
    return ENTRY_BYTES + putOpen(server, REPLY + ENTRY_BYTES / 4, nodeid, handle, 'new');
  } catch (error) {
    nodes.forget(nodeid, 1); // the kernel sees the failure only, not the entry
    throw error;
  }
}

export const read: Handler = (server) => {
  const { wire, overlay, splicedReads } = server;
  const size = Math.min(wire.u32(ARGUMENT + 4), MAX_DATA_BYTES);
  const position = wire.u64(ARGUMENT + 2);
  const handle = fileToRead(server);
  if (splicedReads?.takes(size) === true) {
    const { fd } = runSync(overlay.perform(currentFile, handle));
    const unique = [wire.u32(Header.unique), wire.u32(Header.unique + 1)] as const;
    const spliced = fd === undefined ? 'unable' : splicedReads.reply(fd, position, size, unique, wire.output);
    if (spliced !== 'unable') return spliced === 'sent' ? NO_REPLY : spliced;
  }
  return runSync(overlay.read(handle, wire.data(size), position));
};

export const write: Handler = (server) => {
  const { wire, overlay } = server;
  const handle = fileToWrite(server);
  const size = wire.u32(ARGUMENT + 4);
  const data = wire.input.subarray(WRITE_DATA_BYTES, WRITE_DATA_BYTES + size);
  const written = runSync(overlay.write(handle, data, wire.u64(ARGUMENT + 2)));
  if ((wire.u32(ARGUMENT + 5) & WRITE_KILL_SUIDGID) !== 0) clearSetId(server, handle.inode);
  return putSize(server, written);
};

/** The kernel asks for it at every write of an unprivileged process, so that the bits are looked at first. */
function clearSetId({ overlay }: Server, inode: Inode): void {
  const { mode } = runSync(overlay.getattr(inode));
  if ((mode & (S_ISUID | S_ISGID)) !== 0) runSync(overlay.setattr(inode, {}, 'clear-set-id'));
}

/** For requests that, unlike WRITE, do not say whether the caller may keep the bits. The kernel looks again if they succeed. */
function clearSetIdAfterChange(server: Server, inode: Inode): void {
  if (server.wire.u32(Header.uid) !== 0) clearSetId(server, inode);
}

/** `struct fuse_write_out`. */
function putSize({ wire }: Server, size: number): number {
  wire.out[REPLY] = size;
  wire.out[REPLY + 1] = 0;
  return 8;
}

export const release: Handler = (server) => {
  if (server.nodes.files !== undefined) return 0; // of a file without a name
  const handle = server.files.remove(server.wire.u64(ARGUMENT));
  server.passthrough?.release(server.wire.nodeid);
  runSync(server.overlay.release(handle));
  return 0;
};

export const fsync: Handler = (server) => {
  const { wire, overlay } = server;
  if (server.volatile !== undefined) {
    server.volatile.check(fileToRead(server).file.fd);
    return 0;
  }
  const scope = (wire.u32(ARGUMENT + 2) & FSYNC_FDATASYNC) !== 0 ? 'data' : 'all';
  const handle = fileToRead(server);
  const { syncs } = server;
  const start = performance.now();
  if (syncs?.choose(handle, () => sizeOf(handle), start) === 'beside') {
    let begun = false;
    const begin = (file: Pick<UpperFile, 'fd' | 'fsync'>): void => {
      begun = syncs.begin(file, scope, wire);
      if (!begun) (file as UpperFile<'sync'>).fsync(scope);
    };
    runSync(overlay.fsync(handle, scope, begin));
    syncs.began(handle, start);
    return begun ? NO_REPLY : 0;
  }
  runSync(overlay.fsync(handle, scope));
  if (syncs !== undefined) tookSince(syncs, handle, start);
  return 0;
};

function tookSince(syncs: SyncsBeside, handle: OpenHandle, start: number): void {
  const now = performance.now();
  syncs.began(handle, start);
  syncs.took(now - start, now);
}

export const fallocate: Handler = (server) => {
  const { wire, overlay } = server;
  const mode = wire.u32(ARGUMENT + 6);
  if ((mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) !== 0) throw new FsError('EOPNOTSUPP');
  const allocation = {
    keepSize: (mode & FALLOC_KEEP_SIZE) !== 0,
    punchHole: (mode & FALLOC_PUNCH_HOLE) !== 0,
    zeroRange: (mode & FALLOC_ZERO_RANGE) !== 0,
  };
  const handle = fileToWrite(server);
  runSync(overlay.perform(allocate, handle, allocation, wire.u64(ARGUMENT + 2), wire.u64(ARGUMENT + 4)));
  clearSetIdAfterChange(server, handle.inode);
  return 0;
};

/** The kernel answers the other origins itself. */
export const lseek: Handler = (server) => {
  const { wire, overlay } = server;
  const whence = wire.u32(ARGUMENT + 4);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new FsError('EINVAL', { syscall: 'lseek' });
  const handle = fileToRead(server);
  const position = wire.i64(ARGUMENT + 2);
  wire.putU64(REPLY, runSync(overlay.perform(seek, handle, position, whence === SEEK_DATA ? 'data' : 'hole')));
  return 8;
};

export const copyFileRange: Handler = (server) => putSize(server, copyBetween(server));

/** As {@link copyFileRange}, with 64 bits for the result. */
export const copyFileRange64: Handler = (server) => {
  server.wire.putU64(REPLY, copyBetween(server));
  return 8;
};

function copyBetween(server: Server): number {
  const { wire, files, nodes, overlay } = server;
  // The target first: it may be the same file.
  const to = nodes.files?.forWriting(nodes.get(wire.u64(ARGUMENT + 4))) ?? files.get(wire.u64(ARGUMENT + 6));
  const from = fileToRead(server);
  const length = Math.min(wire.u64(ARGUMENT + 10), COPY_MAX_BYTES);
  const copied = runSync(overlay.perform(copyRange, from, wire.u64(ARGUMENT + 2), to, wire.u64(ARGUMENT + 8), length));
  clearSetIdAfterChange(server, to.inode);
  return copied;
}
