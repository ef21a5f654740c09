// Our mount against the kernel's: the same random operations as system calls on both.
import { existsSync } from 'node:fs';
import { test } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { findNoDifference } from './property.js';
import { requireKernel } from './requirements.js';

const timeout = 600_000;

test('a mount over a tmpfs does what the kernel does', { timeout }, async (ctx) => {
  requireKernel(ctx);
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse is missing');
  const flavour = { userxattr: false, redirectDir: true };
  await findNoDifference({ kinds: ['kernel', 'ovl'], flavour, on: 'tmpfs', runs: 100, limitMs: 60_000 });
});
