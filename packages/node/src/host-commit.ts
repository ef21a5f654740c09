/**
 * How a namespace change becomes one system call that the file system carries out whole or not at all, also across a
 * crash. What has to be cleared away afterwards then lies in the work directory, where it is out of sight and would be
 * removed at the next start; so a failure to clear it away is not a failure of the change.
 */
import { DT_CHR, DT_DIR, type EntryType, type NamespaceChange, type Occupant, isFsError } from '@ovl/core';
import { type HostNode, checkEntry, directories, hostNode, locate } from './host-nodes.js';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  errorOf,
  linkat,
  renameat2,
  renameat2OrErrno,
  unlinkat,
  unlinkatOrErrno,
} from './syscalls.js';
import type { WorkDirectory } from './work-dir.js';

const EEXIST = 17;
const ENOTEMPTY = 39;

type Change<K extends NamespaceChange['kind']> = Extract<NamespaceChange, { kind: K }>;

/** renameat2's flags, and what then lies at the source to be removed. */
export interface RenamePlan {
  flags: number;
  displaced: boolean;
}

/** A staged object takes a name: rename replaces like by like, all else is swapped out. */
export function planArrival(type: EntryType, over: Occupant): RenamePlan {
  if (over === 'nothing') return { flags: RENAME_NOREPLACE, displaced: false };
  // A directory there may hold whiteouts, and rename wants an empty one.
  const replaces = type !== DT_DIR && over !== 'directory';
  return replaces ? { flags: 0, displaced: false } : { flags: RENAME_EXCHANGE, displaced: true };
}

/**
 * An object moves within the upper. A whiteout at the target can be the one that is to stay at the source: swap them. A
 * directory cannot replace a whiteout, so there too they are swapped, and the whiteout at the source is removed; a crash
 * before that leaves a whiteout over nothing, which nobody sees.
 */
export function planMove(type: EntryType, over: Occupant, leave: 'nothing' | 'whiteout'): RenamePlan {
  if (over === 'whiteout' && (leave === 'whiteout' || type === DT_DIR)) {
    return { flags: RENAME_EXCHANGE, displaced: leave === 'nothing' };
  }
  const flags = (leave === 'whiteout' ? RENAME_WHITEOUT : 0) | (over === 'nothing' ? RENAME_NOREPLACE : 0);
  return { flags, displaced: false };
}

export function commitLink(work: WorkDirectory, { node, to, over }: Change<'link'>): void {
  const object = hostNode(node);
  const dir = hostNode(to.dir);
  const name = checkEntry(to.name);
  const dirfd = directories.pin(dir);
  try {
    if (object.parent !== work.node) return linkNamed(work, object, dirfd, name, over);
    const { flags, displaced } = planArrival(object.type, over);
    const staged = object.name;
    renameat2(work.fd, staged, dirfd, name, flags);
    object.parent = dir;
    object.name = name;
    // Whiteouts are one inode, and renaming one name of an inode over another does nothing: the staged name stays.
    if (displaced && over === 'directory') clearAway(work, staged);
    else if (displaced || (over === 'whiteout' && object.type === DT_CHR)) removeQuietly(work, staged);
  } finally {
    directories.unpin(dir);
  }
}

function linkNamed(work: WorkDirectory, object: HostNode, dirfd: number, name: string, over: Occupant): void {
  if (over === 'nothing') return link(object, dirfd, name);
  const temporary = work.nextName();
  link(object, work.fd, temporary);
  try {
    renameat2(work.fd, temporary, dirfd, name);
  } catch (error) {
    unlinkatOrErrno(work.fd, temporary);
    throw error;
  }
}

function link(object: HostNode, dirfd: number, name: string): void {
  const from = locate(object);
  if (from.name !== '') linkat(from.fd, from.name, dirfd, name);
  // Of an O_PATH descriptor: linkat's AT_EMPTY_PATH wants a capability where /proc does not.
  else linkat(AT_FDCWD, `/proc/self/fd/${from.fd}`, dirfd, name, AT_SYMLINK_FOLLOW);
}

export function commitUnlink(work: WorkDirectory, { from, occupant }: Change<'unlink'>): void {
  const dirfd = directories.fd(hostNode(from.dir));
  const name = checkEntry(from.name);
  if (occupant !== 'directory') return unlinkat(dirfd, name);
  const result = unlinkatOrErrno(dirfd, name, AT_REMOVEDIR);
  if (result === 0) return;
  if (result !== -ENOTEMPTY && result !== -EEXIST) throw errorOf(-result, 'unlinkat', name);
  // It looks empty but holds whiteouts.
  const temporary = work.nextName();
  renameat2(dirfd, name, work.fd, temporary, RENAME_NOREPLACE);
  clearAway(work, temporary);
}

export function commitRename({ node, from, to, over, leave }: Change<'rename'>): void {
  const object = hostNode(node);
  const fromDir = hostNode(from.dir);
  const toDir = hostNode(to.dir);
  const { flags, displaced } = planMove(object.type, over, leave);
  betweenDirectories(fromDir, toDir, (fromFd, toFd) => {
    const result = renameat2OrErrno(fromFd, checkEntry(from.name), toFd, checkEntry(to.name), flags);
    // POSIX lets a file system say EEXIST of a directory that is not empty, and XFS does.
    const full = over === 'directory' && result === -EEXIST;
    if (result < 0) throw errorOf(full ? ENOTEMPTY : -result, 'renameat2', to.name);
    if (displaced) unlinkatOrErrno(fromFd, from.name);
  });
  object.parent = toDir;
  object.name = to.name;
}

export function commitExchange({ a, b }: Change<'exchange'>): void {
  const aDir = hostNode(a.dir);
  const bDir = hostNode(b.dir);
  betweenDirectories(aDir, bDir, (aFd, bFd) => {
    renameat2(aFd, checkEntry(a.name), bFd, checkEntry(b.name), RENAME_EXCHANGE);
  });
  const aNode = hostNode(a.node);
  const bNode = hostNode(b.node);
  aNode.parent = bDir;
  aNode.name = b.name;
  bNode.parent = aDir;
  bNode.name = a.name;
}

/** Two directories in one call: opening the second must not close the first. */
function betweenDirectories(a: HostNode, b: HostNode, act: (aFd: number, bFd: number) => void): void {
  const aFd = directories.pin(a);
  try {
    act(aFd, directories.fd(b));
  } finally {
    directories.unpin(a);
  }
}

/** A directory, which may hold many whiteouts. */
function clearAway(work: WorkDirectory, name: string): void {
  if (work.leftovers === undefined) removeQuietly(work, name);
  else work.leftovers.add(name);
}

function removeQuietly(work: WorkDirectory, name: string): void {
  try {
    work.remove(name);
  } catch (error) {
    if (!isFsError(error)) throw error;
  }
}
