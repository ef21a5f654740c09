// The script of the README, as a test: as root and as an ordinary user, and through the other transport.
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { ovl } from './command.mjs';
import { realInput, whyNotHere } from './real-input.mjs';

// Whatever may hang has a deadline of its own; this one is for the sum of them.
const timeout = 900_000;

for (const [as, system] of [
  ['root', 'ovl'],
  ['user', 'ovl'],
  ['root', 'ovl-libfuse'],
] as const)
  test(`a day's work on a real tree, as ${as}, ${system}`, { timeout }, async (ctx) => {
    const missing = whyNotHere();
    requireOrSkip(ctx, missing === undefined, `${missing}`);
    requireOrSkip(ctx, existsSync(ovl[1]), 'the built command: `pnpm build`');
    const lines: string[] = [];
    const { failures, skipped } = await realInput({ as, system, log: (line) => lines.push(line) });
    expect(failures, lines.join('\n')).toEqual([]);
    requireOrSkip(ctx, skipped.length === 0, skipped.join('; '));
  });
