/**
 * A lower layer with the mountpoint inside it. Stepping through the mountpoint would lead the serving thread into its own
 * mount, where it would wait for itself for ever; so the directory under the mountpoint is opened before anything is
 * mounted on it, and a lookup that arrives there gets that. As with the kernel's overlayfs, one sees what lay there.
 */
import { basename, dirname } from 'node:path';
import { type Attributes, type Found, type LayerNode } from '@ovl/core';
import { type Changes, HostLayer } from './host-layer.js';
import { HostDirectory, type HostNode } from './host-nodes.js';
import { AT_FDCWD, O_DIRECTORY, O_PATH, close, openat, statxFd } from './syscalls.js';

export class CoveredLayer extends HostLayer {
  readonly #name: string;
  readonly #parent: Attributes;
  readonly #below: HostNode;

  /** To be made before the mount. `mountpoint` is absolute and has no symbolic links. */
  constructor(path: string, mountpoint: string, changes: Changes) {
    super(path, openat(AT_FDCWD, path, O_PATH | O_DIRECTORY), changes);
    const parent = openat(AT_FDCWD, dirname(mountpoint), O_PATH | O_DIRECTORY);
    try {
      this.#name = basename(mountpoint);
      this.#parent = statxFd(parent);
      this.#below = new HostDirectory(undefined, mountpoint);
      this.#below.fd = openat(parent, this.#name, O_PATH | O_DIRECTORY);
    } finally {
      close(parent);
    }
  }

  /** The directory is known by its parent's identity, since a layer may reach it by several paths (bind mounts). */
  override lookup(dir: LayerNode, name: string): Found | undefined {
    if (name === this.#name) {
      const { dev, ino } = this.getattr(dir);
      if (dev === this.#parent.dev && ino === this.#parent.ino) {
        return { node: this.#below, attributes: this.getattr(this.#below) };
      }
    }
    return super.lookup(dir, name);
  }

  override close(): void {
    super.close();
    close(this.#below.fd);
    this.#below.fd = -1;
  }
}
