// The small files of an initial tree share arrays: a change to one must not be seen in its neighbours, nor in what a caller gave.
import { memoryLayer, overlay, syncFs } from '@ovl/core';
import { sparseMemoryLayer } from '@ovl/core/extents';
import { describe, expect, test } from 'vitest';

const sizes = [0, 1, 100, 4096, 8192, 8193, 70_000, 5, 4096, 60_000, 3];
const given = (): Record<string, Uint8Array> =>
  Object.fromEntries(sizes.map((size, i) => [`f${i}`, new Uint8Array(size).fill(i + 1)]));

describe.each([
  ['memoryLayer', memoryLayer],
  ['sparseMemoryLayer', sparseMemoryLayer],
])('%s', (_name, layer) => {
  test.each([
    ['overwritten', (content: Uint8Array) => content.fill(99)],
    ['longer', (content: Uint8Array) => new Uint8Array(content.length + 10_000).fill(98)],
    ['shorter', (content: Uint8Array) => content.subarray(0, content.length >> 1)],
  ])('%s: every file keeps its own bytes', (_how, change) => {
    const from = given();
    const fs = syncFs(overlay({ lower: [], upper: layer({ from }) }));
    const expected = given();
    for (const name of Object.keys(from)) {
      const next = change((expected[name] as Uint8Array).slice());
      const before = fs.statSync(`/${name}`)?.size as number;
      if (next.length < before) fs.truncateSync(`/${name}`, next.length);
      else fs.writeFileSync(`/${name}`, next, { flag: 'r+' });
      expected[name] = next;
      for (const [each, content] of Object.entries(expected)) {
        const found = fs.readFileSync(`/${each}`) as Uint8Array;
        expect(Buffer.compare(found, content), `${each} after ${name}`).toBe(0);
        expect(fs.statSync(`/${each}`)?.size).toBe(content.length);
      }
    }
    expect(from).toEqual(given());
  });

  test('a file that was made shorter and longer again has zeros there', () => {
    const fs = syncFs(overlay({ lower: [], upper: layer({ from: { a: 'aaaa', b: 'bbbb' } }) }));
    fs.truncateSync('/a', 1);
    fs.truncateSync('/a', 6);
    expect(fs.readFileSync('/a', 'latin1')).toBe('a\0\0\0\0\0');
    expect(fs.readFileSync('/b', 'latin1')).toBe('bbbb');
  });
});
