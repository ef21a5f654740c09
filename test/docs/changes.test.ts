// The examples of docs/changes.md print what stands below them.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { transform } from 'esbuild';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(new URL('../../docs/changes.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/^## ([^\n]*)\n(?:(?!^## )[^])*?^```ts\n([^]*?)^```\n\n```\n([^]*?)^```/gm)];

test('every section with an example has been found', () => {
  expect(examples).toHaveLength(page.split('\n```ts\n').length - 1);
});

test.each(examples.map(([, title, code, output]) => [title, code, output] as [string, string, string]))(
  '%s',
  async (_title, example, output) => {
    const { code } = await transform(example, { loader: 'ts', format: 'esm' });
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], { cwd: root, timeout: 30_000 });
    expect(stdout).toBe(output);
  },
);
