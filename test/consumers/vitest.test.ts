// The fixture of docs/node-fs.md, as it stands there: each test has an overlay of its own over one lower layer.
import { readFileSync } from 'node:fs';
import { memoryLayer, overlay } from '@ovl/core';
import { createFs, type NodeFs } from '@ovl/node';
import { expect, test as base } from 'vitest';

const project = memoryLayer({ from: { 'package.json': '{ "name": "app" }', src: { 'main.js': 'run();' } } });

const test = base.extend<{ fs: NodeFs }>({
  fs: async ({ task: _task }, use) => {
    await use(createFs(overlay({ lower: [project], upper: memoryLayer() }), { cwd: '/' }));
  },
});

test('a test does what it likes', ({ fs }) => {
  fs.rmSync('/src', { recursive: true });
  expect(fs.readdirSync('/')).toEqual(['package.json']);
});

test('and the next one begins anew', ({ fs }) => {
  expect(fs.readFileSync('/src/main.js', 'utf8')).toBe('run();');
});

base('the page shows what runs here', () => {
  const page = readFileSync(new URL('../../docs/node-fs.md', import.meta.url), 'utf8');
  const [, example = ''] = /^## A fresh tree for each test\n[^]*?^```ts\n([^]*?)^```$/m.exec(page) ?? [];
  expect(example).toContain('base.extend');
  expect(readFileSync(new URL(import.meta.url), 'utf8')).toContain(example);
});
