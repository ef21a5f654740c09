// `pnpm test`: from a fresh clone to one line of totals. Each check counts as a test. Arguments go
// to vitest, and then the checks are left out: `pnpm test packages/core -t rename`.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bin, pnpm, run } from './process.mjs';
import { setUpSystem } from './setup.mjs';
import { totals } from './tally.mjs';

// A run that hangs must still end with its totals.
const testMinutes = 38;

const args = process.argv.slice(2).filter((arg) => arg !== '--');
const tally = { passed: 0, failed: 0, skipped: 0 };

if (await prepare()) {
  if (args.length === 0) {
    const { runChecks } = await import('./checks.mjs');
    add(await runChecks());
  }
  add(await runTests());
} else {
  tally.failed++;
}
console.log(`\n${totals(tally)}`);
process.exitCode = tally.failed > 0 ? 1 : 0;

async function prepare() {
  const missing = await setUpSystem();
  if (missing.length > 0) console.log(`missing here, so tests that need it are skipped: ${missing.join(', ')}`);
  if ((await pnpm('install', '--frozen-lockfile', '--prefer-offline')) !== 0) return false;
  // As large as all the rest together, and there to be tested in alone.
  if (args.length === 0 || args.some((arg) => arg.includes('runtimes'))) await installRuntimes();
  // JavaScript only: a type error is for the checks to report.
  return (await run(bin('rollup'), ['-c', '--silent'])) === 0;
}

/** Where there are none for the machine, or none can be had, the tests in them say so. */
function installRuntimes() {
  return pnpm('install', '--ignore-workspace', '--frozen-lockfile', '--prefer-offline', '--dir', 'test/runtimes');
}

async function runTests() {
  const folder = mkdtempSync(join(tmpdir(), 'ovl-tally-'));
  try {
    const file = join(folder, 'tally.json');
    const env = { ...process.env, OVL_TALLY: file };
    // Where everything is promised to be there, what is missing fails instead of being skipped.
    if (process.env.CI === 'true') env.OVL_REQUIRE = '1';
    const code = await run(bin('vitest'), ['run', ...args], { env, timeout: testMinutes * 60_000 });
    const counted = read(file);
    // No tests found, a timeout, a crash of vitest itself: nothing counted, yet nothing passed either.
    if (code !== 0 && counted.failed === 0) counted.failed = 1;
    return counted;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

function add(more) {
  for (const key of Object.keys(tally)) tally[key] += more[key];
}
