/** What can be had in bigints, too: stat, lstat, fstat, statfs, with `fs.BigIntStats` and `fs.StatFs`. */
import type { Attributes, FileSystemStatistics } from '../attributes.js';
import type { Operation } from '../run.js';
import { type PathLike, toDescriptor, toPath } from './arguments.js';
import type { Context } from './context.js';
import { type BigIntOption, type Shown, statBy, type StatOptions } from './metadata.js';
import { dateOf, Stats } from './stats.js';
import { Typed } from './typed.js';
import { existing } from './walk.js';

const shown: Shown = (attributes, options) =>
  options?.bigint === true ? new BigIntStats(attributes) : new Stats(attributes);

/** What an object looks like, in numbers or bigints; links are followed. Throws ENOENT, ELOOP. */
export function stat(fs: Context, path: PathLike, options?: StatOptions): Operation<Stats | BigIntStats | undefined> {
  return statBy(fs, path, options, 'stat', 'follow', shown);
}

/** As `stat`, of a link itself. */
export function lstat(fs: Context, path: PathLike, options?: StatOptions): Operation<Stats | BigIntStats | undefined> {
  return statBy(fs, path, options, 'lstat', 'nofollow', shown);
}

/** As `stat`, of an open file. Throws EBADF. */
export function* fstat(fs: Context, fd: number, options?: BigIntOption): Operation<Stats | BigIntStats> {
  const { inode } = fs.descriptor(toDescriptor(fd), 'fstat');
  return shown(yield* fs.overlay.getattr(inode), options);
}

/**
 * Room and objects of the file system that the upper lies on, or the topmost layer; sizes in blocks of `bsize` bytes.
 * Throws ENOENT.
 */
export function* statfs(fs: Context, path: PathLike, options?: BigIntOption): Operation<StatFs | BigIntStatFs> {
  const { inode } = yield* existing(fs, toPath(path), 'statfs');
  const statistics = yield* fs.overlay.statfs(inode);
  return options?.bigint === true ? bigIntStatFs(statistics) : statFs(statistics);
}

/** The same in bigints, with times in nanoseconds too. As there, the constructor gives the members their order. */
export class BigIntStats extends Typed {
  declare readonly dev: bigint;
  declare readonly mode: bigint;
  declare readonly nlink: bigint;
  declare readonly uid: bigint;
  declare readonly gid: bigint;
  declare readonly rdev: bigint;
  declare readonly blksize: bigint;
  declare readonly ino: bigint;
  declare readonly size: bigint;
  declare readonly blocks: bigint;
  declare readonly atimeMs: bigint;
  declare readonly mtimeMs: bigint;
  declare readonly ctimeMs: bigint;
  declare readonly birthtimeMs: bigint;
  declare readonly atimeNs: bigint;
  declare readonly mtimeNs: bigint;
  declare readonly ctimeNs: bigint;
  declare readonly birthtimeNs: bigint;
  declare readonly atime: Date;
  declare readonly mtime: Date;
  declare readonly ctime: Date;
  declare readonly birthtime: Date;

  constructor(from: Attributes) {
    super(from.mode);
    this.dev = BigInt(from.dev);
    this.mode = BigInt(from.mode);
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
    this.ctimeMs = ctime / 1_000_000n;
    this.birthtimeMs = this.ctimeMs;
    this.atimeNs = atime;
    this.mtimeNs = mtime;
    this.ctimeNs = ctime;
    this.birthtimeNs = ctime;
    this.atime = dateOf(Number(this.atimeMs));
    this.mtime = dateOf(Number(this.mtimeMs));
    this.ctime = dateOf(Number(this.ctimeMs));
    this.birthtime = dateOf(Number(this.ctimeMs));
  }
}

/** The type that a mount reports. */
const FUSE_SUPER_MAGIC = 0x65735546;

/** What `statfs` answers: sizes are in blocks of `bsize` bytes. */
export type StatFs = Record<'type' | 'bsize' | 'blocks' | 'bfree' | 'bavail' | 'files' | 'ffree', number>;
/** {@link StatFs} in bigints. */
export type BigIntStatFs = Record<keyof StatFs, bigint>;

function statFs(statistics: FileSystemStatistics): StatFs {
  const { bsize, blocks, bfree, bavail, files, ffree } = statistics;
  return { type: FUSE_SUPER_MAGIC, bsize, blocks, bfree, bavail, files, ffree };
}

function bigIntStatFs(statistics: FileSystemStatistics): BigIntStatFs {
  const entries = Object.entries(statFs(statistics)).map(([name, value]) => [name, BigInt(value)]);
  return Object.fromEntries(entries) as BigIntStatFs;
}
