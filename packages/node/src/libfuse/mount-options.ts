/** What libfuse is told at the mount: our request in the words of its `-o`. */
import { ExitCode, MountError } from '../mount-error.js';
import type { AttachRequest, MountFlag } from '../transport.js';

/** The addon cuts what is longer, without a word; with the terminating zero. */
const TEXT_MAX_BYTES = 1024;

/** In seconds: "without end", for libfuse. */
const FOR_EVER = 1e9;

/** Words about access times, of which a FUSE mount keeps none of its own; libfuse knows only `noatime`. */
const idle: readonly MountFlag[] = ['relatime', 'strictatime', 'nodiratime'];

/** As in LayerRequest. */
export interface ServingOptions {
  timeout: number | undefined;
  owner: number | undefined;
  nfsExport: boolean;
  noOpen: boolean | undefined;
}

/** Throws MountError (usage) for what libfuse2 or fuse-native cannot do. */
export function libfuseOptions(request: AttachRequest, { timeout, owner, nfsExport, noOpen }: ServingOptions): string {
  const { mountpoint, fsname, subtype, flags, allow, labels } = request;
  const readOnly = flags.includes('ro');
  if (owner !== undefined) throw refusal('no allow_root: fuse-native does not tell who asks');
  if (allow === 'other' && !readOnly) {
    throw refusal(
      'no allow_other, unless read-only: fuse-native does not tell who makes a file, and whose it is to be',
    );
  }
  if (nfsExport) throw refusal('no nfs_export: libfuse2 numbers nodes itself');
  if (noOpen === true) throw refusal('no no_open: libfuse2 takes a file that cannot be opened for an error');
  if (labels.length > 0) throw refusal(`no ${labels[0]?.[0]}`);
  if (flags.includes('nosymfollow')) throw refusal('no nosymfollow');
  const options = [
    ...flags.filter((flag) => !idle.includes(flag)),
    // libfuse's own defaults are the careful ones; an ordinary user cannot have the others.
    ...(process.geteuid?.() === 0 ? (['suid', 'dev'] as const).filter((word) => !flags.includes(`no${word}`)) : []),
    'default_permissions',
    ...(allow === 'other' ? ['allow_other'] : []),
    `fsname=${escapeOption(fsname)}`,
    `subtype=${escapeOption(subtype)}`,
    'use_ino', // ours, which hard links share
    ...(process.platform === 'linux' ? ['nonempty', 'big_writes'] : []), // macFUSE does both, and knows neither word
    // Each name of a hard-linked file is a file of its own to libfuse, and so to the kernel's caches: where anything may
    // change, what they keep of one would be wrong once another has been written.
    `entry_timeout=${timeout ?? FOR_EVER}`,
    `negative_timeout=${timeout ?? FOR_EVER}`,
    `attr_timeout=${timeout ?? (readOnly ? FOR_EVER : 0)}`,
    ...(readOnly && timeout === undefined ? ['kernel_cache'] : []),
  ];
  const text = `-o${options.join(',')}`;
  for (const [what, value] of [
    ['the mount options', text],
    ['the mountpoint', mountpoint],
  ] as const) {
    if (Buffer.byteLength(value) >= TEXT_MAX_BYTES) {
      throw refusal(`${what} exceed 1,023 bytes`);
    }
  }
  return text;
}

/** A comma or backslash in a value takes a backslash. */
function escapeOption(value: string): string {
  return value.replace(/[\\,]/g, '\\$&');
}

function refusal(why: string): MountError {
  return new MountError(ExitCode.usage, `transport=libfuse: ${why}`);
}
