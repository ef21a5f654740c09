// One system's turn at a row: from a fresh mount to none.
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { abortFuse, detach, execute } from '../support/mounts.mjs';
import { cut } from './stop.mjs';

const workDeadline = 300_000;
let program = '';

/** @typedef {import('./systems.mjs').Mounted} Mounted */

/** The timed system calls (workload.c). */
export const workload = {
  /** @param {string} dir */
  async compile(dir) {
    program = join(dir, 'workload');
    const source = fileURLToPath(new URL('workload.c', import.meta.url));
    const compiled = await execute(['gcc', '-O2', '-Wall', '-pthread', '-o', program, source], { timeout: 60_000 });
    if (compiled.code !== 0) throw new Error(`the benchmark needs gcc: ${compiled.stderr}`);
  },

  /**
   * Answers what it saw and `seconds`, one a pass. Also whole programs are started and timed by it, so that what starting them
   * takes from here is in no figure.
   * @param {number} passes
   * @param {(string | number)[]} args
   * @param {Pick<Mounted, 'where' | 'within'>} [mounted]
   */
  async run(passes, args, { where, within } = { where: '', within: [] }) {
    const command = [...within, program, passes, ...args].map(String);
    const onTimeout = () => abortFuse(where);
    const done = await execute(command, { timeout: workDeadline, onTimeout, signal: cut });
    if (cut.aborted) throw new Error('stopped');
    const what = args
      .slice(args[0] === 'exec' ? 1 : 0)
      .slice(0, 4)
      .join(' ');
    if (done.timedOut) throw new Error(`${what}: no end after ${workDeadline / 1000} s`);
    if (done.code !== 0) throw new Error(`${what}: ${done.stderr.trim().slice(-400) || `exit code ${done.code}`}`);
    return JSON.parse(done.stdout);
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

/** What earlier turns wrote must not be paid for in the next one. */
export async function settle(/** @type {string} */ root) {
  await execute(['sync', '-f', root], { timeout: workDeadline, signal: cut });
}

/**
 * What a turn leaves is not deleted beside the others' turns, but moved aside; only the large rows' few files are.
 * @param {string} root
 * @param {string} turnDir
 * @param {{ bulky?: true }} row
 */
export function putAside(root, turnDir, { bulky }) {
  if (bulky) rmSync(turnDir, { recursive: true, force: true, maxRetries: 5 });
  else renameSync(turnDir, join(root, 'aside', basename(turnDir)));
}

/** Answers one figure for each of the row's. */
export async function turn(row, system, { root, sizes, lower, fixture }) {
  const { turnDir, places } = placesIn(root, lower);
  if (system.is === 'directory' && row.changes) {
    places.lower = join(turnDir, 'plain');
    await execute(['cp', '-a', '--reflink=auto', lower, places.lower], { timeout: workDeadline, signal: cut });
  }
  if (row.changes) await settle(root);
  try {
    if (!row.remount) return await withMount((mounted) => passes(row.figures.length, mounted));
    const figures = [];
    for (const _ of row.figures) figures.push(...(await withMount((mounted) => passes(1, mounted))));
    return figures;
  } finally {
    await detach(places.merged);
    putAside(root, turnDir, row);
  }

  async function withMount(work) {
    const mounted = await system.mount(places, row.options?.[system.name] ?? '');
    try {
      return await work(mounted);
    } finally {
      await mounted.unmount();
    }
  }

  async function passes(count, mounted) {
    const { where } = mounted;
    const args = row.command
      ? ['exec', ...row.command({ where, fixture })]
      : row.work(sizes).map((arg) => String(arg).replace(/^ROOT/, where));
    const { seconds, ...seen } = await workload.run(count, args, mounted);
    if (row.expect) expect(seen, row.expect(sizes));
    if (row.left) expect(await workload.run(1, ['walk', where], mounted), row.left(sizes));
    return seconds;
  }
}

/** `wrong` counts pages with another page's content, `changed` the files that chmod was at. */
function expect(seen, expected) {
  for (const [what, count] of Object.entries({ wrong: 0, ...expected }))
    if (seen[what] !== count) throw new Error(`${what}: ${seen[what]}, but there should be ${count}`);
}
