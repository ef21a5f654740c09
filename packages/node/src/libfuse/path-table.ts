/**
 * From libfuse's paths to the overlay's inodes. libfuse keeps nodes of its own and tells nobody what it forgets, so the
 * inodes that were asked for last are held here, and older ones let go. It also renames a file that is removed while it is
 * open to a hidden name; here that file is removed at once, and the hidden name stands for the inode until it is closed.
 */
import { type Entry, FsError, type Inode, type Overlay, runSync } from '@ovl/core';

/** How many inodes are held. The kernel's own caches come first, so this is for what they ask again. */
const HELD_AT_MOST = 1 << 16;

/** libfuse's `hide_node`: the number of its node, then a counter. */
const HIDDEN_NAME = /^\.fuse_hidden[0-9a-f]{16}$/;

/** Where a name is, or is to be. */
export interface Place {
  dir: Inode;
  name: string;
}

export class PathTable {
  readonly #overlay: Overlay<'sync'>;
  /** In the order they came: to put one at the end at each use cost a tenth of a request. */
  readonly #held = new Set<Inode>();
  /** By path. */
  readonly #hidden = new Map<string, Inode>();

  constructor(overlay: Overlay<'sync'>) {
    this.#overlay = overlay;
  }

  /** Throws ENOENT, ENOTDIR. */
  inode(path: string): Inode {
    const hidden = this.#hidden.get(path);
    if (hidden !== undefined) return hidden;
    this.#overlay.beginRequest();
    let inode = this.#overlay.root;
    for (let start = 1; start < path.length; ) {
      const slash = path.indexOf('/', start);
      const end = slash < 0 ? path.length : slash;
      const name = path.slice(start, end);
      const cached = this.#overlay.revalidates ? undefined : inode.children?.get(name);
      inode = cached ?? this.#lookup(inode, name).inode;
      start = end + 1;
    }
    this.#hold(inode);
    return inode;
  }

  /** The inode with its attributes. Throws ENOENT, ENOTDIR. */
  entry(path: string): Entry {
    if (path === '/' || this.#hidden.has(path)) {
      const inode = this.inode(path);
      return { inode, attributes: runSync(this.#overlay.getattr(inode)) };
    }
    const { dir, name } = this.place(path);
    const entry = this.#lookup(dir, name);
    this.#hold(entry.inode);
    return entry;
  }

  /** Throws ENOENT and ENOTDIR for the directory. */
  place(path: string): Place {
    const slash = path.lastIndexOf('/');
    return { dir: this.inode(path.slice(0, slash)), name: path.slice(slash + 1) };
  }

  /** A place for something new. Throws EILSEQ for a name that fuse-native could not pass on: it has lost the bytes. */
  newPlace(path: string): Place {
    const place = this.place(path);
    requireText(place.name);
    return place;
  }

  /** Whether a rename is libfuse's way of removing a file that `isOpen`. */
  isHiding(from: string, to: string, isOpen: (inode: Inode) => boolean): boolean {
    const slash = to.lastIndexOf('/') + 1;
    if (!HIDDEN_NAME.test(to.slice(slash)) || from.slice(0, slash) !== to.slice(0, slash)) return false;
    return from.indexOf('/', slash) < 0 && isOpen(this.inode(from));
  }

  /** Removes a file that stays in use under a hidden name. */
  hide(from: string, hidden: string): void {
    const inode = this.inode(from);
    const { dir, name } = this.place(from);
    this.#overlay.retain(inode);
    try {
      runSync(this.#overlay.unlink(dir, name));
    } catch (error) {
      this.#overlay.forget(inode);
      throw error;
    }
    this.#hidden.set(hidden, inode);
  }

  /**
   * Before a directory goes. Throws ENOTEMPTY while a hidden file is in use there: libfuse could not name it any more, and
   * whoever has it open or mapped would lose it.
   */
  checkNothingHidden(directory: string): void {
    for (const path of this.#hidden.keys()) {
      if (path.startsWith(`${directory}/`)) throw new FsError('ENOTEMPTY', { path: directory });
    }
  }

  /** After a directory moved: libfuse names what is hidden in it by the new path. */
  moved(from: string, to: string): void {
    for (const [path, inode] of this.#hidden) {
      if (!path.startsWith(`${from}/`)) continue;
      this.#hidden.delete(path);
      this.#hidden.set(to + path.slice(from.length), inode);
    }
  }

  /** The hidden file has no user any more. False if there is none of that path. */
  reveal(hidden: string): boolean {
    const inode = this.#hidden.get(hidden);
    if (inode === undefined) return false;
    this.#hidden.delete(hidden);
    if (this.#held.delete(inode)) this.#overlay.forget(inode);
    this.#overlay.forget(inode);
    return true;
  }

  /** Lets everything go. */
  close(): void {
    for (const path of this.#hidden.keys()) this.reveal(path);
    for (const inode of this.#held) this.#overlay.forget(inode);
    this.#held.clear();
  }

  #lookup(dir: Inode, name: string): Entry {
    const entry = runSync(this.#overlay.lookup(dir, name));
    if (entry === undefined) throw new FsError('ENOENT');
    return entry;
  }

  #hold(inode: Inode): void {
    if (this.#held.has(inode)) return;
    this.#overlay.retain(inode);
    if (this.#held.size >= HELD_AT_MOST) this.#letOldestGo();
    this.#held.add(inode);
  }

  #letOldestGo(): void {
    for (const oldest of this.#held) {
      this.#held.delete(oldest);
      this.#overlay.forget(oldest);
      return;
    }
  }
}

const NO_CHARACTER = /[\ud800-\udfff]/u;

/** Whether a name is UTF-8, so that fuse-native passes it on. */
export function isText(name: string): boolean {
  return !NO_CHARACTER.test(name);
}

/** Throws EILSEQ for what was no UTF-8: fuse-native has put U+FFFD for each such byte, and that would be another name. */
export function requireText(name: string): void {
  if (name.includes('\uFFFD') || !isText(name)) throw new FsError('EILSEQ', { path: name });
}
