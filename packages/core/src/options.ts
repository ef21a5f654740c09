/**
 * What an overlay is opened with, and the interfaces of all that only some overlays need and that is therefore passed in:
 * the index, metacopies and their digests, copy-ups after the answer, directories copied whole. Types only.
 */
import type { InheritPermissions } from './acl.js';
import type { AttributeChange, Attributes } from './attributes.js';
import type { XattrPrefix } from './format.js';
import type { Inode, Origin, Real, Stack, Union } from './inode.js';
import type { Found, Layer, LayerNode, UpperFile, UpperLayer, VerityDigest } from './layer.js';
import type { Entry } from './overlay.js';
import type { OwnerMap } from './owners.js';
import type { Revalidation } from './revalidation.js';
import type { Mode, Operation } from './run.js';

/** What an overlay is opened with. Layers are used as they are: the overlay closes them with itself. */
export interface OverlayOptions<M extends Mode = Mode> {
  /** Read-only layers, topmost first. Any number. */
  lower: readonly Layer<M>[];
  /** Layers below these that only lend the data of files: metacopies lead into them by absolute redirects. */
  dataOnly?: readonly Layer<M>[];
  /** The writable layer. Without one the overlay is read-only. */
  upper?: UpperLayer<M>;
  /**
   * Whether a lower directory may be renamed by recording its old name ("on"), or the rename is refused with EXDEV while
   * recorded ones are still followed ("follow"), or met with EPERM ("nofollow"). Default "on"; with attributes under
   * "user.overlay.", which anybody can write, none is recorded and none followed ("User xattr").
   */
  redirectDir?: 'on' | 'follow' | 'nofollow';
  /** Where overlay attributes are read without an upper. Default "trusted.overlay.". */
  xattrPrefix?: XattrPrefix;
  /** Files whose data is below: pass `metacopies(…)`. Without it, reading one is EPERM. */
  metacopy?: Metacopies;
  /** Checks data below against digests: pass `verity('on')` or `verity('require')`. */
  verity?: Verity;
  /** Longest redirect recorded, in bytes; the kernel's module parameter of that name. Default 256. */
  redirectMax?: number;
  /** Moves directories whose new place no redirect can tell; without it that is EXDEV. Pass `deepCopyUp` for it. */
  deepCopyUp?: DeepCopyUp;
  /**
   * What copy-up makes durable before its result is visible: a file's data ("auto", the default), files and directories
   * with their attributes ("strict"), or nothing ("volatile").
   */
  fsync?: 'auto' | 'strict' | 'volatile';
  /** Owners as users see them; default: as they are stored. */
  owners?: OwnerMap;
  /** What keeps a lower file with several names one file when it is copied up: `inodeIndex()`. Default: each name gets a copy. */
  index?: IndexOpener;
  /**
   * POSIX ACLs: `inheritAcl` where new objects get what the directory's default ACL says, and are made without their umask
   * where it has none. Left out, modes are taken as they are.
   */
  acl?: InheritPermissions;
  /** Copy-ups after the answer: pass `new LazyCopyUps(…)` of `@ovl/core/lazy`. Without it, each is complete before. */
  lazy?: LazyCopyUp;
  /** For layers that change from outside meanwhile: what checks the caches. Without it they are trusted. */
  revalidation?: Revalidation;
}

/** Opens the index of an overlay, or answers undefined where its layers cannot have one. */
export type IndexOpener = (stack: Stack) => Operation<InodeIndex | undefined>;

/**
 * What the index does for the operations (inode-index.ts); what has one name only passes through. "Under the namespace lock"
 * is the caller's to see to.
 */
export interface InodeIndex {
  /** Whether a lower object, which is no directory, is one that the index keeps in one piece. */
  covers(attributes: Attributes): boolean;
  /** The entry for a name of such an object in a lower layer. */
  lowerEntry(real: Real, attributes: Attributes): Operation<Entry>;
  /** The union behind an upper object that records `origin`, if the index has it. */
  unionOf(found: Found, origin: Origin): Operation<{ union: Union; node: LayerNode } | undefined>;
  /** Makes sure that the upper has a name of a copied-up object, too, where one is known. */
  nameInUpper(inode: Inode): Operation<void>;
  /**
   * Gives a staged copy its entry, and its known name in the upper; `data` is where its data stayed. False if it is none of
   * the index's. Under the namespace lock.
   */
  arrive(inode: Inode, node: LayerNode, origin: Uint8Array | undefined, data: Real | undefined): Operation<boolean>;
  /** Gives the upper a name that a lower layer has, so that its loss takes one from the count in the same step. */
  linkUp(inode: Inode, dir: Inode, name: string): Operation<void>;
  /** As {@link linkUp}, before the name is removed or replaced: which is possible even where there is no room for a copy. */
  prepareLoss(inode: Inode, dir: Inode, name: string): Operation<void>;
  /** The upper object by a name that it has there, where {@link Inode.upper} is the one by its name in the index. */
  nodeAt(inode: Inode, dir: Inode, name: string): Operation<LayerNode | undefined>;
  /** Before a name is added or removed: the stored count then follows by itself. Under the namespace lock. */
  record(inode: Inode): Operation<void>;
  /** After a name was removed, which lay in the upper or only below. Under the namespace lock. */
  lost(inode: Inode, from: 'upper' | 'lower'): Operation<void>;
}

/** What copy-up leaves for later (lazy/). An inode for which something is left is pinned. */
export interface LazyCopyUp {
  /**
   * Sees to changes of the attributes of a file that is only in a lower layer: remembers them in {@link Inode.shown}, or copies
   * the file with them. False where they are still to be made.
   */
  defer(stack: Stack, inode: Inode, change: AttributeChange): Operation<boolean>;
  /** Begins to copy a file's data into a staged object. Undefined where it has to be copied now. */
  begin(
    stack: Stack,
    inode: Inode,
    source: Real,
    target: LayerNode,
    length: number,
    attributes: Attributes,
  ): Operation<PendingData | undefined>;
  /** Lets go of what {@link begin} began, or of the data of a file that is gone. */
  abandon(inode: Inode): void;
  /** Completes what is left for an inode, or throws: the change that needs it comes before its own effects. */
  settle(stack: Stack, inode: Inode): Operation<void>;
  /** The same for all entries of a directory; for the root's, for all there are. */
  settleIn(stack: Stack, dir: Inode): Operation<void>;
  /** At the end of the overlay. */
  drain(stack: Stack): Operation<void>;
}

/** The data of a file that is being copied up; {@link Inode.upper} is staged as long. See `lazy/pending-copy.ts`. */
export interface PendingData extends UpperFile<'sync'> {
  /** To be set before anybody else sees it. */
  origin: Uint8Array | undefined;
  /** For {@link Inode.shown}, which it keeps. */
  readonly shown: Partial<Attributes>;
  /** In place of the upper layer's. */
  setattr(node: LayerNode, change: AttributeChange): void;
}

/** See `deep-copy-up.ts`. */
export type DeepCopyUp = (stack: Stack, dir: Inode) => Operation<void>;

/** See `metacopy.ts`. */
export interface Metacopies {
  /**
   * Where the data is of an inode whose object `own` has the attribute `mark`, to be kept in `Inode.data`. Throws EIO where there is none or it fails
   * verity's check, EPERM where it is not followed.
   */
  find(stack: Stack, inode: Inode, own: Real, mark: Uint8Array): Operation<Real>;
  /**
   * Gives a metacopy its data, before the first write; or no more than is needed before it gets the size `wanted`, if that is
   * finite. Under the inode's lock.
   */
  complete(stack: Stack, inode: Inode, wanted: number): Operation<void>;
  /** The attribute of a metacopy that leaves its data in `data`, or undefined where all has to be copied up. */
  mark(stack: Stack, data: Real): Operation<Uint8Array | undefined>;
  /** Whether a metacopy can get another name as it is. */
  canRecordPlace(stack: Stack, inode: Inode): boolean;
  /** Under the namespace lock, before a metacopy gets another name. */
  recordPlace(stack: Stack, inode: Inode): Operation<void>;
  /** Copies up and opens a file that may leave data below. Undefined for one that is to have all. */
  openWritable?(stack: Stack, inode: Inode): Operation<UpperFile | undefined>;
}

/** See `verity.ts`. */
export interface Verity {
  check(stack: Stack, digests: readonly (VerityDigest | undefined)[], data: Real): Operation<void>;
  mark(stack: Stack, data: Real): Operation<Uint8Array | undefined>;
}
