/**
 * The on-disk format: how whiteouts, opaque directories, redirects and origins are spelt in a layer. Reads the kernel's
 * forms and those of other writers; writes the kernel's only. Pure: it decodes what lookup fetched.
 * Source: Documentation/filesystems/overlayfs.rst; for `.wh.` names the OCI image specification, layer.md.
 */
import { type Attributes, S_IFCHR, S_IFMT, S_IFREG } from './attributes.js';
import { FsError } from './errors.js';
import type { FileHandle, VerityDigest } from './layer.js';
import { byteLength, decodeName, encodeName } from './names.js';

/** Namespace of overlay attributes in one mount. */
export type XattrPrefix = 'trusted.overlay.' | 'user.overlay.';

/** Longest redirect that the kernel accepts, in bytes. */
export const REDIRECT_MAX = 256;

const WHITEOUT_NAME_PREFIX = '.wh.';
/** Marks its directory opaque. */
export const OPAQUE_NAMES: ReadonlySet<string> = new Set(['.wh..wh..opq', '.wh..opq']);
/** fuse-overlayfs' own spelling of `opaque`, written where it may not set trusted attributes. */
const FUSE_OVERLAYFS_OPAQUE = 'user.fuseoverlayfs.opaque';
const FUSE_OVERLAYFS_ORIGIN = 'user.fuseoverlayfs.origin';

/** What a directory entry's name alone says. */
export type NameMeaning =
  | { kind: 'entry' }
  | { kind: 'whiteout'; of: string }
  | { kind: 'opaque' }
  | { kind: 'reserved' };

const ENTRY: NameMeaning = { kind: 'entry' };
const OPAQUE: NameMeaning = { kind: 'opaque' };
const RESERVED: NameMeaning = { kind: 'reserved' };

export function meaningOfName(name: string): NameMeaning {
  if (!name.startsWith(WHITEOUT_NAME_PREFIX)) return ENTRY;
  if (OPAQUE_NAMES.has(name)) return OPAQUE;
  if (name.startsWith('.wh..wh.') || name.length === WHITEOUT_NAME_PREFIX.length) return RESERVED; // aufs' bookkeeping
  return { kind: 'whiteout', of: name.slice(WHITEOUT_NAME_PREFIX.length) };
}

/** The kernel's whiteout: a character device 0:0. */
export function isWhiteoutDevice(attributes: Attributes): boolean {
  return (attributes.mode & S_IFMT) === S_IFCHR && attributes.rdev === 0;
}

/** Whether an object can be an "xattr whiteout": a zero-size regular file, marked by {@link whiteoutXattr}. */
export function mayBeXattrWhiteout(attributes: Attributes): boolean {
  return attributes.size === 0 && (attributes.mode & S_IFMT) === S_IFREG;
}

export function whiteoutXattr(prefix: XattrPrefix): string {
  return `${prefix}whiteout`;
}

/** How a directory of one layer relates to those below. */
export interface DirectoryMarks {
  /** "y" hides everything below; "x" announces xattr whiteouts among the entries. */
  opaque: 'y' | 'x' | undefined;
  /** What the directory is called in the layers below, see {@link parseRedirect}. */
  redirect: string | undefined;
  impure: boolean;
}

export const NO_MARKS: DirectoryMarks = { opaque: undefined, redirect: undefined, impure: false };

/** The attributes that {@link directoryMarks} needs, out of those that a directory has. */
export function markXattrs(names: readonly string[], prefix: XattrPrefix): string[] {
  const marks = [`${prefix}opaque`, `${prefix}redirect`, `${prefix}impure`, FUSE_OVERLAYFS_OPAQUE];
  return names.filter((name) => marks.includes(name));
}

export function directoryMarks(xattrs: ReadonlyMap<string, Uint8Array>, prefix: XattrPrefix): DirectoryMarks {
  const opaque = first(xattrs.get(`${prefix}opaque`));
  const redirect = xattrs.get(`${prefix}redirect`);
  return {
    opaque: opaque === 'y' || first(xattrs.get(FUSE_OVERLAYFS_OPAQUE)) === 'y' ? 'y' : opaque === 'x' ? 'x' : undefined,
    redirect: redirect === undefined ? undefined : decodeName(redirect),
    impure: first(xattrs.get(`${prefix}impure`)) === 'y',
  };
}

function first(value: Uint8Array | undefined): string | undefined {
  return value?.length === 1 ? String.fromCharCode(value[0] as number) : undefined;
}

/** `name` in the same parent, or `/a/b` from the overlay's root. Throws EIO for anything else. */
export function parseRedirect(redirect: string): { absolute: boolean; components: string[] } {
  const absolute = redirect.startsWith('/');
  const components = (absolute ? redirect.slice(1) : redirect).split('/');
  const wellFormed =
    byteLength(redirect) <= REDIRECT_MAX &&
    (absolute || components.length === 1) &&
    components.every((name) => name !== '' && name !== '.' && name !== '..');
  if (!wellFormed) throw new FsError('EIO', { syscall: 'redirect', path: redirect });
  return { absolute, components };
}

/** The overlay attributes that this version understands; a layer's root with another one is refused. */
const KNOWN_XATTR = /^(opaque|whiteouts?|redirect|origin|impure|nlink|metacopy|protattr|uuid|upper)$/;

/** The first overlay attribute among `names` that is not understood. Nested overlays' attributes are the user's. */
export function unknownXattr(names: readonly string[], prefix: XattrPrefix): string | undefined {
  return names.find((name) => {
    if (!name.startsWith(prefix) || name.startsWith(`${prefix}overlay.`)) return false;
    return !KNOWN_XATTR.test(name.slice(prefix.length));
  });
}

/** Whether an attribute is another writer's mark that acts in every layer: hidden from users and not theirs to set. */
export function isForeignMark(name: string): boolean {
  return name === FUSE_OVERLAYFS_OPAQUE || name === FUSE_OVERLAYFS_ORIGIN;
}

/** Whether a layer's attribute is the overlay's own and thus hidden from users and not copied up. */
export function isPrivateXattr(name: string, prefix: XattrPrefix): boolean {
  return isForeignMark(name) || (name.startsWith(prefix) && !name.startsWith(`${prefix}overlay.`));
}

/** A user's name → the layer's: an overlay attribute set through the overlay belongs to a nested one. */
export function escapeXattr(name: string, prefix: XattrPrefix): string {
  return name.startsWith(prefix) ? `${prefix}overlay.${name.slice(prefix.length)}` : name;
}

/** The layer's name → a user's, or undefined where it is hidden. */
export function unescapeXattr(name: string, prefix: XattrPrefix): string | undefined {
  if (!name.startsWith(prefix)) return isForeignMark(name) ? undefined : name;
  const nested = `${prefix}overlay.`;
  return name.startsWith(nested) ? prefix + name.slice(nested.length) : undefined;
}

const METACOPY_HEADER = 4;
/** Stands in place of a plain metacopy's 0 where part of the data is the file's own: see extents/map.ts. */
export const EXTENTS_VERSION = 0x65;

/** Whether all the data of a file with this metacopy attribute is in the layers below. */
export function leavesAllBelow(metacopy: Uint8Array): boolean {
  return metacopy[0] !== EXTENTS_VERSION;
}

/** The digest in a metacopy attribute, or undefined where it has none. Throws EIO where the kernel does. */
export function decodeMetacopy(value: Uint8Array): VerityDigest | undefined {
  if (value.length === 0) return undefined;
  if (value.length < METACOPY_HEADER || value[0] !== 0 || value[1] !== value.length)
    throw new FsError('EIO', { syscall: 'metacopy' });
  const algorithm = value[3] as number;
  return algorithm === 0 ? undefined : { algorithm, bytes: value.slice(METACOPY_HEADER) };
}

/** The value of a metacopy attribute. */
export function encodeMetacopy(digest: VerityDigest | undefined): Uint8Array {
  if (digest === undefined) return new Uint8Array(0);
  const { algorithm, bytes } = digest;
  return Uint8Array.of(0, METACOPY_HEADER + bytes.length, 0, algorithm, ...bytes);
}

const HANDLE_MAGIC = 0xfb;
const HANDLE_HEADER = 21;
const FLAG_BIG_ENDIAN = 1;
const FLAG_ANY_ENDIAN = 2;
const FLAG_UPPER = 4;

/**
 * The value of `origin` for an object of a lower layer, or of `upper` for one of the upper. Handles come from little-endian
 * hosts, as all of Node's are.
 */
export function encodeOrigin(handle: FileHandle, of: 'lower' | 'upper' = 'lower'): Uint8Array {
  const out = new Uint8Array(HANDLE_HEADER + handle.bytes.length);
  out[1] = HANDLE_MAGIC;
  out[2] = out.length;
  if (of === 'upper') out[3] = FLAG_UPPER;
  out[4] = handle.type;
  out.set(handle.uuid, 5);
  out.set(handle.bytes, HANDLE_HEADER);
  return out;
}

/** The handle in an `origin` value, or undefined where it is empty ("unknown") or not for this machine. */
export function decodeOrigin(value: Uint8Array): FileHandle | undefined {
  if (value.length <= HANDLE_HEADER || value[0] !== 0 || value[1] !== HANDLE_MAGIC) return undefined;
  const length = value[2] as number;
  const flags = value[3] as number;
  if (length > value.length || (flags & ~(FLAG_BIG_ENDIAN | FLAG_ANY_ENDIAN | FLAG_UPPER)) !== 0) return undefined;
  if ((flags & FLAG_BIG_ENDIAN) !== 0 && (flags & FLAG_ANY_ENDIAN) === 0) return undefined;
  return { uuid: value.slice(5, HANDLE_HEADER), type: value[4] as number, bytes: value.slice(HANDLE_HEADER, length) };
}

/** A text attribute's bytes. */
export function xattrText(text: string): Uint8Array {
  return encodeName(text);
}
