// As much of the campaign as a gate has time for; `pnpm crash` is the whole of it.
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireKernel } from '../differential/requirements.js';
import { requireOrSkip } from '../support/require.js';
import { seedOfRun } from '../support/seed.js';
import { campaign, summary } from './campaign.js';

const built = new URL('../../packages/node/dist/daemon.js', import.meta.url);
const factor = Number(process.env.OVL_RUNS ?? 1);

test('a killed daemon leaves the old view or the new one', { timeout: 200_000 * factor }, async (ctx) => {
  requireKernel(ctx);
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse is missing');
  requireOrSkip(ctx, existsSync(built), 'packages/node/dist: build first');
  const seed = seedOfRun();
  console.log(`kills: seed ${seed}`);
  const tally = await campaign({ kills: 100 * factor, seed, limitMs: 60_000 * factor, log: () => {} });
  console.log(summary(tally));
  expect(tally.kills).toBeGreaterThan(0);
});
