/** What objects look like and may do: stat, access, chmod, chown, utimes, statfs and their kin. */
import { type AttributeChange, type Attributes, isDirectory, isSymlink } from '../attributes.js';
import { FsError, isFsError } from '../errors.js';
import { attributesNow } from '../glance.js';
import type { Operation } from '../run.js';
import { wrongValue } from './argument-error.js';
import {
  type ModeLike,
  type PathLike,
  type TimeLike,
  toDescriptor,
  toInteger,
  toMode,
  toPath,
  toTime,
} from './arguments.js';
import { W_OK, X_OK } from './constants.js';
import { type Context, named } from './context.js';
import type { BigIntStats } from './bigints.js';
import { Stats } from './stats.js';
import { existing, type FinalLink, glance } from './walk.js';

/** Whether numbers are answered as bigints. */
export interface BigIntOption {
  bigint?: boolean | undefined;
}

/** What `stat` and `lstat` answer. */
export interface StatOptions extends BigIntOption {
  /** Synchronous face only: false answers undefined where there is nothing. */
  throwIfNoEntry?: boolean | undefined;
}

/** What a function answers with for attributes. Without bigints: see bigints.ts. */
export type Shown = (attributes: Attributes, options: BigIntOption | undefined) => Stats | BigIntStats;

const numbers: Shown = (attributes, options) => {
  if (options?.bigint === true) throw wrongValue('options.bigint', true, 'needs the stat of @ovl/core/functions');
  return new Stats(attributes);
};

/** What an object looks like; links are followed. Throws ENOENT, ELOOP. */
export function stat(fs: Context, path: PathLike, options?: StatOptions): Operation<Stats | BigIntStats | undefined> {
  return statBy(fs, path, options, 'stat', 'follow');
}

/** As `stat`, of a link itself. */
export function lstat(fs: Context, path: PathLike, options?: StatOptions): Operation<Stats | BigIntStats | undefined> {
  return statBy(fs, path, options, 'lstat', 'nofollow');
}

export function* statBy(
  fs: Context,
  path: PathLike,
  options: StatOptions | undefined,
  syscall: string,
  final: FinalLink,
  shown: Shown = numbers,
): Operation<Stats | BigIntStats | undefined> {
  const at = toPath(path);
  try {
    const known = glance(fs, at, attributesNow);
    if (known !== undefined && (final === 'nofollow' || !isSymlink(known.mode))) return shown(known, options);
    return shown((yield* existing(fs, at, syscall, final)).attributes, options);
  } catch (error) {
    const absent = fs.kind === 'sync' && options?.throwIfNoEntry === false && isFsError(error, 'ENOENT', 'ENOTDIR');
    if (absent) return undefined;
    throw error;
  }
}

/** As for the superuser: what exists may be read and written, unless nothing can be; X_OK needs somebody's x. */
export function* access(fs: Context, path: PathLike, mode?: number): Operation<void> {
  const at = toPath(path);
  const wanted = toInteger(mode ?? 0, 'mode', 0, 7);
  const { inode, attributes } = yield* existing(fs, at, 'access');
  const refuse = (code: 'EROFS' | 'EACCES'): never => {
    throw new FsError(code, { syscall: 'access', path: at });
  };
  if ((wanted & W_OK) !== 0 && fs.overlay.isReadOnly(inode)) refuse('EROFS');
  if ((wanted & X_OK) !== 0 && !isDirectory(attributes.mode) && (attributes.mode & 0o111) === 0) refuse('EACCES');
}

/** False for all that `stat` fails on, and for what is no path. */
export function* exists(fs: Context, path: PathLike): Operation<boolean> {
  try {
    yield* existing(fs, toPath(path), 'access');
    return true;
  } catch {
    return false;
  }
}

/** Sets permission bits; links are followed. Throws ENOENT, EROFS. */
export function* chmod(fs: Context, path: PathLike, mode: ModeLike): Operation<void> {
  yield* change(fs, toPath(path), 'chmod', 'follow', { mode: toMode(mode, 'mode') });
}

/** Sets owner and group, −1 for as they are; links are followed. Throws ENOENT, EROFS. */
export function* chown(fs: Context, path: PathLike, uid: number, gid: number): Operation<void> {
  yield* change(fs, toPath(path), 'chown', 'follow', owners(uid, gid));
}

/** As `chown`, of a link itself. */
export function* lchown(fs: Context, path: PathLike, uid: number, gid: number): Operation<void> {
  yield* change(fs, toPath(path), 'lchown', 'nofollow', owners(uid, gid));
}

/** Sets the times of access and of modification, in seconds or as Dates; links are followed. Throws ENOENT, EROFS. */
export function* utimes(fs: Context, path: PathLike, atime: TimeLike, mtime: TimeLike): Operation<void> {
  yield* change(fs, toPath(path), 'utime', 'follow', times(atime, mtime, 'time'));
}

/** As `utimes`, of a link itself. */
export function* lutimes(fs: Context, path: PathLike, atime: TimeLike, mtime: TimeLike): Operation<void> {
  yield* change(fs, toPath(path), 'lutime', 'nofollow', times(atime, mtime, 'time'));
}

/** As `chmod`, of an open file. Throws EBADF, EROFS. */
export function* fchmod(fs: Context, fd: number, mode: ModeLike): Operation<void> {
  yield* changeOpen(fs, toDescriptor(fd), 'fchmod', { mode: toMode(mode, 'mode') });
}

/** As `chown`, of an open file. Throws EBADF, EROFS. */
export function* fchown(fs: Context, fd: number, uid: number, gid: number): Operation<void> {
  yield* changeOpen(fs, toDescriptor(fd), 'fchown', owners(uid, gid));
}

/** As `utimes`, of an open file. Throws EBADF, EROFS. */
export function* futimes(fs: Context, fd: number, atime: TimeLike, mtime: TimeLike): Operation<void> {
  yield* changeOpen(fs, toDescriptor(fd), 'futime', times(atime, mtime));
}

function* change(
  fs: Context,
  path: string,
  syscall: string,
  final: FinalLink,
  wanted: AttributeChange,
): Operation<void> {
  const { inode } = yield* existing(fs, path, syscall, final);
  yield* named(syscall, path, fs.overlay.setattr(inode, wanted));
}

function* changeOpen(fs: Context, fd: number, syscall: string, wanted: AttributeChange): Operation<void> {
  yield* named(syscall, undefined, fs.overlay.setattr(fs.descriptor(fd, syscall).inode, wanted));
}

/** −1 leaves an owner as it is. */
function owners(uid: number, gid: number): AttributeChange {
  const wanted: AttributeChange = {};
  if (toInteger(uid, 'uid', -1, 2 ** 32 - 1) !== -1) wanted.uid = uid;
  if (toInteger(gid, 'gid', -1, 2 ** 32 - 1) !== -1) wanted.gid = gid;
  return wanted;
}

/** Node calls both by one name where there is a path. */
function times(atime: TimeLike, mtime: TimeLike, name?: 'time'): AttributeChange {
  return { atime: toTime(atime, name ?? 'atime'), mtime: toTime(mtime, name ?? 'mtime') };
}
