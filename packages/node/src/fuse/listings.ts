/**
 * Listings of the directories that are being read. A READDIR tells a directory and an offset, which is the cookie of an entry
 * and stays true whatever changes, so nothing here has to be kept: it only saves listing a large directory again for each
 * part of it.
 */
import { type DirectoryEntry, type Inode, type Overlay, runSync } from '@ovl/core';

/** Large directories read at the same time, before one has to be listed again for its next part. */
const MAX_KEPT = 16;

export class Listings {
  readonly #overlay: Overlay<'sync'>;
  readonly #kept = new Map<Inode, readonly DirectoryEntry[]>();

  constructor(overlay: Overlay<'sync'>) {
    this.#overlay = overlay;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** What a directory has now. */
  look(dir: Inode): readonly DirectoryEntry[] {
    return runSync(this.#overlay.readdir(dir));
  }

  /** The same, to be read from its start. */
  begin(dir: Inode): readonly DirectoryEntry[] {
    const entries = this.look(dir);
    this.#kept.delete(dir);
    for (const oldest of this.#kept.keys()) if (this.#kept.size >= MAX_KEPT) this.#kept.delete(oldest);
    this.#kept.set(dir, entries);
    return entries;
  }

  /** What is left below an offset may be of now or of the last start; names that came since have higher cookies. */
  resume(dir: Inode): readonly DirectoryEntry[] {
    return this.#kept.get(dir) ?? this.begin(dir);
  }

  /** A directory was read to its end. */
  end(dir: Inode): void {
    this.#kept.delete(dir);
  }
}

/** Index of the first entry below `cookie`, in a listing by falling cookies. */
export function indexBelow(entries: readonly DirectoryEntry[], cookie: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle] as DirectoryEntry).cookie < cookie) high = middle;
    else low = middle + 1;
  }
  return low;
}
