/**
 * Opening a directory of the host as the writable layer (host-upper-layer.ts). What must hold before is upper-guard.ts.
 */
import type { LayerNode, UpperLayer } from '@ovl/core';
import type { Beside } from './beside.js';
import type { CopyAhead } from './copy-ahead.js';
import { HostUpper } from './host-upper-layer.js';
import type { Leftovers } from './leftovers.js';
import { type OverrideWish, upperWithOverride } from './override-layer.js';
import { AT_FDCWD, O_DIRECTORY, O_RDONLY, close, openat } from './syscalls.js';
import { type GuardedDirectory, checkKernelMounts, checkPlacement, lock } from './upper-guard.js';
import { WorkDirectory } from './work-dir.js';

/** Which directories make an upper, and how owners and attributes are kept there. */
export interface HostUpperOptions {
  upper: string;
  /** An empty directory, or one of earlier use, on the same file system; ours alone. */
  work: string;
  /** Keep overlay attributes under "user.overlay.", as the kernel's mount option of that name. Default: where needed. */
  userxattr?: boolean;
  /** Keep owners and modes in an extended attribute. Default: as the upper's root says. */
  override?: OverrideWish;
  /** What becomes of an owner that this process may not give to a file: it is an error (the default), or the file stays ours. */
  owners?: 'required' | 'attempted';
  /** What copies beside the caller. Default: nothing does. */
  beside?: Beside;
  /** Whether small files may be copied before they are asked for: where layers below stay as they are. Needs `beside`. */
  copyAhead?: 'on' | 'off';
}

/**
 * A directory of the host as an upper: what {@link hostUpper} answers with. One system call makes a change of names.
 */
export interface HostUpperLayer extends UpperLayer<'sync'> {
  openIndex(): LayerNode;
  /**
   * Leaves the mark that keeps others (and the kernel) from using the directories until somebody removes
   * `<work>/work/incompat/volatile`. For who will make nothing durable; to be called before the first change.
   */
  markVolatile(): void;
  /** See {@link HostLayer.ignoreUuid}. */
  ignoreUuid(): void;
  /** What was copied before it was asked for, if anything can be. */
  readonly ahead?: CopyAhead | undefined;
  /** From now on the caller empties, step by step, the directories that changes leave in the work directory. `close` does the rest. */
  clearLater?(): Leftovers;
}

/**
 * Opens a writable layer and locks its directories. Throws EBUSY when somebody has one of them, EXDEV when they lie on
 * different file systems, EINVAL when one contains the other or a volatile mount left its mark, EOPNOTSUPP when
 * the file system lacks what an upper needs. The messages say what to do. The process's umask at this time should be 0
 * (syscalls.ts), or every object whose mode it would cut takes the longer way through the work directory.
 */
export function hostUpper(options: HostUpperOptions): HostUpperLayer {
  const upper: GuardedDirectory = { path: options.upper, fd: openat(AT_FDCWD, options.upper, O_RDONLY | O_DIRECTORY) };
  let work: GuardedDirectory | undefined;
  let inner: WorkDirectory | undefined;
  try {
    work = { path: options.work, fd: openat(AT_FDCWD, options.work, O_RDONLY | O_DIRECTORY) };
    checkPlacement(upper, work);
    lock(upper);
    lock(work);
    checkKernelMounts(upper, work);
    inner = new WorkDirectory(work.fd, work.path);
    inner.checkSupport();
    const trusted = options.userxattr !== true && inner.allowsTrusted();
    const prefix = trusted ? 'trusted.overlay.' : 'user.overlay.';
    const layer = new HostUpper(upper, work, inner, prefix, options);
    return upperWithOverride(layer, options.override);
  } catch (error) {
    inner?.close();
    if (work !== undefined) close(work.fd);
    close(upper.fd);
    throw error;
  }
}
