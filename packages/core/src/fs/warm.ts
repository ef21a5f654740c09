/**
 * Which directories stay in memory though nobody holds them: those worked in last. Nobody but the functions in progress holds what a
 * path leads to, so that a directory would be listed again for each file that is closed in it, and what is known of all that
 * was ever looked at would otherwise have to stay.
 */
import type { Inode, Stack } from '../inode.js';
import type { Operation } from '../run.js';

/** With what is known of the entries of each. */
const MAX_DIRECTORIES = 1024;

/** Counts a directory as worked in now; the one that was left alone for longest is forgotten for it. */
// oxlint-disable-next-line require-yield
export function* keepWarm(stack: Stack, dir: Inode): Operation<void> {
  const warm = (stack.warm ??= new Set());
  warm.delete(dir);
  warm.add(dir);
  if (warm.size <= MAX_DIRECTORIES) return;
  const coldest = warm.values().next().value;
  if (coldest === undefined) return;
  warm.delete(coldest);
  stack.drop(coldest);
}
