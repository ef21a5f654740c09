/**
 * Files that the kernel reads and writes by itself, without a request (FUSE passthrough, Linux 6.9; needs CAP_SYS_ADMIN). Decides
 * which are opened so. The kernel's rules: an inode is open either so or through the cache at one time, and always on the
 * same backing file; what breaks them is EIO. It cannot be taken back, so that a file of a lower layer that may still be
 * copied up does without, unless `passthrough=all` says otherwise: who opens such a file for writing, or after it has been copied
 * up, while somebody reads it, is told to look its name up again (ESTALE, upon which the kernel does so by itself), finds another
 * node there, and opens that; who has the old node open stays with the lower file.
 */
import { FsError, type Inode, mayMove, type OpenHandle, type Overlay, errnoOf } from '@ovl/core';
import { ioctlOrErrno, statxFd } from '../syscalls.js';
import { Fopen } from './protocol.js';
import type { NodeTable } from './tables.js';

const FUSE_DEV_IOC_BACKING_OPEN = 0x4010e501;
const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004e502;

/** Smaller files are read faster through the cache: to open a backing file costs more than the one request that it saves. */
const MIN_BYTES = 256 << 10;

/** How an inode that is open is open. */
type Mode =
  | { kind: 'cached'; handles: number }
  | { kind: 'passthrough'; handles: number; backingId: number; written: boolean; lower: Place | undefined };

/** Where a lower file's data was when it was opened, if it may still move. */
type Place = Pick<Inode, 'upper' | 'data'>;

export interface OpenReply {
  flags: number;
  backingId: number;
}

const CACHED: OpenReply = { flags: Fopen.keepCache, backingId: 0 };
const UNCACHED: OpenReply = { flags: 0, backingId: 0 };

export class Passthrough {
  readonly #device: number;
  readonly #overlay: Overlay;
  readonly #nodes: NodeTable;
  readonly #files: 'settled' | 'all';
  /** By node id: an inode that got another one is another to the kernel. */
  readonly #modes = new Map<number, Mode>();
  /** Files of which a lower one has been left: they are not read so again. */
  readonly #left = new WeakSet<Inode>();
  /** Whose pages in the cache are older than their files. */
  readonly #stale = new WeakSet<Inode>();
  #refused = false;

  /** `files`: those whose data stays where it is, or large lower files as well. */
  constructor(device: number, overlay: Overlay, nodes: NodeTable, files: 'settled' | 'all') {
    this.#device = device;
    this.#overlay = overlay;
    this.#nodes = nodes;
    this.#files = files;
  }

  /**
   * Before a file is opened for writing or gets another name ("change"), or is opened for reading. Throws ESTALE if the kernel has to
   * look for its name again.
   */
  check(nodeid: number, inode: Inode, purpose: 'change' | 'read'): void {
    if (this.#nodes.isRetired(nodeid)) throw new FsError('ESTALE');
    const mode = this.#modes.get(nodeid);
    if (mode?.kind !== 'passthrough' || mode.lower === undefined) return;
    if (purpose === 'read' && mode.lower.upper === inode.upper && mode.lower.data === inode.data) return;
    this.#left.add(inode);
    this.#nodes.renumber(inode);
    throw new FsError('ESTALE');
  }

  /** What OPEN and CREATE reply, after {@link check}. `isNew`: the file was made by this request. */
  open(nodeid: number, handle: OpenHandle, isNew: 'new' | undefined): OpenReply {
    const { inode } = handle;
    const mode = this.#modes.get(nodeid);
    if (mode === undefined) return this.#first(nodeid, handle, isNew);
    if (mode.kind === 'cached') {
      mode.handles++;
      return CACHED;
    }
    mode.handles++;
    mode.written ||= handle.writable !== undefined;
    if (handle.writable !== undefined) this.#stale.add(inode);
    return { flags: Fopen.passthrough, backingId: mode.backingId };
  }

  #first(nodeid: number, handle: OpenHandle, isNew: 'new' | undefined): OpenReply {
    const { inode } = handle;
    const backingId = this.#isWorthIt(handle, isNew) ? this.#openBacking(handle.file.fd as number) : 0;
    if (backingId > 0) {
      const lower = mayMove(this.#overlay, handle) ? { upper: inode.upper, data: inode.data } : undefined;
      const written = handle.writable !== undefined;
      this.#modes.set(nodeid, { kind: 'passthrough', handles: 1, backingId, written, lower });
      if (handle.writable !== undefined) this.#stale.add(inode);
      return { flags: Fopen.passthrough, backingId };
    }
    this.#modes.set(nodeid, { kind: 'cached', handles: 1 });
    return this.#stale.delete(inode) ? UNCACHED : CACHED;
  }

  #isWorthIt(handle: OpenHandle, isNew: 'new' | undefined): boolean {
    const { file, flags } = handle;
    if (this.#refused || file.fd === undefined) return false;
    if (mayMove(this.#overlay, handle)) return this.#files === 'all' && this.#mayBeLeft(handle);
    if (isNew === 'new' || (flags.write && flags.truncate)) return true; // nobody knows how large it will be
    return statxFd(file.fd).size >= MIN_BYTES;
  }

  /** Not with several names: the kernel would go on showing the old node under the others. */
  #mayBeLeft({ inode, file, node }: OpenHandle): boolean {
    if (this.#left.has(inode) || inode.links !== undefined || inode.union !== undefined) return false;
    // The names are those of the inode's own object; its data may lie elsewhere.
    const isOwn = node === inode.lower[0]?.node;
    const { size, nlink } = statxFd(file.fd as number);
    return isOwn && nlink === 1 && size >= MIN_BYTES;
  }

  /** The kernel's id for a backing file, or 0 where it does not take it (one on another stacked file system, say). */
  #openBacking(fd: number): number {
    // struct fuse_backing_map { s32 fd; u32 flags; u64 padding }
    backing[0] = fd;
    const id = ioctlOrErrno(this.#device, FUSE_DEV_IOC_BACKING_OPEN, backing);
    if (id > 0) return id;
    if (id === -EPERM || id === -EOPNOTSUPP || id === -ENOTTY) this.#refused = true; // and will not take another
    return 0;
  }

  /** Whether the kernel may be writing it by itself. */
  isWritten(nodeid: number): boolean {
    const mode = this.#modes.get(nodeid);
    return mode?.kind === 'passthrough' && mode.written;
  }

  release(nodeid: number): void {
    const mode = this.#modes.get(nodeid);
    if (mode === undefined || --mode.handles > 0) return;
    this.#modes.delete(nodeid);
    if (mode.kind === 'passthrough') {
      closing[0] = mode.backingId;
      ioctlOrErrno(this.#device, FUSE_DEV_IOC_BACKING_CLOSE, closing);
    }
  }
}

const EPERM = errnoOf('EPERM');
const ENOTTY = errnoOf('ENOTTY');
const EOPNOTSUPP = errnoOf('EOPNOTSUPP');
const backing = new Int32Array(4);
const closing = new Int32Array(1);
