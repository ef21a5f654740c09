/** Failures as libfuse wants them: negative, and numbered as on this system, not as in the core (which counts as Linux). */
import { constants } from 'node:os';
import { isFsError } from '@ovl/core';

const numbers: Record<string, number | undefined> = constants.errno;

/** `ENODATA` of an absent extended attribute has a name of its own on BSD systems, which Node does not know. */
const ENOATTR_DARWIN = 93;

/** What is not a POSIX failure is a bug of ours: EIO, and `log` is told. */
export function resultOf(error: unknown, operation: string, log: ((line: string) => void) | undefined): number {
  if (!isFsError(error)) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log?.(`${operation} failed: ${what}`);
    return -constants.errno.EIO;
  }
  if (error.code === 'ENODATA' && process.platform === 'darwin') return -ENOATTR_DARWIN;
  return -(numbers[error.code] ?? constants.errno.EIO);
}
