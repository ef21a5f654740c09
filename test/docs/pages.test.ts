// Every page is followed from top to bottom: its files are written, its programs and commands run, and what it shows
// is what is printed. What has a test of its own, because it needs more than a directory, is named here.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { canBeFollowed, commandsOf, follow, root } from './page.js';

const elsewhere: Record<string, string> = {
  'docs/layers.md': 'test/docs/layers.test.ts',
  'docs/node-fs.md': 'test/consumers/vitest.test.ts',
  'docs/snapshots.md': 'test/docs/snapshots.test.ts',
  'docs/tutorials/browser.md': 'test/browser/tutorial.test.ts',
  'docs/tutorials/containers.md': 'test/podman/podman.test.ts',
};

/** Shell commands that make what a page takes for granted. */
const given: Record<string, string> = {
  'README.md':
    'mkdir -p base/old changes work merged; head -c 1200 /dev/zero | tr "\\0" x > base/notes.txt; echo old > base/old/file',
};

const inExamples = readdirSync(join(root, 'examples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => `examples/${name}`);

const inDocs = readdirSync(join(root, 'docs'), { recursive: true }).map((name) => `docs/${String(name)}`);
const pages = ['README.md', ...inDocs.filter((name) => name.endsWith('.md'))].filter(canBeFollowed);

test('what is tested elsewhere is there', () => {
  expect(
    Object.entries(elsewhere)
      .flat()
      .filter((path) => !existsSync(join(root, path))),
  ).toEqual([]);
});

const followed = pages.filter((page) => !(page in elsewhere));

test.for(followed)('%s', { timeout: 200_000 }, async (page, ctx) => {
  if (/\bmount\b/.test(commandsOf(page))) {
    const hasFuse = existsSync('/dev/fuse') && process.getuid?.() === 0;
    requireOrSkip(ctx, hasFuse, 'a mount needs /dev/fuse, and this test root');
  }
  await follow(page, given[page] === undefined ? {} : { given: given[page] });
});

test.for(inExamples)('%s', { timeout: 200_000 }, async (example) => {
  await follow(`${example}/README.md`, { directory: join(root, example) });
});

test.each([
  ['a command prints something else', '```console\n$ echo a\nb\n```\n', 'echo a'],
  ['a command prints more', '```console\n$ echo a; echo b\na\n```\n', 'echo a; echo b'],
  ['a command fails', '```console\n$ false\n```\n', 'false'],
  ['the shell ends early', '```console\n$ exit 0\n$ true\n```\n', 'exit 0'],
  ['a program prints something else', '```ts\nconsole.log(1);\n```\n\n```\n2\n```\n', 'node'],
  ['a program throws', '```ts\nthrow new Error();\n```\n', 'node'],
  ['a package is none', '```console\n$ npm install @ovl/nothing\n```\n', 'no package @ovl/nothing'],
])('a page fails where %s', async (_what, text, message) => {
  const folder = mkdtempSync(join(tmpdir(), 'ovl-page-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const page = join(folder, 'page.md');
  writeFileSync(page, text);
  await expect(follow(page)).rejects.toThrow(message);
});

test('a page may leave out what is different each time', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ovl-page-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const page = join(folder, 'page.md');
  writeFileSync(
    page,
    '```js\n// a.mjs\nconsole.log(1, Date.now());\n```\n\n```console\n$ node a.mjs\n1 …\n$ seq 3\n…\n3\n```\n',
  );
  await follow(page);
});
