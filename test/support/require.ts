// A test that needs something of the machine (root, /dev/fuse, podman) says so here.
import type { TestContext } from 'vitest';

/** Skips the running test with `reason` unless `condition` holds; where everything must be there (CI), fails instead. */
export function requireOrSkip(ctx: Pick<TestContext, 'skip'>, condition: unknown, reason: string): asserts condition {
  if (condition) return;
  if (process.env.OVL_REQUIRE === '1') throw new Error(`required here, but missing: ${reason}`);
  ctx.skip(reason);
}
