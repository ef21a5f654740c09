/**
 * Files that the kernel reads and writes by itself, without a request (FUSE passthrough, Linux 6.9; needs CAP_SYS_ADMIN). Decides
 * which are opened so. The kernel's rules: an inode is open either so or through the cache at one time, and always on the
 * same backing file; what breaks them is EIO. It cannot be taken back, so that a file of a lower layer that may still be
 * copied up has to do without: nobody could open it for writing as long as somebody reads it.
 */
import { type Inode, type OpenHandle, type Overlay, errnoOf } from '@ovl/core';
import { ioctlOrErrno, statxFd } from '../syscalls.js';
import { Fopen } from './protocol.js';

const FUSE_DEV_IOC_BACKING_OPEN = 0x4010e501;
const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004e502;

/** Smaller files are read faster through the cache: to open a backing file costs more than the one request that it saves. */
const MIN_BYTES = 256 << 10;

/** How an inode that is open is open. */
type Mode =
  | { kind: 'cached'; handles: number }
  | { kind: 'passthrough'; handles: number; backingId: number; written: boolean };

export interface OpenReply {
  flags: number;
  backingId: number;
}

const CACHED: OpenReply = { flags: Fopen.keepCache, backingId: 0 };
const UNCACHED: OpenReply = { flags: 0, backingId: 0 };

export class Passthrough {
  readonly #device: number;
  readonly #overlay: Overlay;
  readonly #modes = new Map<Inode, Mode>();
  /** Whose pages in the cache are older than their files. */
  readonly #stale = new WeakSet<Inode>();
  #refused = false;

  constructor(device: number, overlay: Overlay) {
    this.#device = device;
    this.#overlay = overlay;
  }

  /** What OPEN and CREATE reply. `isNew`: the file was made by this request. */
  open(handle: OpenHandle, isNew: 'new' | undefined): OpenReply {
    const { inode } = handle;
    const mode = this.#modes.get(inode);
    if (mode === undefined) return this.#first(handle, isNew);
    if (mode.kind === 'cached') {
      mode.handles++;
      return CACHED;
    }
    mode.handles++;
    mode.written ||= handle.writable !== undefined;
    if (handle.writable !== undefined) this.#stale.add(inode);
    return { flags: Fopen.passthrough, backingId: mode.backingId };
  }

  #first(handle: OpenHandle, isNew: 'new' | undefined): OpenReply {
    const { inode } = handle;
    const backingId = this.#isWorthIt(handle, isNew) ? this.#openBacking(handle.file.fd as number) : 0;
    if (backingId > 0) {
      this.#modes.set(inode, { kind: 'passthrough', handles: 1, backingId, written: handle.writable !== undefined });
      if (handle.writable !== undefined) this.#stale.add(inode);
      return { flags: Fopen.passthrough, backingId };
    }
    this.#modes.set(inode, { kind: 'cached', handles: 1 });
    return this.#stale.delete(inode) ? UNCACHED : CACHED;
  }

  #isWorthIt(handle: OpenHandle, isNew: 'new' | undefined): boolean {
    const { file, flags } = handle;
    if (this.#refused || file.fd === undefined || this.#overlay.mayMove(handle)) return false;
    if (isNew === 'new' || (flags.write && flags.truncate)) return true; // nobody knows how large it will be
    return statxFd(file.fd).size >= MIN_BYTES;
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
  isWritten(inode: Inode): boolean {
    const mode = this.#modes.get(inode);
    return mode?.kind === 'passthrough' && mode.written;
  }

  release(handle: OpenHandle): void {
    const mode = this.#modes.get(handle.inode);
    if (mode === undefined || --mode.handles > 0) return;
    this.#modes.delete(handle.inode);
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
