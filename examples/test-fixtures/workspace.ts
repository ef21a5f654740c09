// The fixture: `fs` is a tree of its own for each test, over one that is made once and that no test can change. A test that
// changes a file copies that file; nothing else is copied, and nothing has to be cleaned up.
import { memoryLayer, overlay, runSync } from '@ovl/core';
import { diff } from '@ovl/core/changes';
import { createFs, type NodeFs } from '@ovl/node';
import { test as base } from 'vitest';

const shared = memoryLayer({
  from: {
    'CHANGELOG.md': '## 1.1.0\n\n- began\n',
    'NEXT.md': '- overlays\n',
    packages: {
      core: { 'package.json': '{ "name": "core", "version": "1.1.0" }', src: { 'index.js': 'export {};' } },
      cli: { 'package.json': '{ "name": "cli", "version": "1.1.0" }' },
    },
  },
});

interface Workspace {
  fs: NodeFs;
  /** What the test has changed so far, one line each. */
  changes: () => string[];
}

export const test = base.extend<{ workspace: Workspace }>({
  workspace: async ({ task: _task }, use) => {
    const view = overlay({ lower: [shared], upper: memoryLayer() });
    await use({
      fs: createFs(view, { cwd: '/' }),
      changes: () => runSync(diff(view)).map(({ kind, path }) => `${kind} ${path}`),
    });
  },
});
