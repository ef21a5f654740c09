// An upper in memory that does as if it copied beside its caller: each task takes some looks at it.
import type { FsError, Job, MemoryLayer } from '@ovl/core';

/** What the upper does beside: each task takes so many looks, and may be told to fail. */
export interface Copier {
  looks: number;
  failure: FsError | undefined;
  log: string[];
}

/** Makes a layer in memory one that copies beside its caller. */
export function copyingBeside(upper: MemoryLayer, copier: Copier): MemoryLayer {
  const job = (act: () => number): Job => {
    let left = copier.looks;
    let result: number | FsError | undefined;
    const poll = (): number | FsError | undefined => {
      if (result === undefined && left-- <= 0) result = copier.failure ?? act();
      return result;
    };
    const wait = (): void => {
      left = 0;
      poll();
    };
    return { poll, wait };
  };
  return Object.assign(upper, {
    copiesBeside: () => true,
    copyBeside: (from: { read: MemoryRead }, to: { write: MemoryRead }, position: number, length: number) => {
      copier.log.push(`copy ${position}`);
      return job(() => {
        const buffer = new Uint8Array(length);
        return to.write(buffer.subarray(0, from.read(buffer, position)), position);
      });
    },
    syncBeside: (_file: unknown, scope: string) => {
      copier.log.push(`sync ${scope}`);
      return job(() => 0);
    },
    promises: () => true,
  });
}
type MemoryRead = (buffer: Uint8Array, position: number) => number;
