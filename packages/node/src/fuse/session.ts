/**
 * From a request that has been read to the reply that is written, and the answer to INIT. Nothing here may touch the mount:
 * the kernel would wait for an answer that only this thread can give.
 */
import { errnoOf } from '@ovl/core';
import { Unsettled } from '@ovl/core/lazy';
import { writeFrom } from '../syscalls.js';
import { dispatch, failure } from './dispatch.js';
import {
  ARGUMENT,
  Header,
  INIT_BYTES,
  Init,
  Init2,
  MAJOR,
  MAX_DATA_BYTES,
  MAX_PAGES,
  MINOR,
  Opcode,
  REPLY,
  REPLY_BYTES,
} from './protocol.js';
import { inInitialUserNamespace, maySysAdmin } from '../processes.js';
import { Later } from './later.js';
import { NodeFiles } from './node-files.js';
import { Passthrough } from './passthrough.js';
import type { RequestCounts } from './request-counts.js';
import { NO_REPLY, type Server } from './server.js';
import { SplicedReads } from './spliced-reads.js';
import { StaleAttributes } from './stale-attributes.js';

/** What we ask of the kernel, if it offers it. Not asked for: the locks (they stay in the kernel), and the writeback cache. */
const WANTED =
  Init.asyncRead |
  Init.bigWrites |
  Init.doReaddirplus | // and not READDIRPLUS_AUTO: whoever lists a directory of an overlay mostly looks at the entries
  Init.asyncDio |
  Init.parallelDirops |
  Init.maxPages |
  Init.cacheSymlinks |
  Init.handleKillprivV2 |
  Init.setxattrExt;

/** ACLs are the kernel's to obey, and a default ACL takes the place of the umask, which only we can tell. */
const WANTED_FOR_ACLS = Init.posixAcl | Init.dontMask;

const MAX_READAHEAD_BYTES = MAX_DATA_BYTES;
const MAX_BACKGROUND = 64;
const CONGESTION_THRESHOLD = 48;

const ENOENT = errnoOf('ENOENT');
const ENODEV = errnoOf('ENODEV');

export interface Statistics {
  counts: RequestCounts;
  /** Whether time is measured, which costs some. */
  timed: boolean;
}

/** One mount, as the loop that serves it has it (serving-loop.ts). */
export interface Session {
  /** The device that requests come from. */
  readonly fd: number;
  readonly server: Server;
  readonly statistics: Statistics;
  /** Called when the mount answers. */
  live(): void;
  /** Called when it is unmounted, or when the device failed otherwise. */
  ended(error?: unknown): void;
}

/** Answers the request that has been read into the server's input. */
export function answerRequest(session: Session, later: Later): void {
  const { fd, server, statistics } = session;
  if (server.wire.u32(Header.opcode) !== Opcode.init) answerCounted(fd, server, later, statistics);
  else if (negotiate(fd, server)) session.live();
  later.served();
}

/** What the session does between requests. */
export function laterOf({ fd, server }: Session): Later {
  const later: Later = new Later(server, () => answer(fd, server, later));
  return later;
}

function answerCounted(fd: number, server: Server, later: Later, { counts, timed }: Statistics): void {
  const opcode = server.wire.u32(Header.opcode); // before the next request overwrites it
  counts.add(opcode);
  const start = timed ? performance.now() : 0;
  answer(fd, server, later);
  if (timed) counts.took(opcode, performance.now() - start);
}

function answer(fd: number, server: Server, later: Later): void {
  let content: number;
  try {
    content = dispatch(server);
  } catch (error) {
    if (error instanceof Unsettled) return later.park();
    later.guard();
    reply(fd, server, 0, failure(server, error));
    return;
  }
  later.guard();
  if (content >= 0) reply(fd, server, content, 0);
  else if (content !== NO_REPLY) reply(fd, server, 0, -content);
}

function reply(fd: number, server: Server, content: number, error: number): void {
  const { in: request, out, output } = server.wire;
  out[0] = REPLY_BYTES + content;
  out[1] = -error;
  out[2] = request[Header.unique] as number;
  out[3] = request[Header.unique + 1] as number;
  const written = writeFrom(fd, output, REPLY_BYTES + content);
  if (written < 0) lost(server, -written);
}

/** A reply is lost without harm if its request was interrupted (ENOENT) or the mount is gone (ENODEV). */
function lost(server: Server, errno: number): void {
  if (errno === ENOENT || errno === ENODEV) return;
  server.options.log?.(`cannot answer request ${server.wire.u32(Header.opcode)}: errno ${errno}`);
}

/** Answers INIT. False if the kernel speaks a newer major version, and will ask again in ours. */
function negotiate(fd: number, server: Server): boolean {
  const { wire } = server;
  const major = wire.u32(ARGUMENT);
  const minor = wire.u32(ARGUMENT + 1);
  const { out } = wire;
  out.fill(0, REPLY, REPLY + INIT_BYTES / 4);
  out[REPLY] = MAJOR;
  out[REPLY + 1] = Math.min(minor, MINOR);
  if (major !== MAJOR) {
    reply(fd, server, INIT_BYTES, 0);
    return false;
  }
  out[REPLY + 2] = Math.min(wire.u32(ARGUMENT + 2), MAX_READAHEAD_BYTES);
  const wanted =
    WANTED |
    (server.options.acl === 'off' ? 0 : WANTED_FOR_ACLS) |
    (server.overlay.revalidates ? Init.autoInvalData : 0);
  const exported = server.options.nfsExport === true ? Init.exportSupport : 0;
  const offered = wire.u32(ARGUMENT + 3);
  const passthrough = mayPassThrough(server);
  if ((offered & Init.noOpenSupport) !== 0 && opensUnasked(server, passthrough)) {
    server.nodes.files = new NodeFiles(server.overlay);
  }
  // O_TRUNC comes with OPEN, or by itself.
  const opening = server.nodes.files === undefined ? Init.atomicOTrunc : Init.noOpenSupport;
  const keepsListings = mayKeepListings(server);
  const opendir = keepsListings ? Init.noOpendirSupport : 0;
  if (keepsListings) server.staleAttributes = new StaleAttributes(fd);
  const flags = offered & (wanted | exported | opening | opendir);
  out[REPLY + 3] = flags;
  server.opendir = (flags & Init.noOpendirSupport) !== 0 ? 'unsupported' : 'answered';
  server.longSetxattr = (flags & Init.setxattrExt) !== 0;
  out[REPLY + 4] = MAX_BACKGROUND | (CONGESTION_THRESHOLD << 16);
  out[REPLY + 5] = MAX_DATA_BYTES; // max_write
  out[REPLY + 6] = 1; // granularity of times in nanoseconds
  out[REPLY + 7] = MAX_PAGES;
  if (passthrough && server.nodes.files === undefined) {
    out[REPLY + 3] = flags | Init.initExt;
    out[REPLY + 8] = Init2.passthrough;
    out[REPLY + 9] = BACKING_STACK_DEPTH;
    server.passthrough = new Passthrough(fd, server.overlay, server.nodes, passthroughFiles(server));
  }
  server.splicedReads = new SplicedReads(fd, (errno) => lost(server, errno));
  reply(fd, server, INIT_BYTES, 0);
  return true;
}

/**
 * A kernel that sends no OPENDIR keeps what it read of a directory, and shows it to whoever may read the directory: not where
 * layers change from outside, and not where it is ours to say who is served.
 */
function mayKeepListings({ overlay, options }: Server): boolean {
  return !overlay.revalidates && options.owner === undefined;
}

/** Layers may lie on any file system that is not stacked itself. */
const BACKING_STACK_DEPTH = 1;

/** A file handle names a node, so that it has to stay the file's. */
function passthroughFiles({ options }: Server): 'settled' | 'all' {
  return options.passthrough === 'all' && options.nfsExport !== true ? 'all' : 'settled';
}

/** Whether the kernel is ready to. */
function mayPassThrough({ wire, overlay, options }: Server): boolean {
  const offered = (wire.u32(ARGUMENT + 3) & Init.initExt) !== 0 && (wire.u32(ARGUMENT + 4) & Init2.passthrough) !== 0;
  // Where layers change from outside, a file may be another one tomorrow: each is to be asked for.
  const asked = options.passthrough !== 'off' && !overlay.revalidates;
  return asked && offered && maySysAdmin() && inInitialUserNamespace();
}

/**
 * Unless the options say: where there is no passthrough, which needs the answer to OPEN. Not where a file has to be looked at,
 * or its opener, at every open.
 */
function opensUnasked({ overlay, options }: Server, passthrough: boolean): boolean {
  if (overlay.revalidates || options.owner !== undefined) return false;
  return options.noOpen ?? !passthrough;
}
