/** `@ovl/core/fs`: everything of node:fs over an overlay; the root entry has the functions by path alone. */
export {
  type FlagsLike,
  type ModeLike,
  type OptionsLike,
  type PathLike,
  type SignalLike,
  type TimeLike,
  toPath,
  type UrlLike,
} from './arguments.js';
export { callbackFs } from './callback.js';
export { Context, type FaceOptions } from './context.js';
export type { CpOptions } from './cp.js';
export type { BytesRead, BytesWritten, ReadOptions } from './descriptors.js';
export { Dir, type OpendirOptions } from './dir.js';
export { Dirent } from './dirent.js';
export type { ReaddirOptions } from './directories.js';
export type { Group } from './face.js';
export { FileHandle, type ReadableStreamLike } from './file-handle.js';
export type { FileContent, FileLike, ReadFileOptions, WriteFileOptions } from './files.js';
export { type AsyncFs, type Constants, createFs, type Fs, type FsPromises } from './fs.js';
export type { GlobOptions } from './glob.js';
export * as allFunctions from './all-functions.js';
export * as pathFunctions from './path-functions.js';
export type { StatOptions } from './metadata.js';
export { type MkdirOptions, nativeRealpath } from './names.js';
export * as promiseFunctions from './promise-functions.js';
export { promisesFs } from './promises.js';
export type { RmOptions } from './rm.js';
export type { CallbackFs, FaceError, PromisesFs, SyncFs } from './signatures.js';
export { BigIntStats, type StatFs } from './bigints.js';
export { Stats } from './stats.js';
export { syncFs } from './sync.js';
export { type Codec, plainCodec } from './text.js';
export { type WatchEvent, type WatchOptions, watchPath } from './watch.js';
