// Medians, spreads, ratios and whether the targets are kept: as data, for people, as Markdown.
import { cpus, release } from 'node:os';
import { keeps, spell } from './targets.mjs';

const ours = 'ovl';

/**
 * Who is compared with whom.
 * @typedef {object} Comparison
 * @property {[key: string, peer: string, of: string[]][]} peers Columns of ratios: to what a bound calls `peer`, which is the best of these systems.
 * @property {string} legend What the short names mean.
 * @property {string} absent What "–" means in a cell.
 */

/** @type {Comparison} */
export const mounts = {
  peers: [
    ['us/fo', 'fuse-overlayfs', ['fuse-overlayfs']],
    ['us/k', 'kernel', ['kernel']],
    ['us/ext4', 'ext4', ['ext4']],
  ],
  legend: "fo: fuse-overlayfs, k: the kernel's overlayfs",
  absent: 'only root can make the kernel forget (`--as` has him do it)',
};

/** A ratio is of times (or of memory): below 1, ours is the better. */
export function summarise(results, { comparison, sizes, scale, notes, seconds, machine }) {
  const isRoot = process.getuid?.() === 0;
  const measured = results.map(({ row, figure, cells }) => {
    const amount = row.amount?.(sizes);
    const systems = Object.fromEntries(
      Object.entries(cells).map(([name, cell]) => [name, statistics(cell, row.unit, amount)]),
    );
    return { row, figure, systems };
  });
  const ourMedianAt = (label) => measured.find(({ figure }) => figure.label === label)?.systems[ours]?.median;
  const rows = measured.map(({ row, figure, systems }) => {
    const us = systems[ours]?.median;
    const units = new Map(comparison.peers.map(([, peer, of]) => [peer, best(of.map((name) => systems[name]))]));
    const ratios = Object.fromEntries(
      comparison.peers.map(([key, peer]) => [key, us / units.get(peer)]).filter(([, value]) => Number.isFinite(value)),
    );
    const bounds = (isRoot ? undefined : figure.userTarget) ?? figure.target ?? [];
    const met = keeps(bounds, us, { of: (peer) => units.get(peer), figure: ourMedianAt });
    return {
      row: row.id,
      label: figure.label,
      unit: row.unit,
      systems,
      ratios,
      ...(bounds.length > 0 && {
        target: { text: spell(bounds, row.unit), bounds, ...(met !== undefined && { met }) },
      }),
    };
  });
  const counts = results.flatMap(({ cells }) => Object.values(cells).map((cell) => cell.seconds.length));
  const all = [...notes, ...(scale === 1 ? [] : [`At ${scale} of the full size: no ratio is the real one.`])];
  return {
    who: isRoot ? 'root' : 'user',
    date: new Date().toISOString().slice(0, 10),
    machine,
    legend: comparison.legend,
    absent: comparison.absent,
    keys: comparison.peers.map(([key]) => key),
    runs: { least: Math.min(...counts.filter(Boolean)), most: Math.max(...counts) },
    complete: results.every(({ cells }) => !cells[ours]?.failure), // what a peer cannot do is a result
    seconds,
    sizes,
    notes: all,
    rows,
  };
}

/** The least of the medians; what did it by changing what belongs to others has not done it. */
function best(systems) {
  const medians = systems.filter((each) => each && !each.breach).map(({ median: middle }) => middle);
  const known = medians.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function statistics({ seconds, failure, breach, wrong, unavailable }, unit, amount) {
  if (failure) return { failure };
  if (seconds.length === 0) return unavailable ? { unavailable } : { failure: 'not run' };
  const sorted = seconds.toSorted((a, b) => a - b);
  const middle = median(sorted);
  return {
    median: middle,
    best: sorted[0],
    worst: sorted.at(-1),
    ...(breach && { breach }),
    ...(wrong && { wrong }),
    ...(amount && { rate: amount / middle / (unit === 'MB/s' ? 1e6 : 1e3) }),
    seconds,
  };
}

/** Prints a summary for people. */
export function print(summary) {
  const [head, ...lines] = cells(summary);
  const widths = head.map((_, column) => Math.max(...[head, ...lines].map((line) => line[column].length)));
  for (const line of [head, ...lines])
    console.log(
      line
        .map((text, column) => (column === 0 ? text.padEnd(widths[column]) : text.padStart(widths[column])))
        .join('  ')
        .trimEnd(),
    );
  for (const line of ['', ...remarks(summary)]) console.log(line);
}

/** The same for a document. */
export function markdown(summary) {
  const [head, ...lines] = cells(summary);
  const line = (texts) => `| ${texts.join(' | ')} |`;
  const rule = `|${head.map((_, column) => (column === 0 ? '---|' : '---:|')).join('')}`;
  return [line(head), rule, ...lines.map(line), '', ...remarks(summary).flatMap((text) => [`- ${text}`])].join('\n');
}

function cells({ rows, keys: all }) {
  const names = [...new Set(rows.flatMap(({ systems }) => Object.keys(systems)))];
  const keys = all.filter((key) => rows.some(({ ratios }) => ratios[key]));
  return [
    ['', ...names, ...keys, 'target', 'met'],
    ...rows.map(({ label, unit, systems, ratios, target }) => [
      unit === '' ? label : `${label}, ${unit}`,
      ...names.map((name) => cell(systems[name])),
      ...keys.map((key) => ratios[key]?.toFixed(2) ?? ''),
      target?.text ?? '',
      target?.met === undefined ? '' : target.met ? 'yes' : 'no',
    ]),
  ];
}

function remarks({ rows, who, date, machine: on, runs, seconds, notes, legend, absent }) {
  const targets = rows.filter(({ target }) => target?.met !== undefined);
  const met = targets.filter(({ target }) => target.met).length;
  const user = who === 'root' ? 'root' : 'an ordinary user';
  const unmeasured = rows.some(({ systems }) => Object.values(systems).some(({ unavailable }) => unavailable));
  const failures = rows.flatMap(({ label, systems }) =>
    Object.entries(systems).flatMap(([name, { failure }]) =>
      failure ? [`${label}, ${name} fails: ${failure.split('\n')[0]}`] : [],
    ),
  );
  return [
    `Median of ${runs.least === runs.most ? runs.most : `${runs.least} to ${runs.most}`} runs and, after it, half of their range. Ratios are of times or memory: below 1, ours is the better.`,
    `Targets met: ${met} of ${targets.length}. ${legend}.`,
    `${date}, as ${user}, ${Math.ceil(seconds / 60)} min: ${on}`,
    ...notes,
    ...(unmeasured ? [`–: ${absent}.`] : []),
    ...failures,
  ];
}

function cell(system) {
  if (!system) return '';
  if (system.failure) return 'fails';
  if (system.unavailable) return '–';
  const { median: middle, best: least, worst, rate, breach } = system;
  const spread = `±${String(Math.round(((worst - least) / 2 / (Math.abs(middle) || 1)) * 100)).padStart(2)}%`;
  return `${rate ? short(rate) : short3(middle)} ${spread}${breach ? '!' : ''}`;
}

const short = (number) => (number < 100 ? number.toFixed(1) : Math.round(number).toLocaleString('en'));
const short3 = (number) => (number < 10 ? number.toFixed(3) : number.toFixed(1));

function median(sorted) {
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What it is measured on; `more` follows. */
export function machineIs(/** @type {number} */ load, /** @type {string[]} */ ...more) {
  const all = cpus();
  return [
    `${all.length} × ${all[0]?.model.trim() || 'a processor'}`,
    `Linux ${release()}`,
    `Node ${process.versions.node}`,
    ...more,
    `load ${load.toFixed(1)} before`,
  ].join(', ');
}
