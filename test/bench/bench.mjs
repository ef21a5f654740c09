// A whole benchmark on a disk that is there: which systems can, row after row, the summary.
import { execFileSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { measuring } from './measure.mjs';
import { rows as allRows, sizesAt } from './rows.mjs';
import { stopped } from './stop.mjs';
import { systems as allSystems } from './systems.mjs';
import { machineIs, mounts, summarise } from './table.mjs';
import { workload } from './turn.mjs';

/**
 * @typedef {object} Order
 * @property {string[] | undefined} rows By name; all where undefined.
 * @property {string[] | undefined} systems The same.
 * @property {number | undefined} runs Instead of each row's own number.
 * @property {number} scale
 * @property {Pick<import('./disk.mjs').Disk, 'dir' | 'note' | 'forgetsDeleted'>} disk
 */

/**
 * Answers the summary. Throws where it is stopped (stop.mjs) before there is anything to sum up.
 * @param {Order} order
 */
export async function bench({ rows, systems, runs, scale, disk }) {
  const started = performance.now();
  const [load] = loadavg();
  const notes = [];
  const able = allSystems.filter(({ name, only, whyNot, note }) => {
    if (systems ? !systems.includes(name) : only === 'onRequest') return false;
    const reason = whyNot();
    if (reason) notes.push(`${name}: ${reason}`);
    else if (note) notes.push(note);
    return !reason;
  });
  const sizes = sizesAt(scale);
  await workload.compile(disk.dir);
  const { measure } = measuring({ disk, sizes, systems: able, runs, progress });
  const results = [];
  const isRoot = process.getuid?.() === 0;
  const asked = allRows.filter(({ id, who }) => (isRoot || who !== 'root') && (rows?.includes(id) ?? true));
  // A mode is measured with the row it belongs to, or by itself if that is not asked for.
  const modesOf = (base) => asked.filter(({ mode }) => mode === base.id);
  for (const row of asked) {
    if (stopped()) break;
    if (!asked.some(({ id }) => id === row.mode)) results.push(...(await measure(row, modesOf(row))));
  }
  progress('');
  if (stopped()) notes.push('Stopped before its end.');
  if (results.length === 0) throw new Error('stopped before anything was measured');
  const seconds = (performance.now() - started) / 1000;
  const fo = version(['fuse-overlayfs', '--version'], /fuse-overlayfs: version (\S+)/);
  const machine = machineIs(load, ...(fo ? [`fuse-overlayfs ${fo}`] : []), disk.note);
  return summarise(results, { comparison: mounts, sizes, scale, notes, seconds, machine });
}

function version([program, ...args], pattern) {
  try {
    return pattern.exec(execFileSync(program, args, { encoding: 'utf8', timeout: 10_000, stdio: 'pipe' }))?.[1];
  } catch {
    return undefined; // not installed: then it is in no column either
  }
}

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
