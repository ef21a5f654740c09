/** `@ovl/node`: directories of the host as layers, and mounts of overlays over FUSE. */
export { type DirectoryStore, directoryStore } from './directory-store.js';
export { type AsyncNodeFs, createFs, type NodeFs, type NodeFsOptions } from './fs/fs.js';
export { type FsckFinding, type FsckOptions, fsck } from './fsck.js';
export { settleMount } from './fuse/settle-mount.js';
export { hostLayer } from './host-layer.js';
export { type HostUpperLayer, type HostUpperOptions, hostUpper } from './host-upper.js';
export { type MountedOverlay, mount } from './mount.js';
export { ExitCode, MountError } from './mount-error.js';
export type { RequestCount } from './fuse/request-counts.js';
export { listMounts, requestCounts, sameMountpoint, type UnmountOptions, unmount } from './mounts.js';
export { parseMountOptions } from './option-parser.js';
export { type MountOption, type OptionGroup, optionGroups, refusedOptions } from './option-table.js';
export type { LabelName, MountOptions, MountSettings, TransportName } from './options.js';
export type { MountRecord } from './registry.js';
export { savedLayer, saveLayer } from './saved-layer.js';
