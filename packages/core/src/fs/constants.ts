/** `fs.constants`, with Linux's numbers whatever the host: the overlay is no host's file system. */

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_SYNC = 0o4010000;
export const O_DIRECTORY = 0o200000;
export const O_NOFOLLOW = 0o400000;
export const F_OK = 0;
export const X_OK = 1;
export const W_OK = 2;
export const R_OK = 4;
export const COPYFILE_EXCL = 1;
export const COPYFILE_FICLONE = 2;
export const COPYFILE_FICLONE_FORCE = 4;

/** What `open` understands by a word ("x" and "s" may also come first). */
export function flagsOf(word: string): number | undefined {
  const found = /^(?!rx|ws)([rwa])([xs]?)(\+?)$/.exec(word.replace(/^([sx])([rwa])/, '$2$1'));
  if (found === null) return undefined;
  const [, how, mark, plus] = found;
  const makes = how === 'r' ? O_RDONLY : O_WRONLY | O_CREAT | (how === 'w' ? O_TRUNC : O_APPEND);
  const flags = plus === '' ? makes : (makes & ~O_WRONLY) | O_RDWR;
  return mark === '' ? flags : flags | (mark === 'x' ? O_EXCL : O_SYNC);
}
