/**
 * Extended attributes of a name in a directory. Linux 6.13 has calls for exactly that, three times faster than the older
 * ones, which know only paths and so go through `/proc/self/fd`. An empty name means the descriptor itself, which may
 * be an O_PATH one.
 */
import { decodeName } from '@ovl/core';
import { type CString, addressOf, bind, cString, checked, errno, errorOf, fixedBuffer } from './libc.js';
import { AT_SYMLINK_NOFOLLOW } from './statx.js';

/** What a program may do beyond its user (capabilities(7)), as the kernel stores it. */
export const CAPABILITY = 'security.capability';

const ENODATA = 61;
const ERANGE = 34;
const ENOSYS = 38;
const EOPNOTSUPP = 95;
/** XATTR_SIZE_MAX, which is also the longest list of names. */
const LONGEST = 65536;
/** Tried first: the kernel allocates what it is offered, and 64 KiB costs a microsecond more than this. */
const USUAL = 256;

// The numbers are the same on every architecture.
const SYS_SETXATTRAT = 463;
const SYS_GETXATTRAT = 464;
const SYS_LISTXATTRAT = 465;
const SYS_REMOVEXATTRAT = 466;

type PathCall = (path: CString, name: CString) => number;
type ValueCall = (path: CString, name: CString, buffer: Uint8Array, size: number, flags?: number) => number;
type ListCall = (path: CString, buffer: Uint8Array, size: number) => number;
type AtCall = (
  nr: number,
  fd: number,
  path: CString,
  flags: number,
  name: CString,
  args: Uint8Array,
  n: number,
) => number;

const c = {
  lgetxattr: bind<ValueCall>('int64_t lgetxattr(const char *, const char *, void *, uint64_t)'),
  lsetxattr: bind<ValueCall>('int lsetxattr(const char *, const char *, void *, uint64_t, int)'),
  llistxattr: bind<ListCall>('int64_t llistxattr(const char *, void *, uint64_t)'),
  lremovexattr: bind<PathCall>('int lremovexattr(const char *, const char *)'),
  getxattr: bind<ValueCall>('int64_t getxattr(const char *, const char *, void *, uint64_t)'),
  setxattr: bind<ValueCall>('int setxattr(const char *, const char *, void *, uint64_t, int)'),
  listxattr: bind<ListCall>('int64_t listxattr(const char *, void *, uint64_t)'),
  removexattr: bind<PathCall>('int removexattr(const char *, const char *)'),
  at: bind<AtCall>('int64_t syscall(int64_t, int, const char *, uint, const char *, void *, uint64_t)'),
  listAt: bind<(nr: number, fd: number, path: CString, flags: number, list: Uint8Array, size: number) => number>(
    'int64_t syscall(int64_t, int, const char *, uint, void *, uint64_t)',
  ),
  removeAt: bind<(nr: number, fd: number, path: CString, flags: number, name: CString) => number>(
    'int64_t syscall(int64_t, int, const char *, uint, const char *)',
  ),
};

const value = fixedBuffer(LONGEST);
// struct xattr_args { u64 value; u32 size; u32 flags }
const args = fixedBuffer(16);
const argWords = new Uint32Array(args.buffer);
new BigUint64Array(args.buffer)[0] = addressOf(value);

let hasAtCalls = probeAtCalls();

function probeAtCalls(): boolean {
  argWords[2] = 0;
  return c.at(SYS_GETXATTRAT, -1, '.', 0, 'user.none', args, 16) === 0 || errno() !== ENOSYS;
}

/** For tests: go through `/proc` as on a kernel before 6.13. */
export function forgetAtCalls(forget: 'forget' | 'probe again'): void {
  hasAtCalls = forget === 'probe again' && probeAtCalls();
}

function procPath(dirfd: number, name: string): CString {
  return cString(name === '' ? `/proc/self/fd/${dirfd}` : `/proc/self/fd/${dirfd}/${name}`);
}

function get(dirfd: number, path: string, name: string, size: number): number {
  if (hasAtCalls && path !== '') {
    argWords[2] = size;
    argWords[3] = 0;
    return c.at(SYS_GETXATTRAT, dirfd, cString(path), AT_SYMLINK_NOFOLLOW, cString(name), args, 16);
  }
  // Through the magic link of the descriptor, which has to be followed; it ends at the object even if that is a link.
  const call = path === '' ? c.getxattr : c.lgetxattr;
  return call(procPath(dirfd, path), cString(name), value, size);
}

/** The value, or undefined when there is none, also because the object or file system holds no such attributes. */
export function getxattr(dirfd: number, path: string, name: string): Uint8Array | undefined {
  let length = get(dirfd, path, name, USUAL);
  if (length < 0 && errno() === ERANGE) length = get(dirfd, path, name, LONGEST);
  if (length >= 0) return new Uint8Array(value.subarray(0, length));
  const number = errno();
  if (number === ENODATA || number === EOPNOTSUPP) return undefined;
  throw errorOf(number, 'getxattr', path);
}

/** `flags` is 0, XATTR_CREATE (1: EEXIST if there) or XATTR_REPLACE (2: ENODATA if not). */
export function setxattr(dirfd: number, path: string, name: string, content: Uint8Array, flags = 0): void {
  if (content.length > LONGEST) throw errorOf(7, 'setxattr', path);
  value.set(content);
  if (hasAtCalls && path !== '') {
    argWords[2] = content.length;
    argWords[3] = flags;
    const result = c.at(SYS_SETXATTRAT, dirfd, cString(path), AT_SYMLINK_NOFOLLOW, cString(name), args, 16);
    checked(result, 'setxattr', path);
    return;
  }
  const call = path === '' ? c.setxattr : c.lsetxattr;
  checked(call(procPath(dirfd, path), cString(name), value, content.length, flags), 'setxattr', path);
}

export function removexattr(dirfd: number, path: string, name: string): void {
  if (hasAtCalls && path !== '') {
    const result = c.removeAt(SYS_REMOVEXATTRAT, dirfd, cString(path), AT_SYMLINK_NOFOLLOW, cString(name));
    checked(result, 'removexattr', path);
    return;
  }
  const call = path === '' ? c.removexattr : c.lremovexattr;
  checked(call(procPath(dirfd, path), cString(name)), 'removexattr', path);
}

function list(dirfd: number, path: string, size: number): number {
  if (hasAtCalls && path !== '') {
    return c.listAt(SYS_LISTXATTRAT, dirfd, cString(path), AT_SYMLINK_NOFOLLOW, value, size);
  }
  const call = path === '' ? c.listxattr : c.llistxattr;
  return call(procPath(dirfd, path), value, size);
}

/** All names. Empty where the object or file system holds no such attributes. */
export function listxattr(dirfd: number, path: string): string[] {
  let length = list(dirfd, path, USUAL);
  if (length < 0 && errno() === ERANGE) length = list(dirfd, path, LONGEST);
  if (length < 0) {
    const number = errno();
    if (number === EOPNOTSUPP) return [];
    throw errorOf(number, 'listxattr', path);
  }
  const names: string[] = [];
  for (let start = 0; start < length; ) {
    const end = value.indexOf(0, start);
    names.push(decodeName(value, start, end));
    start = end + 1;
  }
  return names;
}
