/**
 * Checking an upper that nobody has mounted, and repairing what may be (core decides both): takes the locks that a mount
 * takes, opens the directories, and carries repairs out by descriptors, one name after the other, so that no symbolic link
 * and nothing mounted inside leads out of the upper or the work directory.
 */
import { existsSync } from 'node:fs';
import { type FsError, type Layer, isFsError, runSync } from '@ovl/core';
import { type Finding, type FindingKind, MEANINGS, checkUpper, checkWork } from '@ovl/core/fsck';
import { hostLayer } from './host-layer.js';
import { ExitCode, MountError } from './mount-error.js';
import { workBeside } from './mount-request.js';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  close,
  errorOf,
  mountOf,
  openat,
  removexattr,
  unlinkatOrErrno,
} from './syscalls.js';
import { type GuardedDirectory, checkKernelMounts, checkPlacement, lock } from './upper-guard.js';
import { WorkDirectory } from './work-dir.js';

const EISDIR = 21;
const ENOENT = 2;

/** Which directories are checked. All paths are of the host. */
export interface FsckOptions {
  upper: string;
  /** Default: the one beside the upper that a mount would choose, if it is there. */
  work?: string;
  /** Topmost first. Without them, what depends on the layers below is not judged. */
  lower?: readonly string[];
  /** Data-only layers below these. */
  dataOnly?: readonly string[];
  /** Overlay attributes are under "user.overlay.". Default: where this user's mounts keep them. */
  userxattr?: boolean;
  /** "safe": does what changes nothing in any view. Default: only looks. */
  repair?: 'safe';
}

/** One thing that is wrong, and what was done about it. */
export interface FsckFinding {
  kind: FindingKind;
  /** Of the host, encoded as core encodes names. */
  path: string;
  /** What is there. */
  what: string;
  /** What that comes to. */
  meaning: string;
  repairable: boolean;
  repaired: boolean;
}

/**
 * Checks an upper and its work directory. Throws MountError: busy while it is mounted, directory where one is missing,
 * failed where one cannot be read.
 */
export function fsck(options: FsckOptions): FsckFinding[] {
  const opened: GuardedDirectory[] = [];
  const layers: Layer<'sync'>[] = [];
  const open = (path: string): GuardedDirectory => {
    const directory = { path, fd: openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY) };
    opened.push(directory);
    return directory;
  };
  /** The very directory that was locked, whatever its path leads to by now. */
  const layerOf = ({ fd }: GuardedDirectory): Layer<'sync'> => {
    const layer = hostLayer(`/proc/self/fd/${fd}`);
    layers.push(layer);
    return layer;
  };
  try {
    const upper = open(options.upper);
    const beside = workBeside(upper.path);
    const workPath = options.work ?? (existsSync(beside) ? beside : undefined);
    const work = workPath === undefined ? undefined : open(workPath);
    if (work !== undefined) checkPlacement(upper, work);
    for (const directory of opened) lock(directory);
    checkKernelMounts(upper, work ?? upper);
    const lower = options.lower?.map((path) => layerOf(open(path)));
    const prefix = (options.userxattr ?? process.geteuid?.() !== 0) ? 'user.overlay.' : 'trusted.overlay.';
    const dataOnly = (options.dataOnly ?? []).map((path) => layerOf(open(path)));
    const findings = runSync(checkUpper({ upper: layerOf(upper), lower, dataOnly, prefix }));
    if (work !== undefined) findings.push(...runSync(checkWork(layerOf(work), prefix)));
    const repaired = options.repair === 'safe' ? repair(findings, upper, work) : new Set<Finding>();
    return findings.map((finding) => {
      const { kind, what, tree, path } = finding;
      const root = tree === 'upper' ? upper.path : (work as GuardedDirectory).path;
      return {
        kind,
        path: [root.replace(/(?<=.)\/+$/, ''), ...path].join('/'),
        what,
        meaning: MEANINGS[kind],
        repairable: finding.repair !== undefined,
        repaired: repaired.has(finding),
      };
    });
  } catch (error) {
    throw isFsError(error) ? refused(error) : error;
  } finally {
    for (const layer of layers) layer.close?.();
    for (const { fd } of opened) close(fd); // and with them the locks
  }
}

function refused(error: FsError): MountError {
  const where = ['ENOENT', 'ENOTDIR', 'EXDEV', 'EINVAL'].includes(error.code);
  const code = error.code === 'EBUSY' ? ExitCode.busy : where ? ExitCode.directory : ExitCode.failed;
  return new MountError(code, error.message, { cause: error });
}

/** The findings that are no more. One that cannot be repaired is left as it is, and still one. */
function repair(
  findings: readonly Finding[],
  upper: GuardedDirectory,
  work: GuardedDirectory | undefined,
): Set<Finding> {
  const done = new Set<Finding>();
  const staged: Finding[] = [];
  for (const finding of findings) {
    if (finding.repair === undefined) continue;
    if (finding.tree === 'work' && finding.path[0] === 'work') staged.push(finding);
    else if (attempt(() => repairOne(finding, finding.tree === 'upper' ? upper : (work as GuardedDirectory)))) {
      done.add(finding);
    }
  }
  // Trees of any depth: what a mount does at its start.
  if (staged.length > 0 && work !== undefined && attempt(() => new WorkDirectory(work.fd, work.path).close())) {
    for (const finding of staged) done.add(finding);
  }
  return done;
}

function attempt(act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (isFsError(error)) return false;
    throw error;
  }
}

function repairOne({ path, repair }: Finding, top: GuardedDirectory): void {
  const name = path.at(-1);
  const fd = descend(top.fd, name === undefined ? [] : path.slice(0, -1));
  try {
    if (repair?.kind === 'removexattr') removexattr(fd, name ?? '.', repair.name);
    else if (name !== undefined) remove(fd, name);
  } finally {
    close(fd);
  }
}

/** A descriptor of the directory, which lies on the same mount as `top`. Throws EXDEV for another one's. */
function descend(top: number, path: readonly string[]): number {
  let fd = openat(top, '.', O_PATH | O_DIRECTORY);
  try {
    for (const name of path) {
      const next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
      close(fd);
      fd = next;
    }
    if (mountOf(fd).id !== mountOf(top).id) throw errorOf(18, 'openat', path.at(-1));
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** What is no directory, or an empty one. */
function remove(dirfd: number, name: string): void {
  let result = unlinkatOrErrno(dirfd, name);
  if (result === -EISDIR) result = unlinkatOrErrno(dirfd, name, AT_REMOVEDIR);
  if (result < 0 && result !== -ENOENT) throw errorOf(-result, 'unlinkat', name);
}
