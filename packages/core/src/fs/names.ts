/** Names: making, moving and removing them; symbolic links; the real path of an object. */
import { isDirectory, isSymlink, S_IFDIR, S_IFLNK } from '../attributes.js';
import type { Creation } from '../create.js';
import { type ErrorCode, FsError, isFsError } from '../errors.js';
import { encodeName } from '../names.js';
import type { Operation } from '../run.js';
import { argumentError } from './argument-error.js';
import {
  type Encoding,
  type ModeLike,
  type OptionsLike,
  type PathLike,
  toBoolean,
  toMode,
  toOptions,
  toPath,
} from './arguments.js';
import { type Context, named } from './context.js';
import { existing, type Located, locate, pathOf } from './walk.js';

/** How names are answered. */
export interface EncodingOption {
  /** "buffer" answers bytes. Default "utf8", in which bytes that are no UTF-8 survive as `names.ts` says. */
  encoding?: Encoding | null | undefined;
}

/** A name or path as the options ask for it. */
export function spelled(fs: Context, name: string, encoding: Encoding | null | undefined): string | Uint8Array {
  if (!encoding || encoding === 'utf8' || encoding === 'utf-8') return name;
  const bytes = encodeName(name);
  return encoding === 'buffer' ? fs.codec.wrap(bytes) : fs.codec.decode(bytes, encoding);
}

/** What `mkdir` makes. */
export interface MkdirOptions {
  /** Default 0o777, less the umask. */
  mode?: ModeLike | null | undefined;
  /** Also the directories on the way, and no error for those that exist. */
  recursive?: boolean | undefined;
}

/** With `recursive`, answers the first directory that was made. */
export function* mkdir(
  fs: Context,
  path: PathLike,
  options?: MkdirOptions | ModeLike | null,
): Operation<string | undefined> {
  const { mode, recursive }: MkdirOptions = typeof options === 'object' ? (options ?? {}) : { mode: options };
  const at = toPath(path);
  if (recursive !== undefined) toBoolean(recursive, 'options.recursive');
  // As Linux: mkdir gives no set-id bits.
  const object = { mode: S_IFDIR | (fs.masked(toMode(mode, 'mode', 0o777)) & 0o1777), ...fs.owner };
  if (recursive !== true) {
    yield* create(fs, at, 'mkdir', object);
    return undefined;
  }
  let first: string | undefined;
  for (const { 0: part, index } of at.matchAll(/[^/]+/g)) {
    const prefix = at.slice(0, index + part.length);
    try {
      yield* named('mkdir', at, create(fs, prefix, 'mkdir', object));
      first ??= prefix;
    } catch (error) {
      if (!isFsError(error, 'EEXIST')) throw error;
    }
  }
  // Only now: somebody else may have made it meanwhile.
  if (!isDirectory((yield* existing(fs, at, 'mkdir')).attributes.mode)) fail('EEXIST', 'mkdir', at);
  return first;
}

/** A new directory under `prefix` and six characters that nobody can foresee. */
export function* mkdtemp(
  fs: Context,
  prefix: PathLike,
  options?: OptionsLike<EncodingOption>,
): Operation<string | Uint8Array> {
  const { encoding } = toOptions<EncodingOption>(options, fs.codec);
  const start = toPath(prefix, 'prefix');
  for (;;) {
    const random = Array.from({ length: 6 }, () => LETTERS[Math.floor(Math.random() * LETTERS.length)]).join('');
    try {
      const object = { mode: S_IFDIR | 0o700, ...fs.owner };
      yield* named('mkdtemp', `${start}XXXXXX`, create(fs, start + random, 'mkdtemp', object));
      return spelled(fs, start + random, encoding);
    } catch (error) {
      if (!isFsError(error, 'EEXIST')) throw error;
    }
  }
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Removes an empty directory. Throws ENOENT, ENOTDIR, ENOTEMPTY, EBUSY for the root, EROFS. */
export function* rmdir(fs: Context, path: PathLike): Operation<void> {
  const at = toPath(path);
  const { dir, name, last } = yield* locate(fs, at, 'rmdir', 'nofollow');
  if (last !== 'name') fail(last === 'root' ? 'EBUSY' : last === 'dot' ? 'EINVAL' : 'ENOTEMPTY', 'rmdir', at);
  yield* named('rmdir', at, fs.overlay.rmdir(dir, name));
}

/**
 * Removes a name; the object stays until its last name and its last descriptor are gone. Throws ENOENT, EISDIR, EROFS.
 */
export function* unlink(fs: Context, path: PathLike): Operation<void> {
  const at = toPath(path);
  const { dir, name, last } = yield* locate(fs, at, 'unlink', 'nofollow');
  if (last !== 'name') fail('EISDIR', 'unlink', at);
  yield* named('unlink', at, fs.overlay.unlink(dir, name));
}

/**
 * Moves an object to another name, in one step, and replaces what is there. Throws ENOENT, EXDEV for a directory of the
 * layers below that may not be recorded, EISDIR, ENOTDIR, ENOTEMPTY, EINVAL for a directory into itself, EBUSY for the
 * root, EROFS.
 */
export function* rename(fs: Context, oldPath: PathLike, newPath: PathLike): Operation<void> {
  const from = toPath(oldPath, 'oldPath');
  const to = toPath(newPath, 'newPath');
  yield* named('rename', from, move(fs, from, to), to);
}

function* move(fs: Context, from: string, to: string): Operation<void> {
  const source = yield* locate(fs, from, 'rename', 'nofollow');
  const target = yield* locate(fs, to, 'rename', 'nofollow');
  if (source.last !== 'name' || target.last !== 'name') fail('EBUSY', 'rename', from);
  const moved = source.entry?.attributes.mode;
  if (moved !== undefined && !isDirectory(moved) && (source.slash || target.slash)) fail('ENOTDIR', 'rename', from);
  yield* fs.overlay.rename(source.dir, source.name, target.dir, target.name);
}

/** Gives an object one more name. Throws ENOENT, EEXIST, EPERM for a directory, EROFS. */
export function* link(fs: Context, existingPath: PathLike, newPath: PathLike): Operation<void> {
  const from = toPath(existingPath, 'existingPath');
  const to = toPath(newPath, 'newPath');
  yield* named('link', from, linkTo(fs, from, to), to);
}

function* linkTo(fs: Context, from: string, to: string): Operation<void> {
  const { inode } = yield* existing(fs, from, 'link', 'nofollow');
  const target = yield* locate(fs, to, 'link', 'new');
  const { dir, name } = free(target, 'link', to);
  if (target.slash) fail('ENOENT', 'link', to);
  yield* fs.overlay.link(inode, dir, name);
}

/** `type` means something on Windows only. */
export function* symlink(fs: Context, target: PathLike, path: PathLike, type?: string | null): Operation<void> {
  if (type !== undefined && type !== null && !['dir', 'file', 'junction'].includes(type)) {
    const message = `Symlink type must be one of "dir", "file", or "junction". Received "${type}"`;
    throw argumentError('ERR_FS_INVALID_SYMLINK_TYPE', message, Error as unknown as typeof TypeError);
  }
  const content = toPath(target, 'target');
  const at = toPath(path);
  const object = { mode: S_IFLNK | 0o777, ...fs.owner, target: content };
  yield* named('symlink', content, create(fs, at, 'symlink', object), at);
}

/** The target of a symbolic link, as it was written. Throws ENOENT, and EINVAL for anything else. */
export function* readlink(
  fs: Context,
  path: PathLike,
  options?: OptionsLike<EncodingOption>,
): Operation<string | Uint8Array> {
  const { encoding } = toOptions<EncodingOption>(options, fs.codec);
  const at = toPath(path, 'oldPath');
  const { inode, attributes } = yield* existing(fs, at, 'readlink', 'nofollow');
  if (!isSymlink(attributes.mode)) fail('EINVAL', 'readlink', at);
  return spelled(fs, yield* named('readlink', at, fs.overlay.readlink(inode)), encoding);
}

/** The path without symbolic links, "." and "..". Node's own walk asks for one component after the other, with lstat. */
export function realpath(
  fs: Context,
  path: PathLike,
  options?: OptionsLike<EncodingOption>,
): Operation<string | Uint8Array> {
  return resolve(fs, path, options, fs.kind === 'promises' ? 'realpath' : 'lstat');
}

/** `realpath.native`: the same, with other words in its errors. */
export function nativeRealpath(
  fs: Context,
  path: PathLike,
  options?: OptionsLike<EncodingOption>,
): Operation<string | Uint8Array> {
  return resolve(fs, path, options, 'realpath');
}

function* resolve(
  fs: Context,
  path: PathLike,
  options: OptionsLike<EncodingOption>,
  syscall: string,
): Operation<string | Uint8Array> {
  const { encoding } = toOptions<EncodingOption>(options, fs.codec);
  const at = toPath(path).replace(/(?<=.)\/+$/, '');
  const { dir, name, entry } = yield* locate(fs, at || '.', syscall, 'follow');
  if (entry === undefined) fail('ENOENT', syscall, at);
  return spelled(fs, pathOf(fs.overlay, dir, name), encoding);
}

function* create(fs: Context, path: string, syscall: string, object: Creation): Operation<void> {
  const located = yield* locate(fs, path, syscall, 'new');
  if (located.slash && located.entry === undefined && !isDirectory(object.mode)) fail('ENOENT', syscall, path);
  const { dir, name } = free(located, syscall, path);
  yield* named(syscall, path, fs.overlay.create(dir, name, object));
}

function free(located: Located, syscall: string, path: string): Located {
  if (located.entry !== undefined) fail('EEXIST', syscall, path);
  return located;
}

function fail(code: ErrorCode, syscall: string, path: string): never {
  throw new FsError(code, { syscall, path });
}
