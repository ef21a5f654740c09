/** Content that comes in pieces: what generators, streams and arrays give, written as it comes. */
import { isThenable, maybe, type Operation } from '../run.js';
import { type OptionsLike, toFlags, toMode, toOptions, toPath } from './arguments.js';
import type { Context } from './context.js';
import { closeDescriptor, openDescriptor, syncOpen, writeTo } from './descriptors.js';
import {
  appendFile,
  type FileContent,
  type FileLike,
  isDescriptor,
  toContent,
  writeFile,
  type WriteFileOptions,
} from './files.js';

/** Strings or bytes, at once or in pieces. */
export type PiecewiseContent = FileContent | Iterable<FileContent> | AsyncIterable<FileContent>;

/** `writeFile` ("w") or `appendFile` ("a") that also takes pieces. */
export function* writePieces(
  fs: Context,
  path: FileLike,
  data: PiecewiseContent,
  options: OptionsLike<WriteFileOptions>,
  usual: 'w' | 'a',
): Operation<void> {
  const iterator = iteratorOf(data);
  if (iterator === undefined) {
    yield* (usual === 'w' ? writeFile : appendFile)(fs, path, data as FileContent, options);
    return;
  }
  const { encoding, flag, mode, flush, signal } = toOptions<WriteFileOptions>(options, fs.codec);
  const flags = toFlags(flag || usual, 'flag');
  const isOpen = isDescriptor(path);
  const file = isOpen
    ? fs.descriptor(path, 'write')
    : yield* openDescriptor(fs, toPath(path), flags, toMode(mode, 'mode', 0o666));
  try {
    for (;;) {
      yield* maybe(fs.checkAborted(signal));
      const next = iterator.next();
      const { done, value } = (isThenable(next) ? yield next : next) as IteratorResult<FileContent>;
      if (done === true) break;
      yield* writeTo(fs, file, toContent(fs, value, encoding), undefined);
    }
    if (flush === true) yield* syncOpen(fs, file, 'all');
  } finally {
    if (!isOpen) yield* closeDescriptor(fs, file);
  }
}

function iteratorOf(data: unknown): AsyncIterator<FileContent> | Iterator<FileContent> | undefined {
  if (typeof data !== 'object' || data === null || ArrayBuffer.isView(data)) return undefined;
  const { [Symbol.asyncIterator]: later, [Symbol.iterator]: now } = data as Partial<
    AsyncIterable<FileContent> & Iterable<FileContent>
  >;
  return later === undefined ? now?.call(data) : later.call(data);
}
