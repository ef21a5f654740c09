/**
 * Directories that a change has moved into the work directory, to be emptied and removed when nobody waits: who removes a whole
 * tree would wait for each whiteout once when it is made and once more when its directory goes. A crash leaves them to the
 * next mount, which empties the work directory (work-dir.ts).
 */
import { isFsError } from '@ovl/core';
import { readEntries } from './host-readdir.js';
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, close, mountOf, openatOrErrno, unlinkatOrErrno } from './syscalls.js';
import type { WorkDirectory } from './work-dir.js';

/** More are not put off: each is space, and at the end of the mount time. */
const MAX_DIRECTORIES = 64;
/** Names removed before somebody who waits is noticed. */
const STEP = 2;

export class Leftovers {
  readonly #work: WorkDirectory;
  readonly #names: string[] = [];
  /** The one that is being emptied. */
  #open: { name: string; fd: number; entries: string[] } | undefined;

  constructor(work: WorkDirectory) {
    this.#work = work;
  }

  /** `name` is that of a directory in the work directory, out of view. */
  add(name: string): void {
    this.#names.push(name);
    if (this.#names.length > MAX_DIRECTORIES) this.#remove(this.#names.shift() as string);
  }

  get isPending(): boolean {
    return this.#open !== undefined || this.#names.length > 0;
  }

  /** Does a little of the work. What cannot be removed stays. */
  step(): void {
    const open = (this.#open ??= this.#begin());
    if (open === undefined) return;
    for (const name of open.entries.splice(-STEP)) unlinkatOrErrno(open.fd, name);
    if (open.entries.length > 0) return;
    close(open.fd);
    this.#open = undefined;
    this.#remove(open.name); // with whatever is left in it
  }

  /** Does all of it. */
  finish(): void {
    while (this.isPending) this.step();
  }

  #begin(): { name: string; fd: number; entries: string[] } | undefined {
    const name = this.#names.shift();
    if (name === undefined) return undefined;
    const fd = openatOrErrno(this.#work.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) {
      this.#remove(name);
      return undefined;
    }
    try {
      // Not ours to empty if somebody has mounted something here.
      if (!mountOf(fd).isRoot) return { name, fd, entries: readEntries(fd).map((entry) => entry.name) };
    } catch (error) {
      if (!isFsError(error)) throw error;
    }
    close(fd);
    return undefined;
  }

  #remove(name: string): void {
    try {
      this.#work.remove(name);
    } catch (error) {
      if (!isFsError(error)) throw error;
    }
  }
}
