/**
 * A directory of the host as a read-only layer. Each method is the one system call that it is named after, made
 * relative to a directory's descriptor (host-nodes.ts). What lies on other file systems mounted inside is part of the
 * layer, with its own `dev`.
 */
import {
  type Attributes,
  DT_DIR,
  DT_LNK,
  DT_REG,
  type FileHandle,
  type FileSystemStatistics,
  type Found,
  FsError,
  type HandleTarget,
  type Layer,
  type LayerEntry,
  type LayerNode,
  type VerityDigest,
} from '@ovl/core';
import { HostFile, measureVerity } from './host-file.js';
import { fileSystemUuid, nameToHandle, targetOfHandle } from './host-handles.js';
import {
  HostDirectory,
  type HostNode,
  checkEntry,
  directories,
  hostNode,
  isKnown,
  locate,
  locateByName,
  newNode,
} from './host-nodes.js';
import { readEntries } from './host-readdir.js';
import { type OverrideTrust, withOverride } from './override-layer.js';
import type { DirectoryLayer } from './seen-layer.js';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  close,
  errorOf,
  fstatfs,
  getxattr,
  listxattr,
  openat,
  openatOrErrno,
  readlinkat,
  reopen,
  statxFd,
  statxOrErrno,
} from './syscalls.js';

const ENOENT = 2;
const NO_UUID = new Uint8Array(16);
/** What opening a name fails with that no longer stands for a regular file but for a device, a link or a directory. */
const isOther = (errno: number): boolean =>
  [6 /* ENXIO */, 19 /* ENODEV */, 21 /* EISDIR */, 40 /* ELOOP */].includes(errno);

/** Whether a layer changes only through us, or somebody changes it meanwhile: then opening a file takes a look more. */
export type Changes = 'none' | 'outside';

/**
 * Opens the directory at `path` (symbolic links in the path itself are followed) as a read-only layer. Owners and modes
 * that its objects carry in an attribute are believed as `trust` says.
 */
export function hostLayer(path: string, trust?: OverrideTrust, changes: Changes = 'none'): Layer<'sync'> {
  return openHostLayer(path, trust, changes);
}

/** {@link hostLayer}, as this package knows it. */
export function openHostLayer(path: string, trust: OverrideTrust | undefined, changes: Changes): DirectoryLayer {
  return withOverride(new HostLayer(path, openat(AT_FDCWD, path, O_PATH | O_DIRECTORY), changes), trust);
}

/** What the read-only layer and the upper share. */
export class HostLayer implements Layer<'sync'> {
  readonly root: HostNode;
  readonly #changes: Changes;
  /** UUIDs of the file systems met, by mount: a layer has few. */
  readonly #uuids = new Map<number, Uint8Array>();
  #ignoresUuid = false;

  /** `fd` is an O_PATH descriptor of the directory, from now on the layer's. */
  constructor(path: string, fd: number, changes: Changes = 'none') {
    this.#changes = changes;
    this.root = new HostDirectory(undefined, path);
    this.root.fd = fd;
    directories.rootOpened();
  }

  lookup(dir: LayerNode, name: string): Found | undefined {
    const parent = hostNode(dir);
    const found = statxOrErrno(directories.fd(parent), checkEntry(name), AT_SYMLINK_NOFOLLOW);
    if (typeof found !== 'number') {
      const node = newNode(parent, name, found.mode >> 12);
      node.identify(found);
      return { node, attributes: found };
    }
    if (found === ENOENT) return undefined;
    throw errorOf(found, 'statx', name);
  }

  getattr(node: LayerNode): Attributes {
    const object = hostNode(node);
    const { fd, name } = locate(object);
    const found = statxOrErrno(fd, name, name === '' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW);
    if (typeof found === 'number') throw errorOf(found, 'statx', name);
    if (!isKnown(object, found)) throw new FsError('ESTALE', { syscall: 'statx', path: name });
    return found;
  }

  readdir(dir: LayerNode): LayerEntry[] {
    const fd = this.openDirectory(hostNode(dir));
    try {
      return readEntries(fd);
    } finally {
      close(fd);
    }
  }

  readlink(node: LayerNode): string {
    const link = hostNode(node);
    if (link.type !== DT_LNK) throw new FsError('EINVAL', { syscall: 'readlink', path: link.name });
    const { fd, name } = locate(link);
    return readlinkat(fd, name);
  }

  open(node: LayerNode): HostFile {
    const object = hostNode(node);
    const fd = this.openRegular(object, O_RDONLY);
    if (this.#changes === 'outside' && !isKnown(object, statxFd(fd))) {
      close(fd);
      throw new FsError('ESTALE', { syscall: 'open', path: object.name });
    }
    return new HostFile(fd, object.dev);
  }

  getxattr(node: LayerNode, name: string): Uint8Array | undefined {
    const at = locateByName(hostNode(node));
    return getxattr(at.fd, at.name, name);
  }

  listxattr(node: LayerNode): string[] {
    const at = locateByName(hostNode(node));
    return listxattr(at.fd, at.name);
  }

  statfs(): FileSystemStatistics {
    return fstatfs(this.root.fd);
  }

  /** Handles carry no UUID from now on, and none is asked for: right where all layers lie on one file system. */
  ignoreUuid(): void {
    this.#ignoresUuid = true;
  }

  fileHandle(node: LayerNode): FileHandle | undefined {
    const object = hostNode(node);
    const at = locate(object);
    const raw = nameToHandle(at.fd, at.name);
    if (raw === undefined) return undefined;
    let uuid = this.#ignoresUuid ? NO_UUID : this.#uuids.get(raw.mountId);
    if (uuid === undefined) {
      uuid = this.#readUuid(object);
      this.#uuids.set(raw.mountId, uuid);
    }
    return { uuid, type: raw.type, bytes: raw.bytes };
  }

  resolveHandle(handle: FileHandle): HandleTarget | undefined {
    const fd = this.openDirectory(this.root);
    try {
      const uuid = this.#ignoresUuid ? NO_UUID : fileSystemUuid(fd);
      return handle.uuid.every((byte, i) => byte === uuid[i]) ? targetOfHandle(fd, handle) : undefined;
    } finally {
      close(fd);
    }
  }

  verityDigest(node: LayerNode): VerityDigest | undefined {
    const file = this.open(node);
    try {
      return measureVerity(file.fd);
    } finally {
      file.close();
    }
  }

  close(): void {
    if (this.root.fd < 0) return; // closed before
    directories.forgetTree(this.root);
    directories.rootClosed();
    close(this.root.fd);
    this.root.fd = -1;
  }

  /** A descriptor to read or sync the directory with; the cached ones are O_PATH. The caller closes it. */
  protected openDirectory(dir: HostNode): number {
    return openat(directories.fd(dir), '.', O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }

  /** Opens a regular file. O_NONBLOCK is for the FIFO that somebody may have put in its place since the lookup. */
  protected openRegular(node: HostNode, access: number): number {
    if (node.type !== DT_REG) {
      throw new FsError(node.type === DT_DIR ? 'EISDIR' : 'EINVAL', { syscall: 'open', path: node.name });
    }
    const { fd, name } = locate(node);
    if (name === '') return reopen(fd, access | O_NONBLOCK);
    const opened = openatOrErrno(fd, name, access | O_NOFOLLOW | O_NONBLOCK);
    if (opened >= 0) return opened;
    throw isOther(-opened) ? new FsError('ESTALE', { syscall: 'open', path: name }) : errorOf(-opened, 'openat', name);
  }

  /** By the object itself where it can be opened harmlessly, else by its directory. */
  #readUuid(node: HostNode): Uint8Array {
    const fd =
      node.type === DT_DIR
        ? this.openDirectory(node)
        : node.type === DT_REG || node.parent === undefined
          ? this.openRegular(node, O_RDONLY)
          : this.openDirectory(node.parent);
    try {
      return fileSystemUuid(fd);
    } finally {
      close(fd);
    }
  }
}
