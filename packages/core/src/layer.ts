/**
 * The storage-backend interface, stated once. A layer is a plain POSIX-like tree reached by nodes, never by paths; it
 * knows nothing of overlays: whiteouts, opaque marks and redirects are ordinary devices and extended attributes to it,
 * and what they mean is decided in `format.ts`. A read-only layer implements {@link Layer}; the writable one,
 * {@link UpperLayer}, adds staging and one atomic namespace change at a time.
 *
 * Rules for every method:
 * - Failure is an {@link FsError} with a POSIX code, thrown (or rejected); foreign errors are converted here, with `cause`.
 * - Absence is `undefined` where the signature says so.
 * - Buffers passed in stay the caller's and are not kept after the answer; buffers returned are the caller's to keep.
 * - Symbolic links are never followed.
 */
import type { AttributeChange, Attributes, EntryType, FileSystemStatistics } from './attributes.js';
import type { FsError } from './errors.js';
import type { Answer, Mode } from './run.js';

/**
 * One object of one layer, opaque to everyone but the layer. It stays valid across renames made through the layer, and
 * after its last name is removed if that change named it in `keep`. The same object may be represented by several nodes.
 */
export type LayerNode = object;

/** An object and what it looks like. */
export interface Found {
  node: LayerNode;
  attributes: Attributes;
}

/** One entry of a layer's directory. */
export interface LayerEntry {
  name: string;
  /** `DT_UNKNOWN` where the layer cannot tell without a `lookup`. */
  type: EntryType;
  ino: number;
}

/** An open file for reading. */
export interface LayerFile<M extends Mode = Mode> {
  /** The host's file descriptor, where there is one: the FUSE adapter may hand it to the kernel. */
  readonly fd?: number;
  /** Reads at `position` into the whole of `buffer`. Returns the bytes read, short only at the end of the file. */
  read(buffer: Uint8Array, position: number): Answer<M, number>;
  /**
   * The next data or hole at or after `position` (`lseek` with SEEK_DATA or SEEK_HOLE). Throws ENXIO past the end.
   * A layer without holes reports one run of data and a hole at the end.
   */
  seek(position: number, whence: 'data' | 'hole'): Answer<M, number>;
  close(): Answer<M, void>;
}

/** `fallocate` modes that an upper layer understands; others throw EOPNOTSUPP. */
export interface AllocateMode {
  keepSize: boolean;
  punchHole: boolean;
  zeroRange: boolean;
}

/** Work that goes on beside the caller. */
export interface Job {
  /** Undefined while it goes on; then its result, the same each time. */
  poll(): number | FsError | undefined;
  /** Waits for its end. */
  wait(): void;
}

/** An open file for reading and writing. */
export interface UpperFile<M extends Mode = Mode> extends LayerFile<M> {
  /** Writes all of `buffer` at `position`, extending the file; returns the bytes written, short only with ENOSPC near. */
  write(buffer: Uint8Array, position: number): Answer<M, number>;
  allocate(mode: AllocateMode, offset: number, length: number): Answer<M, void>;
  /** Resolves when data (and with "all" also metadata) written before is durable. */
  fsync(scope: 'data' | 'all'): Answer<M, void>;
  /**
   * Sees to it that data written before is durable no later than any change of names or attributes that follows, which may
   * cost much less than making it durable now. Left out where that is not known.
   */
  order?(): Answer<M, void>;
}

/** Identifies an object of a file system across mounts: what an `origin` attribute records. */
export interface FileHandle {
  /** 16 bytes, all zero when the file system has none. */
  uuid: Uint8Array;
  /** The file system's own handle type, 1 … 254. */
  type: number;
  bytes: Uint8Array;
}

/** The object that a handle names. */
export interface HandleTarget {
  ino: number;
  /** Undefined where only the handle itself was read, and nobody knows whether the object still exists. */
  nlink: number | undefined;
}

/** What fs-verity says of a file's data. */
export interface VerityDigest {
  /** The kernel's number: 1 for SHA-256, 2 for SHA-512. */
  algorithm: number;
  bytes: Uint8Array;
}

/**
 * A read-only tree of nodes: what an overlay is made of. Every method throws (or rejects with) an {@link FsError};
 * absence is `undefined` where the signature has it. Symbolic links are never followed, and buffers that are passed in
 * are not kept.
 */
export interface Layer<M extends Mode = Mode> {
  /** The directory at the top of the layer. */
  readonly root: LayerNode;
  /** The entry `name` of directory `dir`. */
  lookup(dir: LayerNode, name: string): Answer<M, Found | undefined>;
  getattr(node: LayerNode): Answer<M, Attributes>;
  /** All entries but "." and "..", in no particular order. */
  readdir(dir: LayerNode): Answer<M, LayerEntry[]>;
  /** The target of a symbolic link, encoded as `names.ts` says. */
  readlink(node: LayerNode): Answer<M, string>;
  /** Opens a regular file for reading. */
  open(node: LayerNode): Answer<M, LayerFile<M>>;
  /** The value, or undefined when there is no such attribute (or the layer has none at all). */
  getxattr(node: LayerNode, name: string): Answer<M, Uint8Array | undefined>;
  listxattr(node: LayerNode): Answer<M, string[]>;
  statfs(): Answer<M, FileSystemStatistics>;
  /** A handle that names this object for as long as it exists, or undefined. */
  fileHandle?(node: LayerNode): Answer<M, FileHandle | undefined>;
  /** The live object that `handle` names on this layer's file system, or undefined. */
  resolveHandle?(handle: FileHandle): Answer<M, HandleTarget | undefined>;
  /** The digest that the file system itself enforces for a regular file's data (fs-verity), or undefined. */
  verityDigest?(node: LayerNode): Answer<M, VerityDigest | undefined>;
  /** Releases what the layer holds beyond memory (descriptors, locks). Not used again afterwards. */
  close?(): Answer<M, void>;
}

/** What a new object starts as. */
export interface NewObject {
  /** Type and permission bits; no umask is applied. */
  mode: number;
  uid: number;
  gid: number;
  /** Character and block devices. */
  rdev?: number;
  /** Symbolic links. */
  target?: string;
}

/** What stands at the name that a change takes: decides which system call the host needs, so it must be true. */
export type Occupant = 'nothing' | 'whiteout' | 'non-directory' | 'directory';

/** A name in a directory. */
export interface Place {
  dir: LayerNode;
  name: string;
}

/**
 * A namespace change: all of it or nothing, also after a crash. A `whiteout` left behind is a character device 0:0.
 * Where `over` is a directory, the caller has made sure that it is empty in the merged view; whiteouts in it vanish with it,
 * except in a `rename`, which throws ENOTEMPTY for them.
 */
export type NamespaceChange =
  /**
   * Gives `node` the name: a staged object arrives, or one that has names already gets a hard link (`over` then is
   * "nothing" or "whiteout"). `keep` is what stood there, if that must stay usable.
   */
  | { kind: 'link'; node: LayerNode; to: Place; over: Occupant; keep?: LayerNode | undefined }
  /** Removes the name, leaving nothing. `keep` is the object itself, if it must stay usable. */
  | { kind: 'unlink'; from: Place; occupant: Occupant; keep?: LayerNode | undefined }
  /** Moves `node`; `keep` is what stood at the target, if that must stay usable. */
  | {
      kind: 'rename';
      node: LayerNode;
      from: Place;
      to: Place;
      over: Occupant;
      leave: 'nothing' | 'whiteout';
      keep?: LayerNode | undefined;
    }
  /** Swaps two objects. */
  | { kind: 'exchange'; a: Place & { node: LayerNode }; b: Place & { node: LayerNode } };

/**
 * A layer that is written to. Objects are staged without a name, and {@link UpperLayer.commit} gives them one: all of a
 * change is seen, or nothing, also after a crash.
 */
export interface UpperLayer<M extends Mode = Mode> extends Layer<M> {
  /**
   * Whether its files may have part of their data in layers below, which no kernel reads: `@ovl/core/extents` then leaves there what
   * is not written. Worth it where what was never written takes no room.
   */
  readonly holdsExtents?: boolean;
  /**
   * Where `blocks` does not count blocks of `blksize` bytes as file systems do: files are kept in chunks of so many bytes, each from
   * its start up to what was written of it, and counted as far as they lie before the end of the file. Infinity for a file
   * that is kept in one piece. For who limits what is used.
   */
  readonly chunk?: number;
  /** Where overlay attributes are kept: privileged hosts use "trusted.overlay.". */
  readonly xattrPrefix: 'trusted.overlay.' | 'user.overlay.';
  /**
   * Makes an object without a name. It is used like any other, is invisible, and vanishes at a crash unless linked. `source` is
   * for who copies ahead: the object of a lower layer whose data it gets next, by `copyData`.
   */
  stage(object: NewObject, source?: LayerNode): Answer<M, Found>;
  /** Drops a staged object that will not be linked. */
  discard(node: LayerNode): Answer<M, void>;
  /** Makes an object at a free name, atomically with all its attributes. Throws EEXIST. */
  create(to: Place, object: NewObject): Answer<M, Found>;
  commit(change: NamespaceChange): Answer<M, void>;
  /** A layer that keeps POSIX ACLs keeps the mode in step with the access ACL and the other way round, as file systems do. */
  setattr(node: LayerNode, change: AttributeChange): Answer<M, void>;
  /** `condition`: "create" throws EEXIST if there, "replace" throws ENODATA if not. */
  setxattr(node: LayerNode, name: string, value: Uint8Array, condition?: 'create' | 'replace'): Answer<M, void>;
  /** Throws ENODATA when there is no such attribute. */
  removexattr(node: LayerNode, name: string): Answer<M, void>;
  /** Opens a regular file for reading. `fsync` works on it all the same; writing does not. */
  open(node: LayerNode): Answer<M, UpperFile<M>>;
  /** Opens a regular file for reading and writing. */
  openWritable(node: LayerNode): Answer<M, UpperFile<M>>;
  /**
   * Copies `length` bytes from the start of `from` to `to` without passing them through the caller (reflink,
   * copy_file_range), keeping holes. False when it cannot for these two files; the caller then copies by hand.
   */
  copyData?(from: LayerFile<M>, to: UpperFile<M>, length: number): Answer<M, boolean>;
  /**
   * Copies up to `length` bytes likewise, between any positions. Returns the bytes copied, 0 at the end of `from`;
   * undefined when it cannot for these two files.
   */
  copyRange?(
    from: LayerFile<M>,
    fromPosition: number,
    to: UpperFile<M>,
    toPosition: number,
    length: number,
  ): Answer<M, number | undefined>;
  /** Whether the data of one file can be copied to another, empty one beside the caller, and not just as well at once. */
  copiesBeside?(from: LayerFile<M>, to: UpperFile<M>): Answer<M, boolean>;
  /**
   * Begins to copy up to `length` bytes at `position` from one file to the same place in the other, beside the caller: both
   * stay open until its end. The result is the number of bytes copied. There, with `syncBeside`, if `copiesBeside` is.
   */
  copyBeside?(from: LayerFile<M>, to: UpperFile<M>, position: number, length: number): Job;
  /** As {@link UpperFile.order}, or with "all" as its `fsync`, beside the caller. */
  syncBeside?(file: UpperFile<M>, scope: 'order' | 'all'): Job;
  /**
   * Whether an object with these attributes could be staged, filled and linked later on, as far as anybody can tell: rights, and
   * room beside the `bytes` that were promised before. Left out, nothing is promised.
   */
  promises?(attributes: Attributes, bytes: number): Answer<M, boolean>;
  /**
   * A node that a change named in `keep`, or a staged one, is not used again. Does not fail; what it frees may be freed later.
   */
  release?(node: LayerNode): void;
  /** A directory that is kept with the upper but outside of its tree, for the index; made if need be. */
  openIndex?(): Answer<M, LayerNode>;
  /** Makes the entries of a directory durable. */
  fsyncdir(dir: LayerNode): Answer<M, void>;
  /** Makes everything written so far durable. */
  sync(): Answer<M, void>;
}
