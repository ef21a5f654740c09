/**
 * Objects that are used on after their name is gone: an O_PATH descriptor, opened while there still was a name, is then
 * the only way to them.
 */
import { DT_DIR } from '@ovl/core';
import { type HostNode, directories, parentOf } from './host-nodes.js';
import { O_NOFOLLOW, O_PATH, close, openat } from './syscalls.js';

export class KeptDescriptors {
  readonly #fds = new Set<number>();
  /** A node that was dropped without `release` takes its descriptor along. */
  readonly #dropped: FinalizationRegistry<number> = new FinalizationRegistry((fd) => this.#close(fd));

  /** False if the node was kept already. */
  keep(node: HostNode): boolean {
    if (this.#fds.has(node.fd)) return false;
    if (node.type === DT_DIR) {
      directories.fd(node);
      directories.release(node);
    } else if (node.fd < 0) {
      node.fd = openat(directories.fd(parentOf(node)), node.name, O_PATH | O_NOFOLLOW);
    }
    this.#fds.add(node.fd);
    this.#dropped.register(node, node.fd, node);
    return true;
  }

  release(node: HostNode): void {
    if (node.slot >= 0 || !this.#fds.has(node.fd)) return;
    this.#dropped.unregister(node);
    this.#close(node.fd);
    node.fd = -1;
  }

  releaseAll(): void {
    for (const fd of this.#fds) this.#close(fd);
  }

  #close(fd: number): void {
    if (this.#fds.delete(fd)) close(fd);
  }
}
