// What a mount takes before and beside the work: the time until it answers, and memory.
import { readFileSync } from 'node:fs';
import { detach } from '../support/mounts.mjs';
import { dropCaches } from './caches.mjs';
import { cut } from './stop.mjs';
import { placesIn, putAside, workload } from './turn.mjs';

/** Answers one figure for each of the row's; undefined where it cannot be had. */
export async function footprint(row, system, { root, sizes, lower }) {
  const turns = [placesIn(root, lower), placesIn(root, lower)];
  const mounted = [];
  try {
    return row.of === 'mount' ? await readiness() : await memory();
  } finally {
    for (const { unmount } of mounted.toReversed()) await unmount().catch(() => {});
    for (const { turnDir, places } of turns) {
      await detach(places.merged);
      putAside(root, turnDir, row);
    }
  }

  /** From the start of the command, by a program as small as a shell's part in it, to its end: then the mount is live. */
  async function readiness() {
    const figures = [];
    const start = async (command) => {
      figures.push(...(await workload.run(1, ['exec', ...command])).seconds);
      return { code: 0, stderr: '' };
    };
    for (const { places } of turns) mounted.push(await system.mount(places, '', start));
    return figures;
  }

  /** Of all processes that serve: what a mount adds, whichever process has it. */
  async function memory() {
    const points = [];
    const add = async ({ places }) => {
      mounted.push(await system.mount(places, ''));
      points.push(places.merged);
      return settled(system, points);
    };
    const idle = await add(turns[0]);
    const both = await add(turns[1]);
    const { files } = await workload.run(1, ['walk', points[0]]);
    if (files !== sizes.many) throw new Error(`walk: ${files} files, but there should be ${sizes.many}`);
    const walked = await settled(system, points);
    const short = (await dropCaches()) ? await settled(system, points) : undefined;
    return [idle, both - idle, walked, short];
  }
}

/** Once it has come to rest, at most 20 s later: what is given back comes in steps, with pauses between them. */
async function settled(system, points) {
  const processes = await system.processes(points);
  if (processes.length === 0) throw new Error('no process found that serves the mount');
  const samples = [];
  do {
    await new Promise((resolve) => setTimeout(resolve, 500));
    samples.unshift(megabytes(processes));
  } while (!cut.aborted && samples.length < 40 && !(samples.length >= 4 && isSteady(samples.slice(0, 4))));
  return samples[0];
}

const isSteady = (/** @type {number[]} */ samples) => Math.max(...samples) - Math.min(...samples) < 0.25;

/** Proportional set size, in MB of 10^6 bytes: what they share counts once, what they share with others in part. */
function megabytes(processes) {
  let kilobytes = 0;
  for (const pid of processes)
    kilobytes += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]);
  return (kilobytes * 1024) / 1e6;
}
