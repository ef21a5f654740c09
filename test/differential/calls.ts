/** The calls that operations are made of: implemented by the kernel (kernel-calls.ts) and by the core alone (core-calls.ts). */
import type { Attributes } from '@ovl/core';
import type { TimeSpec } from './operations.js';

/** A failed call: the name of its errno. */
export class Errno extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export interface OpenRequest {
  read: boolean;
  write: boolean;
  create: boolean;
  exclusive: boolean;
  truncate: boolean;
  append: boolean;
  directory: boolean;
}

/** An open file or directory; whoever opened it knows what it is. */
export type Handle = unknown;

export interface DirEntry {
  name: string;
  type: number;
  ino: number;
}

/**
 * A symbolic link in the last component is never followed, except by `truncate`. A `dir` of undefined is the root; a
 * path of "" means `dir` itself, for `stat` and `open`.
 */
export interface Calls {
  open(dir: Handle | undefined, path: string, request: OpenRequest, mode: number): Handle;
  close(handle: Handle): void;
  pread(handle: Handle, length: number, offset: number): Uint8Array;
  pwrite(handle: Handle, bytes: Uint8Array, offset: number): number;
  ftruncate(handle: Handle, size: number): void;
  fallocate(handle: Handle, mode: number, offset: number, length: number): void;
  lseek(handle: Handle, offset: number, whence: 'data' | 'hole'): number;
  fsync(handle: Handle): void;
  copy(from: Handle, fromOffset: number, to: Handle, toOffset: number, length: number): number;
  fstat(handle: Handle): Attributes;
  fchmod(handle: Handle, mode: number): void;
  fchown(handle: Handle, uid: number, gid: number): void;
  futimens(handle: Handle, atime: TimeSpec, mtime: TimeSpec): void;
  fsetxattr(handle: Handle, name: string, value: Uint8Array, flags: number): void;
  fgetxattr(handle: Handle, name: string): Uint8Array;
  flistxattr(handle: Handle): string[];
  /** From the start, without "." and "..". */
  freaddir(handle: Handle): DirEntry[];

  stat(dir: Handle | undefined, path: string): Attributes;
  truncate(dir: Handle | undefined, path: string, size: number): void;
  mkdir(dir: Handle | undefined, path: string, mode: number): void;
  mknod(dir: Handle | undefined, path: string, mode: number, rdev: number): void;
  symlink(target: string, dir: Handle | undefined, path: string): void;
  link(fromDir: Handle | undefined, from: string, toDir: Handle | undefined, to: string): void;
  unlink(dir: Handle | undefined, path: string): void;
  rmdir(dir: Handle | undefined, path: string): void;
  rename(fromDir: Handle | undefined, from: string, toDir: Handle | undefined, to: string, flags: number): void;
  chmod(dir: Handle | undefined, path: string, mode: number): void;
  chown(dir: Handle | undefined, path: string, uid: number, gid: number): void;
  utimens(dir: Handle | undefined, path: string, atime: TimeSpec, mtime: TimeSpec): void;
  setxattr(dir: Handle | undefined, path: string, name: string, value: Uint8Array, flags: number): void;
  getxattr(dir: Handle | undefined, path: string, name: string): Uint8Array;
  removexattr(dir: Handle | undefined, path: string, name: string): void;
  listxattr(dir: Handle | undefined, path: string): string[];
  readlink(dir: Handle | undefined, path: string): string;

  umask(mask: number): void;
  /** Makes the following calls as the user and group of this number. */
  become(id: number): void;
  /** Lets go of the root, so that it can be unmounted. */
  end(): void;
}
