// What a mount takes before and beside the work: the time until it answers, and memory.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { detach } from '../support/mounts.mjs';
import { mount, unmount } from './systems.mjs';
import { placesIn, workload } from './turn.mjs';

/** Answers one figure for each of the row's labels. */
export async function footprint(row, system, { root, lower }) {
  const first = placesIn(root, lower);
  const second = placesIn(root, lower);
  try {
    return row.of === 'mount' ? await readiness() : await memory();
  } finally {
    for (const { turnDir, places } of [second, first]) {
      await unmount(system, places).catch(() => detach(places.merged));
      rmSync(turnDir, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  async function readiness() {
    const figures = [];
    for (const { places } of [first, second]) {
      const start = performance.now();
      await mount(system, places);
      figures.push((performance.now() - start) / 1000);
    }
    return figures;
  }

  /** Of everything that serves: what a mount adds, whichever process has it. */
  async function memory() {
    const before = servedMegabytes(system);
    await mount(system, first.places);
    await rest();
    const idle = servedMegabytes(system) - before;
    await mount(system, second.places);
    await rest();
    const more = servedMegabytes(system) - before - idle;
    await workload.run(1, ['walk', first.places.merged], first.places.merged);
    const walked = servedMegabytes(system) - before - more;
    dropCaches();
    await rest();
    return [idle, more, walked, servedMegabytes(system) - before - more];
  }
}

const rest = () => new Promise((resolve) => setTimeout(resolve, 1500));

/** Makes the kernel let go of names and inodes, as it does when memory is short. Root only. */
function dropCaches() {
  writeFileSync('/proc/sys/vm/drop_caches', '2');
}

/** Proportional set size of the system's processes, in MB of 10^6 bytes; what they share counts once. */
function servedMegabytes({ serves }) {
  let kilobytes = 0;
  for (const pid of serves ? readdirSync('/proc').filter((name) => /^\d+$/.test(name)) : []) {
    try {
      if (!serves(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0'))) continue;
      kilobytes += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    } catch {
      // Gone meanwhile.
    }
  }
  return (kilobytes * 1024) / 1e6;
}
