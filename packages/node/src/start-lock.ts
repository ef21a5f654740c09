/**
 * Of those who could share a daemon and find none, one starts it; the others wait for it. The lock is a file beside the
 * daemons' sockets (without koffi there is no flock), which names its holder: whoever finds him dead takes it.
 */
import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTime } from './processes.js';
import { makeOwnDirectory } from './runtime-directory.js';

export interface StartLock {
  /** Undefined where daemons have no sockets, so that nobody need wait. */
  path: string | undefined;
  /** The process that took it, as the file has it. */
  holder: string;
}

const LOCK = /^[0-9a-f]{16}\.start(?:\.\d+)?$/;

/** `key` is that of the sockets (daemon-socket.ts). Undefined if another process that lives has the lock. */
export function takeStartLock(key: string): StartLock | undefined {
  const holder = `${process.pid} ${startTime('self')}`;
  const free: StartLock = { path: undefined, holder };
  try {
    const directory = makeOwnDirectory();
    if ((statSync(directory).mode & 0o077) !== 0) return free;
    return take({ path: join(directory, `${key}.start`), holder });
  } catch {
    return free; // no directory, or a full one: then there may be several daemons, as without any lock
  }
}

function take(lock: StartLock & { path: string }): StartLock | undefined {
  const { path, holder } = lock;
  const own = `${path}.${process.pid}`;
  try {
    writeFileSync(own, holder, { mode: 0o600 });
    if (linked(own, path)) return lock; // which has the holder in it from the start
    if (isHeld(path)) return undefined;
    // Its holder has died. Of all who see that, one gets it out of the way; or another's, that has replaced it meanwhile.
    renameSync(path, own);
    if (isHeld(own)) linked(own, path);
    return undefined; // the next try is for everybody
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined; // somebody else was first
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Once the daemon can be asked, or there will be none. */
export function releaseStartLock({ path, holder }: StartLock): void {
  if (path !== undefined && holderOf(path) === holder) rmSync(path, { force: true });
}

/** Removes what a process that was killed has left of a lock; says whether that was one. */
export function removeIfAbandoned(directory: string, name: string): boolean {
  if (!LOCK.test(name)) return false;
  const path = join(directory, name);
  if (!isHeld(path)) rmSync(path, { force: true });
  return true;
}

function isHeld(path: string): boolean {
  const [pid, start] = holderOf(path)?.split(' ') ?? [];
  return pid !== undefined && startTime(Number(pid)) === Number(start);
}

function holderOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined; // released
  }
}
