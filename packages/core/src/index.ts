/**
 * `@ovl/core`: the overlay, the layer interface, the memory layer and the path faces. Bundles have them in this order, and
 * are smaller once compressed where faces come first.
 */
export { callbackFs, promisesFs, syncFs } from './fs/by-path.js';
export { MemoryLayer, type MemoryLayerOptions, memoryLayer, MemoryObject, type MemoryTree } from './memory.js';
export { ACL_ACCESS, ACL_DEFAULT, inheritAcl, type InheritPermissions, maskAcl, type Permissions } from './acl.js';
export {
  type AttributeChange,
  type Attributes,
  DT_BLK,
  DT_CHR,
  DT_DIR,
  DT_FIFO,
  DT_LNK,
  DT_REG,
  DT_SOCK,
  DT_UNKNOWN,
  type EntryType,
  type FileSystemStatistics,
  isDirectory,
  isRegular,
  isSymlink,
  major,
  makedev,
  minor,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
  S_ISUID,
  S_ISVTX,
  type Time,
} from './attributes.js';
export type { ChangeListener, OverlayChange } from './change-feed.js';
export { copyRange } from './copy-range.js';
export type { Creation } from './create.js';
export { deepCopyUp } from './deep-copy-up.js';
export { codeOf, type ErrorCode, type ErrorContext, errnoOf, FsError, isFsError } from './errors.js';
export type { FaceOptions } from './fs/context.js';
export { Dirent } from './fs/dirent.js';
export type { CallbackFs, PromisesFs, SyncFs } from './fs/signatures.js';
export { BigIntStats } from './fs/bigints.js';
export { Stats } from './fs/stats.js';
export { exchange } from './exchange.js';
export { allocate, current as currentFile, mayMove, type OpenFlags, type OpenHandle, seek } from './file.js';
export type { XattrPrefix } from './format.js';
export { inodeIndex } from './inode-index.js';
export type { Inode } from './inode.js';
export type {
  AllocateMode,
  FileHandle,
  Found,
  HandleTarget,
  Job,
  Layer,
  LayerEntry,
  LayerFile,
  LayerNode,
  NamespaceChange,
  NewObject,
  Occupant,
  Place,
  UpperFile,
  UpperLayer,
  VerityDigest,
} from './layer.js';
export { metacopies, type MetacopyMode } from './metacopy.js';
export { byteLength, checkName, decodeName, encodeName, NAME_MAX, SYMLINK_MAX } from './names.js';
export { type Entry, Overlay, overlay } from './overlay.js';
export {
  applyOverride,
  escapeOverridden,
  OVERRIDE_XATTRS,
  overrideValue,
  type OverriddenStat,
  type OverrideXattr,
  unescapeOverridden,
} from './override.js';
export { type OwnerMap, type OwnerMapOptions, type IdRange, ownerMap } from './owners.js';
export type { DirectoryEntry } from './merge.js';
export type { IndexOpener, OverlayOptions } from './options.js';
export { entryIno } from './readdir.js';
export type { RenameFlag } from './rename.js';
export { Revalidation } from './revalidation.js';
export { createTmpfile } from './tmpfile.js';
export { type Answer, type Mode, type Operation, runAsync, runSync, wait } from './run.js';
export { verity } from './verity.js';
export { findXattr, getxattr, listxattr, removexattr, setxattr } from './xattrs.js';
