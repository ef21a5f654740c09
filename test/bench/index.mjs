// `pnpm bench [mount]`: our mount next to fuse-overlayfs, the kernel's overlayfs and the plain directory. Interleaved:
// every system has its turn in each run, on a fresh mount, so that a noisy minute hits all alike. What a workload saw is
// compared with what is there: a broken mount has no time to show.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { execute } from '../support/mounts.mjs';
import { fixtures } from './fixtures.mjs';
import { footprint } from './footprint.mjs';
import { draw } from './picture.mjs';
import { rows as allRows, sizesAt } from './rows.mjs';
import { systems as allSystems } from './systems.mjs';
import { print, summarise } from './table.mjs';
import { turn, workload } from './turn.mjs';

const usage = `pnpm bench [mount] [options]: our mount, fuse-overlayfs, the kernel's overlayfs and the plain directory side by side

  --only ROWS      of: ${allRows.map(({ id }) => id).join(', ')}
  --systems NAMES  of: ${allSystems.map(({ name }) => name).join(', ')} ("ovl,ovl-libfuse" compares the transports)
  --runs N         runs of each row (its own number by default, at least 5 where a run is short)
  --scale F        part of the full size, 1 by default
  --dir DIR        where to work (${tmpdir()}); needs about 6 GB for everything
  --json           for programs
  --svg FILE       draws the ratios, too

Run as root or as an ordinary user; the kernel's overlayfs needs root. The first signal ends it after the present turn, with
a table of what there is.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    systems: { type: 'string' },
    runs: { type: 'string' },
    scale: { type: 'string', default: '1' },
    dir: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
    svg: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
if (positionals.some((name) => name !== 'mount')) fail(`no such benchmark: ${positionals.join(' ')}`);
if (!(Number(values.scale) > 0)) fail(`--scale needs a number above 0, not '${values.scale}'`);
if (values.runs !== undefined && !(Number(values.runs) >= 1)) fail(`--runs needs a number, not '${values.runs}'`);
const sizes = sizesAt(Number(values.scale));
const rows = chosen(allRows, (row) => row.id, values.only);

const notes = [];
const systems = chosen(allSystems, (system) => system.name, values.systems).filter((system) => {
  if (system.onRequest && !values.systems) return false;
  const reason = system.whyNot();
  if (reason) notes.push(`${system.name}: ${reason}`);
  return !reason;
});

const root = mkdtempSync(join(values.dir, 'ovl-bench-'));
const made = new Map();
// The first signal ends it after the turn that runs; a second one at once.
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    stopped = true;
    notes.push('stopped before its end');
  });
try {
  await workload.compile(root);
  const results = [];
  for (const row of rows) if (!stopped) results.push(...(await measure(row)));
  progress('');
  const summary = summarise(results, sizes, notes);
  if (values.json) console.log(JSON.stringify(summary, undefined, 2));
  else print(summary);
  if (values.svg) writeFileSync(values.svg, draw(summary));
  if (stopped || results.some(({ cells }) => Object.values(cells).some((cell) => cell.failure))) process.exitCode = 1;
} finally {
  rmSync(root, { recursive: true, force: true, maxRetries: 5 });
}

async function measure(row) {
  const results = row.labels.map((label) => ({ id: row.id, label, row, cells: {} }));
  const runs = values.runs ? Number(values.runs) : row.runs;
  const able = systems.filter((system) => system.mount || !(row.of || row.remount));
  for (let run = 0; run < runs; run++) {
    for (const system of able) {
      if (stopped && run > 0) return results;
      for (const result of results) result.cells[system.name] ??= { seconds: [] };
      try {
        const lower = await fixture(row.lower);
        if (row.command) await Promise.all(['archive', 'statements', 'project'].filter(named(row)).map(fixture));
        progress(`${row.labels[0]}, run ${run + 1} of ${runs}: ${system.name}`);
        const context = { root, sizes, lower, fixture: (name) => made.get(name) };
        const figures = await (row.of ? footprint : turn)(row, system, context);
        results.forEach((result, pass) => result.cells[system.name].seconds.push(figures[pass]));
      } catch (error) {
        for (const result of results) result.cells[system.name].failure ??= error.message;
      }
    }
  }
  return results;
}

/** Whether a row's command speaks of this fixture. */
function named(row) {
  return (name) => {
    let asked = false;
    row.command({ where: '', fixture: (other) => ((asked ||= other === name), '') });
    return asked;
  };
}

async function fixture(name) {
  if (!made.has(name)) {
    progress(`preparing: ${name}`);
    const path = join(root, `fixture-${name}`);
    mkdirSync(path);
    await fixtures[name](path, sizes, workload.run);
    await execute(['sync'], { timeout: 300_000 });
    made.set(name, path);
  }
  return made.get(name);
}

function chosen(all, nameOf, names) {
  if (!names) return all;
  return names.split(',').map((name) => {
    const found = all.find((item) => nameOf(item) === name);
    return found ?? fail(`no ${name}; there are ${all.map(nameOf).join(', ')}`);
  });
}

function fail(message) {
  console.error(`bench: ${message} (--help says more)`);
  process.exit(2);
}

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
