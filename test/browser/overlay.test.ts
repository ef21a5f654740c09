// @ovl/browser as built, in a real Chromium.
import { expect, test } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { type BrowserPage, hasChromium, openPage } from './chromium.js';

test('the built module loads in Chromium', async (ctx) => {
  requireOrSkip(ctx, hasChromium, 'Chromium is not installed');
  await using browser: BrowserPage = await openPage();
  const names = await browser.page.evaluate((ovl) => Object.keys(ovl), browser.ovl);
  expect(names).toBeInstanceOf(Array);
  expect(browser.errors).toEqual([]);
});
