/**
 * The socket by which a daemon takes further mounts, and for whom: a process that could as well have started it, because the
 * two have the same credentials, limits, namespaces and control group. The name of the socket says it for those who look
 * for one; the daemon then looks at who has come.
 */
import { readFileSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { findHelper } from './fuse/helper.js';
import { maySysAdmin, startTime } from './processes.js';
import { makeOwnDirectory, ownDirectories } from './runtime-directory.js';

/** What a daemon runs. By the package's name, which holds wherever this was bundled to. */
export function daemonFile(): string {
  const { resolve } = createRequire(import.meta.url);
  return join(dirname(resolve('@ovl/node/package.json')), 'dist/daemon.cjs');
}

const SOCKET = /^([0-9a-f]{16})-(\d+)\.sock$/;
/** What the system allows (sun_path). */
const MAX_PATH_BYTES = 107;

/** Of /proc/PID/status: who it is, and what it may do. */
const STATUS = /^(?:Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp):.*$/gm;
const NAMESPACES = ['mnt', 'user', 'pid', 'cgroup', 'net', 'ipc', 'uts'];

/**
 * All of a process that a mount could tell its daemon by, except its environment. Undefined for a process that is gone or may
 * not be looked at.
 */
export function scopeOf(pid: number | 'self'): string | undefined {
  const read = (name: string): string => readFileSync(`/proc/${pid}/${name}`, 'latin1');
  try {
    const stat = read('stat');
    const nice = stat.slice(stat.lastIndexOf(')')).split(' ')[17];
    const root = statSync(`/proc/${pid}/root`);
    return [
      ...(read('status').match(STATUS) ?? []),
      ...NAMESPACES.map((name) => readlinkSync(`/proc/${pid}/ns/${name}`)),
      read('limits'),
      read('cgroup'),
      read('oom_score_adj').trim(),
      `nice ${nice}`,
      `root ${root.dev}:${root.ino}`,
      label(pid),
    ].join('\n');
  } catch {
    return undefined;
  }
}

/** What a security module confines the process to. */
function label(pid: number | 'self'): string {
  try {
    return readFileSync(`/proc/${pid}/attr/current`, 'latin1');
  } catch {
    return ''; // none is active
  }
}

/** Which daemons a process may ask, as the beginning of their sockets' names; undefined if there can be none. */
export function socketKey(): string | undefined {
  const scope = scopeOf('self');
  if (scope === undefined) return undefined;
  const program = daemonFile();
  const { mtimeMs, size, ino } = statSync(program, { throwIfNoEntry: false }) ?? {};
  const helper = maySysAdmin() ? '' : findHelper();
  const group = process.env['OVL_DAEMON'] ?? '';
  return hash([scope, program, mtimeMs, size, ino, process.execPath, helper, group].join('\n'));
}

/** FNV-1a over two halves: it tells scopes apart, and protects nothing. */
function hash(text: string): string {
  let a = 0x811c9dc5;
  let b = 0x01000193;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ code, 0x85ebca6b) ^ (b >>> 13);
  }
  return [a, b].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
}

/** Whether there is a daemon's socket at all. */
export function hasSockets(): boolean {
  return ownDirectories().some((directory) => readdirSync(directory).some((name) => SOCKET.test(name)));
}

/** The sockets of daemons for this process, the youngest first: an older one may have stopped answering. */
export function socketsOf(key: string): string[] {
  const found: { path: string; since: number }[] = [];
  for (const directory of ownDirectories()) {
    for (const name of readdirSync(directory)) {
      if (SOCKET.exec(name)?.[1] !== key || removeIfStale(directory, name)) continue;
      const path = join(directory, name);
      found.push({ path, since: statSync(path, { throwIfNoEntry: false })?.ctimeMs ?? 0 });
    }
  }
  return found.sort((a, b) => b.since - a.since).map(({ path }) => path);
}

/** Where this daemon is to listen. Undefined where nobody else could be kept from asking, or the path is too long. */
export function ownSocket(key: string): string | undefined {
  const directory = makeOwnDirectory();
  const path = join(directory, `${key}-${process.pid}.sock`);
  return (statSync(directory).mode & 0o077) === 0 && Buffer.byteLength(path) <= MAX_PATH_BYTES ? path : undefined;
}

/** Removes the socket of a daemon that was killed; says whether it was one. */
export function removeIfStale(directory: string, name: string): boolean {
  const pid = SOCKET.exec(name)?.[2];
  if (pid === undefined || startTime(Number(pid)) !== undefined) return false;
  rmSync(join(directory, name), { force: true });
  return true;
}
