/**
 * The only place that touches koffi: binds functions of the C library, passes names to them without loss, and turns
 * `errno` into FsError. A call through it costs 150–280 ns more than the system call itself, provided that nothing is
 * allocated on the way, so the callers keep their buffers for life.
 */
import { type ErrorContext, FsError, codeOf, encodeName } from '@ovl/core';
import koffi from 'koffi';

const library = koffi.load(null);

/** Loads a library into the process; what it returns keeps it there. Throws if there is none at the path. */
export function loadLibrary(path: string): object {
  return koffi.load(path);
}

/** Binds a function given as a C declaration. koffi has no `ssize_t`: declare `int64_t`. */
export function bind<F extends (...parameters: never[]) => unknown>(declaration: string): F {
  return library.func(declaration) as unknown as F;
}

/**
 * Binds a function that is called on a thread of libuv's pool. What it fails with cannot be asked for, since `errno` is that
 * thread's; buffers are kept until it returns.
 */
export function bindAsync<F extends (...parameters: never[]) => number>(
  declaration: string,
): (...parameters: Parameters<F>) => Promise<number> {
  const call = library.func(declaration);
  return (...parameters) =>
    new Promise((resolve, reject) => {
      call.async(...parameters, (error: unknown, result: number) => {
        if (error) reject(error as Error);
        else resolve(result);
        return parameters; // alive until now
      });
    });
}

/** A C string parameter: a JavaScript string that koffi encodes itself, or bytes that end in zero. */
export type CString = string | Uint8Array;

// Without the u flag, so that both halves of a surrogate pair match. On a one-byte string V8 tests only for the zero.
const needsEncoding = /[\0\ud800-\udfff]/;

/**
 * What to pass for a name or path in core's encoding. An ordinary string goes as it is; one with surrogates (bytes that
 * are no UTF-8, but also emoji) is encoded here, because koffi would put U+FFFD for a lone one. A NUL would silently
 * cut the name short, hence EINVAL.
 */
export function cString(text: string): CString {
  return needsEncoding.test(text) ? encoded(text) : text;
}

function encoded(text: string): Uint8Array {
  if (text.includes('\0')) throw new FsError('EINVAL', { path: text });
  const bytes = encodeName(text);
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/** `errno` of the last call that failed, positive. Read it before anything else is called. */
export function errno(): number {
  return koffi.errno();
}

/** The error of the call that just failed. */
export function lastError(syscall: string, path?: string): FsError {
  return errorOf(koffi.errno(), syscall, path);
}

/** The error of a positive errno. */
export function errorOf(number: number, syscall: string, path?: string): FsError {
  const context: ErrorContext = { syscall };
  if (path !== undefined) context.path = path;
  return new FsError(codeOf(number), context);
}

/** The result of a call, or its error. */
export function checked(result: number, syscall: string, path?: string): number {
  if (result < 0) throw lastError(syscall, path);
  return result;
}

/**
 * A buffer that never moves, for structures that system calls read or fill. It owns its whole ArrayBuffer, so that
 * typed arrays of other widths can be laid over it.
 */
export function fixedBuffer(length: number): Buffer<ArrayBuffer> {
  return Buffer.from(new ArrayBuffer(length));
}

/** The address of a buffer's memory, for structures that hold pointers. The buffer must outlive its use. */
export function addressOf(buffer: ArrayBufferView): bigint {
  return koffi.address(buffer);
}
