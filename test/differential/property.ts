/** Runs a comparison over random cases: the seed is printed, `OVL_RUNS` multiplies, `OVL_SEED` and `OVL_PATH` repeat. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { mount } from '../../packages/node/src/mount-syscalls.js';
import { testCase } from './arbitraries.js';
import { sweep } from './child.js';
import { Comparison } from './compare.js';
import type { Flavour, SideKind } from './sides.js';
import { seedOfRun } from '../support/seed.js';

export interface Experiment {
  kinds: readonly [SideKind, SideKind];
  flavour: Flavour;
  /** What the layers lie on: the file system of the temporary directory, or a tmpfs. */
  on: 'disk' | 'tmpfs';
  /** Half of the operations come from ordinary users. */
  users?: true;
  runs: number;
  /** No further run begins after this many milliseconds. */
  limitMs: number;
}

const factor = Number(process.env.OVL_RUNS ?? 1);

/** A place for layers, gone at the end with all that was mounted in it. */
export async function withBase<T>(on: 'disk' | 'tmpfs', use: (base: string) => Promise<T>): Promise<T> {
  const base = mkdtempSync(join(tmpdir(), 'ovl-diff-'));
  try {
    if (on === 'tmpfs') mount('ovl-diff', base, 'tmpfs', 0, 'size=1g');
    return await use(base);
  } finally {
    await sweep(base);
    rmSync(base, { recursive: true, force: true });
  }
}

export async function findNoDifference({ kinds, flavour, on, users, runs, limitMs }: Experiment): Promise<void> {
  await withBase(on, async (base) => {
    const comparison = await Comparison.start(base, kinds, [flavour, flavour]);
    const seed = seedOfRun();
    const prefix = flavour.userxattr ? 'user.overlay.' : 'trusted.overlay.';
    const mounts = kinds.includes('ovl');
    const length = mounts ? 200 : 60;
    const limits = { prefix, users: users === true, links: flavour.index === true, mounts, length } as const;
    let done = 0;
    try {
      console.log(`${kinds.join(' and ')} on ${on}: seed ${seed}`);
      await fc.assert(
        fc.asyncProperty(testCase(limits), async (test) => {
          await comparison.run(test);
          done++;
        }),
        {
          seed,
          ...(process.env.OVL_PATH === undefined ? {} : { path: process.env.OVL_PATH }),
          numRuns: runs * factor,
          interruptAfterTimeLimit: limitMs * factor,
          markInterruptAsFailure: false,
        },
      );
    } finally {
      await comparison.end();
      const all = [...comparison.tally.values()];
      const sum = (pick: 'done' | 'succeeded'): number => all.reduce((total, counts) => total + counts[pick], 0);
      console.log(`${done} cases, ${sum('done')} operations, ${sum('succeeded')} without an error`);
      if (process.env.OVL_VERBOSE !== undefined) console.table(Object.fromEntries(comparison.tally));
    }
  });
}
