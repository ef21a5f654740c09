/**
 * How data comes into files of the upper: shared (reflink), copied within the kernel, copied beside the caller, or there
 * already because it was copied before it was asked for (copy-ahead.ts).
 */
import type { Job, LayerFile, LayerNode } from '@ovl/core';
import type { Beside } from './beside.js';
import { Copier, type HostFile } from './host-file.js';
import type { HostNode } from './host-nodes.js';
import { likeness } from './staging-beside.js';
import { ftruncate, statxFd } from './syscalls.js';

export class HostCopies {
  readonly #copier = new Copier();
  readonly #beside: Beside | undefined;
  /** The file staged last, if it has its data already, and what the source was like. Once it is open: by whom. */
  #filled: { node: HostNode; source: Int32Array; file?: HostFile } | undefined;

  constructor(beside: Beside | undefined) {
    this.#beside = beside;
  }

  /** Whether data of that file system is known to be copied, never shared. */
  copiesFrom(dev: number): boolean {
    return this.#copier.copiesFrom(dev);
  }

  /** `node` has data that was copied from what was like `source`. Whoever does not want it has to be told of it. */
  fill(node: HostNode, source: Int32Array): void {
    this.#filled = { node, source };
  }

  /**
   * `file` is `node`, open for writing. It has data that nobody wrote only until its first use here; so a second one finds the file
   * empty, as the maker of a new file expects.
   */
  opened(node: LayerNode, file: HostFile): void {
    const filled = this.#filled;
    if (filled?.node !== node) return;
    if (filled.file === undefined) filled.file = file;
    else this.#empty(file);
  }

  /** Whether `node` has data that nobody has asked for; nobody will from now on. */
  takeUnwanted(node: LayerNode): boolean {
    if (this.#filled?.node !== node) return false;
    const isUnwanted = this.#filled.file === undefined;
    if (isUnwanted) this.#filled = undefined;
    return isUnwanted;
  }

  /** `node` goes, whatever is in it. */
  forget(node: LayerNode): void {
    if (this.#filled?.node === node) this.#filled = undefined;
  }

  #empty(file: HostFile): void {
    this.#filled = undefined;
    ftruncate(file.fd, 0);
  }

  /** See `UpperLayer.copyData`. */
  copy(from: LayerFile<'sync'>, to: HostFile, length: number): boolean {
    const filled = this.#filled;
    if (filled?.file === to) {
      this.#filled = undefined;
      if (isLike(from, filled.source, length)) return true;
      this.#empty(to);
    }
    return this.#copier.copy(from, to, length);
  }

  /** See `UpperLayer.copiesBeside`. */
  copiesBeside(from: LayerFile<'sync'>, to: HostFile): boolean {
    if (this.#beside === undefined || from.fd === undefined) return false;
    if (this.#filled?.file === to) this.#empty(to);
    return !this.#copier.clone(from, to);
  }

  copyBeside(from: LayerFile<'sync'>, to: HostFile, position: number, length: number): Job {
    const task = { kind: 'copy', from: from.fd as number, to: to.fd, position, length } as const;
    return (this.#beside as Beside).begin((slot) => ({ ...task, slot }));
  }

  syncBeside(file: HostFile, scope: 'order' | 'all'): Job {
    const kind = scope === 'order' && file.order === undefined ? 'data' : scope;
    return (this.#beside as Beside).begin((slot) => ({ kind, to: file.fd, slot }));
  }
}

/** Whether a file is the one of that likeness, unchanged, and of that length. */
function isLike(file: LayerFile<'sync'>, source: Int32Array, length: number): boolean {
  const now = file.fd === undefined ? undefined : statxFd(file.fd);
  return now?.size === length && likeness(now).every((word, i) => word === source[i]);
}
