/** `@ovl/node`: directories of the host as layers, and mounts of overlays over FUSE. */
export { hostLayer } from './host-layer.js';
export { type HostUpperOptions, hostUpper } from './host-upper.js';
export { type MountedOverlay, mount } from './mount.js';
export { ExitCode, MountError } from './mount-error.js';
export { listMounts, sameMountpoint, type UnmountOptions, unmount } from './mounts.js';
export { type MountOptions, type MountSettings, parseMountOptions, type TransportName } from './options.js';
export type { MountRecord } from './registry.js';
