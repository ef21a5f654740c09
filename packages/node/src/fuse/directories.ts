/**
 * Requests about directories. None of them needs an open one: offsets are cookies, true for as long as the kernel knows the
 * directory (listings.ts). So the kernel may open and close directories by itself and read them again from its cache.
 */
import { type DirectoryEntry, FsError, type Inode, type Operation, runSync } from '@ovl/core';
import { indexBelow } from './listings.js';
import { ARGUMENT, ENTRY_BYTES, Fopen, MAX_DATA_BYTES, OPEN_BYTES, REPLY, REPLY_BYTES } from './protocol.js';
import type { Handler, Server } from './server.js';
import { direntBytes, nameBytes } from './wire.js';

const DT_DIR = 4;
/** "." and ".." come first and end at the offsets 1 and 2; an entry ends at its cookie and this. */
const DOTS = 2;

/** ENOSYS is for all directories at once: the kernel does not ask again, and caches them as we would have it do. */
export const opendir: Handler = (server) => {
  const { wire } = server;
  if (server.opendir === 'unsupported') throw new FsError('ENOSYS');
  wire.putU64(REPLY, 0);
  wire.out[REPLY + 2] = server.overlay.revalidates ? 0 : Fopen.cacheDir | Fopen.keepCache;
  wire.out[REPLY + 3] = 0;
  return OPEN_BYTES;
};

export const releasedir: Handler = () => 0;

export const fsyncdir: Handler = (server) => {
  if (server.volatile !== undefined) server.volatile.check(undefined);
  else runSync(server.overlay.fsyncdir(server.inode));
  return 0;
};

export const readdir: Handler = (server) => listEntries(server, 'names');

export const readdirplus: Handler = (server) => listEntries(server, 'entries');

/** Fills the reply with as many entries as fit, from the offset on; an empty reply is the end. */
function listEntries(server: Server, kind: 'names' | 'entries'): number {
  const { wire, listings, inode: dir } = server;
  const offset = wire.u64(ARGUMENT + 2);
  const end = REPLY_BYTES + Math.min(wire.u32(ARGUMENT + 4), MAX_DATA_BYTES);
  const entries = offset <= DOTS ? listings.begin(dir) : listings.resume(dir);
  const head = kind === 'entries' ? ENTRY_BYTES : 0;
  let at = REPLY_BYTES;
  for (let dot = offset; dot < DOTS; dot++) at += putDot(server, at, head, dir, dot);
  for (let index = offset <= DOTS ? 0 : indexBelow(entries, offset - DOTS); index < entries.length; index++) {
    const entry = entries[index] as DirectoryEntry;
    const { name } = entry;
    const length = nameBytes(name);
    const size = head + direntBytes(length);
    if (at + size > end) return at - REPLY_BYTES; // before it is looked up: the kernel would never give that lookup back
    let { ino, type } = entry;
    if (kind === 'entries') {
      const found = attempt(server.overlay.lookup(dir, name));
      if (found === undefined) continue;
      if (found === 'failed') wire.out.fill(0, at >>> 2, (at + ENTRY_BYTES) >>> 2);
      else {
        wire.putEntry(at >>> 2, server.nodes.hold(found.inode), found.attributes);
        ({ ino } = found.attributes);
        type = found.attributes.mode >>> 12;
      }
    } else {
      const found = attempt(server.overlay.entryIno(dir, name));
      if (found === undefined) continue;
      if (found !== 'failed') ino = found;
    }
    wire.putDirent(at + head, name, length, ino || 1, entry.cookie + DOTS, type);
    at += size;
  }
  if (at === REPLY_BYTES) listings.end(dir);
  return at - REPLY_BYTES;
}

/** "." or "..", without attributes: the kernel has them. Returns its size. */
function putDot({ wire }: Server, at: number, head: number, dir: Inode, dot: number): number {
  const name = dot === 0 ? '.' : '..';
  const { ino } = dot === 0 ? dir : (dir.dentry?.dir ?? dir);
  wire.out.fill(0, at >>> 2, (at + head) >>> 2);
  wire.putDirent(at + head, name, name.length, ino, dot + 1, DT_DIR);
  return head + direntBytes(name.length);
}

/** Undefined if it is gone since it was listed; what fails to be looked up is listed all the same, by its name alone. */
function attempt<T>(operation: Operation<T | undefined>): T | undefined | 'failed' {
  try {
    return runSync(operation);
  } catch {
    return 'failed';
  }
}
