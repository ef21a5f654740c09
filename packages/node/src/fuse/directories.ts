/**
 * Requests about open directories. A stream freezes the list when it is read from the start, and an offset is an index
 * into that list, so that offsets stay valid while entries are removed; rewinding to the start reads the list anew.
 */
import { type DirectoryEntry, type Inode, type Operation, runSync } from '@ovl/core';
import { ARGUMENT, ENTRY_BYTES, Fopen, MAX_DATA_BYTES, OPEN_BYTES, REPLY, REPLY_BYTES } from './protocol.js';
import type { Handler, Server } from './server.js';
import { direntBytes, nameBytes } from './wire.js';

const DT_DIR = 4;
/** "." and ".." come first. */
const DOTS = 2;

export interface DirectoryStream {
  readonly inode: Inode;
  entries: DirectoryEntry[] | undefined;
}

export const opendir: Handler = (server) => {
  const { wire } = server;
  wire.putU64(REPLY, server.directories.add({ inode: server.inode, entries: undefined }));
  wire.out[REPLY + 2] = server.overlay.revalidates ? 0 : Fopen.cacheDir | Fopen.keepCache;
  wire.out[REPLY + 3] = 0;
  return OPEN_BYTES;
};

export const releasedir: Handler = (server) => {
  server.directories.remove(server.wire.u64(ARGUMENT));
  return 0;
};

export const fsyncdir: Handler = (server) => {
  if (server.volatile !== undefined) server.volatile.check(undefined);
  else runSync(server.overlay.fsyncdir(server.inode));
  return 0;
};

export const readdir: Handler = (server) => listEntries(server, 'names');

export const readdirplus: Handler = (server) => listEntries(server, 'entries');

/** Fills the reply with as many entries as fit, from the stream's offset on; an empty reply is the end. */
function listEntries(server: Server, kind: 'names' | 'entries'): number {
  const { wire } = server;
  const stream = server.directories.get(wire.u64(ARGUMENT));
  const offset = wire.u64(ARGUMENT + 2);
  const end = REPLY_BYTES + Math.min(wire.u32(ARGUMENT + 4), MAX_DATA_BYTES);
  if (offset === 0 || stream.entries === undefined) stream.entries = runSync(server.overlay.readdir(stream.inode));
  const { entries } = stream;
  const head = kind === 'entries' ? ENTRY_BYTES : 0;
  let at = REPLY_BYTES;
  for (let index = offset; index < entries.length + DOTS; index++) {
    const entry = index < DOTS ? dots(stream.inode, index) : (entries[index - DOTS] as DirectoryEntry);
    const length = nameBytes(entry.name);
    const size = head + direntBytes(length);
    if (at + size > end) break; // before it is looked up: the kernel would never give that lookup back
    const { name, type } = entry;
    let ino: number | undefined;
    if (kind === 'entries') {
      const found = index < DOTS ? undefined : attempt(server.overlay.lookup(stream.inode, name));
      if (found === undefined) wire.out.fill(0, at >>> 2, (at + ENTRY_BYTES) >>> 2);
      else wire.putEntry(at >>> 2, server.nodes.hold(found.inode), found.attributes);
      ino = found?.attributes.ino;
    } else if (index >= DOTS) ino = attempt(server.overlay.entryIno(stream.inode, name));
    wire.putDirent(at + head, name, length, ino ?? (entry.ino || 1), index + 1, type);
    at += size;
  }
  return at - REPLY_BYTES;
}

function dots(dir: Inode, index: number): DirectoryEntry {
  if (index === 0) return { name: '.', type: DT_DIR, ino: dir.ino };
  return { name: '..', type: DT_DIR, ino: (dir.dentry?.dir ?? dir).ino };
}

/** An entry that cannot be looked up (gone meanwhile, or its layer fails) is listed all the same, by its name alone. */
function attempt<T>(operation: Operation<T | undefined>): T | undefined {
  try {
    return runSync(operation);
  } catch {
    return undefined;
  }
}
