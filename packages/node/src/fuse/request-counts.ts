/**
 * How many requests of each kind a mount has answered, and how long that took if it is asked for: what decides about speed,
 * since a request costs more than what it does. Written by the serving thread, read by the main thread.
 */
import { Opcode } from './protocol.js';

/** How often the kernel has made one kind of request. */
export interface RequestCount {
  /** As in the FUSE protocol, in lower case: "lookup". */
  request: string;
  count: number;
  /** Time spent on all of them, without waiting, in microseconds; 0 unless the mount measures it. */
  microseconds: number;
}

const OPCODES = 64;

export class RequestCounts {
  /** For another thread's view of the same numbers. */
  readonly memory: SharedArrayBuffer;
  readonly #counts: Float64Array;
  readonly #milliseconds: Float64Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(2 * 8 * OPCODES)) {
    this.memory = memory;
    this.#counts = new Float64Array(memory, 0, OPCODES);
    this.#milliseconds = new Float64Array(memory, 8 * OPCODES, OPCODES);
  }

  add(opcode: number): void {
    if (opcode < OPCODES) (this.#counts[opcode] as number)++;
  }

  took(opcode: number, milliseconds: number): void {
    if (opcode < OPCODES) (this.#milliseconds[opcode] as number) += milliseconds;
  }

  /** What was asked for at all, most often first. */
  list(): RequestCount[] {
    return Array.from(this.#counts, (count, opcode) => ({
      request: names.get(opcode) ?? `opcode ${opcode}`,
      count,
      microseconds: Math.round((this.#milliseconds[opcode] as number) * 1000),
    }))
      .filter(({ count }) => count > 0)
      .sort((a, b) => b.count - a.count);
  }
}

/** "batchForget" → "batch_forget", as in fuse.h. */
const names: ReadonlyMap<number, string> = new Map(
  Object.entries({ ...Opcode, access: 34, getlk: 31, setlk: 32, setlkw: 33, bmap: 37, poll: 40, statx: 52 }).map(
    ([name, opcode]) => [opcode, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)],
  ),
);
