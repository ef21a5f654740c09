/**
 * What a volatile mount does for `fsync`: nothing, except that once data was lost every later call says so ("Volatile
 * mount" in overlayfs.rst). The kernel's overlayfs notices a failure anywhere on the upper's file system; from here only
 * those of files that are synced can be asked for.
 */
import { FsError } from '@ovl/core';
import { checkWriteback } from '../syscalls.js';

export class VolatileSync {
  #lost = false;

  /** Throws EIO if data of the file, or of any file before, could not be written. `fd` is undefined for directories. */
  check(fd: number | undefined): void {
    try {
      if (fd !== undefined && !this.#lost) checkWriteback(fd);
    } catch {
      this.#lost = true; // EIO or ENOSPC: the kernel's overlayfs, too, answers EIO from then on
    }
    if (this.#lost) throw new FsError('EIO', { syscall: 'fsync' });
  }
}
