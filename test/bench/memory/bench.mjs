// All of it: one process for each system and number of layers, one after another, and their figures as one table's.
import { spawn } from 'node:child_process';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { cut, followSignals, stopped } from '../stop.mjs';
import { machineIs, summarise } from '../table.mjs';
import { layerCounts, rowsOf } from './rows.mjs';
import { systems as all, versionsOf } from './systems.mjs';

const program = fileURLToPath(new URL('process.mjs', import.meta.url));
const longestMs = 20 * 60_000;

/**
 * @typedef {object} Order
 * @property {string[]} only Columns.
 * @property {string[]} systems
 * @property {number[]} layers
 * @property {number} runs
 * @property {number} scale
 * @property {string[]} notes For whoever reads the figures.
 */

/**
 * Answers the summary; where it is stopped (stop.mjs), of what there is.
 * @param {Order} order
 */
export async function bench({ only, systems, layers, runs, scale, notes }) {
  const started = performance.now();
  const [load] = loadavg();
  const able = all.filter(({ name }) => systems.includes(name));
  const rows = rowsOf(only).filter((row) => layers.includes(row.layers));
  const results = rows.map(({ row, figure }) => ({ row, figure, cells: {} }));
  followSignals();
  for (const count of layerCounts.filter((each) => layers.includes(each))) {
    for (const system of able) {
      if (stopped()) break;
      const { name } = system;
      const wanted = only.filter((id) => rows.some((each) => each.row.id === id && each.layers === count));
      if (wanted.length === 0) continue;
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${name}, ${count} layers`);
      const isAble = count === 2 || !system.pairOnly;
      const cells = isAble ? await measured({ system: name, layers: count, runs, scale, only: wanted }) : {};
      if (cut.aborted) break;
      for (const [i, { cell, layers: of, row }] of rows.entries()) {
        if (of !== count) continue;
        const isAbsent = !isAble || (system.onDisk && row.id === 'memory');
        results[i].cells[name] = isAbsent ? { seconds: [], unavailable: true } : cellOf(cells, cell, row);
      }
    }
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  if (stopped()) notes.push('Stopped before its end.');
  const rowsThere = results.filter(({ cells }) => Object.keys(cells).length > 0);
  if (rowsThere.length === 0) throw new Error('stopped before anything was measured');
  const seconds = (performance.now() - started) / 1000;
  const comparison = {
    peers: [['us/best', 'best', able.map(({ name }) => name).filter((name) => name !== 'ovl')]],
    legend: 'best: of the peers, leaving out what is marked with "!": that did it by changing a layer below',
    absent: 'it has one lower layer only, and that on disk',
  };
  const machine = machineIs(load, ...able.flatMap(versionsOf));
  return summarise(rowsThere, { comparison, sizes: {}, scale, notes, seconds, machine });
}

/** A failure, a breach and what was wrong belong to all figures of a column. */
function cellOf(cells, id, row) {
  const { failure, breach } = cells[row.id] ?? {};
  const cell = { ...(cells[id] ?? { seconds: [] }), ...(failure && { failure }), ...(breach && { breach }) };
  if (cells.failure) return { seconds: [], failure: cells.failure };
  return row.unit === 'ms' ? { ...cell, seconds: cell.seconds.map((each) => each * 1000) } : cell;
}

/** What one process prints; where it fails, that is each figure's failure. */
function measured(order) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--expose-gc', program, JSON.stringify(order)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: longestMs,
      signal: cut,
      detached: true, // a terminal's signal is for us alone, who let it come to its end
    });
    const stop = () => child.kill('SIGKILL');
    process.once('exit', stop);
    child.on('error', () => {}); // that it was cut short; it closes all the same
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'])
      child[name].setEncoding('utf8').on('data', (text) => {
        texts[name] += text;
      });
    child.on('close', (code, signal) => {
      process.off('exit', stop);
      if (code === 0) return resolve(JSON.parse(texts.stdout));
      const line = texts.stderr.split('\n').find((each) => /Error/.test(each)) ?? `it ended with ${code ?? signal}`;
      resolve({ failure: line });
    });
  });
}
