/**
 * The system calls that Node lacks, as thin typed functions under their own names: files, directories and attributes
 * here, `statx`, extended attributes and mounting in their own files, koffi itself in libc.ts. Everything is relative to
 * a directory descriptor and follows no symbolic link in the last component unless its name says otherwise. A function
 * throws FsError, with the code of errno; one called `…OrErrno` returns the *negative* errno instead, for callers to
 * whom failure is an ordinary answer.
 */
import { constants } from 'node:fs';
import { type FileSystemStatistics, type Time, SYMLINK_MAX, decodeName } from '@ovl/core';
import { type CString, bind, cString, checked, errno, fixedBuffer, lastError } from './libc.js';

export { errorOf } from './libc.js';
export { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, mountOf, statxAt, statxFd, statxOrErrno } from './statx.js';
export { CAPABILITY, getxattr, listxattr, removexattr, setxattr } from './xattr-syscalls.js';
export {
  PollSet,
  duplicate,
  exitNow,
  ioctlOrErrno,
  ioctlValue,
  mount,
  open,
  peerOf,
  pipe,
  readInto,
  receiveFd,
  setNonblocking,
  setPipeBytes,
  socketpair,
  spliceAll,
  spliceFrom,
  umount2,
  writeFrom,
} from './mount-syscalls.js';

// From Node where the numbers differ between x86-64 and arm64, written out where Node has none.
export const O_RDONLY: number = constants.O_RDONLY;
export const O_WRONLY: number = constants.O_WRONLY;
export const O_RDWR: number = constants.O_RDWR;
export const O_CREAT: number = constants.O_CREAT;
export const O_EXCL: number = constants.O_EXCL;
export const O_NONBLOCK: number = constants.O_NONBLOCK;
export const O_DIRECTORY: number = constants.O_DIRECTORY;
export const O_NOFOLLOW: number = constants.O_NOFOLLOW;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const AT_FDCWD: number = -100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
const AT_EMPTY_PATH = 0x1000;
const AT_SYMLINK_NOFOLLOW = 0x100;
const ENOENT = 2;
const ENOSYS = 38;

type AtCall = (dirfd: number, path: CString, ...rest: number[]) => number;
type AtAtCall = (fromDir: number, from: CString, toDir: number, to: CString, flags: number) => number;
type FdCall = (fd: number, ...rest: number[]) => number;
type DataCall = (fd: number, buffer: Uint8Array, length: number, position: number) => number;

const c = {
  openat: bind<AtCall>('int openat(int, const char *, int, uint)'),
  close: bind<FdCall>('int close(int)'),
  pread: bind<DataCall>('int64_t pread(int, void *, uint64_t, int64_t)'),
  pwrite: bind<DataCall>('int64_t pwrite(int, void *, uint64_t, int64_t)'),
  getdents64: bind<(fd: number, buffer: Uint8Array, length: number) => number>(
    'int64_t getdents64(int, void *, uint64_t)',
  ),
  readlinkat: bind<(dirfd: number, path: CString, buffer: Uint8Array, length: number) => number>(
    'int64_t readlinkat(int, const char *, void *, uint64_t)',
  ),
  mkdirat: bind<AtCall>('int mkdirat(int, const char *, uint)'),
  mknodat: bind<AtCall>('int mknodat(int, const char *, uint, uint64_t)'),
  symlinkat: bind<(target: CString, dirfd: number, path: CString) => number>(
    'int symlinkat(const char *, int, const char *)',
  ),
  linkat: bind<AtAtCall>('int linkat(int, const char *, int, const char *, int)'),
  unlinkat: bind<AtCall>('int unlinkat(int, const char *, int)'),
  renameat2: bind<AtAtCall>('int renameat2(int, const char *, int, const char *, uint)'),
  fchmodat: bind<AtCall>('int fchmodat(int, const char *, uint, int)'),
  fchmodat2: bind<(nr: number, dirfd: number, path: CString, mode: number, flags: number) => number>(
    'int64_t syscall(int64_t, int, const char *, uint, int)',
  ),
  fchownat: bind<AtCall>('int fchownat(int, const char *, uint, uint, int)'),
  utimensat: bind<(dirfd: number, path: CString, times: Uint8Array, flags: number) => number>(
    'int utimensat(int, const char *, void *, int)',
  ),
  ftruncate: bind<FdCall>('int ftruncate(int, int64_t)'),
  fallocate: bind<FdCall>('int fallocate(int, int, int64_t, int64_t)'),
  lseek: bind<FdCall>('int64_t lseek(int, int64_t, int)'),
  fsync: bind<FdCall>('int fsync(int)'),
  fdatasync: bind<FdCall>('int fdatasync(int)'),
  syncFileRange: bind<FdCall>('int sync_file_range(int, int64_t, int64_t, uint)'),
  syncfs: bind<FdCall>('int syncfs(int)'),
  copyFileRange: bind<(from: number, fromAt: Uint8Array, to: number, toAt: Uint8Array, n: number, f: number) => number>(
    'int64_t copy_file_range(int, void *, int, void *, uint64_t, uint)',
  ),
  flock: bind<FdCall>('int flock(int, int)'),
  fstatfs: bind<(fd: number, buffer: Uint8Array) => number>('int fstatfs(int, void *)'),
  umask: bind<(mask: number) => number>('uint umask(uint)'),
};

export function openat(dirfd: number, name: string, flags: number, mode = 0): number {
  return checked(c.openat(dirfd, cString(name), flags | O_CLOEXEC, mode), 'openat', name);
}

export function openatOrErrno(dirfd: number, name: string, flags: number): number {
  const fd = c.openat(dirfd, cString(name), flags | O_CLOEXEC, 0);
  return fd < 0 ? -errno() : fd;
}

/** Opens anew what a descriptor (O_PATH or not) refers to: the only way to an object without a name. */
export function reopen(fd: number, flags: number): number {
  return openat(AT_FDCWD, `/proc/self/fd/${fd}`, flags);
}

export function close(fd: number): void {
  c.close(fd); // Linux frees the descriptor whatever it reports
}

/** Reads at `position` until `buffer` is full or the file ends. */
export function pread(fd: number, buffer: Uint8Array, position: number): number {
  let done = checked(c.pread(fd, buffer, buffer.length, position), 'pread');
  while (done < buffer.length) {
    const n = checked(c.pread(fd, buffer.subarray(done), buffer.length - done, position + done), 'pread');
    if (n === 0) break;
    done += n;
  }
  return done;
}

/** Writes all of `buffer` at `position`; short only if an error struck after some bytes were written. */
export function pwrite(fd: number, buffer: Uint8Array, position: number): number {
  let done = checked(c.pwrite(fd, buffer, buffer.length, position), 'pwrite');
  while (done < buffer.length) {
    const n = c.pwrite(fd, buffer.subarray(done), buffer.length - done, position + done);
    if (n <= 0) break;
    done += n;
  }
  return done;
}

/** Fills `buffer` with `struct linux_dirent64`s; 0 at the end, and for a directory that is removed. */
export function getdents64(fd: number, buffer: Uint8Array): number {
  const length = c.getdents64(fd, buffer, buffer.length);
  return length < 0 && errno() === ENOENT ? 0 : checked(length, 'getdents64');
}

const target = fixedBuffer(SYMLINK_MAX + 1);

/** The target of the symbolic link `name`; of the O_PATH descriptor itself when `name` is empty. */
export function readlinkat(dirfd: number, name: string): string {
  const length = checked(c.readlinkat(dirfd, cString(name), target, target.length), 'readlinkat', name);
  return decodeName(target, 0, length);
}

export function mkdirat(dirfd: number, name: string, mode: number): void {
  checked(c.mkdirat(dirfd, cString(name), mode), 'mkdirat', name);
}

/** `rdev` is in Linux's 32-bit encoding, whose bits the C library's 64-bit `dev_t` shares. */
export function mknodat(dirfd: number, name: string, mode: number, rdev: number): void {
  checked(c.mknodat(dirfd, cString(name), mode, rdev), 'mknodat', name);
}

export function symlinkat(to: string, dirfd: number, name: string): void {
  checked(c.symlinkat(cString(to), dirfd, cString(name)), 'symlinkat', name);
}

export function linkatOrErrno(fromDir: number, from: string, toDir: number, to: string, flags = 0): number {
  return c.linkat(fromDir, cString(from), toDir, cString(to), flags) < 0 ? -errno() : 0;
}

export function linkat(fromDir: number, from: string, toDir: number, to: string, flags = 0): void {
  checked(c.linkat(fromDir, cString(from), toDir, cString(to), flags), 'linkat', to);
}

/** `flags` is 0, or AT_REMOVEDIR for directories. */
export function unlinkat(dirfd: number, name: string, flags = 0): void {
  checked(c.unlinkat(dirfd, cString(name), flags), 'unlinkat', name);
}

export function unlinkatOrErrno(dirfd: number, name: string, flags = 0): number {
  return c.unlinkat(dirfd, cString(name), flags) < 0 ? -errno() : 0;
}

export function renameat2(fromDir: number, from: string, toDir: number, to: string, flags = 0): void {
  checked(c.renameat2(fromDir, cString(from), toDir, cString(to), flags), 'renameat2', to);
}

export function renameat2OrErrno(fromDir: number, from: string, toDir: number, to: string, flags = 0): number {
  return c.renameat2(fromDir, cString(from), toDir, cString(to), flags) < 0 ? -errno() : 0;
}

const SYS_FCHMODAT2 = 452; // the same on every architecture
let hasFchmodat2 = true;

/** Sets permission bits; an empty `name` means the descriptor itself, which may be an O_PATH one. */
export function fchmodat(dirfd: number, name: string, mode: number): void {
  if (hasFchmodat2) {
    const flags = name === '' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
    if (c.fchmodat2(SYS_FCHMODAT2, dirfd, cString(name), mode, flags) === 0) return;
    if (errno() !== ENOSYS) throw lastError('fchmodat2', name);
    hasFchmodat2 = false; // Linux before 6.6
  }
  // The older call follows a link, so the object is pinned first and reached through its descriptor.
  const fd = name === '' ? dirfd : openat(dirfd, name, O_PATH | O_NOFOLLOW);
  try {
    checked(c.fchmodat(AT_FDCWD, `/proc/self/fd/${fd}`, mode, 0), 'fchmodat', name);
  } finally {
    if (fd !== dirfd) close(fd);
  }
}

/** Sets owner and group, −1 leaving one alone; an empty `name` means the descriptor itself. */
export function fchownat(dirfd: number, name: string, uid: number, gid: number): void {
  const flags = name === '' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  checked(c.fchownat(dirfd, cString(name), uid >>> 0, gid >>> 0, flags), 'fchownat', name);
}

const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;
const times = fixedBuffer(32);
const timeWords = new Int32Array(times.buffer);

function putTime(at: number, time: Time | 'now' | undefined): void {
  const sec = typeof time === 'object' ? time.sec : 0;
  timeWords[at] = sec | 0;
  timeWords[at + 1] = Math.floor(sec / 0x1_0000_0000);
  timeWords[at + 2] = time === undefined ? UTIME_OMIT : time === 'now' ? UTIME_NOW : time.nsec;
}

/** Sets access and modification time, `undefined` leaving one alone; an empty `name` means the descriptor itself. */
export function utimensat(
  dirfd: number,
  name: string,
  atime: Time | 'now' | undefined,
  mtime: Time | 'now' | undefined,
): void {
  putTime(0, atime);
  putTime(4, mtime);
  const flags = name === '' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  checked(c.utimensat(dirfd, cString(name), times, flags), 'utimensat', name);
}

export function ftruncate(fd: number, length: number): void {
  checked(c.ftruncate(fd, length), 'ftruncate');
}

export function fallocate(fd: number, mode: number, offset: number, length: number): void {
  checked(c.fallocate(fd, mode, offset, length), 'fallocate');
}

export function lseek(fd: number, position: number, whence: number): number {
  return checked(c.lseek(fd, position, whence), 'lseek');
}

export function lseekOrErrno(fd: number, position: number, whence: number): number {
  const result = c.lseek(fd, position, whence);
  return result < 0 ? -errno() : result;
}

export function fsync(fd: number): void {
  checked(c.fsync(fd), 'fsync');
}

export function fdatasync(fd: number): void {
  checked(c.fdatasync(fd), 'fdatasync');
}

const SYNC_FILE_RANGE_WAIT_BEFORE = 1;
const SYNC_FILE_RANGE_WRITE = 2;
const SYNC_FILE_RANGE_WRITE_AND_WAIT = 7;

/**
 * Throws what writing back the file's data has failed with since it was opened, without writing or waiting for anything:
 * nothing is ever under way in the range that it waits for.
 */
export function checkWriteback(fd: number): void {
  checked(c.syncFileRange(fd, 2 ** 62, 4096, SYNC_FILE_RANGE_WAIT_BEFORE), 'sync_file_range');
}

/** Writes a file's data back and waits for it; neither commits the journal nor flushes the device's cache. */
export function writeBack(fd: number): void {
  checked(c.syncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE_AND_WAIT), 'sync_file_range');
}

/** Begins to write a file's data back. */
export function startWriteBack(fd: number): void {
  checked(c.syncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE), 'sync_file_range');
}

/** `fd` may be anything on the file system but an O_PATH descriptor. */
export function syncfs(fd: number): void {
  checked(c.syncfs(fd), 'syncfs');
}

const rangeFrom = new BigInt64Array(1);
const rangeTo = new BigInt64Array(1);
const rangeFromBytes = new Uint8Array(rangeFrom.buffer);
const rangeToBytes = new Uint8Array(rangeTo.buffer);

/** Copies up to `length` bytes within the kernel. Returns the bytes copied. */
export function copyFileRangeOrErrno(
  from: number,
  fromOffset: number,
  to: number,
  toOffset: number,
  length: number,
): number {
  rangeFrom[0] = BigInt(fromOffset);
  rangeTo[0] = BigInt(toOffset);
  const copied = c.copyFileRange(from, rangeFromBytes, to, rangeToBytes, length, 0);
  return copied < 0 ? -errno() : copied;
}

export function flockOrErrno(fd: number, operation: number): number {
  return c.flock(fd, operation) < 0 ? -errno() : 0;
}

const statfsBuffer = fixedBuffer(128);
const statfsWords = new BigInt64Array(statfsBuffer.buffer);

export function fstatfs(fd: number): FileSystemStatistics {
  checked(c.fstatfs(fd, statfsBuffer), 'fstatfs');
  const word = (at: number): number => Number(statfsWords[at]);
  return {
    bsize: word(9) || word(1), // f_frsize, the unit of the counts, where the file system sets it
    blocks: word(2),
    bfree: word(3),
    bavail: word(4),
    files: word(5),
    ffree: word(6),
    namelen: word(8),
  };
}

/** Sets the file creation mask of the whole process, worker threads included, and returns the old one. */
export function umask(mask: number): number {
  return c.umask(mask);
}
