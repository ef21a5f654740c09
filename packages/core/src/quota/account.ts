/**
 * What may be used and what is: the sum that all layers of one quota are charged to. Room is reserved before a layer is asked, so
 * that of many who write at the same time none goes past the limit, and charged by what the layer says afterwards.
 */
import { FsError } from '../errors.js';

/** What an upper holds, as its quota counts it. */
export interface Usage {
  /** Room that objects take, as their `blocks` say. */
  bytes: number;
  /** Objects of any type, the root and whiteouts among them. One with several names counts once. */
  inodes: number;
}

/** What is left out is not limited. */
export type QuotaLimits = Partial<Usage>;

const NOTHING: Usage = { bytes: 0, inodes: 0 };

export class Account {
  limits: QuotaLimits;
  readonly used: Usage = { ...NOTHING };
  readonly #reserved: Usage = { ...NOTHING };

  constructor(limits: QuotaLimits) {
    this.limits = limits;
  }

  /** What may still be used: below zero where a limit was lowered, or a layer took more than it was thought to take. */
  left(what: keyof Usage): number {
    return (this.limits[what] ?? Infinity) - this.used[what] - this.#reserved[what];
  }

  /** Throws EDQUOT where there is no room. What needs none is never refused. Answers what gives it back. */
  reserve({ bytes = 0, inodes = 0 }: QuotaLimits, syscall: string): () => void {
    const isOver = (bytes > 0 && bytes > this.left('bytes')) || (inodes > 0 && inodes > this.left('inodes'));
    if (isOver) throw new FsError('EDQUOT', { syscall });
    this.#add(this.#reserved, bytes, inodes);
    return () => this.#add(this.#reserved, -bytes, -inodes);
  }

  charge(bytes: number, inodes: number): void {
    this.#add(this.used, bytes, inodes);
  }

  #add(sum: Usage, bytes: number, inodes: number): void {
    sum.bytes += bytes;
    sum.inodes += inodes;
  }
}
