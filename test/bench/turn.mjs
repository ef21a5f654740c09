// One system's turn at a row: from a fresh mount to none.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { abortFuse, detach, execute } from '../support/mounts.mjs';
import { mount, unmount } from './systems.mjs';

const workDeadline = 300_000;
let program = '';

/** The timed system calls (workload.c). */
export const workload = {
  /** @param {string} dir */
  async compile(dir) {
    program = join(dir, 'workload');
    const source = fileURLToPath(new URL('workload.c', import.meta.url));
    const compiled = await execute(['gcc', '-O2', '-Wall', '-pthread', '-o', program, source], { timeout: 60_000 });
    if (compiled.code !== 0) throw new Error(`the benchmark needs gcc: ${compiled.stderr}`);
  },

  /** Answers what it saw and `seconds`, one a pass. */
  async run(passes, args, merged) {
    return JSON.parse((await timed([program, passes, ...args].map(String), merged)).stdout);
  },
};

/**
 * What a mount of this turn lies on.
 * @param {string} root
 * @param {string} fixture
 */
export function placesIn(root, fixture) {
  const turnDir = mkdtempSync(join(root, 'turn-'));
  const names = readdirSync(fixture);
  // A stack is a directory of layers, the others are layers themselves. mount(2) takes a page of options: hence short names.
  const isStack = names.includes('000');
  const places = {
    cwd: isStack ? fixture : root,
    lower: isStack ? names.toSorted().join(':') : fixture,
    upper: join(turnDir, 'upper'),
    work: join(turnDir, 'work'),
    merged: join(turnDir, 'merged'),
  };
  for (const path of [places.upper, places.work, places.merged]) mkdirSync(path);
  return { turnDir, places };
}

/** Answers one figure for each of the row's labels. */
export async function turn(row, system, { root, sizes, lower, fixture }) {
  const { turnDir, places } = placesIn(root, lower);
  if (!system.mount && row.changes) {
    places.lower = join(turnDir, 'plain');
    await execute(['cp', '-a', '--reflink=auto', lower, places.lower], { timeout: workDeadline });
  }
  // What earlier turns wrote must not be paid for in this one.
  if (row.changes) await execute(['sync'], { timeout: workDeadline });
  try {
    if (!row.remount) return await withMount((where) => passes(row.labels.length, where));
    const figures = [];
    for (const _ of row.labels) figures.push(...(await withMount((where) => passes(1, where))));
    return figures;
  } finally {
    await detach(places.merged);
    rmSync(turnDir, { recursive: true, force: true, maxRetries: 5 });
  }

  async function withMount(work) {
    const where = await mount(system, places);
    try {
      return await work(where);
    } finally {
      await unmount(system, places);
    }
  }

  async function passes(count, where) {
    const figures = [];
    if (row.command) {
      const command = row.command({ where, fixture });
      for (let pass = 0; pass < count; pass++) figures.push((await timed(command, where)).seconds);
    } else {
      const args = row.work(sizes).map((arg) => String(arg).replace(/^ROOT/, where));
      const { seconds, ...seen } = await workload.run(count, args, where);
      expect(seen, row.expect(sizes));
      figures.push(...seconds);
    }
    if (row.left) expect(await workload.run(1, ['walk', where], where), row.left(sizes));
    return figures;
  }
}

/** Runs a command to its end; it must succeed. */
async function timed(command, merged) {
  const onTimeout = () => merged && abortFuse(merged);
  const start = performance.now();
  const done = await execute(command, { timeout: workDeadline, onTimeout });
  const seconds = (performance.now() - start) / 1000;
  const what = command.slice(0, 4).join(' ');
  if (done.timedOut) throw new Error(`${what}: no end after ${workDeadline / 1000} s`);
  if (done.code !== 0) throw new Error(`${what}: ${done.stderr.trim().slice(-400) || `exit code ${done.code}`}`);
  return { seconds, stdout: done.stdout };
}

/** `wrong` counts pages with another page's content, `changed` the files that chmod was at. */
function expect(seen, expected) {
  for (const [what, count] of Object.entries({ wrong: 0, ...expected }))
    if (seen[what] !== count) throw new Error(`${what}: ${seen[what]}, but there should be ${count}`);
}
