/**
 * `override_stat`: an extended attribute that says an object's owner, mode and type, for writers that may not give files
 * away nor make devices: fuse-overlayfs with `xattr_permissions`, and containers/storage. A layer uses one such attribute
 * throughout, and its root has it. Pure: the spelling only; who reads and writes it decides where it counts.
 */
import {
  type Attributes,
  makedev,
  major,
  minor,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from './attributes.js';
import { FsError } from './errors.js';
import { decodeName, encodeName } from './names.js';

const CONTAINERS_PREFIX = 'user.containers.override_';
const CONTAINERS = 'user.containers.override_stat';

/** An attribute in which owner, mode and type may be kept, as fuse-overlayfs and containers/storage spell it. */
export type OverrideXattr =
  | 'security.fuseoverlayfs.override_stat'
  | 'user.containers.override_stat'
  | 'user.fuseoverlayfs.override_stat';

/** In order of precedence, as fuse-overlayfs looks for them in a layer's root. */
export const OVERRIDE_XATTRS: readonly OverrideXattr[] = [
  'security.fuseoverlayfs.override_stat',
  CONTAINERS,
  'user.fuseoverlayfs.override_stat',
];

/** What an `override_stat` says. */
export interface OverriddenStat {
  uid: number;
  gid: number;
  /** Type and permission bits. */
  mode: number;
  /** Of devices. */
  rdev: number;
}

const TYPES: readonly (readonly [name: string, type: number])[] = [
  ['file', S_IFREG],
  ['dir', S_IFDIR],
  ['symlink', S_IFLNK],
  ['pipe', S_IFIFO],
  ['socket', S_IFSOCK],
  ['block', S_IFBLK],
  ['char', S_IFCHR],
];

/** What `uid:gid:mode[:type[-major-minor]]` with an octal mode makes of a layer's attributes. Throws EIO. */
export function applyOverride(attributes: Attributes, value: Uint8Array): Attributes {
  const text = decodeName(value);
  const match = /^(\d+):(\d+):([0-7]+)(?::([a-z]+)(?:-(\d+)-(\d+))?)?/.exec(text);
  const type = match?.[4] === undefined ? attributes.mode & S_IFMT : TYPES.find(([name]) => name === match[4])?.[1];
  if (match === null || type === undefined) throw new FsError('EIO', { syscall: 'override_stat', path: text });
  const [, uid, gid, mode, , majorPart, minorPart] = match;
  return {
    ...attributes,
    uid: Number(uid),
    gid: Number(gid),
    mode: type | (Number.parseInt(mode as string, 8) & 0o7777),
    rdev: majorPart === undefined ? attributes.rdev : makedev(Number(majorPart), Number(minorPart)),
  };
}

/** The value that {@link applyOverride} reads as `stat`, for an object whose type in the layer is that of `storedMode`. */
export function overrideValue(stat: OverriddenStat, storedMode: number): Uint8Array {
  const type = stat.mode & S_IFMT;
  let text = `${stat.uid}:${stat.gid}:${(stat.mode & 0o7777).toString(8)}`;
  if (type !== (storedMode & S_IFMT)) {
    text += `:${TYPES.find(([, bits]) => bits === type)?.[0]}`;
    if (type === S_IFCHR || type === S_IFBLK) text += `-${major(stat.rdev)}-${minor(stat.rdev)}`;
  }
  return encodeName(text);
}

/**
 * A user's attribute → the layer's, where `own` is the override: an unprivileged writer keeps what is the administrator's
 * to set (file capabilities) under another name. Undefined for what users may not reach.
 */
export function escapeOverridden(name: string, own: OverrideXattr): string | undefined {
  if (own !== CONTAINERS) return name === own ? undefined : name;
  return name.startsWith('security.') || name === own ? CONTAINERS_PREFIX + name : name;
}

/** The layer's attribute → a user's, or undefined where it is hidden. Undoes {@link escapeOverridden}. */
export function unescapeOverridden(name: string, own: OverrideXattr): string | undefined {
  if (name === own) return undefined;
  if (own !== CONTAINERS) return name;
  if (name.startsWith('security.')) return undefined;
  if (!name.startsWith(CONTAINERS_PREFIX)) return name;
  const inner = name.slice(CONTAINERS_PREFIX.length);
  return inner.startsWith('security.') || inner === own ? inner : name;
}
