#!/usr/bin/env sh
':' //; case "$1" in mount | -*) unset NODE_EXTRA_CA_CERTS ;; esac; exec node "$0" "$@"

// The line above is for the shell, and to Node a word and a comment. Node reads the certificates at every start, which takes
// longer than all that a mount needs; a mount needs none. `exec` follows the links that npm makes to this file.
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
