/** What the machine must give: root and the kernel's overlayfs. */
import { readFileSync } from 'node:fs';
import type { TestContext } from 'vitest';
import { requireOrSkip } from '../support/require.js';

export function requireKernel(ctx: Pick<TestContext, 'skip'>): void {
  requireOrSkip(ctx, process.platform === 'linux', 'the oracle is a Linux kernel');
  requireOrSkip(ctx, process.geteuid?.() === 0, 'mounting overlayfs takes root');
  const known = readFileSync('/proc/filesystems', 'utf8');
  requireOrSkip(ctx, /\toverlay$/m.test(known), 'this kernel has no overlayfs');
}
