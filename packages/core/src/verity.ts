/**
 * Digests of data that was left below ("fs-verity support"): recorded in a metacopy, and compared with what the file system
 * of the data says before anything is read.
 */
import { FsError } from './errors.js';
import { encodeMetacopy } from './format.js';
import type { Real, Stack } from './inode.js';
import type { VerityDigest } from './layer.js';
import type { Verity } from './options.js';
import { type Operation, wait } from './run.js';

/**
 * To be passed to `Overlay.open`. Reading data that has not the digest its metacopy tells throws EIO; with "require", so
 * does reading through a metacopy without one, and what has no digest is copied up whole.
 */
export function verity(mode: 'on' | 'require'): Verity {
  return {
    *check(stack, digests, data) {
      for (const expected of digests) {
        if (expected === undefined && mode === 'on') continue;
        const actual = expected === undefined ? undefined : yield* digestOf(stack, data);
        if (!isSame(expected, actual)) throw new FsError('EIO', { syscall: 'verity' });
      }
    },
    *mark(stack, data) {
      const digest = yield* digestOf(stack, data);
      return digest === undefined && mode === 'require' ? undefined : encodeMetacopy(digest);
    },
  };
}

function* digestOf(stack: Stack, { layer, node }: Real): Operation<VerityDigest | undefined> {
  return yield* wait(stack.layer(layer).verityDigest?.(node));
}

function isSame(a: VerityDigest | undefined, b: VerityDigest | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a.algorithm === b.algorithm && String(a.bytes) === String(b.bytes);
}
