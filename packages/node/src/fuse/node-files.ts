/**
 * Files on a mount whose kernel opens them without asking (`no_open`): requests then name the node and no handle. Decides which of
 * them stay open here between requests: those used last, until their node is forgotten. Each that the kernel knows may be open
 * there, and counts as open for the overlay, so that it can still be opened here once its name is gone.
 */
import { type Inode, type OpenHandle, type Overlay, isRegular, runSync } from '@ovl/core';
import { openFileLimit } from '../processes.js';

const READ = { read: true, write: false, append: false, truncate: false };
const WRITE = { ...READ, write: true };

/** A request may need two files at once. */
const MIN_OPEN = 2;
const MAX_OPEN = 1024;

/** As many as leave room for directories, and for a burst of other things. */
function affordable(): number {
  return Math.min(Math.max(Math.floor(openFileLimit() / 4), MIN_OPEN), MAX_OPEN);
}

export class NodeFiles {
  readonly #overlay: Overlay<'sync'>;
  /** In the order of their last use. */
  readonly #open = new Map<Inode, OpenHandle>();
  readonly #limit: number;

  constructor(overlay: Overlay<'sync'>, limit: number = affordable()) {
    this.#overlay = overlay;
    this.#limit = limit;
  }

  get size(): number {
    return this.#open.size;
  }

  /** The handle stays valid until the next call but one. Throws what `Overlay.open` does. */
  forReading(inode: Inode): OpenHandle {
    const handle = this.#open.get(inode);
    return handle === undefined ? this.#openAs(inode, READ) : this.#used(handle);
  }

  /** As {@link forReading}; copies up. A handle got for reading the same file is closed. */
  forWriting(inode: Inode): OpenHandle {
    const handle = this.#open.get(inode);
    if (handle?.writable !== undefined) return this.#used(handle);
    const writable = this.#openAs(inode, WRITE);
    if (handle !== undefined) runSync(this.#overlay.release(handle));
    return writable;
  }

  /** When the kernel gets to know a node. */
  hold(inode: Inode): void {
    if (isRegular(inode.type)) inode.handles++;
  }

  /** When it has forgotten the node, which is let go next. */
  letGo(inode: Inode): void {
    this.#close(inode);
    if (isRegular(inode.type)) inode.handles--;
  }

  /** At the end. */
  close(): void {
    for (const inode of this.#open.keys()) this.#close(inode);
  }

  #close(inode: Inode): void {
    const handle = this.#open.get(inode);
    if (handle === undefined) return;
    this.#open.delete(inode);
    runSync(this.#overlay.release(handle));
  }

  #openAs(inode: Inode, flags: typeof READ): OpenHandle {
    const handle = runSync(this.#overlay.open(inode, flags));
    const replaces = this.#open.delete(inode);
    this.#open.set(inode, handle);
    if (!replaces && this.#open.size > this.#limit) {
      const [oldest] = this.#open.keys();
      this.#close(oldest as Inode);
    }
    return handle;
  }

  #used(handle: OpenHandle): OpenHandle {
    this.#open.delete(handle.inode);
    this.#open.set(handle.inode, handle);
    return handle;
  }
}
