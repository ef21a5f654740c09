// A whole benchmark on a disk that is there: which systems can, row after row, the summary.
import { loadavg } from 'node:os';
import { measuring } from './measure.mjs';
import { rows as allRows, sizesAt } from './rows.mjs';
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
 * The first signal ends it after the present turn, with what there is; the second at once.
 * @param {Order} order
 */
export async function bench({ rows, systems, runs, scale, disk }) {
  const started = performance.now();
  const [load] = loadavg();
  const notes = [];
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.on(signal, () => {
      if (stopped) process.exit(130);
      stopped = true;
      notes.push('Stopped before its end.');
    });
  const able = allSystems.filter(({ name, only, whyNot, note }) => {
    if (systems ? !systems.includes(name) : only === 'onRequest') return false;
    const reason = whyNot();
    if (reason) notes.push(`${name}: ${reason}`);
    else if (note) notes.push(note);
    return !reason;
  });
  const sizes = sizesAt(scale);
  await workload.compile(disk.dir);
  const { measure } = measuring({ disk, sizes, systems: able, runs, progress, stopped: () => stopped });
  const results = [];
  const isRoot = process.getuid?.() === 0;
  const asked = allRows.filter(({ id, who }) => (isRoot || who !== 'root') && (rows?.includes(id) ?? true));
  for (const row of asked) if (!stopped) results.push(...(await measure(row)));
  progress('');
  const seconds = (performance.now() - started) / 1000;
  return summarise(results, { sizes, scale, notes, disk, seconds, load });
}

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
