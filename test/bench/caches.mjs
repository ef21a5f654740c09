// Memory pressure, as far as a file system notices it: the kernel lets go of names and inodes.
import { writeFileSync } from 'node:fs';

/** False where neither this process may do it nor the one that started it, if that is root's (as-user.mjs). */
export async function dropCaches() {
  if (process.getuid?.() === 0) {
    writeFileSync('/proc/sys/vm/drop_caches', '2');
    return true;
  }
  if (!process.send) return false;
  const answer = new Promise((resolve) => process.once('message', resolve));
  process.send({ ask: 'drop caches' });
  return (await answer).dropped;
}
