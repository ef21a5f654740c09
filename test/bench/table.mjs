// Medians, spreads, ratios and whether the targets are kept: as data, for people, as Markdown.
import { execFileSync } from 'node:child_process';
import { cpus, release } from 'node:os';
import { keeps, spell } from './targets.mjs';

const ours = 'ovl';
const peers = [
  ['us/fo', 'fuse-overlayfs'],
  ['us/k', 'kernel'],
  ['us/ext4', 'ext4'],
];

/** A ratio is of times (or of memory): below 1, ours is the better. */
export function summarise(results, { sizes, scale, notes, disk, seconds, load }) {
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
    const ratios = Object.fromEntries(
      peers.map(([key, peer]) => [key, us / systems[peer]?.median]).filter(([, value]) => Number.isFinite(value)),
    );
    const bounds = (isRoot ? undefined : figure.userTarget) ?? figure.target ?? [];
    const met = keeps(bounds, us, { of: (system) => systems[system]?.median, figure: ourMedianAt });
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
    machine: machine(disk, load),
    runs: { least: Math.min(...counts.filter(Boolean)), most: Math.max(...counts) },
    complete: results.every(({ cells }) => !cells[ours]?.failure), // what a peer cannot do is a result
    seconds,
    sizes,
    notes: all,
    rows,
  };
}

function statistics({ seconds, failure, unavailable }, unit, amount) {
  if (failure) return { failure };
  if (seconds.length === 0) return unavailable ? { unavailable } : { failure: 'not run' };
  const sorted = seconds.toSorted((a, b) => a - b);
  const middle = median(sorted);
  return {
    median: middle,
    best: sorted[0],
    worst: sorted.at(-1),
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

function cells({ rows }) {
  const names = [...new Set(rows.flatMap(({ systems }) => Object.keys(systems)))];
  const keys = peers.map(([key]) => key).filter((key) => rows.some(({ ratios }) => ratios[key]));
  return [
    ['', ...names, ...keys, 'target', 'met'],
    ...rows.map(({ label, unit, systems, ratios, target }) => [
      `${label}, ${unit}`,
      ...names.map((name) => cell(systems[name])),
      ...keys.map((key) => ratios[key]?.toFixed(2) ?? ''),
      target?.text ?? '',
      target?.met === undefined ? '' : target.met ? 'yes' : 'no',
    ]),
  ];
}

function remarks({ rows, who, date, machine: on, runs, seconds, notes }) {
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
    `Targets met: ${met} of ${targets.length}. fo: fuse-overlayfs, k: the kernel's overlayfs.`,
    `${date}, as ${user}, ${Math.ceil(seconds / 60)} min: ${on}`,
    ...notes,
    ...(unmeasured ? ['–: only root can make the kernel forget (`--as` has him do it).'] : []),
    ...failures,
  ];
}

function cell(system) {
  if (!system) return '';
  if (system.failure) return 'fails';
  if (system.unavailable) return '–';
  const { median: middle, best, worst, rate } = system;
  const spread = `±${String(Math.round(((worst - best) / 2 / (Math.abs(middle) || 1)) * 100)).padStart(2)}%`;
  return `${rate ? short(rate) : short3(middle)} ${spread}`;
}

const short = (number) => (number < 100 ? number.toFixed(1) : Math.round(number).toLocaleString('en'));
const short3 = (number) => (number < 10 ? number.toFixed(3) : number.toFixed(1));

function median(sorted) {
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function machine(disk, load) {
  const all = cpus();
  const fo = version(['fuse-overlayfs', '--version'], /fuse-overlayfs: version (\S+)/);
  return [
    `${all.length} × ${all[0]?.model.trim() || 'a processor'}`,
    `Linux ${release()}`,
    `Node ${process.versions.node}`,
    ...(fo ? [`fuse-overlayfs ${fo}`] : []),
    disk.note,
    `load ${load.toFixed(1)} before`,
  ].join(', ');
}

function version([program, ...args], pattern) {
  try {
    return pattern.exec(execFileSync(program, args, { encoding: 'utf8', timeout: 10_000, stdio: 'pipe' }))?.[1];
  } catch {
    return undefined; // not installed: then it is in no column either
  }
}
