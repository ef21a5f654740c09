// @ovl/browser as built, in a real Chromium.
import { expect, test } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { type BrowserPage, hasChromium, openPage } from './chromium.js';

test('an overlay with a memory upper works in Chromium', async (ctx) => {
  requireOrSkip(ctx, hasChromium, 'Chromium is not installed');
  await using browser: BrowserPage = await openPage();
  const seen = await browser.page.evaluate(async (ovl) => {
    const lower = ovl.memoryLayer({ from: { 'readme.txt': 'hello', dir: { a: '1', b: '2' }, old: { x: 'x' } } });
    const upper = ovl.memoryLayer();
    const overlay = ovl.runSync(ovl.Overlay.open<'sync'>({ lower: [lower], upper }));
    const fs = ovl.syncFs(overlay);
    fs.appendFileSync('/readme.txt', ', world');
    fs.renameSync('/dir', '/moved');
    fs.writeFileSync('/moved/c', '3');
    fs.unlinkSync('/old/x');
    fs.rmdirSync('/old');
    let code = '';
    try {
      fs.readFileSync('/old/x');
    } catch (error) {
      code = (error as { code: string }).code;
    }
    // A second overlay over the same layers is what a reload finds.
    const reopened = ovl.promisesFs(await ovl.runAsync(ovl.Overlay.open({ lower: [lower], upper })));
    const text = new TextDecoder().decode(await reopened.readFile('/readme.txt'));
    const changes = ovl.runSync(ovl.diff(overlay));
    return {
      text,
      code,
      root: await reopened.readdir('/'),
      moved: await reopened.readdir('/moved'),
      lower: lower.readdir(lower.root).map((entry) => entry.name),
      changes: changes.map(({ kind, path, from }) => `${kind} ${path}${from === undefined ? '' : ` from ${from}`}`),
    };
  }, browser.ovl);
  expect(seen).toEqual({
    text: 'hello, world',
    code: 'ENOENT',
    root: ['moved', 'readme.txt'],
    moved: ['a', 'b', 'c'],
    lower: ['readme.txt', 'dir', 'old'],
    changes: ['renamed /moved from /dir', 'added /moved/c', 'deleted /old', 'modified /readme.txt'],
  });
  expect(browser.errors).toEqual([]);
});
