// The core over the host's layers, without a mount, against the kernel: fast, so it looks at many more cases.
import { test } from 'vitest';
import { findNoDifference } from './property.js';
import { requireKernel } from './requirements.js';

const timeout = 600_000;

test('the core over a tmpfs does what the kernel does', { timeout }, async (ctx) => {
  requireKernel(ctx);
  const flavour = { userxattr: false, redirectDir: true };
  await findNoDifference({ kinds: ['kernel', 'core'], flavour, on: 'tmpfs', runs: 400, limitMs: 40_000 });
});
