// As much of the campaign as a gate has time for; `pnpm crash` is the whole of it.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireKernel } from '../differential/requirements.js';
import { requireOrSkip } from '../support/require.js';
import { seedOfRun } from '../support/seed.js';
import { campaign, summary } from './campaign.js';
import type { Loss } from './workloads.js';

const built = new URL('../../packages/node/dist/index.js', import.meta.url);
const factor = Number(process.env.OVL_RUNS ?? 1);

interface Part {
  loss: Loss;
  kills: number;
  limitMs: number;
}

const parts: [string, Part][] = [
  ['a killed daemon leaves the old view or the new one', { loss: 'kill', kills: 100, limitMs: 50_000 }],
  ['a power failure takes nothing that fsync answered for', { loss: 'power', kills: 20, limitMs: 20_000 }],
];

test.for(parts)('%s', { timeout: 200_000 * factor }, async ([, { loss, kills, limitMs }], ctx) => {
  requireKernel(ctx);
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse is missing');
  requireOrSkip(ctx, existsSync(built), 'packages/node/dist: build first');
  if (loss === 'power') {
    requireOrSkip(ctx, spawnSync('mkfs.ext4', ['-V']).status === 0, 'mkfs.ext4');
    requireOrSkip(ctx, existsSync('/dev/loop-control'), 'loop devices');
  }
  const seed = seedOfRun();
  console.log(`${loss}: seed ${seed}`);
  const tally = await campaign({ kills: kills * factor, seed, loss, limitMs: limitMs * factor, log: () => {} });
  console.log(summary(tally));
  expect(tally.kills).toBeGreaterThan(0);
});
