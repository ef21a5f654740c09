/** As `fs.Stats`; `fs.BigIntStats` is in bigints.ts. */
import type { Attributes } from '../attributes.js';
import { Typed } from './typed.js';

/** Members in the order in which Node has them. Nothing records when an object was born: that is its `ctime`. */
export class Stats extends Typed {
  readonly dev: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly ino: number;
  readonly size: number;
  readonly blocks: number;
  /** Milliseconds since the epoch, with fractions. */
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;

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
    this.ctimeMs = this.birthtimeMs = from.ctimeSec * 1000 + from.ctimeNsec / 1e6;
    this.atime = dateOf(this.atimeMs);
    this.mtime = dateOf(this.mtimeMs);
    this.ctime = dateOf(this.ctimeMs);
    this.birthtime = dateOf(this.ctimeMs);
  }
}

export function dateOf(ms: number): Date {
  return new Date(Math.round(ms));
}
