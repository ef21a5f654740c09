#!/usr/bin/env node
// CommonJS (package.json beside this): Node starts a third sooner than with a module.
'use strict';
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const entry = join(__dirname, '../dist/quick.cjs');
if (existsSync(entry)) {
  require(entry)
    .main(process.argv.slice(2))
    .then((exitCode) => {
      process.exitCode = exitCode;
    });
} else {
  console.error('ovl: not built yet (packages/cli/dist is missing); run `pnpm build` first');
  process.exitCode = 1;
}
