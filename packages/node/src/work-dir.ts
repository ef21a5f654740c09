/**
 * The directory `<workdir>/work`, as the kernel's overlayfs lays it out: objects without a name in the merged view are
 * `#<hex>` here, among them the master whiteout that all others are hard links of. Whatever is found here when it is
 * opened was left by a crash and is removed, except what stands in `incompat`: a mark of a feature that forbids the use of
 * the directories. Nothing outside of it is ever removed by this file.
 */
import { ACL_ACCESS, ACL_DEFAULT, DT_DIR, type FsError, S_IFCHR, isFsError } from '@ovl/core';
import { HostDirectory, type HostNode, directories } from './host-nodes.js';
import { readEntries } from './host-readdir.js';
import type { Leftovers } from './leftovers.js';
import { refusal } from './refusal.js';
import {
  AT_REMOVEDIR,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  close,
  errorOf,
  fchmodat,
  linkatOrErrno,
  mkdirat,
  mknodat,
  mountOf,
  openat,
  openatOrErrno,
  renameat2OrErrno,
  removexattr,
  setxattr,
  statxFd,
  unlinkatOrErrno,
} from './syscalls.js';

const ENOENT = 2;
const EACCES = 13;
const EEXIST = 17;
const ENOTDIR = 20;
const EISDIR = 21;
const EMLINK = 31;
const ENOTEMPTY = 39;

export class WorkDirectory {
  /** `<workdir>/work` as a node, so that what is staged is reached like everything else. */
  readonly node: HostNode;
  readonly fd: number;
  /** Where directories go that a change has moved here: if somebody empties them. */
  leftovers: Leftovers | undefined;
  readonly #path: string;
  #serial = 0;
  #whiteout: string | undefined;

  /** Opens `<workdir>/work`, making it if need be, and removes what a crash left in it. */
  constructor(workdir: number, path: string) {
    this.#path = `${path}/work`;
    this.node = openBesideWork(workdir, 'work', this.#path);
    this.fd = this.node.fd;
    try {
      this.#checkIncompatible();
      this.#removeLeftovers();
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /** A name that nothing has. Nobody else writes here, so counting suffices. */
  nextName(): string {
    this.#serial = (this.#serial + 1) >>> 0;
    return `#${this.#serial.toString(16)}`;
  }

  /** Gives the one whiteout another name, and begins a new one when the file system allows it no more names. */
  linkWhiteout(dirfd: number, name: string): void {
    for (let attempt = 0; ; attempt++) {
      if (this.#whiteout === undefined) {
        const master = this.nextName();
        mknodat(this.fd, master, S_IFCHR, 0);
        this.#whiteout = master;
      }
      const result = linkatOrErrno(this.fd, this.#whiteout, dirfd, name);
      if (result === 0) return;
      if (attempt > 0 || (result !== -EMLINK && result !== -ENOENT)) throw errorOf(-result, 'linkat', name);
      this.#dropWhiteout();
    }
  }

  #dropWhiteout(): void {
    if (this.#whiteout !== undefined) unlinkatOrErrno(this.fd, this.#whiteout);
    this.#whiteout = undefined;
  }

  /**
   * Removes an entry of this directory, of any kind. A directory below is first moved up here, under a name of its own:
   * so one descriptor does for any depth, and a mount inside stops the removal (EBUSY) instead of being emptied.
   */
  remove(name: string): void {
    const pending = [name];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      if (this.#removeOne(next)) continue;
      this.#empty(next, pending);
      this.#removeOne(next);
    }
  }

  /** False for a directory that is not empty. */
  #removeOne(name: string): boolean {
    let result = unlinkatOrErrno(this.fd, name);
    if (result === -EISDIR) result = unlinkatOrErrno(this.fd, name, AT_REMOVEDIR);
    if (result === 0 || result === -ENOENT) return true;
    if (result === -ENOTEMPTY || result === -EEXIST) return false;
    throw errorOf(-result, 'unlinkat', `${this.#path}/${name}`);
  }

  /** Removes the files in a directory and moves its directories up. */
  #empty(name: string, moved: string[]): void {
    const dirfd = openForRemoval(this.fd, name);
    try {
      if (mountOf(dirfd).isRoot) throw refusal('EBUSY', `${this.#path}/${name}`, 'unmount what is mounted here');
      for (const entry of readEntries(dirfd)) {
        const path = `${this.#path}/${name}/${entry.name}`;
        if (entry.type !== DT_DIR) {
          const result = unlinkatOrErrno(dirfd, entry.name);
          if (result === 0 || result === -ENOENT) continue;
          if (result !== -EISDIR) throw errorOf(-result, 'unlinkat', path);
        }
        moved.push(this.#moveUp(dirfd, entry.name, path));
      }
    } finally {
      close(dirfd);
    }
  }

  /** Gives a directory a name of its own up here: whatever the leftovers are called, one is free. */
  #moveUp(dirfd: number, name: string, path: string): string {
    for (let mayOpen = false; ; ) {
      const target = this.nextName();
      const result = renameat2OrErrno(dirfd, name, this.fd, target, RENAME_NOREPLACE);
      if (result === 0) return target;
      if (result === -EACCES && !mayOpen) {
        fchmodat(dirfd, name, 0o700); // moving a directory writes its "..", which takes permission
        mayOpen = true;
      } else if (result !== -EEXIST) throw errorOf(-result, 'renameat2', path);
    }
  }

  /** Throws EINVAL if `incompat` holds anything: what its entries stand for is not to be ignored ("Volatile mount"). */
  #checkIncompatible(): void {
    let fd: number;
    try {
      fd = openForRemoval(this.fd, 'incompat');
    } catch (error) {
      if (isFsError(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return; // a leftover like any other
      throw error;
    }
    try {
      for (const { name } of readEntries(fd)) {
        const advice =
          name === 'volatile'
            ? 'a volatile mount used these directories, so after a crash the upper may be damaged; discard both, or if the system has not crashed since, remove this one'
            : 'an overlay used a feature here that we do not know; mount it with what wrote it';
        throw refusal('EINVAL', `${this.#path}/incompat/${name}`, advice);
      }
    } finally {
      close(fd);
    }
  }

  /** Leaves the kernel's mark of a volatile mount, which stays until somebody removes it. */
  markVolatile(): void {
    let dirfd = this.fd;
    try {
      for (const name of ['incompat', 'volatile']) {
        makeDirectory(dirfd, name, MODE);
        const fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
        if (dirfd !== this.fd) close(dirfd);
        dirfd = fd;
      }
      close(openat(dirfd, 'dirty', O_CREAT | O_WRONLY | O_NOFOLLOW, MODE & 0o600));
    } finally {
      if (dirfd !== this.fd) close(dirfd);
    }
  }

  #removeLeftovers(): void {
    const fd = openat(this.fd, '.', O_RDONLY | O_DIRECTORY);
    let names: string[];
    try {
      names = readEntries(fd).map((entry) => entry.name);
    } finally {
      close(fd);
    }
    // New names had better not meet old ones that are still there, while directories are being moved up.
    for (const name of names) {
      const serial = /^#([0-9a-f]{1,8})$/.exec(name)?.[1];
      if (serial !== undefined) this.#serial = Math.max(this.#serial, Number.parseInt(serial, 16));
    }
    for (const name of names) this.remove(name);
    this.#serial = 0;
  }

  /** Throws EOPNOTSUPP naming what the file system lacks: without it no change of the upper could be atomic. */
  checkSupport(): void {
    const a = this.nextName();
    const b = this.nextName();
    const lacks = (what: string): FsError =>
      refusal('EOPNOTSUPP', this.#path, `this file system lacks ${what}, which an upper layer needs; use another one`);
    try {
      close(openat(this.fd, a, O_CREAT | O_EXCL | O_WRONLY, 0o600));
      try {
        this.linkWhiteout(this.fd, b);
      } catch (error) {
        throw Object.assign(lacks('whiteouts (a character device 0:0, and hard links to it)'), { cause: error });
      }
      if (renameat2OrErrno(this.fd, a, this.fd, b, RENAME_EXCHANGE) !== 0) throw lacks('RENAME_EXCHANGE');
      if (renameat2OrErrno(this.fd, b, this.fd, a, RENAME_WHITEOUT) !== 0) throw lacks('RENAME_WHITEOUT');
    } finally {
      unlinkatOrErrno(this.fd, a);
      unlinkatOrErrno(this.fd, b);
    }
  }

  /** Whether `trusted.` attributes may be written, asked as the kernel asks. */
  allowsTrusted(): boolean {
    try {
      setxattr(this.fd, '.', 'trusted.overlay.opaque', new Uint8Array([0x30]));
    } catch {
      return false;
    }
    removexattr(this.fd, '.', 'trusted.overlay.opaque');
    return true;
  }

  close(): void {
    this.leftovers?.finish();
    this.#dropWhiteout();
    closeBesideWork(this.node);
  }
}

/** The kernel gives what it makes here mode 0, which is no obstacle to root and makes it useless to everyone else. */
const MODE = process.geteuid?.() === 0 ? 0 : 0o700;

function makeDirectory(dirfd: number, name: string, mode: number): void {
  try {
    mkdirat(dirfd, name, mode);
  } catch (error) {
    if (!isFsError(error, 'EEXIST')) throw error;
  }
}

/** Opens `work` or `index` in the directory that the user named, making it if need be. */
export function openBesideWork(workdir: number, name: 'work' | 'index', path: string): HostNode {
  makeDirectory(workdir, name, MODE);
  const fd = openatOrErrno(workdir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (fd === -ENOTDIR) throw refusal('ENOTDIR', path, 'remove this; a directory is needed here');
  if (fd < 0) throw errorOf(-fd, 'openat', path);
  try {
    if (mountOf(fd).id !== mountOf(workdir).id) throw refusal('EBUSY', path, 'unmount what is mounted here');
    const { uid } = statxFd(fd);
    const user = process.geteuid?.() ?? 0;
    if (user !== 0 && uid !== user) {
      throw refusal('EACCES', path, `it belongs to another user (uid ${uid}); name a work directory of your own`);
    }
    dropAcls(fd);
    if (MODE !== 0) fchmodat(fd, '', MODE);
    const node = new HostDirectory(undefined, name);
    node.fd = fd;
    return node;
  } catch (error) {
    close(fd);
    throw error;
  }
}

export function closeBesideWork(node: HostNode): void {
  directories.forgetTree(node);
  close(node.fd);
  node.fd = -1;
}

/** What is staged would inherit them (ovl_workdir_create). */
function dropAcls(work: number): void {
  for (const name of [ACL_ACCESS, ACL_DEFAULT]) {
    try {
      removexattr(work, '.', name);
    } catch (error) {
      if (!isFsError(error, 'ENODATA', 'EOPNOTSUPP')) throw error;
    }
  }
}

function openForRemoval(dirfd: number, name: string): number {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  const fd = openatOrErrno(dirfd, name, flags);
  if (fd >= 0) return fd;
  if (fd !== -EACCES) throw errorOf(-fd, 'openat', name);
  fchmodat(dirfd, name, 0o700);
  return openat(dirfd, name, flags);
}
