/** Whole files: readFile, writeFile, appendFile, truncate, copyFile. */
import { isDirectory, isRegular } from '../attributes.js';
import { FsError } from '../errors.js';
import { contentNow } from '../glance.js';
import { maybe, type Operation } from '../run.js';
import { withCode, wrongType } from './argument-error.js';
import {
  bytesOf,
  type Encoding,
  type FlagsLike,
  type ModeLike,
  type OptionsLike,
  type PathLike,
  type SignalLike,
  toBoolean,
  toFlags,
  toInteger,
  toMode,
  toOptions,
  toPath,
} from './arguments.js';
import { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE, O_CREAT, O_EXCL, O_RDONLY, O_WRONLY } from './constants.js';
import { type Context, type Descriptor, named } from './context.js';
import { closeDescriptor, ftruncate, openDescriptor, readFrom, syncOpen, writeTo } from './descriptors.js';
import { existing, glance, locate } from './walk.js';

const CHUNK = 1 << 20;

/** How a whole file is read. */
export interface ReadFileOptions {
  /** Default: bytes. */
  encoding?: Encoding | null | undefined;
  /** Default "r". */
  flag?: FlagsLike | undefined;
  /** Ends it with an AbortError, where the face is an asynchronous one. */
  signal?: SignalLike | undefined;
}

/** How a whole file is written. */
export interface WriteFileOptions extends ReadFileOptions {
  /** Default 0o666, less the umask. */
  mode?: ModeLike | undefined;
  /** Waits until the content is durable. Default false. */
  flush?: boolean | null | undefined;
}

/** What a file can be named by: a path, a descriptor's number, or what has one. */
export type FileLike = PathLike | number;
/** What is written to a file: text, or bytes, which are not kept. */
export type FileContent = string | ArrayBufferView;

/**
 * All of a file, from where the descriptor stands if it is given by one. The bytes are the caller's. Throws ENOENT,
 * EISDIR, EBADF, and ERR_FS_FILE_TOO_LARGE from 2 GiB on.
 */
export function* readFile(
  fs: Context,
  path: FileLike,
  options?: OptionsLike<ReadFileOptions>,
): Operation<Uint8Array | string> {
  const { encoding, flag, signal } = toOptions<ReadFileOptions>(options, fs.codec);
  const flags = toFlags(flag ?? 'r', 'flag');
  const atOnce = flags === O_RDONLY && !isDescriptor(path) ? glance(fs, toPath(path), contentNow) : undefined;
  const bytes = atOnce ?? (yield* withFile(fs, path, flags, 0o666, (file) => readAll(fs, file, signal)));
  if (!encoding || encoding === 'buffer') return fs.codec.wrap(bytes);
  return fs.codec.decode(bytes, encoding);
}

/** From where the descriptor stands to the end. */
function* readAll(fs: Context, file: Descriptor, signal: SignalLike | undefined): Operation<Uint8Array> {
  const { size } = yield* fs.overlay.getattr(file.inode);
  if (size > 2 ** 31 - 1) {
    throw withCode(new RangeError(`File size (${size}) is greater than 2 GiB`), 'ERR_FS_FILE_TOO_LARGE');
  }
  // One byte more than the size tells the end from a file that grew since it was looked at.
  let content = new Uint8Array(Math.max(0, size - file.position) + 1);
  let length = 0;
  for (;;) {
    yield* maybe(fs.checkAborted(signal));
    const got = yield* readFrom(fs, file, content.subarray(length), undefined);
    length += got;
    if (got === 0 || length < content.length) break;
    const grown = new Uint8Array(content.length + CHUNK);
    grown.set(content);
    content = grown;
  }
  return content.subarray(0, length);
}

/**
 * Replaces the content of a file, or makes it. Not one step: others may read it half written. Throws ENOENT for its
 * directory, EISDIR, EROFS, ENOSPC.
 */
export function writeFile(
  fs: Context,
  path: FileLike,
  data: FileContent,
  options?: OptionsLike<WriteFileOptions>,
): Operation<void> {
  return writeBy(fs, path, data, options, 'w');
}

/** Writes at the end of a file, or makes it. Throws ENOENT for its directory, EISDIR, EROFS, ENOSPC. */
export function appendFile(
  fs: Context,
  path: FileLike,
  data: FileContent,
  options?: OptionsLike<WriteFileOptions>,
): Operation<void> {
  return writeBy(fs, path, data, options, 'a');
}

function* writeBy(
  fs: Context,
  path: FileLike,
  data: FileContent,
  options: OptionsLike<WriteFileOptions>,
  usual: 'w' | 'a',
): Operation<void> {
  const { encoding, flag, mode, flush, signal } = toOptions<WriteFileOptions>(options, fs.codec);
  if (flush !== undefined && flush !== null) toBoolean(flush, 'options.flush');
  const bytes = toContent(fs, data, encoding);
  const flags = toFlags(flag || usual, 'flag');
  yield* withFile(fs, path, flags, toMode(mode, 'mode', 0o666), function* (file) {
    yield* maybe(fs.checkAborted(signal));
    // Of nothing too, as only Node's callback function does: it fails where the flag allows no writing.
    if (bytes.length > 0 || fs.kind === 'callback') yield* writeTo(fs, file, bytes, undefined);
    if (flush === true) yield* syncOpen(fs, file, 'all');
  });
}

export function toContent(fs: Context, data: unknown, encoding: Encoding | null | undefined): Uint8Array {
  if (typeof data === 'string') return fs.codec.encode(data, encoding || 'utf8');
  if (ArrayBuffer.isView(data)) return bytesOf(data);
  throw wrongType('data', 'of type string or an instance of Buffer, TypedArray, or DataView', data);
}

/** Whether a number names an open file; any other stands for no path. */
export function isDescriptor(path: FileLike): path is number {
  return typeof path === 'number' && Number.isInteger(path) && path >= 0 && path < 2 ** 32;
}

/** Opens a path and closes it again; a descriptor stays open. */
function* withFile<T>(
  fs: Context,
  path: FileLike,
  flags: number,
  mode: number,
  use: (file: Descriptor) => Operation<T>,
): Operation<T> {
  if (isDescriptor(path)) return yield* use(fs.descriptor(path, 'read'));
  const file = yield* openDescriptor(fs, toPath(path), flags, mode);
  try {
    return yield* use(file);
  } finally {
    yield* closeDescriptor(fs, file);
  }
}

/** Cuts a file to `len` bytes, or extends it with a hole. Throws ENOENT, EISDIR, EROFS. */
export function* truncate(fs: Context, path: FileLike, len?: number | null): Operation<void> {
  if (typeof path === 'number') return yield* ftruncate(fs, path, len);
  const at = toPath(path);
  const size = (): number => Math.max(0, toInteger(len === undefined ? 0 : len, 'len'));
  if (fs.kind === 'callback') size(); // thrown at the call; elsewhere what is wrong with the path comes first
  const { inode, attributes } = yield* existing(fs, at, 'open');
  if (isDirectory(attributes.mode)) throw new FsError('EISDIR', { syscall: 'open', path: at });
  yield* named('open', at, fs.overlay.setattr(inode, { size: size() }));
}

/** The content and the permission bits. A destination that is there keeps its owner. */
export function* copyFile(fs: Context, src: PathLike, dest: PathLike, mode?: number | null): Operation<void> {
  const from = toPath(src, 'src');
  const to = toPath(dest, 'dest');
  const flags = toInteger(mode ?? 0, 'mode', 0, 7);
  yield* named('copyfile', from, copy(fs, from, to, flags), to);
}

function* copy(fs: Context, from: string, to: string, flags: number): Operation<void> {
  if ((flags & COPYFILE_FICLONE_FORCE) !== 0) throw new FsError('ENOSYS');
  const source = yield* openDescriptor(fs, from, 0, 0);
  try {
    const { mode } = yield* fs.overlay.getattr(source.inode);
    if (!isRegular(mode)) throw new FsError(isDirectory(mode) ? 'EISDIR' : 'EINVAL');
    const exclusive = (flags & COPYFILE_EXCL) === 0 ? 0 : O_EXCL; // also refuses a link that leads nowhere
    if (exclusive === 0 && (yield* locate(fs, to, 'copyfile', 'follow')).entry?.inode === source.inode) return;
    const target = yield* openDescriptor(fs, to, O_WRONLY | O_CREAT | exclusive, mode & 0o7777);
    try {
      yield* fs.overlay.setattr(target.inode, { size: 0, mode: mode & 0o7777 });
      const buffer = new Uint8Array(CHUNK);
      for (;;) {
        const got = yield* readFrom(fs, source, buffer, undefined);
        if (got === 0) return;
        yield* writeTo(fs, target, buffer.subarray(0, got), undefined);
      }
    } finally {
      yield* closeDescriptor(fs, target);
    }
  } finally {
    yield* closeDescriptor(fs, source);
  }
}
