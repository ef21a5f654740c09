// The examples of the README, run as they stand there.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { transform } from 'esbuild';
import { expect, test } from 'vitest';
import { requireOrSkip } from '../support/require.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const ovl = join(root, 'packages/cli/bin/ovl.js');

/** The first fenced block of a language after a heading ("" for the top). */
async function block(heading: string, language: string): Promise<string> {
  const text = await readFile(join(root, 'README.md'), 'utf8');
  const after = text.slice(text.indexOf(heading));
  const match = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(after);
  if (match === null) throw new Error(`no ${language} block after ${heading}`);
  return match[1] as string;
}

test('the session at the top', async (ctx) => {
  const hasFuse = existsSync('/dev/fuse') && process.getuid?.() === 0;
  requireOrSkip(ctx, hasFuse, 'a mount needs /dev/fuse, and this test root');
  const directory = await mkdtemp(join(tmpdir(), 'ovl-readme-'));
  try {
    await writeFile(join(directory, 'ovl'), `#!/bin/sh\nexec ${process.execPath} ${ovl} "$@"\n`);
    await chmod(join(directory, 'ovl'), 0o755);
    for (const name of ['base/old', 'changes', 'work', 'merged'])
      await mkdir(join(directory, name), { recursive: true });
    await writeFile(join(directory, 'base/notes.txt'), 'x'.repeat(1200));
    await writeFile(join(directory, 'base/old/file'), 'old');

    const lines = (await block('# ovl', '')).trimEnd().split('\n');
    const commands = lines.filter((line) => line.startsWith('$ ')).map((line) => line.slice(2));
    const expected = lines.filter((line) => !line.startsWith('$ '));
    const script = ['set -e', 'trap "umount -l merged 2>/dev/null || true" EXIT', ...commands].join('\n');
    const env = { ...process.env, PATH: `${directory}:${process.env.PATH}` };
    const { stdout } = await run('bash', ['-c', script], { cwd: directory, env, timeout: 30_000 });
    expect(stdout.trimEnd().split('\n')).toEqual(expected);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('the library', async () => {
  const { code } = await transform(await block('## The library', 'ts'), { loader: 'ts', format: 'esm' });
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], { cwd: root, timeout: 30_000 });
  expect(stdout).toBe("[ 'main.js' ]\n");
});
