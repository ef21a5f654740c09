/**
 * Whether a file system has room for what is promised and done later: running out of it then would be too late for an
 * error.
 */
import { fstatfs } from './syscalls.js';

/** Left to others, and to what copies take besides their data. */
const SPARE_BYTES = 64 << 20;
const SPARE_FILES = 20_000;

/** Whether `bytes` more would leave enough on the file system that `fd` is on. */
export function hasRoom(fd: number, bytes: number): boolean {
  const { bsize, bavail, files, ffree } = fstatfs(fd);
  return bavail * bsize - bytes > SPARE_BYTES && (files === 0 || ffree > SPARE_FILES);
}
