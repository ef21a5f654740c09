// The examples of docs/snapshots.md, run as they stand; what they say that a line gives is what it gives.
import { readFileSync } from 'node:fs';
import { memoryLayer, runSync, syncFs } from '@ovl/core';
import { createFs } from '@ovl/core/fs';
import { pop, push, snapshotOverlay } from '@ovl/core/snapshots';
import { expect, test } from 'vitest';

const page = readFileSync(new URL('../../docs/snapshots.md', import.meta.url), 'utf8');
const code = [...page.matchAll(/```js\n([^]*?)```/g)].map(([, example = '']) =>
  example.replace(/^import .*\n/gm, '').replace(/^(\S.*); \/\/ ('[^']*'|false|\d+)(?=:|$).*/gm, 'seen.push([$1, $2]);'),
);

test('docs/snapshots.md', () => {
  expect(code).toHaveLength(3);
  const body = `const seen = [];\n${code.join('\n')}\nreturn { dropped, seen, again, lower: view.lower, base };`;
  const names = { createFs, memoryLayer, pop, push, runSync, syncFs, snapshotOverlay };
  const run = new Function(...Object.keys(names), body) as (...values: unknown[]) => {
    dropped: object;
    seen: [actual: unknown, said: unknown][];
    again: Parameters<typeof syncFs>[0];
    lower: object[];
    base: object;
  };
  const { dropped, seen, again, lower, base } = run(...Object.values(names));
  expect(dropped).toBeDefined();
  expect(seen).toHaveLength(6);
  expect(seen.map(([actual]) => actual)).toEqual(seen.map(([, said]) => said));
  expect(syncFs(again).readFileSync('/notes.txt', 'utf8')).toBe('one, two');
  expect(lower).toEqual([base]);
});
