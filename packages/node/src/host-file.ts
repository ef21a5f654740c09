/**
 * An open file of a host layer: one descriptor, always read and written at explicit positions, so that its own offset
 * means nothing.
 */
import { type AllocateMode, FsError, type LayerFile, type UpperFile, type VerityDigest } from '@ovl/core';
import { fixedBuffer } from './libc.js';
import type { WriteOrder } from './write-order.js';
import {
  SEEK_DATA,
  SEEK_HOLE,
  close,
  copyFileRangeOrErrno,
  errorOf,
  fallocate,
  fdatasync,
  fsync,
  ftruncate,
  ioctlOrErrno,
  ioctlValue,
  lseek,
  lseekOrErrno,
  pread,
  pwrite,
  statxFd,
  writeBack,
} from './syscalls.js';

export class HostFile implements UpperFile<'sync'> {
  readonly fd: number;
  /** The file system's device number, or 0 where nobody has looked. */
  readonly dev: number;
  readonly order?: () => void;
  #open = true;

  /** `order` is its file system's, see `UpperFile.order`. */
  constructor(fd: number, dev: number, order: WriteOrder = 'none') {
    this.fd = fd;
    this.dev = dev;
    if (order === 'journal') this.order = () => writeBack(fd);
  }

  read(buffer: Uint8Array, position: number): number {
    return pread(this.fd, buffer, position);
  }

  seek(position: number, whence: 'data' | 'hole'): number {
    return lseek(this.fd, position, whence === 'data' ? SEEK_DATA : SEEK_HOLE);
  }

  write(buffer: Uint8Array, position: number): number {
    return pwrite(this.fd, buffer, position);
  }

  allocate(mode: AllocateMode, offset: number, length: number): void {
    fallocate(this.fd, (mode.keepSize ? 1 : 0) | (mode.punchHole ? 2 : 0) | (mode.zeroRange ? 16 : 0), offset, length);
  }

  fsync(scope: 'data' | 'all'): void {
    if (scope === 'data') fdatasync(this.fd);
    else fsync(this.fd);
  }

  close(): void {
    // Twice would close somebody else's file: the number may have been given out again.
    if (this.#open) close(this.fd);
    this.#open = false;
  }
}

const FS_IOC_MEASURE_VERITY = 0xc0046686;
const VERITY_HEADER = 4;
const VERITY_MAX_DIGEST = 64;

/** What fs-verity enforces for an open file; undefined where the file or its file system has none. */
export function measureVerity(fd: number): VerityDigest | undefined {
  // struct fsverity_digest { u16 digest_algorithm; u16 digest_size; u8 digest[] }
  const answer = fixedBuffer(VERITY_HEADER + VERITY_MAX_DIGEST);
  answer.writeUInt16LE(VERITY_MAX_DIGEST, 2);
  if (ioctlOrErrno(fd, FS_IOC_MEASURE_VERITY, answer) !== 0) return undefined;
  const end = VERITY_HEADER + answer.readUInt16LE(2);
  return { algorithm: answer.readUInt16LE(0), bytes: new Uint8Array(answer.subarray(VERITY_HEADER, end)) };
}

const FICLONE = 0x40049409;
const ENXIO = 6;
/** "Not between these two files": the caller copies by hand. */
const cannot = new Set([-18 /* EXDEV */, -22 /* EINVAL */, -25 /* ENOTTY */, -38 /* ENOSYS */, -95 /* EOPNOTSUPP */]);

/** What FICLONE fails with where the two file systems cannot, whatever the files. */
const never = new Set([-18 /* EXDEV */, -25 /* ENOTTY */, -38 /* ENOSYS */, -95 /* EOPNOTSUPP */]);

/** Copies whole files into the empty ones of one file system, within the kernel. */
export class Copier {
  /** Devices that no data can be shared with. */
  readonly #unshared = new Set<number>();

  /** Whether data of that file system is known to be copied, never shared. */
  copiesFrom(dev: number): boolean {
    return this.#unshared.has(dev);
  }

  /** Shares the data of a whole file with an empty one, where the file systems can (reflink). */
  clone(from: LayerFile<'sync'>, to: UpperFile<'sync'>): boolean {
    if (from.fd === undefined || to.fd === undefined) return false;
    const dev = from instanceof HostFile ? from.dev : 0;
    if (this.#unshared.has(dev)) return false;
    const result = ioctlValue(to.fd, FICLONE, from.fd);
    if (dev !== 0 && never.has(result)) this.#unshared.add(dev);
    return result === 0;
  }

  /** Copies the first `length` bytes, keeping holes. False if it cannot. */
  copy(from: LayerFile<'sync'>, to: UpperFile<'sync'>, length: number): boolean {
    if (from.fd === undefined || to.fd === undefined) return false;
    if (!this.clone(from, to)) return copyRanges(from.fd, to.fd, length);
    if (statxFd(to.fd).size !== length) ftruncate(to.fd, length);
    return true;
  }
}

/** See `UpperLayer.copyRange`. */
export function copyRange(
  from: LayerFile<'sync'>,
  fromPosition: number,
  to: UpperFile<'sync'>,
  toPosition: number,
  length: number,
): number | undefined {
  if (from.fd === undefined || to.fd === undefined) return undefined;
  const copied = copyFileRangeOrErrno(from.fd, fromPosition, to.fd, toPosition, length);
  if (copied >= 0) return copied;
  if (cannot.has(copied)) return undefined;
  throw errorOf(-copied, 'copy_file_range');
}

/** What is no longer than this has no hole that is worth keeping. */
const BLOCK = 4096;

/** Between descriptors; `to` is empty. */
export function copyRanges(from: number, to: number, length: number): boolean {
  // Most files have no holes: the first one found is their end.
  let hole = length <= BLOCK ? length : lseekOrErrno(from, 0, SEEK_HOLE);
  for (let at = 0; ; hole = lseekOrErrno(from, at, SEEK_HOLE)) {
    const end = Math.min(hole < 0 ? length : hole, length);
    while (at < end) {
      const copied = copyFileRangeOrErrno(from, at, to, at, end - at);
      if (copied < 0) {
        if (cannot.has(copied)) return false;
        throw errorOf(-copied, 'copy_file_range');
      }
      if (copied === 0) throw new FsError('ESTALE', { syscall: 'copy_file_range' }); // it became shorter meanwhile
      at += copied;
    }
    if (at >= length) return true;
    const start = lseekOrErrno(from, at, SEEK_DATA);
    if (start === -ENXIO || start >= length) break; // a hole up to the end
    if (start < 0) return false;
    at = start;
  }
  ftruncate(to, length);
  return true;
}
