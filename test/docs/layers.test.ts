// The examples of docs/layers.md, run as they stand there.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { transform } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';
import { tarOf } from '../../packages/core/test/tar-writer.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(root, 'docs/layers.md'), 'utf8');

/** The TypeScript blocks below a heading. */
function blocks(heading: string): string[] {
  const part = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return [...part.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);
}

/** What the code prints, run where the packages are found. */
async function printed(code: string, files: Record<string, Uint8Array> = {}): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'ovl-layers-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  writeFileSync(join(folder, 'example.mjs'), (await transform(code, { loader: 'ts', format: 'esm' })).code);
  const { stdout } = await run(process.execPath, ['example.mjs'], { cwd: folder, timeout: 30_000 });
  return stdout;
}

test('files in one line', async () => {
  expect(await printed(blocks('Files in one line').join(''))).toBe("[ 'data.bin', 'index.js' ] 100755\n");
});

test('archives', async () => {
  expect(await printed(blocks('Archives').join(''), { 'app.tar': tarOf({ name: 'a/b' }, { name: 'c' }) })).toBe(
    "[ 'a', 'c' ]\n",
  );
});

test('layers as bytes', async () => {
  expect(await printed(blocks('Layers as bytes').join(''))).toBe('lib b.js,c.js c and on\nlib,src\n');
});

test('keys and values', async () => {
  expect(await printed(blocks('Keys and values').join(''))).toBe("[ 'a' ]\n");
});

test('a new layer: it works, passes the suite, and takes under 150 lines', async () => {
  const [layer, use, suite] = blocks('A new layer') as [string, string, string];
  expect(layer.split('\n').length).toBeLessThan(150);
  expect(await printed(layer + use)).toBe('hello, world\n');
  const report = await printed(layer + suite);
  expect(report).toMatch(/^# fail 0$|ℹ fail 0$/m);
  expect(report).toMatch(/^(# |ℹ )pass ([89]|\d\d)$/m);
});

test('names every layer and store that is there', async () => {
  const exported = [
    await import('@ovl/core'),
    await import('@ovl/core/tar'),
    await import('@ovl/core/serial'),
    await import('@ovl/core/zip'),
    await import('@ovl/core/kv'),
    await import('@ovl/node'),
  ].flatMap(Object.keys);
  const named = [...page.matchAll(/`(\w+(?:Layer|Store|Upper))\(/g)].map(([, name]) => name as string);
  expect(exported.filter((name) => /^[a-z]\w*(Layer|Store|Upper)$/.test(name) && !named.includes(name))).toEqual([]);
  expect(named.filter((name) => !exported.includes(name))).toEqual([]);
});
