// docs/tutorials/browser.md: the page that it builds, in Chromium, before and after reloads.
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { follow, root } from '../docs/page.js';
import { requireOrSkip } from '../support/require.js';
import { type BrowserPage, hasChromium, openPage } from './chromium.js';

test('docs/tutorials/browser.md', async (ctx) => {
  requireOrSkip(ctx, hasChromium, 'Chromium is not installed');
  const directory = mkdtempSync(join(tmpdir(), 'ovl-page-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  await follow('docs/tutorials/browser.md', { directory });
  const read = (name: string): string => readFileSync(join(directory, name), 'utf8');

  await using browser: BrowserPage = await openPage({
    '/index.html': read('index.html'),
    '/bundle.js': read('bundle.js'),
  });
  const { page } = browser;
  await page.goto(new URL('/index.html', page.url()).href);
  for (const visits of [1, 2, 3]) {
    await page.waitForFunction("document.querySelector('pre').textContent !== ''");
    const shown = await page.textContent('pre');
    expect(shown).toBe(`log.txt\n\nThe log begins.\n${'Somebody was here.\n'.repeat(visits)}`);
    await page.reload();
  }
  expect(browser.errors).toEqual([]);
});
