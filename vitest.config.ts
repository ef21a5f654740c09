// One configuration for every package's tests. They run the TypeScript source, not dist.
import { defineConfig } from 'vitest/config';

const packages = new URL('./packages', import.meta.url).pathname;

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@ovl\/([^/]+)$/, replacement: `${packages}/$1/src/index.ts` },
      { find: /^@ovl\/([^/]+)\/([^/]+)$/, replacement: `${packages}/$1/src/$2/index.ts` },
    ],
  },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    setupFiles: ['test/support/daemons.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', './test/reporter.ts'],
  },
});
