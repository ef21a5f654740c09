/** Removing files and whole trees: `rm`. */
import { isDirectory } from '../attributes.js';
import { FsError, isFsError } from '../errors.js';
import type { Inode } from '../inode.js';
import type { Entry } from '../overlay.js';
import type { Operation } from '../run.js';
import { withCode, wrongType } from './argument-error.js';
import { type PathLike, toBoolean, toInteger, toPath } from './arguments.js';
import { type Context, named } from './context.js';
import { locate } from './walk.js';

/** What `rm` removes. */
export interface RmOptions {
  /** Also directories with all that is in them. */
  recursive?: boolean | undefined;
  /** No error where there is nothing. */
  force?: boolean | undefined;
  /** For hosts on which open files cannot be removed; checked, and without effect here. */
  maxRetries?: number | undefined;
  retryDelay?: number | undefined;
}

/**
 * Removes a file, or with `recursive` a tree, deepest first; a failure on the way leaves the rest. Throws ENOENT
 * without `force`, ERR_FS_EISDIR for a directory without `recursive`, EROFS.
 */
export function* rm(fs: Context, path: PathLike, options?: RmOptions | null): Operation<void> {
  const at = toPath(path);
  const { recursive = false, force = false } = checked(options);
  let dir: Inode;
  let name: string;
  let entry: Entry;
  try {
    const located = yield* locate(fs, at, 'lstat', 'nofollow');
    if (located.entry === undefined) throw new FsError('ENOENT', { syscall: 'lstat', path: at });
    ({ dir, name } = located);
    entry = located.entry;
    if (located.last !== 'name' && located.last !== 'root') throw new FsError('EINVAL', { syscall: 'rm', path: at });
  } catch (error) {
    if (force && isFsError(error, 'ENOENT')) return;
    // Node's synchronous one does not look first, then: unlink meets what is in the way.
    if (force && recursive && fs.kind === 'sync' && isFsError(error) && error.syscall === 'lstat') {
      throw new FsError(error.code, { syscall: 'unlink', path: at });
    }
    throw error;
  }
  if (!isDirectory(entry.attributes.mode)) yield* named('unlink', at, fs.overlay.unlink(dir, name));
  else if (!recursive) throw isDirectoryError(at);
  else {
    fs.overlay.retain(dir); // letting go of what was below would let go of it, too
    try {
      yield* named('rm', at, removeContent(fs, entry.inode));
      if (name !== '') yield* named('rm', at, fs.overlay.rmdir(dir, name));
    } finally {
      fs.overlay.forget(dir);
    }
  }
}

/** Everything below a directory. What others remove meanwhile is gone all the same; what they add is removed too. */
function* removeContent(fs: Context, dir: Inode): Operation<void> {
  const { overlay } = fs;
  overlay.retain(dir);
  try {
    const entries = yield* overlay.readdir(dir);
    for (const { name } of entries) {
      const entry = yield* overlay.lookup(dir, name);
      if (entry === undefined) continue;
      try {
        if (entry.inode.isDirectory) {
          yield* removeContent(fs, entry.inode);
          yield* overlay.rmdir(dir, name);
        } else yield* overlay.unlink(dir, name);
      } catch (error) {
        if (!isFsError(error, 'ENOENT')) throw error;
      }
    }
  } finally {
    overlay.forget(dir);
  }
}

function checked(options: RmOptions | null | undefined): RmOptions {
  if (options === undefined || options === null) return {};
  if (typeof options !== 'object' || Array.isArray(options)) throw wrongType('options', 'of type object', options);
  const { recursive, force, maxRetries, retryDelay } = options;
  if (force !== undefined) toBoolean(force, 'options.force');
  if (recursive !== undefined) toBoolean(recursive, 'options.recursive');
  if (retryDelay !== undefined) toInteger(retryDelay, 'options.retryDelay', 0, 2 ** 31 - 1);
  if (maxRetries !== undefined) toInteger(maxRetries, 'options.maxRetries', 0, 2 ** 32 - 1);
  return options;
}

/** Node's own error for a directory where none may be; `errno` is positive there, alone among its errors. */
function isDirectoryError(path: string): Error {
  return systemError('ERR_FS_EISDIR', 'Path is a directory', 'EISDIR', 21, 'is a directory', 'rm', path);
}

/** An error of Node's kind SystemError. */
export function systemError(
  code: string,
  title: string,
  cause: string,
  errno: number,
  message: string,
  syscall: string,
  path: string,
): Error {
  const error = new Error(`${title}: ${syscall} returned ${cause} (${message}) ${path}`);
  error.name = 'SystemError';
  const info = { code: cause, message, path, syscall, errno };
  return Object.assign(withCode(error, code), { info, errno, syscall, path });
}
