/** What callers may pass: paths, modes, flags, numbers, times, options, checked as Node checks them. */
import type { Time } from '../attributes.js';
import { decodeName } from '../names.js';
import { argumentError, outOfRange, wrongType, wrongValue } from './argument-error.js';
import { flagsOf } from './constants.js';
import type { Codec } from './text.js';

/** What of a WHATWG URL is looked at. */
export interface UrlLike {
  readonly href: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly pathname: string;
}

/** Text, the bytes of it, or a `file:` URL. Bytes that are no UTF-8 become what `names.ts` says. */
export type PathLike = string | Uint8Array | UrlLike;
export type Encoding = string;
/** A time as Node takes it: seconds since the epoch, also as text, or a Date. */
export type TimeLike = string | number | Date;
/** Permission bits as Node takes them: a number, or octal digits. */
export type ModeLike = number | string;
/** How a file is opened, as Node takes it: "r+", or the bits of `constants`. */
export type FlagsLike = string | number;

/** What of an AbortSignal is looked at. */
export interface SignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: 'abort', listener: () => void, options?: { once: boolean }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/**
 * A path as text, given as Node takes it: a string, bytes, or a `file:` URL. Throws a TypeError with Node's `code` for
 * anything else and for null bytes.
 */
export function toPath(value: unknown, name = 'path'): string {
  const plain = typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) ? fromUrl(value) : value;
  if (typeof plain === 'string') return withoutNull(plain, name, plain);
  if (plain instanceof Uint8Array) return withoutNull(decodeName(plain), name, plain);
  throw wrongType(name, 'of type string or an instance of Buffer or URL', value);
}

function withoutNull(path: string, name: string, given: unknown): string {
  if (path.includes('\0')) throw wrongValue(name, given, 'must be a string, Uint8Array, or URL without null bytes');
  return path;
}

/** As `fileURLToPath` on a POSIX host; what is no URL passes. */
function fromUrl(value: object): unknown {
  const { href, protocol, hostname, pathname, auth } = value as Partial<UrlLike> & { auth?: unknown };
  if (!href || !protocol || auth !== undefined || pathname === undefined) return value;
  if (protocol !== 'file:') throw argumentError('ERR_INVALID_URL_SCHEME', 'The URL must be of scheme file');
  if (hostname) {
    const message = 'File URL host must be "localhost" or empty on linux';
    throw argumentError('ERR_INVALID_FILE_URL_HOST', message);
  }
  if (/%2f/i.test(pathname)) {
    throw argumentError('ERR_INVALID_FILE_URL_PATH', 'File URL path must not include encoded / characters');
  }
  return decodeURIComponent(pathname);
}

export function toInteger(
  value: unknown,
  name: string,
  min: number = Number.MIN_SAFE_INTEGER,
  max: number = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== 'number') throw wrongType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value);
  return value;
}

export function toDescriptor(value: unknown): number {
  return toInteger(value, 'fd', 0, 2 ** 31 - 1) + 0;
}

export function toMode(value: unknown, name: string, fallback?: number): number {
  let mode = value ?? fallback;
  if (typeof mode === 'string') {
    if (!/^[0-7]+$/.test(mode)) throw wrongValue(name, value, 'must be a 32-bit unsigned integer or an octal string');
    mode = Number.parseInt(mode, 8);
  }
  return toInteger(mode, name, 0, 2 ** 32 - 1) & 0o7777;
}

export function toFlags(value: unknown, name = 'flags'): number {
  if (typeof value === 'number') return toInteger(value, name, -(2 ** 31), 2 ** 31 - 1);
  const flags = value === null || value === undefined ? 0 : flagsOf(String(value));
  if (flags === undefined) throw wrongValue(name, value);
  return flags;
}

/** Seconds since the epoch, as a number or its decimal text, or a Date. */
export function toTime(value: unknown, name: string): Time {
  let seconds = typeof value === 'string' && +value === Number.parseFloat(value) ? +value : value;
  if (value instanceof Date) seconds = value.getTime() / 1000;
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) {
    throw wrongType(name, 'an instance of Date or an Time in seconds', value);
  }
  const sec = Math.floor(seconds);
  // libuv counts in microseconds, cut off.
  const nsec = Math.floor((seconds - sec) * 1e6) * 1000;
  return { sec, nsec };
}

export function toBoolean(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw wrongType(name, 'of type boolean', value);
  return value;
}

export function toFunction(value: unknown, name: string): (...args: never[]) => unknown {
  if (typeof value !== 'function') throw wrongType(name, 'of type function', value);
  return value as (...args: never[]) => unknown;
}

/** What may stand for the whole of an options object: nothing, or an encoding. */
export type OptionsLike<O> = O | Encoding | null | undefined;

/** The options as an object; functions count as none. */
export function toOptions<O extends { encoding?: Encoding | null | undefined; signal?: SignalLike | undefined }>(
  value: unknown,
  codec: Pick<Codec, 'isEncoding'>,
): O {
  if (value === null || value === undefined || typeof value === 'function') return {} as O;
  const options = (typeof value === 'string' ? { encoding: value } : value) as O;
  if (typeof options !== 'object') throw wrongType('options', 'of type string or an instance of Object', value);
  const { encoding, signal } = options;
  if (encoding && encoding !== 'buffer' && !codec.isEncoding(encoding)) {
    throw wrongValue('encoding', encoding, 'is invalid encoding');
  }
  if (signal !== undefined && (typeof signal !== 'object' || signal === null || !('aborted' in signal))) {
    throw wrongType('options.signal', 'an instance of AbortSignal', signal);
  }
  return options;
}

/** The bytes that a view of any kind covers, not copied. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  if (view instanceof Uint8Array) return view;
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
