/** Node's own file streams over an overlay: they take the functions they call as an option. */
import * as host from 'node:fs';
import { FileHandle } from '@ovl/core/fs';

/** What the streams call. */
export type StreamFunctions = Pick<typeof host, 'open' | 'close' | 'read' | 'write' | 'writev' | 'fsync'>;

type Options = Record<string, unknown> & { fd?: unknown; fs?: object };
type StreamClass = (this: unknown, path: unknown, options: unknown) => void;

export interface StreamClasses {
  ReadStream: typeof host.ReadStream;
  WriteStream: typeof host.WriteStream;
  createReadStream: typeof host.createReadStream;
  createWriteStream: typeof host.createWriteStream;
}

/** Classes that work with and without `new`, as Node's. */
export function streamsOf(fs: StreamFunctions): StreamClasses {
  const ReadStream = classOf(host.ReadStream as unknown as StreamClass, fs);
  const WriteStream = classOf(host.WriteStream as unknown as StreamClass, fs);
  return {
    ReadStream: ReadStream as unknown as typeof host.ReadStream,
    WriteStream: WriteStream as unknown as typeof host.WriteStream,
    createReadStream: maker(ReadStream) as never,
    createWriteStream: maker(WriteStream) as never,
  };
}

/** A function that also `new` may be put before, as Node's. */
function maker(Class: StreamClass): (path: unknown, options: unknown) => unknown {
  return function create(path, options) {
    return Reflect.construct(Class, [path, options]) as unknown;
  };
}

function classOf(Base: StreamClass, fs: StreamFunctions): StreamClass {
  function Stream(this: unknown, path: unknown, options: unknown): unknown {
    if (!(this instanceof Stream)) return Reflect.construct(Stream, [path, options]);
    Base.call(this, path, withFunctions(options, fs));
    const { fd } = (typeof options === 'object' && options !== null ? options : {}) as Options;
    if (fd instanceof FileHandle) closeTogether(this as unknown as host.ReadStream, fd);
    return undefined;
  }
  Object.defineProperty(Stream, 'name', { value: Base.name });
  Object.setPrototypeOf(Stream.prototype, Base.prototype as object);
  Object.setPrototypeOf(Stream, Base);
  return Stream as StreamClass;
}

function withFunctions(options: unknown, fs: StreamFunctions): unknown {
  if (options === undefined || options === null) return { fs };
  if (typeof options === 'string') return { encoding: options, fs };
  if (typeof options !== 'object') return options; // Node's class says what is wrong with it
  const { fd, fs: given } = options as Options;
  if (!(fd instanceof FileHandle)) return having(options, { fs: given ?? fs });
  if (given !== undefined) {
    const error = new Error('The FileHandle with fs method is not implemented');
    throw Object.assign(error, { code: 'ERR_METHOD_NOT_IMPLEMENTED' });
  }
  return having(options, { fd: fd.fd, fs: functionsOf(fd) });
}

/** The same options with other members, themselves untouched. */
function having(options: object, members: Record<string, unknown>): object {
  const descriptors = Object.entries(members).map(([name, value]) => [
    name,
    { value, enumerable: true, writable: true },
  ]);
  return Object.create(options, Object.fromEntries(descriptors) as PropertyDescriptorMap) as object;
}

type Done = (error: unknown, ...answer: unknown[]) => void;

/** A handle's own methods, as functions with callbacks. */
function functionsOf(handle: FileHandle): object {
  return {
    read: (_fd: number, buffer: Uint8Array, offset: number, length: number, position: number, done: Done) =>
      void handle.read(buffer, offset, length, position).then((read) => done(null, read.bytesRead, buffer), done),
    write: (_fd: number, buffer: Uint8Array, offset: number, length: number, position: number, done: Done) =>
      void handle
        .write(buffer, offset, length, position)
        .then((written) => done(null, written.bytesWritten, buffer), done),
    writev: (_fd: number, buffers: Uint8Array[], position: number, done: Done) =>
      void handle.writev(buffers, position).then((written) => done(null, written.bytesWritten, buffers), done),
    fsync: (_fd: number, done: Done) => void handle.sync().then(() => done(null), done),
    close: (_fd: number, done: Done) => void handle.close().then(() => done(null), done),
  };
}

/** A handle that is closed ends its stream. */
function closeTogether(stream: host.ReadStream, handle: FileHandle): void {
  const emitter = handle as unknown as { on?: (event: 'close', listener: () => void) => void };
  emitter.on?.('close', () => stream.destroy());
}
