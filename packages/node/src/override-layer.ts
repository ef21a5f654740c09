/**
 * Layers whose objects carry an `override_stat` (override.ts in core): read through it, and in the upper written with it, so
 * that a daemon that may neither give files away nor make devices keeps owners, modes and types all the same. The objects
 * on disk are the daemon's own: what is no file, directory or symbolic link is an empty file.
 */
import {
  ACL_ACCESS,
  ACL_DEFAULT,
  type AttributeChange,
  type Attributes,
  DT_REG,
  DT_UNKNOWN,
  type Found,
  FsError,
  type Layer,
  type LayerEntry,
  type Job,
  type LayerFile,
  type LayerNode,
  type NamespaceChange,
  type NewObject,
  OVERRIDE_XATTRS,
  type OverriddenStat,
  type OverrideXattr,
  type Place,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_ISGID,
  S_ISUID,
  type UpperFile,
  type UpperLayer,
  applyOverride,
  escapeOverridden,
  isDirectory,
  isFsError,
  isRegular,
  isSymlink,
  overrideValue,
  unescapeOverridden,
} from '@ovl/core';
import { isWhiteout } from './host-create.js';
import type { HostUpperLayer } from './host-upper.js';
import { isAdministrator } from './processes.js';
import { refusal } from './refusal.js';
import { type DirectoryLayer, SeenLayer } from './seen-layer.js';
import { CAPABILITY } from './xattr-syscalls.js';

/**
 * Which layers' `user.*` attributes are believed: all, or those whose root belongs to this process. Default: all, except
 * for the administrator of the machine, for whom anybody's file could say that it is root's and set-user-ID.
 */
export type OverrideTrust = 'all' | 'own';

/** The layer read through the `override_stat` that its root carries, or the layer itself. */
export function withOverride<L extends DirectoryLayer>(layer: L, trust?: OverrideTrust): L | OverrideLayer<L> {
  const own = overrideOf(layer, trust);
  return own === undefined ? layer : new OverrideLayer(layer, own);
}

/** The `override_stat` that a layer uses: its root has it. */
function overrideOf(layer: Layer<'sync'>, trust: OverrideTrust = isAdministrator() ? 'own' : 'all') {
  const names = layer.listxattr(layer.root);
  const own = OVERRIDE_XATTRS.find((name) => names.includes(name));
  const anybodys = own?.startsWith('user.') === true && trust === 'own';
  return anybodys && layer.getattr(layer.root).uid !== process.geteuid?.() ? undefined : own;
}

/** What xattr_permissions asks of an upper. */
export interface OverrideWish {
  /** 1 for "security.fuseoverlayfs.override_stat", 2 for "user.containers.override_stat". */
  xattrPermissions: 1 | 2;
  /** What the upper's root is shown as if it does not say. */
  root: OverriddenStat;
}

/** The upper that reads and writes the `override_stat` wished for, or else the one that its root carries, if any. */
export function upperWithOverride(upper: HostUpperLayer, wish: OverrideWish | undefined): HostUpperLayer {
  if (wish === undefined) {
    const own = overrideOf(upper);
    return own === undefined ? upper : new OverrideUpper(upper, own);
  }
  const [security, containers, user] = OVERRIDE_XATTRS as [OverrideXattr, OverrideXattr, OverrideXattr];
  const names = upper.listxattr(upper.root);
  const older = !names.includes(containers) && names.includes(user); // of early versions of fuse-overlayfs: go on with it
  const own = wish.xattrPermissions === 1 ? security : older ? user : containers;
  // The root's own tells later readers, this upper then being one of their layers, that the others have it.
  if (!names.includes(own)) markRoot(upper, own, wish.root);
  return new OverrideUpper(upper, own);
}

function markRoot(upper: UpperLayer<'sync'>, own: OverrideXattr, root: OverriddenStat): void {
  try {
    upper.setxattr(upper.root, own, overrideValue(root, S_IFDIR));
  } catch (error) {
    if (!isFsError(error, 'EPERM')) throw error;
    throw refusal('EPERM', own, 'xattr_permissions=1 takes CAP_SYS_ADMIN, xattr_permissions=2 does not');
  }
}

/** An ACL on disk would speak of the mode on disk, which is not the one that is shown. */
function isAcl(name: string): boolean {
  return name === ACL_ACCESS || name === ACL_DEFAULT;
}

/** Reads `layer` through its attribute `own`. */
export class OverrideLayer<L extends DirectoryLayer = DirectoryLayer> extends SeenLayer<L> {
  protected readonly own: OverrideXattr;

  constructor(layer: L, own: OverrideXattr) {
    super(layer);
    this.own = own;
  }

  protected see(node: LayerNode, attributes: Attributes): Attributes {
    const value = this.layer.getxattr(node, this.own);
    return value === undefined ? attributes : applyOverride(attributes, value);
  }

  /** What looks like a file may be a device: only its attribute tells. */
  override readdir(dir: LayerNode): LayerEntry[] {
    const entries = this.layer.readdir(dir);
    for (const entry of entries) if (entry.type === DT_REG) entry.type = DT_UNKNOWN;
    return entries;
  }

  override getxattr(node: LayerNode, name: string): Uint8Array | undefined {
    if (isAcl(name)) return undefined;
    const escaped = escapeOverridden(name, this.own);
    return escaped === undefined ? undefined : this.layer.getxattr(node, escaped);
  }

  override listxattr(node: LayerNode): string[] {
    const names = this.layer.listxattr(node).filter((name) => !isAcl(name));
    return names.flatMap((name) => unescapeOverridden(name, this.own) ?? []);
  }
}

/** The owner's access to the object on disk is the daemon's; the bits for others are as asked, and none acts for anybody. */
function storedMode(mode: number): number {
  if (isDirectory(mode)) return S_IFDIR | (mode & 0o777) | 0o700;
  return isSymlink(mode) ? S_IFLNK | 0o777 : S_IFREG | (mode & 0o777) | 0o600;
}

/** As {@link OverrideLayer}, and writes the attribute. */
class OverrideUpper extends OverrideLayer<HostUpperLayer> implements HostUpperLayer {
  readonly xattrPrefix: UpperLayer['xattrPrefix'];
  readonly #uid: number = process.geteuid?.() ?? 0;
  readonly #gid: number = process.getegid?.() ?? 0;

  constructor(layer: HostUpperLayer, own: OverrideXattr) {
    super(layer, own);
    this.xattrPrefix = layer.xattrPrefix;
  }

  stage(object: NewObject): Found {
    if (isWhiteout(object)) return this.layer.stage(object);
    const stored: NewObject = { ...object, mode: storedMode(object.mode), uid: this.#uid, gid: this.#gid };
    const { node, attributes } = this.layer.stage(stored);
    try {
      this.#record(node, { ...attributes, ...object, rdev: object.rdev ?? 0 }, attributes.mode);
      return { node, attributes: this.getattr(node) };
    } catch (error) {
      this.layer.discard(node);
      throw error;
    }
  }

  discard(node: LayerNode): void {
    this.layer.discard(node);
  }

  /** By staging, since an object must not be there without its attribute, not even after a crash. */
  create(to: Place, object: NewObject): Found {
    if (isWhiteout(object)) return this.layer.create(to, object);
    const { node } = this.stage(object);
    try {
      this.layer.commit({ kind: 'link', node, to, over: 'nothing' });
    } catch (error) {
      this.layer.discard(node);
      throw error;
    }
    return { node, attributes: this.getattr(node) };
  }

  commit(change: NamespaceChange): void {
    this.layer.commit(change);
  }

  /** The view changes with the attribute, in one step; the bits on disk follow it so that what is private stays so. */
  setattr(node: LayerNode, change: AttributeChange): void {
    const { size, uid, gid, mode, ...times } = change;
    if (size !== undefined) {
      this.#dropCapability(node);
      this.layer.setattr(node, { size }); // first, because it may fail
    }
    if (uid === undefined && gid === undefined && mode === undefined) return this.layer.setattr(node, times);
    const real = this.layer.getattr(node);
    const next = { ...this.see(node, real) };
    if (uid !== undefined) next.uid = uid;
    if (gid !== undefined) next.gid = gid;
    if (uid !== undefined || gid !== undefined) this.#dropCapability(node);
    if (mode !== undefined) next.mode = (next.mode & S_IFMT) | (mode & 0o7777);
    else if (isRegular(next.mode)) next.mode = afterChown(next.mode);
    this.#record(node, next, real.mode);
    this.layer.setattr(node, isSymlink(real.mode) ? times : { ...times, mode: storedMode(next.mode) & 0o777 });
  }

  /** Symbolic links hold no `user.*` attribute: their owner stays the daemon's, as under fuse-overlayfs. */
  #record(node: LayerNode, stat: Attributes, mode: number): void {
    try {
      this.layer.setxattr(node, this.own, overrideValue(stat, mode));
    } catch (error) {
      if (isRegular(mode) || isDirectory(mode) || !isFsError(error, 'EPERM', 'EOPNOTSUPP')) throw error;
    }
  }

  /** What the kernel does to a real capability at a write, a truncation and a change of owner. */
  #dropCapability(node: LayerNode): void {
    const escaped = escapeOverridden(CAPABILITY, this.own);
    if (escaped === undefined || escaped === CAPABILITY) return;
    if (this.layer.getxattr(node, escaped) !== undefined) this.layer.removexattr(node, escaped);
  }

  setxattr(node: LayerNode, name: string, value: Uint8Array, condition?: 'create' | 'replace'): void {
    this.layer.setxattr(node, this.#escape(name, 'setxattr'), value, condition);
  }

  removexattr(node: LayerNode, name: string): void {
    this.layer.removexattr(node, this.#escape(name, 'removexattr'));
  }

  #escape(name: string, syscall: string): string {
    if (isAcl(name)) throw new FsError('EOPNOTSUPP', { syscall, path: name });
    const escaped = escapeOverridden(name, this.own);
    if (escaped === undefined) throw new FsError('EPERM', { syscall, path: name });
    if (escaped.length > 255) throw new FsError('ERANGE', { syscall, path: name });
    return escaped;
  }

  override open(node: LayerNode): UpperFile<'sync'> {
    return this.layer.open(node);
  }

  openWritable(node: LayerNode): UpperFile<'sync'> {
    this.#dropCapability(node);
    return this.layer.openWritable(node);
  }

  copyRange(
    from: LayerFile<'sync'>,
    fromPosition: number,
    to: UpperFile<'sync'>,
    toPosition: number,
    length: number,
  ): number | undefined {
    return this.layer.copyRange?.(from, fromPosition, to, toPosition, length);
  }

  copyData(from: LayerFile<'sync'>, to: UpperFile<'sync'>, length: number): boolean {
    return this.layer.copyData?.(from, to, length) ?? false;
  }

  copiesBeside(from: LayerFile<'sync'>, to: UpperFile<'sync'>): boolean {
    return this.layer.copiesBeside?.(from, to) ?? false;
  }

  copyBeside(from: LayerFile<'sync'>, to: UpperFile<'sync'>, position: number, length: number): Job {
    return this.layer.copyBeside?.(from, to, position, length) as Job;
  }

  syncBeside(file: UpperFile<'sync'>, scope: 'order' | 'all'): Job {
    return this.layer.syncBeside?.(file, scope) as Job;
  }

  release(node: LayerNode): void {
    this.layer.release?.(node);
  }

  fsyncdir(dir: LayerNode): void {
    this.layer.fsyncdir(dir);
  }

  sync(): void {
    this.layer.sync();
  }

  openIndex(): LayerNode {
    return this.layer.openIndex();
  }

  markVolatile(): void {
    this.layer.markVolatile();
  }
}

/** A change of owner takes the set-id bits of a program away (chown(2)). */
function afterChown(mode: number): number {
  return mode & ~S_ISUID & ~((mode & 0o010) !== 0 ? S_ISGID : 0);
}
