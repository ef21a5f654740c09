/** `@ovl/core/volumes`: a view parts of which come straight from other trees. */
export {
  type MountedVolume,
  type MountOptions,
  type TreeOf,
  type UnmountOptions,
  VolumeOverlay,
  volumes,
} from './volume-overlay.js';
