/**
 * Mounting and unmounting: by mount(2) where we may, otherwise through fusermount3, the set-uid helper of libfuse that
 * mounts for its caller and passes the open device back over a socket.
 */
import { spawnSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { type FsError, isFsError, makedev } from '@ovl/core';
import { ExitCode, MountError } from '../mount-error.js';
import { maySysAdmin } from '../processes.js';
import { close, mount, open, receiveFd, socketpair, umount2, O_CLOEXEC, O_RDWR } from '../syscalls.js';
import type { AttachRequest, Attachment, MountFlag } from '../transport.js';
import { findHelper } from './helper.js';
import { MAX_DATA_BYTES } from './protocol.js';

const DEVICE = '/dev/fuse';
/** Its number, the same everywhere. */
const DEVICE_NUMBER = makedev(10, 229);

const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/** mount(2)'s bits. */
const bits: Record<MountFlag, number> = {
  ro: 1 << 0,
  nosuid: 1 << 1,
  nodev: 1 << 2,
  noexec: 1 << 3,
  sync: 1 << 4,
  dirsync: 1 << 7,
  nosymfollow: 1 << 8,
  noatime: 1 << 10,
  nodiratime: 1 << 11,
  relatime: 1 << 21,
  strictatime: 1 << 24,
};

/** A mount that waits for its server. */
export interface MountedDevice extends Omit<Attachment, 'release'> {
  /** The device to read requests from; closed on exec. */
  readonly fd: number;
}

/** Mounts. Throws MountError. */
export function openDevice(request: AttachRequest): MountedDevice {
  checkDevice();
  if (maySysAdmin()) {
    try {
      return attachDirectly(request);
    } catch (error) {
      // A container may have the capability and yet be refused; the helper may be let through.
      if (!isFsError(error, 'EPERM', 'EACCES') || findHelper() === undefined) throw systemRefusal(request, error);
    }
  }
  return attachByHelper(request);
}

/** Throws MountError (unavailable) if the device cannot be used, saying what to do. */
function checkDevice(): void {
  try {
    close(open(DEVICE, O_RDWR | O_CLOEXEC));
  } catch (error) {
    if (isFsError(error, 'EACCES', 'EPERM')) {
      const advice = 'allow it (chmod 666 /dev/fuse, or in a container --device /dev/fuse)';
      throw new MountError(ExitCode.unavailable, `no permission to open ${DEVICE}: ${advice}`, { cause: error });
    }
    const advice = 'load the module (modprobe fuse), or in a container pass --device /dev/fuse';
    const what = isFsError(error, 'ENOENT') ? `${DEVICE} is missing` : `${DEVICE} does not work (${codeOf(error)})`;
    throw new MountError(ExitCode.unavailable, `${what}: ${advice}`, { cause: error });
  }
  // A sandbox may have put something else in its place.
  if (statSync(DEVICE).rdev !== DEVICE_NUMBER) {
    const advice = 'bring the real one (mknod /dev/fuse c 10 229, or in a container --device /dev/fuse)';
    throw new MountError(ExitCode.unavailable, `${DEVICE} is not the FUSE device: ${advice}`);
  }
}

function codeOf(error: unknown): string {
  return isFsError(error) ? error.code : String(error);
}

function systemRefusal(request: AttachRequest, error: unknown): MountError {
  return new MountError(ExitCode.failed, `cannot mount on ${request.mountpoint}: ${(error as FsError).message}`, {
    cause: error,
  });
}

/** What every way of mounting tells the kernel. */
export function commonOptions({ allow, labels }: AttachRequest): string[] {
  const options = ['default_permissions', `max_read=${MAX_DATA_BYTES}`];
  if (allow === 'other') options.push('allow_other');
  for (const [name, value] of labels) options.push(`${name}="${value}"`); // a label may have commas
  return options;
}

function attachDirectly(request: AttachRequest): MountedDevice {
  const { mountpoint, fsname, subtype, flags } = request;
  const fd = open(DEVICE, O_RDWR | O_CLOEXEC);
  try {
    const options = [
      `fd=${fd}`,
      'rootmode=40000',
      `user_id=${process.geteuid?.() ?? 0}`,
      `group_id=${process.getegid?.() ?? 0}`,
      ...commonOptions(request),
    ];
    const mask = flags.reduce((sum, flag) => sum | bits[flag], 0);
    mount(fsname, mountpoint, `fuse.${subtype}`, mask, options.join(','));
  } catch (error) {
    close(fd);
    throw error;
  }
  return {
    fd,
    detachCommand: ['umount', '-l'],
    tune: raiseReadahead,
    detach: (how) => unmountDirectly(mountpoint, how),
  };
}

/**
 * The kernel offers FUSE 128 KiB of readahead whatever we ask for in INIT, and so bounds every READ; the larger window
 * made cold sequential reads 1.3 times faster (median of 7 on a busy machine, 731 against 544 MB/s). Only root may.
 */
function raiseReadahead(device: string): void {
  try {
    writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, String(MAX_DATA_BYTES / 1024));
  } catch {
    // no sysfs, or a read-only one, as in containers
  }
}

/** Throws MountError. */
export function unmountDirectly(mountpoint: string, how: 'now' | 'lazy'): void {
  try {
    umount2(mountpoint, UMOUNT_NOFOLLOW | (how === 'lazy' ? MNT_DETACH : 0));
  } catch (error) {
    if (isFsError(error, 'EBUSY')) throw inUse(mountpoint, error);
    throw new MountError(ExitCode.failed, `cannot unmount ${mountpoint}: ${(error as FsError).message}`, {
      cause: error,
    });
  }
}

function inUse(mountpoint: string, cause?: unknown): MountError {
  const advice = 'a process has a file open or its working directory there; end it, or unmount lazily (--lazy)';
  return new MountError(ExitCode.busy, `${mountpoint} is in use: ${advice}`, { cause });
}

function requireHelper(): string {
  const helper = findHelper();
  if (helper !== undefined) return helper;
  const advice = 'mounting without root needs it: install the package fuse3, or mount as root';
  throw new MountError(ExitCode.unavailable, `fusermount3 is not in PATH: ${advice}`);
}

/** In fusermount's option string a comma or backslash in a value takes a backslash. */
function escapeOption(value: string): string {
  return value.replace(/[\\,]/g, '\\$&');
}

function attachByHelper(request: AttachRequest): MountedDevice {
  const { mountpoint, fsname, subtype, flags } = request;
  const helper = requireHelper();
  const options = [
    ...(flags.includes('ro') ? [] : ['rw']),
    // It knows no other word about access times, which a FUSE mount keeps none of its own of.
    ...flags.filter((flag) => flag === 'noatime' || !flag.endsWith('atime')),
    ...commonOptions(request),
    `fsname=${escapeOption(fsname)}`,
    `subtype=${escapeOption(subtype)}`,
  ];
  const [ours, theirs] = socketpair();
  try {
    const result = spawnSync(helper, ['-o', options.join(','), '--', mountpoint], {
      env: { ...process.env, _FUSE_COMMFD: '3' },
      stdio: ['ignore', 'ignore', 'pipe', theirs],
      encoding: 'utf8',
    });
    if (result.error !== undefined || result.status !== 0) throw helperFailure(helper, mountpoint, result);
    // It has sent its message before it ended, so this does not wait.
    const fd = receiveFd(ours);
    if (fd === undefined) throw new MountError(ExitCode.failed, `${helper} passed no device for ${mountpoint}`);
    return {
      fd,
      detachCommand: [helper, '-uz', '--'],
      tune: () => {},
      detach: (how) => unmountByHelper(mountpoint, how),
    };
  } finally {
    close(theirs);
    close(ours);
  }
}

/** Throws MountError. */
export function unmountByHelper(mountpoint: string, how: 'now' | 'lazy'): void {
  const helper = requireHelper();
  const result = spawnSync(helper, [how === 'lazy' ? '-uz' : '-u', '--', mountpoint], {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (result.error === undefined && result.status === 0) return;
  if (/busy/i.test(result.stderr ?? '')) throw inUse(mountpoint); // its exit status is 1 for everything
  throw helperFailure(helper, mountpoint, result);
}

/** What the helper said, in one line. */
function helperFailure(
  helper: string,
  mountpoint: string,
  result: { stderr: string | null; status: number | null; error?: Error },
): MountError {
  const said = (result.stderr ?? '').trim().replace(/\s*\n\s*/g, '; ');
  if (said !== '') return new MountError(ExitCode.failed, said);
  const why = result.error?.message ?? `exit status ${result.status}`;
  return new MountError(ExitCode.failed, `${helper} failed for ${mountpoint}: ${why}`);
}
