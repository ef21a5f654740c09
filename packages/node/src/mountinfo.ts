/**
 * The mount table of this mount namespace (proc_pid_mountinfo(5)). Reading it touches no mounted file system, so it is
 * safe where a `stat` would wait for a server that does not answer.
 */
import { readFileSync } from 'node:fs';
import { decodeName } from '@ovl/core';

export interface Mount {
  id: number;
  /** `major:minor`, as in `st_dev`. */
  device: string;
  /** The directory of the file system that is mounted. */
  root: string;
  mountpoint: string;
  /** The mountpoint as the table spells it, with blanks in octal. */
  escapedMountpoint: string;
  fstype: string;
  source: string;
  /** Whether it shows other owners than its file system stores (mount_setattr(2)). */
  idmapped: boolean;
  /** The file system's own options, as opposed to the mount's. */
  superOptions: string[];
}

/** `text` holds the file's bytes as latin1. Lines that make no sense are left out. */
export function parseMountinfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6); // after any number of optional fields
    if (separator < 0) continue;
    const [id = '', , device = '', root = '', mountpoint = '', options = ''] = fields;
    const [fstype = '', source = '', superOptions = ''] = fields.slice(separator + 1);
    mounts.push({
      id: Number(id),
      device,
      root: unescape(root),
      mountpoint: unescape(mountpoint),
      escapedMountpoint: mountpoint,
      fstype,
      source: unescape(source),
      idmapped: options.split(',').includes('idmapped'),
      superOptions: superOptions.split(','),
    });
  }
  return mounts;
}

function unescape(text: string): string {
  const bytes = text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return decodeName(Buffer.from(bytes, 'latin1'));
}

export function readMounts(): Mount[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'latin1'));
}

/** The mount that an open file lies on, as {@link Mount.id}; for O_PATH too. Asks nothing of the mount. */
export function mountIdOf(fd: number): number {
  return Number(/^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1]);
}

/** The mount that is seen at a path without symbolic links: the one that came last, where several are stacked. */
export function mountAt(mounts: readonly Mount[], path: string): Mount | undefined {
  return mounts.findLast((mount) => mount.mountpoint === path);
}

/** Whether a mount is served over FUSE, and by us. */
export function isFuse(mount: Mount): boolean {
  return mount.fstype === 'fuse' || mount.fstype === 'fuseblk' || mount.fstype.startsWith('fuse.');
}

export function isOvl(mount: Mount): boolean {
  return mount.fstype === 'fuse.ovl';
}
