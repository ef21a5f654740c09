// What the random runs have found, each in its smallest form.
import { readFileSync } from 'node:fs';
import { test } from 'vitest';
import { Comparison } from './compare.js';
import type { Case } from './operations.js';
import { withBase } from './property.js';
import { requireKernel } from './requirements.js';
import type { SideKind } from './sides.js';

const flavour = { userxattr: false, redirectDir: true };

async function check(test: Case, kind: SideKind = 'core'): Promise<void> {
  await withBase((process.env.OVL_ON as 'disk' | undefined) ?? 'tmpfs', async (base) => {
    const comparison = await Comparison.start(base, ['kernel', kind], [flavour, flavour]);
    try {
      await comparison.run(test);
    } finally {
      await comparison.end();
    }
  });
}

const given = process.env.OVL_CASE;
test.runIf(given !== undefined)('the case in the file that OVL_CASE names', async (ctx) => {
  requireKernel(ctx);
  const [only] = JSON.parse(readFileSync(given as string, 'utf8')) as [Case];
  await check(only, process.env.OVL_SIDE as SideKind | undefined);
});
