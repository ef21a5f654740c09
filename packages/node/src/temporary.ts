/** An upper and a work directory that vanish with the mount. */
import { lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, close, openat } from './syscalls.js';
import { lock } from './upper-guard.js';
import { WorkDirectory } from './work-dir.js';

const PREFIX = 'ovl-upper-';

export interface TemporaryUpper {
  directory: string;
  upper: string;
  work: string;
}

/** Made in `parent`, closed to everybody else. */
export function makeTemporaryUpper(parent: string): TemporaryUpper {
  const temporary = within(mkdtempSync(join(parent, PREFIX)));
  mkdirSync(temporary.upper, 0o755);
  mkdirSync(temporary.work, 0o700);
  return temporary;
}

function within(directory: string): TemporaryUpper {
  return { directory, upper: join(directory, 'upper'), work: join(directory, 'work') };
}

/**
 * Removes it, when nobody has it open any more. The upper is moved where a work directory's leftovers lie: clearing those
 * copes with directories of any depth and any mode, and steps into nothing that is mounted inside.
 */
export function removeTemporaryUpper({ directory, upper, work }: TemporaryUpper): void {
  mkdirSync(join(work, 'work'), { recursive: true, mode: 0o700 });
  try {
    renameSync(upper, join(work, 'work', 'upper'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // an earlier removal came so far
  }
  const fd = openat(AT_FDCWD, work, O_RDONLY | O_DIRECTORY);
  try {
    new WorkDirectory(fd, work).close();
  } finally {
    close(fd);
  }
  rmSync(directory, { recursive: true, force: true });
}

/**
 * Removes what a killed daemon left. False if it is to be tried again later: somebody holds it (the daemon lives after all,
 * out of our sight), or it cannot be removed now. What only has its name, and is not ours, is left alone.
 */
export function reclaimTemporaryUpper(directory: string): boolean {
  const temporary = within(directory);
  const held: number[] = [];
  try {
    const { uid, mode } = lstatSync(directory);
    // A directory of our own that is closed to others: then nobody else has put anything into it, or it in this place.
    const isOurs =
      uid === process.geteuid?.() && (mode & 0o170077) === 0o040000 && basename(directory).startsWith(PREFIX);
    if (!isOurs) return true;
    for (const path of [temporary.upper, temporary.work]) {
      if (lstatSync(path, { throwIfNoEntry: false }) === undefined) continue;
      const fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      held.push(fd);
      lock({ fd, path });
    }
    removeTemporaryUpper(temporary);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  } finally {
    for (const fd of held) close(fd);
  }
}
