/**
 * What every request handler works on: the overlay, the message at hand, and what the kernel holds. A handler reads its
 * arguments from the wire, calls the overlay, builds the reply and returns the reply's length in bytes without the
 * header. It throws FsError for failure; where failure is the usual answer it returns the negative errno instead, because
 * to throw costs more than all the rest. {@link NO_REPLY} is for where the protocol has none.
 */
import { type Attributes, type Inode, type OpenHandle, type Overlay, runSync } from '@ovl/core';
import type { LazyCopyUps } from '@ovl/core/lazy';
import type { Beside } from '../beside.js';
import type { CopyAhead } from '../copy-ahead.js';
import { ReadAhead } from './read-ahead.js';
import { Listings } from './listings.js';
import { type IdleWork, OneAfterAnother } from './receive.js';
import type { Passthrough } from './passthrough.js';
import { REPLY } from './protocol.js';
import type { SplicedReads } from './spliced-reads.js';
import type { StaleAttributes } from './stale-attributes.js';
import type { SyncsBeside } from './sync-beside.js';
import { HandleTable, NodeTable } from './tables.js';
import { VolatileSync } from './volatile-sync.js';
import { Wire, lifetime } from './wire.js';

/** Below every negative errno. */
export const NO_REPLY = -0x10000;

export type Handler = (server: Server) => number;

export interface ServerOptions {
  /** Seconds for which the kernel may keep names and attributes; without end when left out. */
  timeout?: number;
  /** Whether `fsync` is answered without making anything durable. */
  volatile?: boolean;
  /** Whether every directory has a link count of 1. */
  staticNlink?: boolean;
  /** POSIX ACLs are neither shown nor stored. Otherwise the overlay has `inheritAcl`, since the kernel leaves the umask to us. */
  acl?: 'off';
  /** No extended attributes at all. */
  xattrs?: 'off';
  /** Serve nobody but this user and root. What the kernel keeps it would show to all, so it then keeps nothing. */
  owner?: number;
  /** No passthrough (passthrough.ts), even where the kernel offers it; or also of files that may still be copied up. */
  passthrough?: 'off' | 'all';
  /** Whether the kernel is to open files without asking, if it can; there is no passthrough then. Default: where there is none anyway. */
  noOpen?: boolean;
  /** File handles (`name_to_handle_at`, an NFS server) hold as long as the mount: nodes are kept while they have a name. */
  nfsExport?: boolean;
  /** Told of failures that no POSIX code describes. */
  log?: (line: string) => void;
}

export class Server {
  readonly overlay: Overlay<'sync'>;
  readonly wire: Wire;
  readonly nodes: NodeTable;
  /** What the kernel has opened. Where it does so without asking, `nodes.files` has the files in their place. */
  readonly files: HandleTable<OpenHandle> = new HandleTable();
  readonly listings: Listings;
  /** Not where layers change from outside. */
  readonly readAhead: ReadAhead | undefined;
  /** What is done between requests: what may be asked for next, then what nobody waits for. */
  readonly idleWork: IdleWork;
  readonly options: ServerOptions;
  /** Copy-ups that go on after their answer. */
  readonly lazy: LazyCopyUps | undefined;
  /** What they are done by. */
  readonly beside: Beside | undefined;
  /** Copies that nobody has asked for yet. */
  readonly ahead: CopyAhead | undefined;
  /** In place of `fsync`, on a volatile mount. */
  readonly volatile: VolatileSync | undefined;
  /** Where there is somebody to sync files meanwhile. */
  syncs: SyncsBeside | undefined;
  /** Where replies go to the kernel's own device. */
  splicedReads: SplicedReads | undefined;
  /** Where the kernel keeps listings. */
  staleAttributes: StaleAttributes | undefined;
  /** Where the kernel can do without us for file data. */
  passthrough: Passthrough | undefined;
  /** Whether SETXATTR has come to carry flags of its own (FUSE_SETXATTR_EXT), and is 8 bytes longer. */
  longSetxattr = false;
  /** Whether the kernel is to open directories by itself (FUSE_NO_OPENDIR_SUPPORT). */
  opendir: 'answered' | 'unsupported' = 'answered';

  constructor(
    overlay: Overlay<'sync'>,
    options: ServerOptions = {},
    later: {
      lazy?: LazyCopyUps;
      beside?: Beside;
      ahead?: CopyAhead | undefined;
      leftovers?: IdleWork | undefined;
    } = {},
  ) {
    this.overlay = overlay;
    this.lazy = later.lazy;
    this.beside = later.beside;
    this.ahead = later.ahead;
    this.options = options;
    this.listings = new Listings(overlay);
    this.readAhead = overlay.revalidates ? undefined : new ReadAhead(this);
    this.idleWork = new OneAfterAnother(this.readAhead, later.leftovers);
    const kept = options.owner === undefined ? options.timeout : 0;
    this.wire = new Wire(lifetime(kept), options.staticNlink === true ? 'one' : 'own');
    this.volatile = options.volatile === true ? new VolatileSync() : undefined;
    this.nodes = new NodeTable(overlay, options.nfsExport === true ? 'while-named' : 'while-known');
  }

  /** The inode that the request is about. */
  get inode(): Inode {
    return this.nodes.get(this.wire.nodeid);
  }

  /** Replies with an entry, which counts as a lookup of it. */
  entry(inode: Inode, attributes: Attributes): number {
    return this.wire.putEntry(REPLY, this.nodes.hold(inode), attributes);
  }
  /** After the unmount: closes what the kernel had no time to release, and the layers. */
  close(): void {
    this.splicedReads?.close();
    this.nodes.files?.close();
    for (const handle of this.files) runSync(this.overlay.release(handle));
    runSync(this.overlay.close());
    this.nodes.close();
  }
}
