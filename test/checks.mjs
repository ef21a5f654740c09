// What is checked without running the product: types, lint, format, size, packages. `pnpm check`
// runs them on a build; `pnpm test` runs them before the tests. A passing check prints one line.
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { bin, capture } from './process.mjs';
import { totals } from './tally.mjs';

const packages = ['core', 'node', 'browser', 'cli'].map((name) => `packages/${name}`);

const checks = [
  { name: 'types', command: ['tsc', '-b'] },
  { name: 'lint', command: ['oxlint', '--deny-warnings'] },
  { name: 'format', command: ['biome', 'format'], hint: '`pnpm format` repairs it' },
  { name: 'size', command: ['size-limit'] },
  { name: 'knip', command: ['knip'] },
  ...packages.map((path) => ({
    name: `publint ${path}`,
    command: ['publint', 'run', path, '--strict', '--pack', 'npm'],
  })),
  ...packages.map((path) => ({ name: `attw ${path}`, command: ['attw', '--pack', path, '--profile', 'esm-only'] })),
];

/** Runs every check, also after one has failed. */
export async function runChecks() {
  const tally = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, command, hint } of checks) {
    const [tool, ...args] = command;
    const started = performance.now();
    const { code, output } = await capture(bin(tool), args);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${code === 0 ? '✓' : '✗'} ${name} ${seconds} s`);
    if (code === 0) tally.passed++;
    else {
      tally.failed++;
      console.log(`${output.trimEnd()}\n${hint ? `${hint}\n` : ''}`);
    }
  }
  return tally;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const tally = await runChecks();
  console.log(`\n${totals(tally)}`);
  process.exitCode = tally.failed > 0 ? 1 : 0;
}
