/** As `fs.Stats`; `fs.BigIntStats` is in bigints.ts. */
import type { Attributes } from '../attributes.js';
import { Typed } from './typed.js';

/**
 * Members in the order in which Node has them: it is the constructor that gives it, so that they are declared only. Nothing
 * records when an object was born: that is its `ctime`.
 */
export class Stats extends Typed {
  declare readonly dev: number;
  declare readonly mode: number;
  declare readonly nlink: number;
  declare readonly uid: number;
  declare readonly gid: number;
  declare readonly rdev: number;
  declare readonly blksize: number;
  declare readonly ino: number;
  declare readonly size: number;
  declare readonly blocks: number;
  /** Milliseconds since the epoch, with fractions. */
  declare readonly atimeMs: number;
  declare readonly mtimeMs: number;
  declare readonly ctimeMs: number;
  declare readonly birthtimeMs: number;
  declare readonly atime: Date;
  declare readonly mtime: Date;
  declare readonly ctime: Date;
  declare readonly birthtime: Date;

  constructor(from: Attributes) {
    super(from.mode);
    this.dev = from.dev;
    this.mode = from.mode;
    this.nlink = from.nlink;
    this.uid = from.uid;
    this.gid = from.gid;
    this.rdev = from.rdev;
    this.blksize = from.blksize;
    this.ino = from.ino;
    this.size = from.size;
    this.blocks = from.blocks;
    this.atimeMs = from.atimeSec * 1000 + from.atimeNsec / 1e6;
    this.mtimeMs = from.mtimeSec * 1000 + from.mtimeNsec / 1e6;
    this.ctimeMs = from.ctimeSec * 1000 + from.ctimeNsec / 1e6;
    this.birthtimeMs = this.ctimeMs;
    this.atime = dateOf(this.atimeMs);
    this.mtime = dateOf(this.mtimeMs);
    this.ctime = dateOf(this.ctimeMs);
    this.birthtime = dateOf(this.ctimeMs);
  }
}

export function dateOf(ms: number): Date {
  return new Date(Math.round(ms));
}
