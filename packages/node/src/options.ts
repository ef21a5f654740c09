/** Mount options: what a mount can be told. The words of `-o` that say it are option-table.ts. */
import type { OwnerMapOptions } from '@ovl/core';

/** How the mount reaches the kernel: see transport.ts. */
export type TransportName = 'direct' | 'libfuse';

/** Options that label a mount for SELinux. */
export type LabelName = 'context' | 'fscontext' | 'defcontext' | 'rootcontext';

/** What an option string can say. */
export interface MountSettings {
  /** Read-only layers, topmost first. */
  lower: string[];
  /** Layers below these whose names stay out of sight: they lend data to metacopies. */
  dataOnly?: string[];
  /** The writable layer. Without one the mount is read-only. */
  upper?: string;
  /** An empty directory on the upper's file system. Chosen beside the upper when left out. */
  work?: string;
  readOnly?: boolean;
  /** Who may use the mount; "root": its owner and root. Default: "other" for root's mounts, "owner" for everyone else's. */
  allow?: 'owner' | 'other' | 'root';
  /** Seconds after which a change of a layer from outside shows. Default: layers do not change from outside. */
  timeout?: number;
  /**
   * What is copied up after the answer: large files (the default), also files of which only attributes change ("all"), or
   * nothing.
   */
  lazyCopyUp?: 'all' | 'off';
  /**
   * "off": every read and write is a request, even where the kernel could do without (root's mounts, Linux 6.9). "all": it does
   * without also for large lower files, whose readers then keep what they opened when the file is changed meanwhile.
   */
  passthrough?: 'off' | 'all';
  /**
   * The kernel opens files without asking, and closes them so. A file is then copied up by the first change instead of its
   * opening, which is also where an error comes. Excludes passthrough, `timeout` and `allow: 'root'`. Default: where there is none of them.
   */
  noOpen?: boolean;
  /** File handles hold until the unmount, whatever the kernel forgets. What was ever looked up then stays in memory. */
  nfsExport?: boolean;
  /** Overlay attributes under "user.overlay." instead of "trusted.overlay.". */
  userxattr?: boolean;
  /** Owners as users see them, where they are not those that the layers store. */
  owners?: Omit<OwnerMapOptions, 'overflow'>;
  /**
   * Owner, mode and device numbers go into an extended attribute of the upper's objects, which all belong to the daemon: 1 for
   * "security.fuseoverlayfs.override_stat" (needs CAP_SYS_ADMIN), 2 for "user.containers.override_stat".
   */
  xattrPermissions?: 1 | 2;
  /** "off": no directory with lower content is renamed, but what is recorded is followed, except with `userxattr`. */
  redirectDir?: 'on' | 'off' | 'follow' | 'nofollow';
  /** Whether changes of attributes leave a file's data below. "off" also refuses files that were left so. */
  metacopy?: 'on' | 'off';
  /** Whether data below is checked against fs-verity digests where there are some ("on"), or must have one ("require"). */
  verity?: 'off' | 'on' | 'require';
  /**
   * What a copy-up makes durable before it is seen: a file's data ("auto", the default); data, attributes and directories
   * ("strict"); nothing, and `fsync` neither ("volatile").
   */
  fsync?: 'auto' | 'strict' | 'volatile';
  /** Lower files with several names stay one file through copy-up. Default: where the layers allow it. */
  index?: 'on' | 'off';
  /**
   * What file handles that the upper records say of their file system: its UUID, or nothing ("off", for layers on one file
   * system alone). "on" and "auto" also give a new upper a UUID of its own, which the kernel shows in statfs.
   */
  uuid?: 'null' | 'off' | 'auto' | 'on';
  /** Directories have a link count of 1. */
  staticNlink?: boolean;
  /** POSIX ACLs are neither shown nor stored. */
  acl?: 'off';
  /** No extended attributes on the mount. */
  xattrs?: 'off';
  /** SELinux labels, for the kernel. */
  labels?: Partial<Record<LabelName, string>>;
  /** The source in the mount table. Default "ovl". */
  fsname?: string;
  /** The file system's type is "fuse." and this. Default "ovl". */
  subtype?: string;
  /** Default: on for root's mounts; always off for everyone else's. */
  suid?: boolean;
  /** Default: on for root's mounts; always off for everyone else's. */
  dev?: boolean;
  exec?: boolean;
  atime?: 'noatime' | 'relatime' | 'strictatime';
  nodiratime?: boolean;
  sync?: boolean;
  dirsync?: boolean;
  nosymfollow?: boolean;
  /** Serve from this process until the unmount, instead of from a daemon. Sets the process's umask to 0. */
  foreground?: boolean;
  /** Measure the time that requests take, too; they are always counted: see `requestCounts`. */
  stats?: boolean;
  /** Foreground only: failures of ours, one a line. */
  log?: 'stderr';
  /** No other mounts in the daemon: an error or a long operation in one holds up nobody else. */
  ownDaemon?: boolean;
  /** Default: "direct" on Linux, and "libfuse" where there is no such device. */
  transport?: TransportName;
}

/** A whole mount. */
export interface MountOptions extends MountSettings {
  mountpoint: string;
  /** Upper and work directory are made under $TMPDIR, and vanish at the unmount. */
  tmp?: boolean;
}
