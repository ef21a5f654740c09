/**
 * How an overlay comes before the kernel: by the FUSE protocol, spoken directly over /dev/fuse on a thread of ours, or by
 * libfuse through the package fuse-native, in a process of its own, where there is no such device to speak to.
 */
import type { RequestCount } from './fuse/request-counts.js';
import { directTransport } from './fuse/thread.js';
import { libfuseTransport } from './libfuse/process.js';
import type { ExitCode } from './mount-error.js';
import type { LayerRequest } from './mount-request.js';
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

/** A mount, from its controller's side. */
export interface Attachment {
  /** A command that takes the mount away after our death, to be followed by the mountpoint. */
  readonly detachCommand: readonly string[];
  /** Once the mount answers: sets what can only be set then. `device` is `major:minor`. */
  tune(device: string): void;
  /** Completes what is still to be done in the upper, if anything is: until then it cannot be taken away "now". */
  settle?(): Promise<void> | undefined;
  /** Takes the mount away. "now" throws MountError (busy) while it is in use; "lazy" hides it at once. */
  detach(how: 'now' | 'lazy'): void;
  /** After the end. */
  release(): void;
}

/** What a server is to serve; passes between threads and processes as JSON. */
export interface ServeRequest {
  layers: LayerRequest;
  log: 'stderr' | undefined;
  /** Whether to measure the time that requests take. */
  stats: boolean;
}

/** What a server tells, in this order; "failed" may come in place of any. */
export type ServeEvent =
  /** `userxattr`: where overlay attributes are kept. */
  | { kind: 'opened'; userxattr: boolean }
  | { kind: 'live' }
  | { kind: 'ended' }
  | { kind: 'failed'; message: string; code: string | undefined; exitCode?: ExitCode };

/** What answers a mount's requests. Nothing is lost with it that the upper does not have. */
export interface MountServer {
  /** Resolves when it has left. */
  readonly exit: Promise<void>;
  /** Mounts, and has it serve. Throws MountError. */
  attach(request: AttachRequest): Attachment;
  /** What it has been asked so far, where it counts that. */
  counts?(): RequestCount[];
  /** Lets a server go that serves nothing. */
  dismiss(): void;
  /** Ends it whoever uses its mount. False if only the end of this process can. */
  kill(): boolean;
}

export interface Transport {
  readonly name: TransportName;
  /** Starts a server, which opens the layers. */
  start(request: ServeRequest, listener: (event: ServeEvent) => void): MountServer;
}

const transports: Record<TransportName, Transport> = { direct: directTransport, libfuse: libfuseTransport };

export function transportNamed(name: TransportName): Transport {
  return transports[name];
}
