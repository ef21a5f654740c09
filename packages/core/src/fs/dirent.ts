/** As `fs.Dirent`: an entry of a directory and what it is. */
import type { EntryType } from '../attributes.js';
import { Typed } from './typed.js';

/** An entry of a directory, as `readdir` and `opendir` give it with `withFileTypes`. */
export class Dirent<N extends string | Uint8Array = string> extends Typed {
  declare readonly name: N;
  declare readonly parentPath: string;

  constructor(name: N, parentPath: string, type: EntryType) {
    super(type << 12);
    this.name = name;
    this.parentPath = parentPath;
  }

  /** The same as `parentPath`, as Node before version 24 has it. */
  get path(): string {
    return this.parentPath;
  }
}
