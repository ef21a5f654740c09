/** What `Stats` and `Dirent` say of an object's type. */
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '../attributes.js';

export class Typed {
  readonly #type: number;

  /** `mode`: of which the type bits count. */
  constructor(mode: number) {
    this.#type = mode & S_IFMT;
  }

  isFile(): boolean {
    return this.#type === S_IFREG;
  }

  isDirectory(): boolean {
    return this.#type === S_IFDIR;
  }

  isSymbolicLink(): boolean {
    return this.#type === S_IFLNK;
  }

  isBlockDevice(): boolean {
    return this.#type === S_IFBLK;
  }

  isCharacterDevice(): boolean {
    return this.#type === S_IFCHR;
  }

  isFIFO(): boolean {
    return this.#type === S_IFIFO;
  }

  isSocket(): boolean {
    return this.#type === S_IFSOCK;
  }
}
