// A real Chromium on a page of ours: bundles the built @ovl/browser into one module, serves it from
// loopback and opens a page that can import it.
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type * as OvlBrowser from '@ovl/browser';
import type * as Changes from '@ovl/core/changes';
import { type Browser, chromium, type JSHandle, type Page } from 'playwright-core';

type Ovl = typeof OvlBrowser & typeof Changes;

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Whether there is a Chromium to start. */
export const hasChromium: boolean = existsSync(executablePath);

/** Starts it, to be closed by the caller. */
export const launchChromium = (): Promise<Browser> => chromium.launch({ executablePath, args: ['--no-sandbox'] });

export interface BrowserPage extends AsyncDisposable {
  page: Page;
  /** The module, to pass to `page.evaluate`: a function sent there sees nothing else of ours. */
  ovl: JSHandle<Ovl>;
  /** What the page logged as errors or threw, in order. */
  errors: string[];
}

/** Opens an empty page with @ovl/browser, as built, imported into it; more `files`, by path, are served beside it. */
export async function openPage(files: Record<string, string> = {}): Promise<BrowserPage> {
  const server = await serve({ '/ovl.js': await bundle('@ovl/browser', '@ovl/core/changes'), ...files });
  let browser: Browser | undefined;
  const close = async () => {
    await browser?.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  try {
    browser = await launchChromium();
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') errors.push(message.text());
    });
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    // As text, for Vite would rewrite the import of a function.
    const ovl: JSHandle<Ovl> = await page.evaluateHandle("import('/ovl.js')");
    return { page, ovl, errors, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function bundle(...names: string[]): Promise<string> {
  const result = await build({
    stdin: {
      contents: names.map((name) => `export * from ${JSON.stringify(name)};`).join('\n'),
      resolveDir: fileURLToPath(new URL('../..', import.meta.url)),
    },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2023',
    write: false,
  });
  return result.outputFiles[0]?.text ?? '';
}

async function serve(files: Record<string, string>): Promise<Server> {
  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    const file = files[path];
    if (file !== undefined) {
      const type = path.endsWith('.html') ? 'text/html' : 'text/javascript';
      response.writeHead(200, { 'content-type': type }).end(file);
    } else if (path === '/') {
      // The empty icon keeps Chromium from asking for one.
      const head = '<!doctype html><meta charset="utf-8"><title>ovl</title><link rel="icon" href="data:,">';
      response.writeHead(200, { 'content-type': 'text/html' }).end(head);
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
