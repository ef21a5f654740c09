// `pnpm bench [mount] [--only stat,walk] [--runs 5] [--scale 0.1] [--dir /tmp] [--json]`: our mount next to
// fuse-overlayfs, the kernel's overlayfs and the plain directory. Interleaved: every system has its turn in
// each run, on a fresh mount, so that a noisy minute hits all alike. What a workload saw is compared with
// what is there: a broken mount has no time to show. `--systems ovl,ovl-libfuse` compares the two transports.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { abortFuse, detach, execute } from '../support/mounts.mjs';
import { rows as allRows, sizesAt } from './rows.mjs';
import { mount, systems as allSystems, unmount } from './systems.mjs';
import { report } from './table.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    systems: { type: 'string' },
    runs: { type: 'string' },
    scale: { type: 'string', default: '1' },
    dir: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
});
if (positionals.some((name) => name !== 'mount')) throw new Error(`no such benchmark: ${positionals.join(' ')}`);
const sizes = sizesAt(Number(values.scale));
const rows = chosen(allRows, (row) => row.id, values.only);
const workDeadline = 300_000;

const notes = [];
const systems = chosen(allSystems, (system) => system.name, values.systems).filter((system) => {
  if (system.onRequest && !values.systems) return false;
  const reason = system.whyNot();
  if (reason) notes.push(`${system.name}: ${reason}`);
  return !reason;
});

const root = mkdtempSync(join(values.dir, 'ovl-bench-'));
const merged = join(root, 'merged');
const lowers = {
  tree: join(root, 'tree'),
  copy: join(root, 'tree'),
  big: join(root, 'big'),
  empty: join(root, 'empty'),
};
const workload = join(root, 'workload');
// The first signal ends it after the turn that runs, with a table of what there is; a second one at once.
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    stopped = true;
    notes.push('stopped before its end');
  });
try {
  await prepare();
  const results = [];
  for (const row of rows) if (!stopped) results.push(...(await measure(row)));
  progress('');
  report({ results, notes, sizes, asJson: values.json });
  if (stopped || results.some(({ cells }) => Object.values(cells).some((cell) => cell.failure))) process.exitCode = 1;
} finally {
  await detach(merged);
  rmSync(root, { recursive: true, force: true, maxRetries: 5 });
}

async function prepare() {
  progress('preparing the tree');
  for (const path of new Set([merged, ...Object.values(lowers)])) mkdirSync(path);
  const source = fileURLToPath(new URL('workload.c', import.meta.url));
  const compiled = await execute(['gcc', '-O2', '-Wall', '-o', workload, source], { timeout: 60_000 });
  if (compiled.code !== 0) throw new Error(`the benchmark needs gcc: ${compiled.stderr}`);
  await work(1, ['create', lowers.tree, sizes.files, 40]);
  if (rows.some((row) => row.lower === 'big')) await work(1, ['write', join(lowers.big, 'big'), sizes.bigBytes]);
  await execute(['sync'], { timeout: workDeadline });
}

async function measure(row) {
  const results = row.labels.map((label) => ({ id: row.id, label, row, cells: {} }));
  const runs = values.runs ? Number(values.runs) : row.runs;
  for (let run = 0; run < runs; run++) {
    for (const system of systems) {
      if (stopped && run > 0) return results;
      progress(`${row.labels[0]}, run ${run + 1} of ${runs}: ${system.name}`);
      for (const result of results) result.cells[system.name] ??= { seconds: [] };
      try {
        const seconds = await once(row, system);
        results.forEach((result, pass) => result.cells[system.name].seconds.push(seconds[pass]));
      } catch (error) {
        for (const result of results) result.cells[system.name].failure ??= error.message;
      }
    }
  }
  return results;
}

/** One system's turn at a row, from a fresh mount to none; answers the seconds of each pass. */
async function once(row, system) {
  const layers = mkdtempSync(join(root, 'run-'));
  const places = { lower: lowers[row.lower], upper: join(layers, 'upper'), work: join(layers, 'work'), merged };
  mkdirSync(places.upper);
  mkdirSync(places.work);
  const changes = row.lower === 'copy' || row.lower === 'empty';
  if (!system.mount && changes) {
    places.lower = join(layers, 'plain');
    await execute(['cp', '-a', '--reflink=auto', lowers[row.lower], places.lower], { timeout: workDeadline });
  }
  // What earlier turns wrote must not be paid for in this one.
  if (changes) await execute(['sync'], { timeout: workDeadline });
  try {
    const where = await mount(system, places);
    try {
      const args = row.work(sizes).map((arg) => String(arg).replace(/^ROOT/, where));
      const { seconds, ...seen } = await work(row.labels.length, args);
      expect(seen, row.expect(sizes));
      if (row.left) expect(await work(1, ['walk', where]), row.left(sizes));
      return seconds;
    } finally {
      await unmount(system, places);
    }
  } finally {
    rmSync(layers, { recursive: true, force: true });
  }
}

async function work(passes, args) {
  const onTimeout = () => abortFuse(merged);
  const done = await execute([workload, passes, ...args].map(String), { timeout: workDeadline, onTimeout });
  if (done.timedOut) throw new Error(`${args[0]}: no end after ${workDeadline / 1000} s`);
  if (done.code !== 0) throw new Error(done.stderr.trim() || `${args[0]}: exit code ${done.code}`);
  return JSON.parse(done.stdout);
}

/** `wrong` counts pages with another page's content, `changed` the files that chmod was at. */
function expect(seen, expected) {
  for (const [what, count] of Object.entries({ wrong: 0, ...expected }))
    if (seen[what] !== count) throw new Error(`${what}: ${seen[what]}, but there should be ${count}`);
}

function chosen(all, nameOf, names) {
  if (!names) return all;
  return names.split(',').map((name) => {
    const found = all.find((item) => nameOf(item) === name);
    if (!found) throw new Error(`no ${name}; there are ${all.map(nameOf).join(', ')}`);
    return found;
  });
}

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
