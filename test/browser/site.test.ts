// The site in a real Chromium, from the disk: no errors, nothing wider than the window, readable without scripts.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildSite } from '../../docs/site/site.js';
import { requireOrSkip } from '../support/require.js';
import { hasChromium, launchChromium } from './chromium.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
let out: string | undefined;
let browser: Browser | undefined;

beforeAll(async () => {
  if (!hasChromium) return;
  out = mkdtempSync(join(tmpdir(), 'ovl-site-'));
  buildSite({ root, out });
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  if (out !== undefined) rmSync(out, { recursive: true });
});

/** Opens a page as a reader would; `errors` is what it logs, throws or asks of the network. */
async function open(
  path: string,
  width: number,
  scripts: 'on' | 'off' = 'on',
): Promise<{ page: Page; errors: string[] }> {
  const errors: string[] = [];
  const context = await (browser as Browser).newContext({
    viewport: { width, height: 800 },
    javaScriptEnabled: scripts === 'on',
  });
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('requestfailed', (request) => errors.push(request.url()));
  page.on('request', (request) => request.url().startsWith('file:') || errors.push(request.url()));
  await page.goto(pathToFileURL(join(out as string, path)).href);
  return { page, errors };
}

const paths = [
  'index.html',
  'docs/index.html',
  'docs/options.html',
  'docs/performance.html',
  'ARCHITECTURE.html',
  'api/core/index.html',
  'api/core/fs.html',
  'api/browser/index.html',
  'packages/core/src/layer.ts.html',
];
describe.for([1280, 390])('at %i pixels', (width) => {
  test.for(paths)('%s has no error, says something and fits', async (path, ctx) => {
    requireOrSkip(ctx, hasChromium, 'Chromium is not installed');
    const { page, errors } = await open(path, width);
    const { scrollWidth, clientWidth } = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return { scrollWidth, clientWidth };
    });
    const words = await page.locator('main').innerText();
    await page.context().close();
    expect(errors).toEqual([]);
    expect(words.length).toBeGreaterThan(100);
    expect(scrollWidth).toBe(clientWidth);
  });

  test('without scripts, the navigation leads on', async (ctx) => {
    requireOrSkip(ctx, hasChromium, 'Chromium is not installed');
    const { page, errors } = await open('api/core/index.html', width, 'off');
    const entry = page.getByRole('link', { name: 'Mount options' });
    if (width === 390) {
      expect(await entry.isVisible()).toBe(false);
      await page.locator('header label').click();
    }
    await entry.click();
    const title = await page.locator('h1').innerText();
    await page.context().close();
    expect(title).toBe('Mount options');
    expect(errors).toEqual([]);
  });

  test('the search leads to what was looked for', async (ctx) => {
    requireOrSkip(ctx, hasChromium, 'Chromium is not installed');
    const { page, errors } = await open('docs/options.html', width);
    const field = page.getByRole('searchbox');
    await field.fill('memorylayer');
    const first = page.locator('#search li').first();
    await first.waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL(/api\/core\/index\.html#\w*emoryLayer$/);
    await page.getByRole('searchbox').fill('no such words');
    const nothing = await page.locator('#search li').innerText();
    await page.context().close();
    expect(nothing).toBe('Nothing found.');
    expect(errors).toEqual([]);
  });
});

test('follows the light or the dark of the system, and prints without the navigation', async (ctx) => {
  requireOrSkip(ctx, hasChromium, 'Chromium is not installed');
  const { page } = await open('index.html', 1280);
  const back = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.emulateMedia({ colorScheme: 'light' });
  const light = await back();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await back();
  const onScreen = await page.locator('nav.site').isVisible();
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  const printed = [await back(), await page.locator('nav.site').isVisible(), await page.locator('main').isVisible()];
  await page.context().close();
  expect(light).toBe('rgb(255, 255, 255)');
  expect(dark).not.toBe(light);
  expect(onScreen).toBe(true);
  expect(printed).toEqual([light, false, true]);
});
