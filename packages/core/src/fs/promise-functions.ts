/** What `fs.promises` has in place of the functions of the other faces: handles for descriptors, data that comes in pieces. */
import { maybe, type Operation } from '../run.js';
import { argumentError } from './argument-error.js';
import { type ModeLike, type OptionsLike, type PathLike, toOptions, toPath } from './arguments.js';
import type { Context } from './context.js';
import { FileHandle } from './file-handle.js';
import { readFile as readAll, type ReadFileOptions, type WriteFileOptions } from './files.js';
import { type PiecewiseContent, writePieces } from './pieces.js';

export type FileOrHandle = PathLike | FileHandle;

export function* readFile(
  fs: Context,
  path: FileOrHandle,
  options?: OptionsLike<ReadFileOptions>,
): Operation<Uint8Array | string> {
  if (!(path instanceof FileHandle)) return yield* readAll(fs, toPath(path), options);
  const { signal } = toOptions<ReadFileOptions>(options, fs.codec);
  yield* maybe(fs.checkAborted(signal));
  return (yield path.readFile(options)) as Uint8Array | string;
}

export function* writeFile(
  fs: Context,
  path: FileOrHandle,
  data: PiecewiseContent,
  options?: OptionsLike<WriteFileOptions>,
): Operation<void> {
  if (path instanceof FileHandle) yield path.writeFile(data, options);
  else yield* writePieces(fs, toPath(path), data, options, 'w');
}

export function* appendFile(
  fs: Context,
  path: FileOrHandle,
  data: PiecewiseContent,
  options?: OptionsLike<WriteFileOptions>,
): Operation<void> {
  if (path instanceof FileHandle) yield path.appendFile(data, options);
  else yield* writePieces(fs, toPath(path), data, options, 'a');
}

/** Symbolic links have no mode of their own on Linux. */
// oxlint-disable-next-line require-yield
export function* lchmod(_fs: Context, _path: PathLike, _mode: ModeLike): Operation<void> {
  throw argumentError('ERR_METHOD_NOT_IMPLEMENTED', 'The lchmod() method is not implemented', Error as never);
}

export { openHandle as open } from './file-handle.js';
export { cp } from './cp.js';
export { opendir } from './dir.js';
export { readdir } from './directories.js';
export { copyFile, truncate } from './files.js';
export { lstat, stat, statfs } from './bigints.js';
export { access, chmod, chown, lchown, lutimes, utimes } from './metadata.js';
export { link, mkdir, mkdtemp, readlink, realpath, rename, rmdir, symlink, unlink } from './names.js';
export { rm } from './rm.js';
