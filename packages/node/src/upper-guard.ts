/**
 * What must hold before an upper and its work directory may be written: they lie on one mount, neither inside the other;
 * nobody else has them, neither another process of ours (flock) nor the kernel's overlayfs (mountinfo; it locks nothing
 * that we could see). Marks that the contents may not be trusted are work-dir.ts's.
 */
import { readFileSync, statSync } from 'node:fs';
import type { Attributes } from '@ovl/core';
import { refusal } from './refusal.js';
import {
  LOCK_EX,
  LOCK_NB,
  O_DIRECTORY,
  O_PATH,
  close,
  errorOf,
  flockOrErrno,
  mountOf,
  openat,
  statxFd,
} from './syscalls.js';

/** A directory that the user named, open for reading. */
export interface GuardedDirectory {
  fd: number;
  path: string;
}

const sameObject = (a: { dev: number; ino: number }, b: { dev: number; ino: number }): boolean =>
  a.dev === b.dev && a.ino === b.ino;

/** Throws EINVAL unless the two are apart, and EXDEV unless a rename can lead from one to the other. */
export function checkPlacement(upper: GuardedDirectory, work: GuardedDirectory): void {
  const upperStat = statxFd(upper.fd);
  const workStat = statxFd(work.fd);
  if (sameObject(upperStat, workStat)) {
    throw refusal('EINVAL', work.path, 'the work directory must not be the upper directory itself');
  }
  if (liesWithin(work.fd, upperStat)) throw refusal('EINVAL', work.path, 'the work directory lies inside the upper');
  if (liesWithin(upper.fd, workStat)) throw refusal('EINVAL', upper.path, 'the upper lies inside the work directory');
  if (upperStat.dev !== workStat.dev || mountOf(upper.fd).id !== mountOf(work.fd).id) {
    throw refusal('EXDEV', work.path, `put the work directory on the same file system and mount as ${upper.path}`);
  }
}

/** Walks up by "..", which no name or link can mislead. */
function liesWithin(fd: number, ancestor: Attributes): boolean {
  let at = openat(fd, '..', O_PATH | O_DIRECTORY);
  try {
    for (let below = statxFd(fd); ; ) {
      const here = statxFd(at);
      if (sameObject(here, ancestor)) return true;
      if (sameObject(here, below)) return false; // the root's ".." is the root
      below = here;
      const up = openat(at, '..', O_PATH | O_DIRECTORY);
      close(at);
      at = up;
    }
  } finally {
    close(at);
  }
}

/** Locks the directory for as long as its descriptor is open. Throws EBUSY. */
export function lock({ fd, path }: GuardedDirectory): void {
  const result = flockOrErrno(fd, LOCK_EX | LOCK_NB);
  if (result === 0) return;
  if (result !== -11) throw errorOf(-result, 'flock', path);
  throw refusal('EBUSY', path, 'another overlay is using this directory; unmount it first');
}

/** Throws EBUSY if a mount of the kernel's overlayfs has one of the two as its upper or work directory. */
export function checkKernelMounts(upper: GuardedDirectory, work: GuardedDirectory): void {
  const mine = [upper, work].map((directory) => ({ directory, stat: statxFd(directory.fd) }));
  for (const used of kernelOverlayDirectories(readMountInfo())) {
    const ino = inodeAt(used.path);
    // Device numbers are compared in the form that both come in: statSync's own encoding of it.
    const clash = ino && mine.find(({ directory }) => sameObject(ino, statSync(`/proc/self/fd/${directory.fd}`)));
    if (clash) {
      const advice = `the kernel's overlayfs at ${used.mountPoint} is using this directory; unmount it first`;
      throw refusal('EBUSY', clash.directory.path, advice);
    }
  }
}

function readMountInfo(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'latin1');
  } catch {
    return ''; // no /proc: then there is nothing to see
  }
}

/** A relative path was looked up from where `mount` ran, which nobody remembers: from here it would name something else. */
function inodeAt(path: string): { dev: number; ino: number } | undefined {
  if (!path.startsWith('/')) return undefined;
  try {
    return statSync(Buffer.from(path, 'latin1'));
  } catch {
    return undefined;
  }
}

/** The upper and work directories in the text of a mountinfo (as latin1, to keep every byte). */
export function kernelOverlayDirectories(mountInfo: string): { path: string; mountPoint: string }[] {
  const found: { path: string; mountPoint: string }[] = [];
  for (const line of mountInfo.split('\n')) {
    const [mount = '', superblock = ''] = line.split(' - ');
    const [type, , options = ''] = superblock.split(' ');
    if (type !== 'overlay') continue;
    // mountinfo writes blanks in octal, overlayfs a comma or backslash with a backslash before it
    for (const option of unescapeOctal(options).split(/(?<!\\),/)) {
      const path = /^(?:upperdir|workdir)=(.*)$/s.exec(option)?.[1];
      if (path === undefined) continue;
      found.push({ path: path.replace(/\\(.)/gs, '$1'), mountPoint: unescapeOctal(mount.split(' ')[4] ?? '') });
    }
  }
  return found;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
