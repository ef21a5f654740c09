/** What is mounted now, and taking it away. */
import { lstatSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RequestCount } from './fuse/request-counts.js';
import { unmountByHelper, unmountDirectly } from './fuse/mount.js';
import { settleMount } from './fuse/settle-mount.js';
import { ExitCode, MountError } from './mount-error.js';
import { type Mount, isFuse, isOvl, mountAt, readMounts } from './mountinfo.js';
import { maySysAdmin, startTime } from './processes.js';
import { type MountRecord, readRecords, takeCounts } from './registry.js';

/** The live mounts of this user, oldest first. One that another mount hides, or another namespace has, is not among them. */
export function listMounts(): MountRecord[] {
  const mounts = readMounts();
  return readRecords()
    .filter(({ device, mountpoint }) =>
      mounts.some((mount) => mount.device === device && mount.mountpoint === mountpoint),
    )
    .sort((a, b) => (a.since < b.since ? -1 : 1));
}

/**
 * What a mount's server has been asked since it began, most often first. Undefined where it does not count (the libfuse
 * transport), does not answer within `timeoutMs`, or has gone.
 */
export async function requestCounts(record: MountRecord, timeoutMs = 2000): Promise<RequestCount[] | undefined> {
  const { id, pid, pidStart, counts } = record;
  if (!counts || startTime(pid) !== pidStart) return undefined;
  takeCounts(id);
  try {
    process.kill(pid, 'SIGUSR2');
  } catch {
    return undefined; // it has just gone
  }
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(5)) {
    const answer = takeCounts(id);
    if (answer !== undefined) return answer;
  }
  return undefined;
}

const DETACH_ATTEMPTS = 5;

/** How a mount ends. */
export interface UnmountOptions {
  /** Hide the mount at once, even while it is in use; it ends with its last user. */
  lazy?: boolean;
  /** How long to wait for the daemon to leave, in milliseconds. Default 10,000. */
  timeoutMs?: number;
}

/**
 * Unmounts what is mounted at `mountpoint` and waits until its daemon has let it go (not so when lazy). Also clears what a
 * killed daemon left. Throws MountError: busy if it is in use.
 */
export async function unmount(mountpoint: string, options: UnmountOptions = {}): Promise<void> {
  const mounts = readMounts();
  const path = mountedPath(mountpoint, mounts);
  const mount = mountAt(mounts, path);
  if (mount === undefined || !isFuse(mount)) {
    throw new MountError(ExitCode.directory, `'${mountpoint}' is not an ovl mount (ovl ps lists them)`);
  }
  const record = readRecords().find(({ device }) => device === mount.device);
  if (record === undefined && !isOvl(mount)) {
    throw new MountError(ExitCode.directory, `'${mountpoint}' is a mount of type ${mount.fstype}, not of ovl`);
  }
  const how = options.lazy === true ? 'lazy' : 'now';
  await detach(path, how);
  if (how === 'now' && record !== undefined) await departure(record, options.timeoutMs ?? 10_000);
}

/** Once more if it is in use: perhaps only by its own server, which is still copying. */
async function detach(path: string, how: 'now' | 'lazy'): Promise<void> {
  const act = maySysAdmin() ? unmountDirectly : unmountByHelper;
  for (let attempt = 0; ; attempt++) {
    try {
      return act(path, how);
    } catch (error) {
      const isBusy = error instanceof MountError && error.exitCode === ExitCode.busy;
      if (!isBusy || attempt === DETACH_ATTEMPTS) throw error;
    }
    if (attempt === 0) await settleMount(path);
    else await sleep(5);
  }
}

/**
 * The mountpoint as the mount table has it. The last component is looked up only if the table does not have it, because
 * looking at a mountpoint asks its server, which may be gone.
 */
function mountedPath(mountpoint: string, mounts: readonly Mount[]): string {
  const absolute = resolve(mountpoint);
  if (mountAt(mounts, absolute) !== undefined) return absolute;
  try {
    const direct = join(realpathSync(dirname(absolute)), basename(absolute));
    if (mountAt(mounts, direct) !== undefined || !lstatSync(direct).isSymbolicLink()) return direct;
    return realpathSync(direct);
  } catch (error) {
    throw new MountError(ExitCode.directory, `'${mountpoint}' does not exist`, { cause: error });
  }
}

/** Whether `path`, as a user names it, is the mountpoint of a record. Asks the mount's server nothing. */
export function sameMountpoint(mountpoint: string, path: string): boolean {
  try {
    return mountedPath(path, readMounts()) === mountpoint;
  } catch {
    return false;
  }
}

/** The daemon lets go of the mount; with its last one it leaves. */
async function departure({ id, pid, pidStart, mountpoint }: MountRecord, timeoutMs: number): Promise<void> {
  if (pid === process.pid) return;
  const deadline = Date.now() + timeoutMs;
  while (startTime(pid) === pidStart) {
    const others = readRecords().filter((record) => record.pid === pid);
    if (others.length > 0 && others.every((record) => record.id !== id)) return;
    if (Date.now() > deadline) {
      const why = 'another mount namespace may still have the mount';
      throw new MountError(
        ExitCode.failed,
        `${mountpoint} is unmounted but its daemon (pid ${pid}) has not let it go: ${why}`,
      );
    }
    await sleep(5);
  }
}
