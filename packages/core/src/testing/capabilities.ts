/** What a layer can do, as data: the suites leave out what is declared impossible and say why. */
import type { Support } from './runner.js';

/** What a kind of layer can hold; where it cannot, the reason, with which its tests are skipped. */
export interface LayerCapabilities {
  /** Several names for one file. */
  hardLinks: Support;
  /** `user.*` attributes on files and directories. */
  userXattrs: Support;
  /** `trusted.*` attributes. */
  trustedXattrs: Support;
  /** Attributes on symbolic links and special files too. */
  xattrsOnAll: Support;
  /** FIFOs and sockets. */
  specialFiles: Support;
  /** Character and block devices, other than whiteouts. */
  devices: Support;
  /** Unwritten parts of files are reported by `seek`. */
  holes: Support;
  /** `allocate` that extends, punches and zeroes. */
  allocate: Support;
  /** Names that are not UTF-8. */
  nonUtf8Names: Support;
  /** `fileHandle` and `resolveHandle`. */
  fileHandles: Support;
  /** Owners other than the caller. */
  owner: Support;
  /** Modification times keep their nanoseconds. */
  nanoseconds: Support;
}

/** For layers that can do everything. */
export const ALL_CAPABILITIES: LayerCapabilities = {
  hardLinks: true,
  userXattrs: true,
  trustedXattrs: true,
  xattrsOnAll: true,
  specialFiles: true,
  devices: true,
  holes: true,
  allocate: true,
  nonUtf8Names: true,
  fileHandles: true,
  owner: true,
  nanoseconds: true,
};
