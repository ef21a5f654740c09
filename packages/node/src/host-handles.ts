/**
 * File handles: how an object of a file system is named across mounts, as the kernel's `origin` attribute does
 * (`ovl_encode_real_fh`): the handle of `name_to_handle_at` with the superblock's UUID, all zero where it has none.
 */
import type { FileHandle, HandleTarget } from '@ovl/core';
import { type CString, bind, cString, errno, errorOf, fixedBuffer } from './libc.js';
import { AT_EMPTY_PATH, O_CLOEXEC, O_PATH, close, ioctlOrErrno, statxFd } from './syscalls.js';

const MAX_HANDLE_SZ = 128;
const FS_IOC_GETFSUUID = 0x80111500;
const BTRFS_IOC_FS_INFO = 0x8400941f;
const ENOENT = 2;
const EPERM = 1;

const c = {
  nameToHandleAt: bind<(dirfd: number, path: CString, h: Uint8Array, mount: Uint8Array, flags: number) => number>(
    'int name_to_handle_at(int, const char *, void *, void *, int)',
  ),
  openByHandleAt: bind<(mountFd: number, handle: Uint8Array, flags: number) => number>(
    'int open_by_handle_at(int, void *, int)',
  ),
};

// struct file_handle { u32 handle_bytes; s32 handle_type; u8 f_handle[] }
const handle = fixedBuffer(8 + MAX_HANDLE_SZ);
const mount = fixedBuffer(4);

export interface RawHandle {
  mountId: number;
  type: number;
  bytes: Uint8Array;
}

/** Undefined where the file system has no handles. An empty `name` means the descriptor itself. */
export function nameToHandle(dirfd: number, name: string): RawHandle | undefined {
  handle.writeUInt32LE(MAX_HANDLE_SZ, 0);
  if (c.nameToHandleAt(dirfd, cString(name), handle, mount, name === '' ? AT_EMPTY_PATH : 0) < 0) {
    const number = errno();
    if (number === ENOENT) throw errorOf(number, 'name_to_handle_at', name);
    return undefined;
  }
  const type = handle.readInt32LE(4);
  if (type < 1 || type > 254) return undefined;
  const bytes = new Uint8Array(handle.subarray(8, 8 + handle.readUInt32LE(0)));
  return { mountId: mount.readInt32LE(0), type, bytes };
}

/**
 * The superblock's UUID by any descriptor on it that is no O_PATH one. Zeros if it has none, and before Linux 6.9. Btrfs
 * sets one that the general call does not see.
 */
export function fileSystemUuid(fd: number): Uint8Array {
  const answer = fixedBuffer(1024);
  // struct fsuuid2 { u8 len; u8 uuid[16] }
  if (ioctlOrErrno(fd, FS_IOC_GETFSUUID, answer) === 0) return new Uint8Array(answer.subarray(1, 17));
  // struct btrfs_ioctl_fs_info_args { u64 max_id; u64 num_devices; u8 fsid[16]; … }
  if (ioctlOrErrno(fd, BTRFS_IOC_FS_INFO, answer) === 0) return new Uint8Array(answer.subarray(16, 32));
  return new Uint8Array(16);
}

/** The live object that the handle names on the file system of `mountFd` (no O_PATH descriptor). */
export function targetOfHandle(mountFd: number, { type, bytes }: FileHandle): HandleTarget | undefined {
  if (bytes.length > MAX_HANDLE_SZ) return undefined;
  handle.writeUInt32LE(bytes.length, 0);
  handle.writeInt32LE(type, 4);
  handle.set(bytes, 8);
  const fd = c.openByHandleAt(mountFd, handle, O_PATH | O_CLOEXEC);
  if (fd < 0) {
    const ino = errno() === EPERM ? parseInode(type, bytes) : undefined;
    return ino === undefined ? undefined : { ino, nlink: undefined };
  }
  try {
    const { ino, nlink } = statxFd(fd);
    return nlink > 0 ? { ino, nlink } : undefined; // removed, and only open somewhere
  } finally {
    close(fd);
  }
}

/** What the bytes of well-known handle types say, for those who may not open by handle. */
export function parseInode(type: number, bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (at: number): number => view.getUint32(at, true);
  const u64 = (at: number): number => u32(at + 4) * 0x1_0000_0000 + u32(at);
  if (type === 1 && bytes.length === 8) return u32(0); // FILEID_INO32_GEN: ext4, XFS of 32-bit inodes
  if (type === 1 && bytes.length === 12) return u32(8) * 0x1_0000_0000 + u32(4); // tmpfs: generation, then the inode
  if (type === 0x81 && bytes.length === 12) return u64(0); // XFS with 64-bit inodes
  if (type === 0x4d && bytes.length >= 20) return u64(0); // Btrfs: objectid, root, generation
  return undefined;
}
