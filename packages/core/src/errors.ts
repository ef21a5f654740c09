/**
 * The one error of the system: a POSIX code, shaped as Node's own file-system errors are, so that callers that
 * branch on `code` need no second vocabulary. Numbers are Linux's; adapters that face another host translate.
 */

/** A POSIX error code that this system throws or passes on. */
export type ErrorCode =
  | 'EPERM'
  | 'ENOENT'
  | 'EINTR'
  | 'EIO'
  | 'ENXIO'
  | 'E2BIG'
  | 'EBADF'
  | 'EAGAIN'
  | 'ENOMEM'
  | 'EACCES'
  | 'EBUSY'
  | 'EEXIST'
  | 'EXDEV'
  | 'ENODEV'
  | 'ENOTDIR'
  | 'EISDIR'
  | 'EINVAL'
  | 'ENFILE'
  | 'EMFILE'
  | 'ENOTTY'
  | 'ETXTBSY'
  | 'EFBIG'
  | 'ENOSPC'
  | 'ESPIPE'
  | 'EROFS'
  | 'EMLINK'
  | 'ERANGE'
  | 'ENAMETOOLONG'
  | 'ENOSYS'
  | 'ENOTEMPTY'
  | 'ELOOP'
  | 'ENODATA'
  | 'EOVERFLOW'
  | 'EILSEQ'
  | 'EOPNOTSUPP'
  | 'ENOTCONN'
  | 'ESTALE'
  | 'EDQUOT';

const table: Readonly<Record<ErrorCode, readonly [errno: number, message: string]>> = {
  EPERM: [1, 'operation not permitted'],
  ENOENT: [2, 'no such file or directory'],
  EINTR: [4, 'interrupted system call'],
  EIO: [5, 'i/o error'],
  ENXIO: [6, 'no such device or address'],
  E2BIG: [7, 'argument list too long'],
  EBADF: [9, 'bad file descriptor'],
  EAGAIN: [11, 'resource temporarily unavailable'],
  ENOMEM: [12, 'not enough memory'],
  EACCES: [13, 'permission denied'],
  EBUSY: [16, 'resource busy or locked'],
  EEXIST: [17, 'file already exists'],
  EXDEV: [18, 'cross-device link not permitted'],
  ENODEV: [19, 'no such device'],
  ENOTDIR: [20, 'not a directory'],
  EISDIR: [21, 'illegal operation on a directory'],
  EINVAL: [22, 'invalid argument'],
  ENFILE: [23, 'file table overflow'],
  EMFILE: [24, 'too many open files'],
  ENOTTY: [25, 'inappropriate ioctl for device'],
  ETXTBSY: [26, 'text file is busy'],
  EFBIG: [27, 'file too large'],
  ENOSPC: [28, 'no space left on device'],
  ESPIPE: [29, 'invalid seek'],
  EROFS: [30, 'read-only file system'],
  EMLINK: [31, 'too many links'],
  ERANGE: [34, 'result too large'],
  ENAMETOOLONG: [36, 'name too long'],
  ENOSYS: [38, 'function not implemented'],
  ENOTEMPTY: [39, 'directory not empty'],
  ELOOP: [40, 'too many symbolic links encountered'],
  ENODATA: [61, 'no data available'],
  EOVERFLOW: [75, 'value too large for defined data type'],
  EILSEQ: [84, 'illegal byte sequence'],
  EOPNOTSUPP: [95, 'operation not supported'],
  ENOTCONN: [107, 'socket is not connected'],
  ESTALE: [116, 'stale file handle'],
  EDQUOT: [122, 'disk quota exceeded'],
};

/** By number, once one is asked for. */
let codes: Map<number, ErrorCode> | undefined;

/** What an error concerns; every part is optional because a layer may know only some of it. */
export interface ErrorContext {
  syscall?: string;
  path?: string;
  dest?: string;
  cause?: unknown;
}

/** Thrown by every operation of every layer and face. `errno` is negative, as in Node. */
export class FsError extends Error {
  declare readonly errno: number;
  declare readonly code: ErrorCode;
  declare readonly syscall?: string;
  declare readonly path?: string;
  declare readonly dest?: string;

  constructor(code: ErrorCode, context: ErrorContext = {}) {
    const { syscall, path, dest, cause } = context;
    let message = `${code}: ${table[code][1]}`;
    if (syscall !== undefined) message += `, ${syscall}`;
    if (path !== undefined) message += ` '${path}'`;
    if (dest !== undefined) message += ` -> '${dest}'`;
    super(message, cause === undefined ? undefined : { cause });
    this.errno = -table[code][0];
    this.code = code;
    if (syscall !== undefined) this.syscall = syscall;
    if (path !== undefined) this.path = path;
    if (dest !== undefined) this.dest = dest;
  }
}

/** The positive Linux number of a code. */
export function errnoOf(code: ErrorCode): number {
  return table[code][0];
}

/** The code of a positive Linux errno; an unknown number is EIO, because callers branch on codes they know. */
export function codeOf(errno: number): ErrorCode {
  codes ??= new Map((Object.keys(table) as ErrorCode[]).map((code) => [table[code][0], code]));
  return codes.get(errno) ?? 'EIO';
}

/** Whether `error` is an {@link FsError} with one of `wanted`. */
export function isFsError(error: unknown, ...wanted: ErrorCode[]): error is FsError {
  return error instanceof FsError && (wanted.length === 0 || wanted.includes(error.code));
}
