/** Which chunks of a file are stored: sorted pairs of a first index and a number, as flat as they are saved. Pure. */
export type Runs = readonly number[];

const NONE: Runs = [];

/** The runs, each as `[start, end)`. */
export function* ranges(runs: Runs): Generator<[start: number, end: number]> {
  for (let i = 0; i < runs.length; i += 2) {
    const start = runs[i] as number;
    yield [start, start + (runs[i + 1] as number)];
  }
}

export function hasChunk(runs: Runs, index: number): boolean {
  for (const [start, end] of ranges(runs)) if (index < end) return index >= start;
  return false;
}

export function countChunks(runs: Runs): number {
  let count = 0;
  for (const [start, end] of ranges(runs)) count += end - start;
  return count;
}

/** With the chunks of `[from, to)`. */
export function addChunks(runs: Runs, from: number, to: number): Runs {
  let [first, last] = [from, to];
  const out: number[] = [];
  const after: number[] = [];
  for (const [start, end] of ranges(runs)) {
    if (end < from) out.push(start, end - start);
    else if (start > to) after.push(start, end - start);
    else {
      first = Math.min(first, start);
      last = Math.max(last, end);
    }
  }
  return [...out, first, last - first, ...after];
}

/** Without those of `[from, to)`. */
export function removeChunks(runs: Runs, from: number, to: number): Runs {
  if (from >= to) return runs;
  const out: number[] = [];
  for (const [start, end] of ranges(runs)) {
    if (start < from) out.push(start, Math.min(end, from) - start);
    if (end > to) out.push(Math.max(start, to), end - Math.max(start, to));
  }
  return out.length === 0 ? NONE : out;
}

/** The stored indexes in `[from, to)`. */
export function* chunksIn(runs: Runs, from: number, to: number): Generator<number> {
  for (const [start, end] of ranges(runs))
    for (let index = Math.max(start, from); index < Math.min(end, to); index++) yield index;
}
