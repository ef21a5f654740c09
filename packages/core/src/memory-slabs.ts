/** Small files of a memory layer's initial tree lie together, many in one array: one of its own costs 200 bytes a file. */

const SLAB = 1 << 16;
const SMALL = SLAB / 8;

/** Where a file's bytes are: `capacity` of them from `start` on. */
export interface Slice {
  store: Uint8Array;
  start: number;
  capacity: number;
}

export class Slabs {
  #waiting: { slice: Slice; content: Uint8Array }[] = [];
  #length = 0;

  /** Copies `content`, at the latest at the next {@link flush}. */
  add(slice: Slice, content: Uint8Array): void {
    if (content.length > SMALL) this.flush(); // a slab of its own
    this.#waiting.push({ slice, content });
    this.#length += content.length;
    if (this.#length >= SLAB - SMALL || content.length > SMALL) this.flush();
  }

  /** Exactly as large as what is in it. */
  flush(): void {
    const store = new Uint8Array(this.#length);
    let start = 0;
    for (const { slice, content } of this.#waiting) {
      store.set(content, start);
      Object.assign(slice, { store, start, capacity: content.length });
      start += content.length;
    }
    this.#waiting = [];
    this.#length = 0;
  }
}
