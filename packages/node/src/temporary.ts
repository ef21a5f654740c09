/** An upper and a work directory that vanish with the mount. */
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { AT_FDCWD, O_DIRECTORY, O_RDONLY, close, openat } from './syscalls.js';
import { WorkDirectory } from './work-dir.js';

export interface TemporaryUpper {
  directory: string;
  upper: string;
  work: string;
}

/** Made in `parent`, closed to everybody else. */
export function makeTemporaryUpper(parent: string): TemporaryUpper {
  const directory = mkdtempSync(join(parent, 'ovl-upper-'));
  const temporary = { directory, upper: join(directory, 'upper'), work: join(directory, 'work') };
  mkdirSync(temporary.upper, 0o755);
  mkdirSync(temporary.work, 0o700);
  return temporary;
}

/**
 * Removes it, when nobody has it open any more. The upper is moved where a work directory's leftovers lie: clearing those
 * copes with directories of any depth and any mode, and steps into nothing that is mounted inside.
 */
export function removeTemporaryUpper({ directory, upper, work }: TemporaryUpper): void {
  mkdirSync(join(work, 'work'), { recursive: true, mode: 0o700 });
  renameSync(upper, join(work, 'work', 'upper'));
  const fd = openat(AT_FDCWD, work, O_RDONLY | O_DIRECTORY);
  try {
    new WorkDirectory(fd, work).close();
  } finally {
    close(fd);
  }
  rmSync(directory, { recursive: true, force: true });
}
