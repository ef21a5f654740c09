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

const WRITE = O_WRONLY | O_CREAT;
const BOTH = O_RDWR | O_CREAT;
const words: Readonly<Record<string, number>> = {
  r: O_RDONLY,
  rs: O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  w: WRITE | O_TRUNC,
  wx: WRITE | O_TRUNC | O_EXCL,
  'w+': BOTH | O_TRUNC,
  'wx+': BOTH | O_TRUNC | O_EXCL,
  a: WRITE | O_APPEND,
  ax: WRITE | O_APPEND | O_EXCL,
  as: WRITE | O_APPEND | O_SYNC,
  'a+': BOTH | O_APPEND,
  'ax+': BOTH | O_APPEND | O_EXCL,
  'as+': BOTH | O_APPEND | O_SYNC,
};

/** What `open` understands by a word ("x" and "s" may also come first). */
export function flagsOf(word: string): number | undefined {
  const ordered = word.replace(/^([sx])([rwa])/, '$2$1');
  return Object.hasOwn(words, ordered) ? words[ordered] : undefined;
}
