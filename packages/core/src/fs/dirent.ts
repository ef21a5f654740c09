/** As `fs.Dirent`: an entry of a directory and what it is. */
import { DT_BLK, DT_CHR, DT_DIR, DT_FIFO, DT_LNK, DT_REG, DT_SOCK, type EntryType } from '../attributes.js';

export class Dirent<N extends string | Uint8Array = string> {
  readonly name: N;
  readonly parentPath: string;
  readonly #type: EntryType;

  constructor(name: N, parentPath: string, type: EntryType) {
    this.name = name;
    this.parentPath = parentPath;
    this.#type = type;
  }

  /** The same as `parentPath`, as Node before version 24 has it. */
  get path(): string {
    return this.parentPath;
  }

  isFile(): boolean {
    return this.#type === DT_REG;
  }

  isDirectory(): boolean {
    return this.#type === DT_DIR;
  }

  isSymbolicLink(): boolean {
    return this.#type === DT_LNK;
  }

  isBlockDevice(): boolean {
    return this.#type === DT_BLK;
  }

  isCharacterDevice(): boolean {
    return this.#type === DT_CHR;
  }

  isFIFO(): boolean {
    return this.#type === DT_FIFO;
  }

  isSocket(): boolean {
    return this.#type === DT_SOCK;
  }
}
