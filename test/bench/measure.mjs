// The runs of a row, interleaved: every system has its turn in each run, on a fresh mount, so that a noisy minute hits all
// alike; who comes first changes from run to run.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fixtures } from './fixtures.mjs';
import { footprint } from './footprint.mjs';
import { cut, stopped } from './stop.mjs';
import { settle, turn, workload } from './turn.mjs';

/**
 * @param {object} bench
 * @param {import('./disk.mjs').Disk} bench.disk
 * @param {import('./rows.mjs').Sizes} bench.sizes
 * @param {import('./systems.mjs').System[]} bench.systems
 * @param {number | undefined} bench.runs Instead of each row's own number.
 * @param {(text: string) => void} bench.progress
 */
export function measuring({ disk, sizes, systems, runs, progress }) {
  const root = disk.dir;
  const aside = join(root, 'aside');
  const made = new Map();
  mkdirSync(aside);
  return { measure };

  /**
   * Answers a result for each figure of the row and of its `modes`: rows that do the same with other options of some systems,
   * whose turns are among this row's. The figures of the other systems are the same. Stopped in the first run: no result.
   */
  async function measure(row, modes = []) {
    const parts = [row, ...modes].map((part) => ({
      row: part,
      results: part.figures.map((figure) => ({ row: part, figure, cells: {} })),
    }));
    const [{ results: own }] = parts;
    const turns = parts.flatMap((part) =>
      systems
        .filter((system) => isAble(row, system) && (part.row === row || system.name in part.row.options))
        .map((system) => ({ system, ...part })),
    );
    const count = runs ?? row.runs;
    for (let run = 0; run < count; run++) {
      for (let place = 0; place < turns.length; place++) {
        if (cut.aborted || (stopped() && run > 0)) return run === 0 ? [] : all();
        progress(`${row.id}, run ${run + 1} of ${count}`);
        await take(turns[(run + place) % turns.length]);
      }
      if (disk.forgetsDeleted) await clearAside();
    }
    return all();

    function all() {
      for (const { results } of parts)
        for (const [i, { cells }] of results.entries())
          for (const [name, cell] of Object.entries(own[i].cells)) cells[name] ??= cell;
      return parts.flatMap(({ results }) => results);
    }
  }

  /** What fails once is not tried again. */
  async function take({ system, row, results }) {
    const cells = results.map((result) => (result.cells[system.name] ??= { seconds: [] }));
    if (cells[0].failure !== undefined) return;
    try {
      const lower = await fixture(row.lower);
      for (const name of row.besides ?? []) await fixture(name);
      const context = { root, sizes, lower, fixture: (name) => made.get(name) };
      const figures = await (row.of ? footprint : turn)(row, system, context);
      for (const [i, cell] of cells.entries())
        if (figures[i] === undefined) cell.unavailable = true;
        else cell.seconds.push(figures[i]);
    } catch (error) {
      if (!cut.aborted) for (const cell of cells) cell.failure = error.message.replaceAll(`${root}/`, '');
    }
  }

  async function fixture(name) {
    if (!made.has(name)) {
      progress(`preparing: ${name}`);
      const path = join(root, `fixture-${name}`);
      mkdirSync(path);
      await fixtures[name](path, { sizes, workload: workload.run, other: fixture });
      await settle(root);
      made.set(name, path);
    }
    return made.get(name);
  }

  async function clearAside() {
    rmSync(aside, { recursive: true, force: true, maxRetries: 5 });
    mkdirSync(aside);
    await settle(root);
  }
}

function isAble(row, system) {
  if (row.of === 'memory') return system.processes !== undefined;
  if (row.of === 'mount') return system.is === undefined;
  return !(row.remount && system.is === 'directory');
}
