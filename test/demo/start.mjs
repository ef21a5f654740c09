// `pnpm start`: installs, builds and shows the demo.
import { bin, pnpm, run } from '../process.mjs';

process.exitCode =
  (await pnpm('install', '--frozen-lockfile', '--prefer-offline')) ||
  (await run(bin('rollup'), ['-c', '--silent'])) ||
  (await run(process.execPath, ['test/demo/demo.mjs']));
