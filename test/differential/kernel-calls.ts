/**
 * The calls made as system calls below one directory, with nothing between: no retry, no conversion of errno, one call
 * each, so that what a client sees is what is compared.
 */
import { constants } from 'node:os';
import { type Attributes, decodeName } from '@ovl/core';
import { type CString, bind, cString, errno } from '../../packages/node/src/libc.js';
import { statxOrErrno } from '../../packages/node/src/statx.js';
import { type Calls, type DirEntry, Errno, type Handle, type OpenRequest } from './calls.js';
import type { TimeSpec } from './operations.js';

const O_WRONLY = 1;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const { O_DIRECTORY, O_NOFOLLOW } = await import('node:fs').then((fs) => fs.constants);
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;
const SYS_FCHMODAT2 = 452;
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;

type Call = (...args: (number | CString | Uint8Array | null)[]) => number;
const c = {
  openat: bind<Call>('int openat(int, const char *, int, uint)'),
  close: bind<Call>('int close(int)'),
  pread: bind<Call>('int64_t pread(int, void *, uint64_t, int64_t)'),
  pwrite: bind<Call>('int64_t pwrite(int, void *, uint64_t, int64_t)'),
  ftruncate: bind<Call>('int ftruncate(int, int64_t)'),
  truncate: bind<Call>('int truncate(const char *, int64_t)'),
  fallocate: bind<Call>('int fallocate(int, int, int64_t, int64_t)'),
  lseek: bind<Call>('int64_t lseek(int, int64_t, int)'),
  fsync: bind<Call>('int fsync(int)'),
  copyFileRange: bind<Call>('int64_t copy_file_range(int, void *, int, void *, uint64_t, uint)'),
  getdents64: bind<Call>('int64_t getdents64(int, void *, uint64_t)'),
  mkdirat: bind<Call>('int mkdirat(int, const char *, uint)'),
  mknodat: bind<Call>('int mknodat(int, const char *, uint, uint64_t)'),
  symlinkat: bind<Call>('int symlinkat(const char *, int, const char *)'),
  linkat: bind<Call>('int linkat(int, const char *, int, const char *, int)'),
  unlinkat: bind<Call>('int unlinkat(int, const char *, int)'),
  renameat2: bind<Call>('int renameat2(int, const char *, int, const char *, uint)'),
  fchmod: bind<Call>('int fchmod(int, uint)'),
  fchmodat2: bind<Call>('int64_t syscall(int64_t, int, const char *, uint, int)'),
  fchown: bind<Call>('int fchown(int, uint, uint)'),
  fchownat: bind<Call>('int fchownat(int, const char *, uint, uint, int)'),
  futimens: bind<Call>('int futimens(int, void *)'),
  utimensat: bind<Call>('int utimensat(int, const char *, void *, int)'),
  readlinkat: bind<Call>('int64_t readlinkat(int, const char *, void *, uint64_t)'),
  fsetxattr: bind<Call>('int fsetxattr(int, const char *, void *, uint64_t, int)'),
  fgetxattr: bind<Call>('int64_t fgetxattr(int, const char *, void *, uint64_t)'),
  flistxattr: bind<Call>('int64_t flistxattr(int, void *, uint64_t)'),
  lsetxattr: bind<Call>('int lsetxattr(const char *, const char *, void *, uint64_t, int)'),
  lgetxattr: bind<Call>('int64_t lgetxattr(const char *, const char *, void *, uint64_t)'),
  llistxattr: bind<Call>('int64_t llistxattr(const char *, void *, uint64_t)'),
  lremovexattr: bind<Call>('int lremovexattr(const char *, const char *)'),
  umask: bind<Call>('uint umask(uint)'),
  setfsuid: bind<Call>('int setfsuid(uint)'),
  setfsgid: bind<Call>('int setfsgid(uint)'),
};

const names = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) if (!names.has(number)) names.set(number, name);
names.set(95, 'EOPNOTSUPP'); // also called ENOTSUP

function check(result: number): number {
  if (result >= 0) return result;
  const number = errno();
  throw new Errno(names.get(number) ?? `errno ${number}`);
}

function timespecs(atime: TimeSpec, mtime: TimeSpec): Uint8Array {
  const view = new DataView(new ArrayBuffer(32));
  [atime, mtime].forEach((time, i) => {
    const sec = typeof time === 'string' ? 0 : time[0];
    const nsec = time === 'now' ? UTIME_NOW : time === 'omit' ? UTIME_OMIT : time[1];
    view.setBigInt64(i * 16, BigInt(sec), true);
    view.setBigInt64(i * 16 + 8, BigInt(nsec), true);
  });
  return new Uint8Array(view.buffer);
}

function offsetOf(value: number): Uint8Array {
  return new Uint8Array(new BigInt64Array([BigInt(value)]).buffer);
}

const buffer = new Uint8Array(new ArrayBuffer(1 << 21));

function namesIn(length: number): string[] {
  const found: string[] = [];
  for (let start = 0; start < length; ) {
    const end = buffer.indexOf(0, start);
    found.push(decodeName(buffer, start, end));
    start = end + 1;
  }
  return found;
}

export class KernelCalls implements Calls {
  readonly #root: number;

  constructor(root: string) {
    this.#root = check(c.openat(AT_FDCWD, cString(root), O_DIRECTORY | O_CLOEXEC, 0));
  }

  #dir(dir: Handle | undefined): number {
    return (dir as number | undefined) ?? this.#root;
  }

  /** For the calls that have no `…at` form. */
  #path(dir: Handle | undefined, path: string): CString {
    return cString(`/proc/self/fd/${this.#dir(dir)}/${path === '' ? '.' : path}`);
  }

  open(dir: Handle | undefined, path: string, request: OpenRequest, mode: number): number {
    const { read, write, create, exclusive, truncate, append, directory } = request;
    let flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (write ? (read ? O_RDWR : O_WRONLY) : 0);
    if (create) flags |= O_CREAT;
    if (exclusive) flags |= O_EXCL;
    if (truncate) flags |= O_TRUNC;
    if (append) flags |= O_APPEND;
    if (directory) flags |= O_DIRECTORY;
    return check(c.openat(this.#dir(dir), cString(path === '' ? '.' : path), flags, mode));
  }

  close(handle: Handle): void {
    check(c.close(handle as number));
  }

  pread(handle: Handle, length: number, offset: number): Uint8Array {
    return buffer.slice(0, check(c.pread(handle as number, buffer, Math.min(length, buffer.length), offset)));
  }

  pwrite(handle: Handle, bytes: Uint8Array, offset: number): number {
    return check(c.pwrite(handle as number, bytes, bytes.length, offset));
  }

  ftruncate(handle: Handle, size: number): void {
    check(c.ftruncate(handle as number, size));
  }

  fallocate(handle: Handle, mode: number, offset: number, length: number): void {
    check(c.fallocate(handle as number, mode, offset, length));
  }

  lseek(handle: Handle, offset: number, whence: 'data' | 'hole'): number {
    return check(c.lseek(handle as number, offset, whence === 'data' ? 3 : 4));
  }

  fsync(handle: Handle): void {
    check(c.fsync(handle as number));
  }

  copy(from: Handle, fromOffset: number, to: Handle, toOffset: number, length: number): number {
    return check(c.copyFileRange(from as number, offsetOf(fromOffset), to as number, offsetOf(toOffset), length, 0));
  }

  #statx(dirfd: number, path: string, flags: number): Attributes {
    const found = statxOrErrno(dirfd, path, flags);
    if (typeof found === 'number') throw new Errno(names.get(found) ?? `errno ${found}`);
    return found;
  }

  fstat(handle: Handle): Attributes {
    return this.#statx(handle as number, '', AT_EMPTY_PATH);
  }

  fchmod(handle: Handle, mode: number): void {
    check(c.fchmod(handle as number, mode));
  }

  fchown(handle: Handle, uid: number, gid: number): void {
    check(c.fchown(handle as number, uid >>> 0, gid >>> 0));
  }

  futimens(handle: Handle, atime: TimeSpec, mtime: TimeSpec): void {
    check(c.futimens(handle as number, timespecs(atime, mtime)));
  }

  fsetxattr(handle: Handle, name: string, value: Uint8Array, flags: number): void {
    check(c.fsetxattr(handle as number, cString(name), value, value.length, flags));
  }

  fgetxattr(handle: Handle, name: string): Uint8Array {
    return buffer.slice(0, check(c.fgetxattr(handle as number, cString(name), buffer, 65536)));
  }

  flistxattr(handle: Handle): string[] {
    return namesIn(check(c.flistxattr(handle as number, buffer, 65536)));
  }

  freaddir(handle: Handle): DirEntry[] {
    check(c.lseek(handle as number, 0, 0));
    const view = new DataView(buffer.buffer);
    const entries: DirEntry[] = [];
    for (;;) {
      const length = check(c.getdents64(handle as number, buffer, 4096));
      if (length === 0) return entries;
      for (let at = 0; at < length; at += view.getUint16(at + 16, true)) {
        const name = decodeName(buffer, at + 19, buffer.indexOf(0, at + 19));
        const ino = Number(view.getBigUint64(at, true));
        if (name !== '.' && name !== '..') entries.push({ name, type: buffer[at + 18] as number, ino });
      }
    }
  }

  stat(dir: Handle | undefined, path: string): Attributes {
    return this.#statx(this.#dir(dir), path, path === '' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW);
  }

  truncate(dir: Handle | undefined, path: string, size: number): void {
    check(c.truncate(this.#path(dir, path), size));
  }

  mkdir(dir: Handle | undefined, path: string, mode: number): void {
    check(c.mkdirat(this.#dir(dir), cString(path), mode));
  }

  mknod(dir: Handle | undefined, path: string, mode: number, rdev: number): void {
    check(c.mknodat(this.#dir(dir), cString(path), mode, rdev));
  }

  symlink(target: string, dir: Handle | undefined, path: string): void {
    check(c.symlinkat(cString(target), this.#dir(dir), cString(path)));
  }

  link(fromDir: Handle | undefined, from: string, toDir: Handle | undefined, to: string): void {
    check(c.linkat(this.#dir(fromDir), cString(from), this.#dir(toDir), cString(to), 0));
  }

  unlink(dir: Handle | undefined, path: string): void {
    check(c.unlinkat(this.#dir(dir), cString(path), 0));
  }

  rmdir(dir: Handle | undefined, path: string): void {
    check(c.unlinkat(this.#dir(dir), cString(path), AT_REMOVEDIR));
  }

  rename(fromDir: Handle | undefined, from: string, toDir: Handle | undefined, to: string, flags: number): void {
    check(c.renameat2(this.#dir(fromDir), cString(from), this.#dir(toDir), cString(to), flags));
  }

  chmod(dir: Handle | undefined, path: string, mode: number): void {
    check(c.fchmodat2(SYS_FCHMODAT2, this.#dir(dir), cString(path), mode, AT_SYMLINK_NOFOLLOW));
  }

  chown(dir: Handle | undefined, path: string, uid: number, gid: number): void {
    check(c.fchownat(this.#dir(dir), cString(path), uid >>> 0, gid >>> 0, AT_SYMLINK_NOFOLLOW));
  }

  utimens(dir: Handle | undefined, path: string, atime: TimeSpec, mtime: TimeSpec): void {
    check(c.utimensat(this.#dir(dir), cString(path), timespecs(atime, mtime), AT_SYMLINK_NOFOLLOW));
  }

  setxattr(dir: Handle | undefined, path: string, name: string, value: Uint8Array, flags: number): void {
    check(c.lsetxattr(this.#path(dir, path), cString(name), value, value.length, flags));
  }

  getxattr(dir: Handle | undefined, path: string, name: string): Uint8Array {
    return buffer.slice(0, check(c.lgetxattr(this.#path(dir, path), cString(name), buffer, 65536)));
  }

  removexattr(dir: Handle | undefined, path: string, name: string): void {
    check(c.lremovexattr(this.#path(dir, path), cString(name)));
  }

  listxattr(dir: Handle | undefined, path: string): string[] {
    return namesIn(check(c.llistxattr(this.#path(dir, path), buffer, 65536)));
  }

  readlink(dir: Handle | undefined, path: string): string {
    return decodeName(buffer, 0, check(c.readlinkat(this.#dir(dir), cString(path), buffer, 4096)));
  }

  umask(mask: number): void {
    c.umask(mask);
  }

  /** For files only, and of this thread: takes and gives the capabilities that concern files, too. */
  become(id: number): void {
    c.setfsgid(id);
    c.setfsuid(id);
  }

  end(): void {
    c.close(this.#root);
  }
}
