// Medians, spreads and ratios, for people or as JSON.
import { cpus, release } from 'node:os';

const ours = 'ovl';
const peers = [
  ['us/fo', 'fuse-overlayfs'],
  ['us/k', 'kernel'],
];

/** Medians, spreads and ratios. A ratio is of times (or of memory): below 1, ours is the better. */
export function summarise(results, sizes, notes) {
  const rows = results.map(({ label, row, cells }) => {
    const systems = {};
    for (const [name, { seconds, failure }] of Object.entries(cells)) {
      if (failure || seconds.length === 0) systems[name] = { failure: failure ?? 'not run' };
      else {
        const sorted = seconds.toSorted((a, b) => a - b);
        const amount = row.amount?.(sizes);
        systems[name] = {
          median: median(sorted),
          best: sorted[0],
          worst: sorted.at(-1),
          ...(amount && { rate: amount / median(sorted) / (row.unit === 'MB/s' ? 1e6 : 1e3) }),
          seconds,
        };
      }
    }
    const ratios = Object.fromEntries(
      peers.map(([key, peer]) => [key, systems[ours]?.median / systems[peer]?.median]).filter(([, value]) => value),
    );
    return { row: row.id, label, unit: row.unit, systems, ratios };
  });
  const user = process.getuid?.() === 0 ? 'root' : 'an ordinary user';
  const machine = `${cpus().length} cores, Linux ${release()}, Node ${process.versions.node}, as ${user}`;
  return { machine, date: new Date().toISOString().slice(0, 10), sizes, notes, rows };
}

/** Prints a summary for people. */
export function print({ rows: summary, machine, notes }) {
  const names = [...new Set(summary.flatMap(({ systems }) => Object.keys(systems)))];
  const keys = peers.map(([key]) => key).filter((key) => summary.some(({ ratios }) => ratios[key]));
  const table = [['', ...names, ...keys]];
  for (const { label, unit, systems, ratios } of summary)
    table.push([
      `${label}, ${unit}`,
      ...names.map((name) => cell(systems[name])),
      ...keys.map((key) => ratios[key]?.toFixed(2) ?? ''),
    ]);
  const widths = table[0].map((_, column) => Math.max(...table.map((line) => line[column].length)));
  for (const line of table)
    console.log(
      line
        .map((text, column) => (column === 0 ? text.padEnd(widths[column]) : text.padStart(widths[column])))
        .join('  ')
        .trimEnd(),
    );
  console.log(`\nMedian and, after it, the spread of all runs; a ratio is of times: below 1, ours is the better.`);
  for (const note of [machine, ...notes]) console.log(note);
  for (const { label, systems } of summary)
    for (const [name, { failure }] of Object.entries(systems))
      if (failure) console.log(`FAILED ${label}, ${name}: ${failure}`);
}

function cell(system) {
  if (!system) return '';
  if (system.failure) return 'failed';
  const { median: middle, best, worst, rate } = system;
  const spread = `±${String(Math.round(((worst - best) / 2 / middle) * 100)).padStart(2)}%`;
  return `${rate ? short(rate) : middle.toFixed(3)} ${spread}`;
}

const short = (number) => (number < 100 ? number.toFixed(1) : Math.round(number).toLocaleString('en'));

function median(sorted) {
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
