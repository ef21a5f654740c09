// Runs the TypeScript of the repository without a build, by the same configuration as the tests.
import { fileURLToPath } from 'node:url';
import { createServer } from 'vite';

/** To be closed. `ssrLoadModule` of it imports a file. */
export function serveSources() {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  return createServer({
    root,
    configFile: `${root}/vitest.config.ts`,
    logLevel: 'error',
    server: { middlewareMode: true, watch: null, ws: false, hmr: false },
    optimizeDeps: { noDiscovery: true },
    appType: 'custom',
  });
}
