/**
 * How an overlay comes before the kernel. There is one way now, the FUSE protocol spoken directly over /dev/fuse; another
 * (a FUSE library, where there is no such device) has to offer the same.
 */
import { directTransport } from './fuse/mount.js';
import type { LabelName, TransportName } from './options.js';

export interface AttachRequest {
  /** Absolute, without symbolic links. */
  mountpoint: string;
  fsname: string;
  subtype: string;
  /** The option words that `mount` knows too: ro, nosuid, noatime … */
  flags: readonly MountFlag[];
  allow: 'owner' | 'other';
  /** SELinux labels for the kernel; without quotation marks. */
  labels: readonly (readonly [LabelName, string])[];
}

export type MountFlag =
  | 'ro'
  | 'nosuid'
  | 'nodev'
  | 'noexec'
  | 'sync'
  | 'dirsync'
  | 'nosymfollow'
  | 'noatime'
  | 'nodiratime'
  | 'relatime'
  | 'strictatime';

/** A mount that waits for its server. */
export interface Attachment {
  /** The device to read requests from; closed on exec. */
  readonly fd: number;
  /** A command that takes the mount away after our death, to be followed by the mountpoint. */
  readonly detachCommand: readonly string[];
  /** Once the mount answers: sets what can only be set then. `device` is `major:minor`. */
  tune(device: string): void;
  /** Takes the mount away. "now" throws MountError (busy) while it is in use; "lazy" hides it at once. */
  detach(how: 'now' | 'lazy'): void;
}

export interface Transport {
  readonly name: TransportName;
  /** Mounts. Throws MountError. */
  attach(request: AttachRequest): Attachment;
}

const transports: Record<TransportName, Transport> = { direct: directTransport };

export function transportNamed(name: TransportName): Transport {
  return transports[name];
}
