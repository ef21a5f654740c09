// The examples of docs/snapshots.md, run as they stand.
import { readFileSync } from 'node:fs';
import { memoryLayer, runSync, syncFs } from '@ovl/core';
import { snapshotOverlay } from '@ovl/core/snapshots';
import { expect, test } from 'vitest';

const page = readFileSync(new URL('../../docs/snapshots.md', import.meta.url), 'utf8');
const code = [...page.matchAll(/```js\n([^]*?)```/g)].map(([, example = '']) => example.replace(/^import .*\n/gm, ''));

test('docs/snapshots.md', () => {
  expect(code).toHaveLength(2);
  const body = `${code.join('\n')}\nreturn { dropped, paths: [fs, syncFs(other), syncFs(again)] };`;
  const names = { memoryLayer, runSync, syncFs, snapshotOverlay };
  const run = new Function(...Object.keys(names), body) as (...values: unknown[]) => {
    dropped: object;
    paths: ReturnType<typeof syncFs>[];
  };
  const { dropped, paths } = run(...Object.values(names));
  expect(dropped).toBeDefined();
  expect(paths.map((fs) => fs.readFileSync('/notes.txt', 'utf8'))).toEqual(['one, two', 'one, two, three', 'one, two']);
});
