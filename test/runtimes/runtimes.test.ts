// The core as built, in every runtime that there is: the same suites, the same outcome.
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { hasChromium, openPage } from '../browser/chromium.js';
import { browserScript, inProgram, inQuickJs, inWorkerd, isThere, programs, workerd } from './launch.js';
import type { Outcome } from './suites.js';

const TIMEOUT = 180_000;
const absent = 'it is not installed: test/runtimes/package.json has no binary for this machine';

function expectAll({ passed, failed }: Outcome, least: number): void {
  expect(failed).toEqual([]);
  expect(passed).toBeGreaterThan(least);
}

const ALL = 500;
const AT_ONCE = 150;

test.for(Object.entries(programs))('%s', { timeout: TIMEOUT }, async ([, program], ctx) => {
  requireOrSkip(ctx, isThere(program), absent);
  expectAll(await inProgram(program), ALL);
});

test(
  'workerd',
  async (ctx) => {
    requireOrSkip(ctx, existsSync(workerd), absent);
    expectAll(await inWorkerd(), ALL);
  },
  TIMEOUT,
);

test(
  'QuickJS inside WebAssembly, without anything of a host',
  async () => {
    expectAll(await inQuickJs(), AT_ONCE);
  },
  TIMEOUT,
);

test(
  'a page in Chromium, and a worker in it',
  async (ctx) => {
    requireOrSkip(ctx, hasChromium, 'Chromium is not installed');
    await using browser = await openPage({ '/suites.js': await browserScript() });
    const inPage: Outcome = await browser.page.evaluate(
      "import('/suites.js').then(({ runSuites }) => runSuites('all'))",
    );
    expectAll(inPage, ALL);
    const inWorker: Outcome = await browser.page.evaluate(`new Promise((resolve, reject) => {
    const source = "import { runSuites } from '" + location.origin + "/suites.js'; postMessage(await runSuites('all'));";
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })), { type: 'module' });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
  })`);
    expectAll(inWorker, ALL);
    expect(browser.errors).toEqual([]);
  },
  TIMEOUT,
);
