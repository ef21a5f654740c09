/**
 * Which mounts one thread may serve together. It must never have to wait for itself: a layer that shows another of its mounts,
 * directly or through whatever may be stacked on that, would stop all of them for good. Nor are they to wait for a network, or
 * for somebody else's server. So their layers lie on file systems that the kernel answers for alone.
 */
import { join, relative } from 'node:path';
import type { MountRequest } from './mount-request.js';
import { type Mount, readMounts } from './mountinfo.js';
import { openFileLimit } from './processes.js';

/** On a disk, or in memory. */
const LOCAL: ReadonlySet<string> = new Set(
  'ext2 ext3 ext4 xfs btrfs f2fs bcachefs zfs jfs nilfs2 tmpfs ramfs squashfs erofs iso9660 udf vfat exfat ntfs3'.split(
    ' ',
  ),
);
/** Lie on other file systems: a local disk behind a loop device, too, may be a file in a mount. */
const isStacked = ({ fstype, source }: Mount): boolean => fstype === 'overlay' || source.startsWith('/dev/loop');

/** How many descriptors roots of layers may take of those that the process may have. */
const SHARE_OF_FILES = 1 / 8;

export class SharedLayers {
  /** Devices of the file systems that were there before any mount of ours, and so lie on none of them. */
  readonly #older: ReadonlySet<string> = new Set(readMounts().map(({ device }) => device));
  readonly #requests = new Set<MountRequest>();
  readonly #maxLayers: number = openFileLimit() * SHARE_OF_FILES;

  add(request: MountRequest): void {
    this.#requests.add(request);
  }

  delete(request: MountRequest): void {
    this.#requests.delete(request);
  }

  /** Whether the mount may be served by the thread that serves those added. Touches none of them. */
  mayJoin(request: MountRequest): boolean {
    if (request.transport !== 'direct') return false;
    const paths = layersOf(request);
    const others = [...this.#requests];
    if (others.reduce((sum, other) => sum + other.layers.lower.length + 2, paths.length) > this.#maxLayers)
      return false;
    const mounts = readMounts();
    if (!paths.every((path) => this.#isSteady(path, mounts))) return false;
    if (request.tmp !== undefined && !this.#isKernels(mountOf(request.tmp, mounts))) return false;
    const shows = (a: MountRequest, b: MountRequest): boolean => {
      const mountpoint = placeOf(b.attach.mountpoint, mounts);
      return layersOf(a).some((path) => contains(placeOf(path, mounts), mountpoint));
    };
    return !others.some((other) => shows(other, request) || shows(request, other));
  }

  /** Whether all that is found at and below the path comes from the kernel alone. */
  #isSteady(path: string, mounts: readonly Mount[]): boolean {
    const below = mounts.filter(({ mountpoint }) => isWithin(mountpoint, path));
    return this.#isKernels(mountOf(path, mounts)) && below.every((mount) => this.#isKernels(mount));
  }

  #isKernels(mount: Mount | undefined): boolean {
    if (mount === undefined) return false;
    return isStacked(mount) ? this.#older.has(mount.device) : LOCAL.has(mount.fstype);
  }
}

/** A temporary upper is a new directory, in which nothing can be mounted. */
function layersOf({ layers: { lower, upper } }: MountRequest): string[] {
  return upper === undefined ? lower : [...lower, upper.upper, upper.work];
}

function isWithin(path: string, ancestor: string): boolean {
  return path === ancestor || path.startsWith(ancestor.endsWith('/') ? ancestor : `${ancestor}/`);
}

/** The mount that a path without symbolic links lies on. */
function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  let nearest: Mount | undefined;
  for (const mount of mounts) {
    if (isWithin(path, mount.mountpoint) && mount.mountpoint.length >= (nearest?.mountpoint.length ?? 0))
      nearest = mount;
  }
  return nearest;
}

/** A directory by its path and in its file system, where a bind mount shows it too. */
interface Place {
  path: string;
  device: string | undefined;
  inner: string;
}

function placeOf(path: string, mounts: readonly Mount[]): Place {
  const mount = mountOf(path, mounts);
  const inner = mount === undefined ? path : join(mount.root, relative(mount.mountpoint, path));
  return { path, device: mount?.device, inner };
}

function contains(outer: Place, inner: Place): boolean {
  return isWithin(inner.path, outer.path) || (outer.device === inner.device && isWithin(inner.inner, outer.inner));
}
