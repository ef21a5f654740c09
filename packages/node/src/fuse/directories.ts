/**
 * Requests about directories. None of them needs an open one: offsets are cookies, true for as long as the kernel knows the
 * directory (listings.ts). So the kernel may open and close directories by itself and read them again from its cache.
 */
import { FsError, runSync } from '@ovl/core';
import { Filling } from './filling.js';
import { ARGUMENT, Fopen, OPEN_BYTES, REPLY, REPLY_BYTES } from './protocol.js';
import type { Handler, Server } from './server.js';
import { SPARE_AT } from './wire.js';

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
  const { wire, listings, staleAttributes, inode: dir } = server;
  const offset = wire.u64(ARGUMENT + 2);
  const size = wire.u32(ARGUMENT + 4);
  if (offset === 0) staleAttributes?.begun(dir);
  const readAhead = kind === 'entries' ? server.readAhead : undefined;
  const ready = readAhead?.take(dir, offset, size);
  const filling = ready ?? new Filling(server, kind, dir, offset, size, REPLY_BYTES);
  filling.fill(Infinity);
  const { length } = filling;
  if (ready !== undefined) wire.output.copyWithin(REPLY_BYTES, SPARE_AT, SPARE_AT + length);
  if (length === 0) {
    listings.end(dir);
    staleAttributes?.ended(dir);
  }
  readAhead?.asked(filling, offset, size);
  return length;
}
