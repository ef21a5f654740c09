// The runs of a row, interleaved: every system has its turn in each run, on a fresh mount, so that a noisy minute hits all
// alike; who comes first changes from run to run.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fixtures } from './fixtures.mjs';
import { footprint } from './footprint.mjs';
import { settle, turn, workload } from './turn.mjs';

/**
 * @param {object} bench
 * @param {import('./disk.mjs').Disk} bench.disk
 * @param {import('./rows.mjs').Sizes} bench.sizes
 * @param {import('./systems.mjs').System[]} bench.systems
 * @param {number | undefined} bench.runs Instead of each row's own number.
 * @param {(text: string) => void} bench.progress
 * @param {() => boolean} bench.stopped Asked before each turn; the first run of a row is finished.
 */
export function measuring({ disk, sizes, systems, runs, progress, stopped }) {
  const root = disk.dir;
  const aside = join(root, 'aside');
  const made = new Map();
  mkdirSync(aside);
  return { measure };

  /** Answers a result for each figure of the row. */
  async function measure(row) {
    const results = row.figures.map((figure) => ({ row, figure, cells: {} }));
    const able = systems.filter((system) => isAble(row, system));
    const count = runs ?? row.runs;
    for (let run = 0; run < count; run++) {
      for (let place = 0; place < able.length; place++) {
        const system = able[(run + place) % able.length];
        if (stopped() && run > 0) return results;
        for (const { cells } of results) cells[system.name] ??= { seconds: [] };
        try {
          const lower = await fixture(row.lower);
          for (const name of row.besides ?? []) await fixture(name);
          progress(`${row.id}, run ${run + 1} of ${count}: ${system.name}`);
          const context = { root, sizes, lower, fixture: (name) => made.get(name) };
          const figures = await (row.of ? footprint : turn)(row, system, context);
          for (const [i, { cells }] of results.entries())
            if (figures[i] === undefined) cells[system.name].unavailable = true;
            else cells[system.name].seconds.push(figures[i]);
        } catch (error) {
          for (const { cells } of results) cells[system.name].failure ??= error.message;
        }
      }
      if (disk.forgetsDeleted) await clearAside();
    }
    return results;
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
