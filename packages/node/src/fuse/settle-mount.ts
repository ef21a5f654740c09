/** Completes what a mount has answered and not yet done in its upper. */
import { open } from 'node:fs/promises';

/** Resolves when it is complete, or cannot be completed. Must not run on the thread that serves the mount. */
export async function settleMount(mountpoint: string): Promise<void> {
  try {
    const root = await open(mountpoint, 'r');
    try {
      await root.sync(); // of the root directory: the server takes it for all of the mount
    } finally {
      await root.close();
    }
  } catch {
    // Out of space, perhaps: whoever has synced the file knows. The mount stays in use.
  }
}
