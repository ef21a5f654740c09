// A whole benchmark on a disk that is there: which systems can, row after row, the summary.
import { loadavg } from 'node:os';
import { measuring } from './measure.mjs';
import { rows as allRows, sizesAt } from './rows.mjs';
import { stopped } from './stop.mjs';
import { systems as allSystems } from './systems.mjs';
import { summarise } from './table.mjs';
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
  return summarise(results, { sizes, scale, notes, disk, seconds, load });
}

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
