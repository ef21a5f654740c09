/** Open files by number: open, read, write, their vectors, truncate, sync. */
import { isDirectory, isRegular, isSymlink, S_IFREG } from '../attributes.js';
import { FsError } from '../errors.js';
import type { Operation } from '../run.js';
import { outOfRange, wrongType, wrongValue } from './argument-error.js';
import {
  bytesOf,
  type FlagsLike,
  type ModeLike,
  type PathLike,
  toDescriptor,
  toFlags,
  toInteger,
  toMode,
  toPath,
} from './arguments.js';
import { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY } from './constants.js';
import { type Context, type Descriptor, named } from './context.js';
import { locate } from './walk.js';

/** Which part of a file goes to which part of a buffer. */
export interface ReadOptions {
  /** Where in the buffer, in bytes. Default 0. */
  offset?: number | null | undefined;
  /** Bytes; default: what the buffer has room for. */
  length?: number | null | undefined;
  /** Where in the file, in bytes; null: after what was read last. */
  position?: number | bigint | null | undefined;
}

/** What a read answers: how many bytes, and the buffer they are in, which is the caller's. */
export interface BytesRead<B = Uint8Array> {
  bytesRead: number;
  buffer: B;
}

/** What a write answers: how many bytes, and the buffer or text they came from. */
export interface BytesWritten<B = Uint8Array> {
  bytesWritten: number;
  buffer: B;
}

/** Answers the lowest free number from 3 on. */
export function* open(
  fs: Context,
  path: PathLike,
  flags?: FlagsLike | null,
  mode?: ModeLike | null,
): Operation<number> {
  const at = toPath(path);
  const bits = toFlags(flags);
  const descriptor = yield* openDescriptor(fs, at, bits, toMode(mode, 'mode', 0o666));
  let fd = 3;
  while (fs.descriptors.has(fd)) fd++;
  fs.descriptors.set(fd, descriptor);
  return fd;
}

export function* openDescriptor(fs: Context, path: string, how: number, mode: number): Operation<Descriptor> {
  let flags = how;
  const { overlay } = fs;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const fail = (code: 'ENOENT' | 'EEXIST' | 'EISDIR' | 'ENOTDIR' | 'ELOOP'): never => {
    throw new FsError(code, { syscall: 'open', path });
  };
  const nofollow = has(O_NOFOLLOW) || (has(O_CREAT) && has(O_EXCL));
  const final = has(O_CREAT) && path.endsWith('/') ? 'new' : nofollow ? 'nofollow' : 'follow';
  let { dir, name, entry, slash } = yield* locate(fs, path, 'open', final);
  if (has(O_CREAT)) {
    if (slash) fail('EISDIR');
    if (entry !== undefined && has(O_EXCL)) fail('EEXIST');
    if (entry === undefined) {
      const object = { mode: S_IFREG | fs.masked(mode), ...fs.owner };
      entry = yield* named('open', path, overlay.create(dir, name, object));
      flags &= ~O_TRUNC;
    }
  }
  if (entry === undefined) return fail('ENOENT');
  const { inode, attributes } = entry;
  const canWrite = (flags & 3) !== O_RDONLY;
  const canRead = (flags & 3) !== O_WRONLY;
  if (isSymlink(attributes.mode)) fail('ELOOP');
  if (isDirectory(attributes.mode)) {
    if (canWrite || has(O_TRUNC) || has(O_CREAT)) fail('EISDIR');
    overlay.retain(inode);
    return { inode, handle: undefined, position: 0, canRead, canWrite };
  }
  if (has(O_DIRECTORY)) fail('ENOTDIR');
  const wanted = { read: canRead, write: canWrite, append: has(O_APPEND), truncate: has(O_TRUNC) };
  const handle = yield* named('open', path, overlay.open(inode, wanted));
  return { inode, handle, position: 0, canRead, canWrite };
}

/** Closes a descriptor. Throws EBADF. */
export function* close(fs: Context, fd: number): Operation<void> {
  const number = toDescriptor(fd);
  const descriptor = fs.descriptor(number, 'close');
  fs.descriptors.delete(number);
  yield* named('close', undefined, closeDescriptor(fs, descriptor));
}

export function* closeDescriptor(fs: Context, { inode, handle }: Descriptor): Operation<void> {
  if (handle === undefined) fs.overlay.forget(inode);
  else yield* fs.overlay.release(handle);
}

/** Reads up to the whole of `bytes`; less only at the end of the file. */
export function* readFrom(
  fs: Context,
  descriptor: Descriptor,
  bytes: Uint8Array,
  position: number | undefined,
): Operation<number> {
  const { handle } = descriptor;
  if (!descriptor.canRead) throw new FsError('EBADF', { syscall: 'read' });
  if (handle === undefined) throw new FsError('EISDIR', { syscall: 'read' });
  if (position !== undefined && position > Number.MAX_SAFE_INTEGER) return 0; // no file is as long
  const got = yield* named('read', undefined, fs.overlay.read(handle, bytes, position ?? descriptor.position));
  if (position === undefined) descriptor.position += got;
  return got;
}

/** Writes all of `bytes`, or throws. */
export function* writeTo(
  fs: Context,
  descriptor: Descriptor,
  bytes: Uint8Array,
  position: number | undefined,
): Operation<number> {
  const { handle } = descriptor;
  if (!descriptor.canWrite || handle === undefined) throw new FsError('EBADF', { syscall: 'write' });
  if (bytes.length === 0) return 0; // moves nothing, not even to the end
  const start = position ?? descriptor.position;
  for (let done = 0; done < bytes.length; ) {
    const part = done === 0 ? bytes : bytes.subarray(done);
    const written = yield* named('write', undefined, fs.overlay.write(handle, part, start + done));
    if (written === 0) throw new FsError('ENOSPC', { syscall: 'write' });
    done += written;
  }
  if (position !== undefined) return bytes.length;
  if (!handle.flags.append) descriptor.position += bytes.length;
  else if (descriptor.canRead) descriptor.position = (yield* fs.overlay.getattr(descriptor.inode)).size;
  return bytes.length;
}

/** `read(fd, buffer, offset, length, position)`, `read(fd, buffer, options)` or `read(fd, { buffer, … })`. */
export function* read<B extends ArrayBufferView = Uint8Array<ArrayBuffer>>(
  fs: Context,
  fd: number,
  target?: B | (ReadOptions & { buffer?: B }),
  offset?: number | ReadOptions | null,
  length?: number | null,
  position?: number | bigint | null,
): Operation<BytesRead<B>> {
  const number = toDescriptor(fd);
  const { buffer, bytes, at } = readTarget<B>(fs, target, offset, length, position);
  if (bytes.length === 0) return { bytesRead: 0, buffer };
  return { bytesRead: yield* readFrom(fs, fs.descriptor(number, 'read'), bytes, at), buffer };
}

function readTarget<B extends ArrayBufferView>(
  fs: Context,
  target: B | (ReadOptions & { buffer?: B }) | null | undefined,
  offset?: number | ReadOptions | null,
  length?: number | null,
  position?: number | bigint | null,
): { buffer: B; bytes: Uint8Array; at: number | undefined } {
  let buffer = target as B;
  let where: ReadOptions;
  const isOptions =
    target === undefined || target === null || (!ArrayBuffer.isView(target) && typeof target === 'object');
  if (isOptions && fs.kind !== 'sync') {
    const options = (target ?? {}) as ReadOptions & { buffer?: B };
    buffer = options.buffer === undefined ? (fs.codec.allocate(16_384) as ArrayBufferView as B) : options.buffer;
    where = options;
  } else if (typeof offset === 'object' && offset !== null && !Array.isArray(offset)) where = offset;
  else if (offset !== undefined && offset !== null && length === undefined && position === undefined) {
    throw wrongType('options', 'of type object', offset);
  } else if (length === undefined && position === undefined) where = {};
  else where = { offset: offset as number, length: (length as number) | 0, position };
  if (!ArrayBuffer.isView(buffer)) {
    throw wrongType('buffer', 'an instance of Buffer, TypedArray, or DataView', buffer);
  }
  const from = where.offset === null || where.offset === undefined ? 0 : toInteger(where.offset, 'offset', 0);
  const all = bytesOf(buffer);
  const count = where.length === undefined ? all.length - from : (where.length as number) | 0;
  if (count === 0) return { buffer, bytes: all.subarray(0, 0), at: undefined };
  if (all.length === 0) throw wrongValue('buffer', buffer, 'is empty and cannot be written');
  if (count < 0) throw outOfRange('length', '>= 0', count);
  if (from + count > all.length) throw outOfRange('length', `<= ${all.length - from}`, count);
  return { buffer, bytes: all.subarray(from, from + count), at: toReadPosition(where.position, count) };
}

/** Undefined: where the last read or write ended. */
function toReadPosition(position: number | bigint | null | undefined, length: number): number | undefined {
  if (position === null || position === undefined) return undefined;
  if (typeof position === 'bigint') {
    const max = 2n ** 63n - 1n - BigInt(length);
    if (position < -1n || position > max) throw outOfRange('position', `>= -1 && <= ${max}`, position);
  } else if (typeof position === 'number') toInteger(position, 'position', -1);
  else throw wrongType('position', 'of type bigint or integer', position);
  return position < 0 ? undefined : Number(position);
}

/** `write(fd, bytes, offset, length, position)`, `write(fd, bytes, options)` or `write(fd, text, position, encoding)`. */
export function* write<D extends ArrayBufferView | string>(
  fs: Context,
  fd: number,
  data: D,
  offset?: number | ReadOptions | null,
  length?: number | string | null,
  position?: number | null,
): Operation<BytesWritten<D>> {
  const number = toDescriptor(fd);
  const { bytes, at } = writeSource(fs, data, offset, length, position);
  return { bytesWritten: yield* writeTo(fs, fs.descriptor(number, 'write'), bytes, at), buffer: data };
}

function writeSource(
  fs: Context,
  data: unknown,
  offset?: unknown,
  length?: unknown,
  position?: unknown,
): { bytes: Uint8Array; at: number | undefined } {
  const at = (value: unknown): number | undefined => {
    return typeof value === 'bigint' || (typeof value === 'number' && value >= 0) ? Number(value) : undefined;
  };
  if (typeof data === 'string') {
    const encoding = typeof length === 'string' ? length : 'utf8';
    if (encoding === 'hex' && data.length % 2 === 1) {
      throw wrongValue('encoding', encoding, `is invalid for data of length ${data.length}`);
    }
    if (!fs.codec.isEncoding(encoding)) throw wrongValue('encoding', length, 'is invalid encoding');
    return { bytes: fs.codec.encode(data, encoding), at: at(offset) };
  }
  if (!ArrayBuffer.isView(data)) {
    throw wrongType('buffer', 'of type string or an instance of Buffer, TypedArray, or DataView', data);
  }
  // As in Node, null is an empty object of options: the arguments after it count for nothing.
  const where: ReadOptions =
    typeof offset === 'object' ? (offset ?? {}) : ({ offset, length, position } as ReadOptions);
  const all = bytesOf(data);
  const from = where.offset === null || where.offset === undefined ? 0 : toInteger(where.offset, 'offset', 0);
  const count = typeof where.length === 'number' ? where.length : all.length - from;
  if (from > all.length) throw outOfRange('offset', `<= ${all.length}`, from);
  if (count > all.length - from) throw outOfRange('length', `<= ${all.length - from}`, count);
  if (count < 0) throw outOfRange('length', '>= 0', count);
  toInteger(count, 'length', 0, 2 ** 31 - 1);
  return { bytes: all.subarray(from, from + count), at: at(where.position) };
}

/**
 * Reads into one buffer after the other, until one is not filled: at `position` in bytes, or where the descriptor
 * stands. Throws EBADF.
 */
export function* readv<B extends ArrayBufferView>(
  fs: Context,
  fd: number,
  buffers: readonly B[],
  position?: number | null,
): Operation<{ bytesRead: number; buffers: readonly B[] }> {
  const number = toDescriptor(fd);
  const views = toViews(buffers);
  const descriptor = fs.descriptor(number, 'read');
  const start = typeof position === 'number' ? position : undefined;
  let bytesRead = 0;
  for (const view of views) {
    const got = yield* readFrom(fs, descriptor, view, start === undefined ? undefined : start + bytesRead);
    bytesRead += got;
    if (got < view.length) break;
  }
  return { bytesRead, buffers };
}

/** All buffers as one write: with O_APPEND nothing of others comes between them. */
export function* writev<B extends ArrayBufferView>(
  fs: Context,
  fd: number,
  buffers: readonly B[],
  position?: number | null,
): Operation<{ bytesWritten: number; buffers: readonly B[] }> {
  const number = toDescriptor(fd);
  const bytes = joined(toViews(buffers));
  if (buffers.length === 0) return { bytesWritten: 0, buffers };
  const descriptor = fs.descriptor(number, 'write');
  const start = typeof position === 'number' ? position : undefined;
  return { bytesWritten: yield* writeTo(fs, descriptor, bytes, start), buffers };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function toViews(buffers: unknown): Uint8Array[] {
  if (!Array.isArray(buffers) || !buffers.every((each) => ArrayBuffer.isView(each))) {
    throw wrongType('buffers', 'an ArrayBufferView[]', buffers);
  }
  return buffers.map(bytesOf);
}

/**
 * Cuts an open file to `len` bytes, or extends it with a hole. Throws EBADF, and EINVAL for what is not open for
 * writing.
 */
export function* ftruncate(fs: Context, fd: number, len?: number | null): Operation<void> {
  const number = toDescriptor(fd);
  const size = Math.max(0, toInteger(len === undefined ? 0 : len, 'len'));
  const { inode, canWrite } = fs.descriptor(number, 'ftruncate');
  if (!canWrite || !isRegular(inode.type)) throw new FsError('EINVAL', { syscall: 'ftruncate' });
  yield* named('ftruncate', undefined, fs.overlay.setattr(inode, { size }));
}

/**
 * Waits until a file's data and attributes, or a directory's names, are durable. Throws EBADF, and what the layer could
 * not write.
 */
export function* fsync(fs: Context, fd: number): Operation<void> {
  yield* syncOpen(fs, fs.descriptor(toDescriptor(fd), 'fsync'), 'all');
}

/** Waits until a file's data is durable. Throws EBADF, and what the layer could not write. */
export function* fdatasync(fs: Context, fd: number): Operation<void> {
  yield* syncOpen(fs, fs.descriptor(toDescriptor(fd), 'fdatasync'), 'data');
}

export function* syncOpen(fs: Context, { inode, handle }: Descriptor, scope: 'data' | 'all'): Operation<void> {
  const operation = handle === undefined ? fs.overlay.fsyncdir(inode) : fs.overlay.fsync(handle, scope);
  yield* named(scope === 'all' ? 'fsync' : 'fdatasync', undefined, operation);
}
