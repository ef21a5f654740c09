/** As `fs.Stats`, `fs.BigIntStats` and `fs.StatFs`. */
import {
  type Attributes,
  type FileSystemStatistics,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '../attributes.js';

/** What an object is, told by its mode. */
abstract class Typed {
  readonly mode: number | bigint;

  constructor(mode: number | bigint) {
    this.mode = mode;
  }

  isFile(): boolean {
    return this.#is(S_IFREG);
  }

  isDirectory(): boolean {
    return this.#is(S_IFDIR);
  }

  isSymbolicLink(): boolean {
    return this.#is(S_IFLNK);
  }

  isBlockDevice(): boolean {
    return this.#is(S_IFBLK);
  }

  isCharacterDevice(): boolean {
    return this.#is(S_IFCHR);
  }

  isFIFO(): boolean {
    return this.#is(S_IFIFO);
  }

  isSocket(): boolean {
    return this.#is(S_IFSOCK);
  }

  #is(type: number): boolean {
    return (Number(this.mode) & S_IFMT) === type;
  }
}

/** Members in the order in which Node has them. Nothing records when an object was born: that is its `ctime`. */
export class Stats extends Typed {
  readonly dev: number;
  declare readonly mode: number;
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

/** The same in bigints, with times in nanoseconds too. */
export class BigIntStats extends Typed {
  readonly dev: bigint;
  declare readonly mode: bigint;
  readonly nlink: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  readonly rdev: bigint;
  readonly blksize: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly blocks: bigint;
  readonly atimeMs: bigint;
  readonly mtimeMs: bigint;
  readonly ctimeMs: bigint;
  readonly birthtimeMs: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly birthtimeNs: bigint;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;

  constructor(from: Attributes) {
    super(BigInt(from.mode));
    this.dev = BigInt(from.dev);
    this.nlink = BigInt(from.nlink);
    this.uid = BigInt(from.uid);
    this.gid = BigInt(from.gid);
    this.rdev = BigInt(from.rdev);
    this.blksize = BigInt(from.blksize);
    this.ino = BigInt(from.ino);
    this.size = BigInt(from.size);
    this.blocks = BigInt(from.blocks);
    const [atime, mtime, ctime] = (['atime', 'mtime', 'ctime'] as const).map(
      (time) => BigInt(from[`${time}Sec`]) * 1_000_000_000n + BigInt(from[`${time}Nsec`]),
    ) as [bigint, bigint, bigint];
    this.atimeMs = atime / 1_000_000n;
    this.mtimeMs = mtime / 1_000_000n;
    this.ctimeMs = this.birthtimeMs = ctime / 1_000_000n;
    this.atimeNs = atime;
    this.mtimeNs = mtime;
    this.ctimeNs = this.birthtimeNs = ctime;
    this.atime = dateOf(Number(this.atimeMs));
    this.mtime = dateOf(Number(this.mtimeMs));
    this.ctime = dateOf(Number(this.ctimeMs));
    this.birthtime = dateOf(Number(this.ctimeMs));
  }
}

function dateOf(ms: number): Date {
  return new Date(Math.round(ms));
}

/** The type that a mount reports. */
const FUSE_SUPER_MAGIC = 0x65735546;

export type StatFs = Record<'type' | 'bsize' | 'blocks' | 'bfree' | 'bavail' | 'files' | 'ffree', number>;
export type BigIntStatFs = Record<keyof StatFs, bigint>;

export function statFs(statistics: FileSystemStatistics): StatFs {
  const { bsize, blocks, bfree, bavail, files, ffree } = statistics;
  return { type: FUSE_SUPER_MAGIC, bsize, blocks, bfree, bavail, files, ffree };
}

export function bigIntStatFs(statistics: FileSystemStatistics): BigIntStatFs {
  const entries = Object.entries(statFs(statistics)).map(([name, value]) => [name, BigInt(value)]);
  return Object.fromEntries(entries) as BigIntStatFs;
}
