/**
 * What fuse-native's addon takes for `struct stat` and `struct statvfs`: arrays of 32-bit words, with times in
 * milliseconds. What does not fit is made to: inode numbers are folded, block counts scaled, times before 1970 cut.
 */
import type { Attributes, FileSystemStatistics } from '@ovl/core';

const STAT_WORDS = 18;
const STATFS_WORDS = 11;
/** Where {@link statOf} has the link count. */
export const STAT_NLINK = 6;
const TWO_TO_32 = 0x1_0000_0000;

/** Numbers below this are shown as they are; above it follow those of the inodes with greater ones. */
const FOLDED_FROM = 2 ** 31;

/** Inode numbers in 32 bits, unique and stable while mounted. */
export class InodeNumbers {
  readonly #folded = new Map<number, number>();

  of(ino: number): number {
    if (ino < FOLDED_FROM) return ino;
    let folded = this.#folded.get(ino);
    if (folded === undefined) {
      folded = FOLDED_FROM + this.#folded.size;
      this.#folded.set(ino, folded);
    }
    return folded;
  }
}

/** `ino` in 32 bits. */
export function statOf(attributes: Attributes, ino: number): Uint32Array {
  const words = new Uint32Array(STAT_WORDS);
  words[0] = attributes.mode;
  words[1] = attributes.uid;
  words[2] = attributes.gid;
  put64(words, 3, attributes.size);
  words[STAT_NLINK] = attributes.nlink;
  words[7] = ino;
  words[8] = attributes.rdev;
  words[9] = attributes.blksize;
  put64(words, 10, attributes.blocks);
  put64(words, 12, milliseconds(attributes.atimeSec, attributes.atimeNsec));
  put64(words, 14, milliseconds(attributes.mtimeSec, attributes.mtimeNsec));
  put64(words, 16, milliseconds(attributes.ctimeSec, attributes.ctimeNsec));
  return words;
}

/** What a directory entry needs of it: the type bits of the mode, and the inode number. */
export function entryStat(mode: number, ino: number): Uint32Array {
  const words = new Uint32Array(STAT_WORDS);
  words[0] = mode;
  words[7] = ino;
  return words;
}

/** In place of an answer that failed. */
export const noStat: Uint32Array = new Uint32Array(STAT_WORDS);
export const noStatfs: Uint32Array = new Uint32Array(STATFS_WORDS);

export function statfsOf(statistics: FileSystemStatistics): Uint32Array {
  let { bsize, blocks, bfree, bavail } = statistics;
  while (blocks >= TWO_TO_32) {
    bsize *= 2;
    [blocks, bfree, bavail] = [blocks, bfree, bavail].map((count) => Math.floor(count / 2)) as [number, number, number];
  }
  const { files, ffree, namelen } = statistics;
  const [inodes, free] = [files, ffree].map((count) => Math.min(count, TWO_TO_32 - 1)) as [number, number];
  return Uint32Array.of(bsize, bsize, blocks, bfree, bavail, inodes, free, free, 0, 0, namelen);
}

/** The addon divides without a sign. */
function milliseconds(sec: number, nsec: number): number {
  return sec < 0 ? 0 : sec * 1000 + Math.floor(nsec / 1e6);
}

function put64(words: Uint32Array, index: number, value: number): void {
  words[index] = value % TWO_TO_32;
  words[index + 1] = Math.floor(value / TWO_TO_32);
}

/** The other way: two words of a parameter. */
export function join64(low: number, high: number): number {
  return low + high * TWO_TO_32;
}
