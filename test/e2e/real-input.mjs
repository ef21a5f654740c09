// A day's work on a real tree, over the real command: `node test/e2e/real-input.mjs [--user] [--only git]`.
// Mounts a copy of 10,000 and more of this machine's files, lets git, npm, tar, make, sqlite3 and four
// processes at once work in the merged view, and then looks at what is left: the lower layer is what it was,
// and the kernel's overlayfs shows the same tree over the same upper. `--user` does it without root,
// `--system ovl-libfuse` through the other transport, `--system fuse-overlayfs` (or `kernel`) with a peer.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { abortFuse, detach, execute, isGone, mountAt } from '../support/mounts.mjs';
import { asNobody, commandFor, copyOfCommand } from './command.mjs';
import { gitIdentity, makeLower } from './lower.mjs';
import { steps } from './steps.mjs';

const treeHash = fileURLToPath(new URL('tree-hash.mjs', import.meta.url));
const mountSeconds = 20;
const hashSeconds = 60;

/**
 * @typedef {object} Options
 * @property {'root' | 'user'} as
 * @property {string} [system] `ovl`, `ovl-libfuse` (the other transport), or a peer: `fuse-overlayfs`, `kernel`.
 * @property {string} [only] A part of the names of the steps to take.
 * @property {boolean} [keep] Leaves the layers where they are.
 * @property {(line: string) => void} [log]
 *
 * @typedef {{ failures: string[], skipped: string[] }} Outcome
 */

/** Why it cannot run here, if it cannot. */
export function whyNotHere() {
  if (process.getuid?.() !== 0) return 'root, to compare with the kernel’s overlayfs';
  if (!existsSync('/dev/fuse')) return '/dev/fuse';
  return undefined;
}

/**
 * Runs it all. What went wrong stands in the outcome; it throws only if it could not begin.
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function realInput({ as, system = 'ovl', only = '', keep = false, log = () => {} }) {
  const scene = makeScene(as, system);
  const check = checker(log);
  try {
    const count = await fill(scene);
    log(
      `${as}, ${system}: a lower layer of ${count.toLocaleString('en')} real files and directories, and four projects`,
    );
    const before = await hashOf(scene, scene.lower, 'before');
    if (await check('mount', () => mount(scene))) {
      const offline = await whyOffline(scene);
      for (const step of steps.filter(({ name }) => name.includes(only))) {
        if (step.network && offline) check.skip(step.name, offline);
        else await check(step.name, () => take(scene, step));
        if (!mountAt(scene.merged)) break;
      }
      await check('the same tree: mounted anew, and by the kernel', () => compareViews(scene));
      await check('the lower layer is as it was', async () =>
        compare(before, await hashOf(scene, scene.lower, 'after')),
      );
    }
    return check.outcome;
  } finally {
    await detach(scene.merged);
    if (keep) log(`kept: ${scene.root}`);
    else rmSync(scene.root, { recursive: true, force: true });
  }
}

/**
 * Where everything lies and who acts.
 * @typedef {ReturnType<typeof makeScene>} Scene
 * @param {Options['as']} as
 * @param {string} system
 */
function makeScene(as, system) {
  const root = mkdtempSync(join(tmpdir(), 'ovl-e2e-'));
  const at = (/** @type {string} */ name) => join(root, name);
  const places = { lower: at('lower'), upper: at('upper'), work: at('work'), merged: at('merged') };
  const env = {
    ...process.env,
    ...gitIdentity,
    HOME: at('home'),
    LOWER: places.lower,
    MERGED: places.merged,
    ORIGIN: at('origin.git'),
    SCRATCH: at('scratch'),
    npm_config_cache: at('home/.npm'),
    npm_config_update_notifier: 'false',
  };
  return { as, system, root, env, ...places };
}

/** @param {Scene} scene */
async function fill({ as, root, lower, upper, work, merged, env }) {
  const count = await makeLower(lower, env.ORIGIN);
  const made = [upper, work, merged, env.HOME, env.SCRATCH];
  for (const path of made) mkdirSync(path);
  if (as === 'user') {
    const owned = [lower, env.ORIGIN, ...made];
    await must(execute(['chown', '-hR', '65534:65534', ...owned], { timeout: 60_000 }));
    await must(execute(['chmod', '755', root], { timeout: 1_000 }));
    await copyOfCommand(root);
  }
  return count;
}

/**
 * Runs a command as whoever acts in the scene.
 * @param {Scene} scene
 * @param {string[]} command
 * @param {number} seconds
 */
function run({ as, merged, env, root, system }, command, seconds) {
  return execute(as === 'user' ? [...asNobody, ...command] : command, {
    timeout: seconds * (system === 'ovl-libfuse' ? 3000 : 1000), // its requests take several times as long
    // What hangs in the mount cannot even be killed until its connection ends.
    onTimeout: () => abortFuse(merged),
    env,
    cwd: root,
  });
}

/** @param {Scene} scene */
async function mount(scene) {
  await must(run(scene, commandFor(scene).mount, mountSeconds));
  if (!mountAt(scene.merged)) throw new Error('the command returned, but nothing is mounted');
}

/** @param {Scene} scene */
async function unmount(scene) {
  await must(run(scene, commandFor(scene).unmount, mountSeconds));
  if (!(await isGone(scene.merged, 2_000))) throw new Error('the command returned, but it is mounted still');
}

/**
 * @param {Scene} scene
 * @param {import('./steps.mjs').Step} step
 */
async function take(scene, { script, seconds = 60 }) {
  const bash = (/** @type {string} */ flags) => ['bash', `-${flags}uo`, 'pipefail', '-c', `cd "$MERGED"\n${script}`];
  const done = await run(scene, bash('e'), seconds);
  if (done.code === 0 && !done.timedOut) return;
  // Once more, by line: a script that fails silently says nothing of where.
  const again = done.stderr ? done : await run(scene, bash('xe'), seconds);
  const lines = again.stderr.trim().split('\n').slice(-12).join('\n');
  throw new Error(`${done.timedOut ? `no end after ${seconds} s` : `exit code ${done.code}`}\n${lines}`);
}

/**
 * The view must not depend on what the running mount remembers, nor on who shows it.
 * @param {Scene} scene
 */
async function compareViews(scene) {
  const live = await hashOf(scene, scene.merged, 'live');
  await unmount(scene);
  await mount(scene);
  compare(live, await hashOf(scene, scene.merged, 'remounted'));
  await unmount(scene);
  const { as, lower, upper, work, merged } = scene;
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work},${as === 'user' ? 'userxattr' : 'redirect_dir=on'}`;
  await must(execute(['mount', '-t', 'overlay', 'overlay', '-o', options, merged], { timeout: 20_000 }));
  try {
    compare(live, await hashOf({ ...scene, as: 'root' }, merged, 'kernel'));
  } finally {
    await must(execute(['umount', merged], { timeout: 20_000 }));
  }
}

/**
 * @param {Scene} scene
 * @param {string} tree
 * @param {string} name
 * @returns {Promise<{ hash: string, list: string }>}
 */
async function hashOf(scene, tree, name) {
  // Into the scratch directory's neighbour, which whoever acts may write.
  const list = join(scene.env.HOME, `${name}.list`);
  const { stdout } = await must(run(scene, [process.execPath, treeHash, tree, list, timeUnit(scene)], hashSeconds));
  return { ...JSON.parse(stdout), list };
}

/** @param {{ hash: string, list: string }} expected @param {{ hash: string, list: string }} found */
function compare(expected, found) {
  if (expected.hash === found.hash) return;
  const [left, right] = [expected, found].map(({ list }) => new Set(readFileSync(list, 'latin1').split('\n')));
  const lost = [...left].filter((line) => !right.has(line));
  const gained = [...right].filter((line) => !left.has(line));
  const shown = [...lost.slice(0, 8).map((line) => `- ${line}`), ...gained.slice(0, 8).map((line) => `+ ${line}`)];
  throw new Error(`${lost.length} lines are missing, ${gained.length} are new:\n${shown.join('\n')}`);
}

/** @param {Scene} scene */
async function whyOffline(scene) {
  const { code } = await run(scene, ['npm', 'view', 'ms@2.1.3', 'version'], 20);
  return code === 0 ? undefined : 'the npm registry cannot be reached';
}

/** What the mount shows of a time, in nanoseconds: fuse-native passes milliseconds. @param {Scene} scene */
function timeUnit({ system }) {
  return system === 'ovl-libfuse' ? '1000000' : '1';
}

/** @param {import('../support/mounts.mjs').Ended | Promise<import('../support/mounts.mjs').Ended>} ended */
async function must(ended) {
  const done = await ended;
  if (done.timedOut) throw new Error(`no end in time: ${done.stderr.trim()}`);
  if (done.code !== 0) throw new Error(`exit code ${done.code}: ${done.stderr.trim()}`);
  return done;
}

/** @param {(line: string) => void} log */
function checker(log) {
  /** @type {Outcome} */
  const outcome = { failures: [], skipped: [] };
  /** @param {string} name @param {() => unknown} act */
  const check = async (name, act) => {
    const started = performance.now();
    const seconds = () => ((performance.now() - started) / 1000).toFixed(1);
    try {
      await act();
      log(`✓ ${name} ${seconds()} s`);
      return true;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      log(`✗ ${name} ${seconds()} s\n${message}`);
      outcome.failures.push(`${name}: ${message}`);
      return false;
    }
  };
  check.outcome = outcome;
  /** @param {string} name @param {string} reason */
  check.skip = (name, reason) => {
    log(`- ${name}: ${reason}`);
    outcome.skipped.push(`${name}: ${reason}`);
  };
  return check;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      user: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      system: { type: 'string', default: 'ovl' },
      only: { type: 'string', default: '' },
    },
  });
  const missing = whyNotHere();
  if (missing) {
    console.error(`this needs ${missing}`);
    process.exitCode = 2;
  } else {
    const { failures } = await realInput({ ...values, as: values.user ? 'user' : 'root', log: console.log });
    process.exitCode = failures.length > 0 ? 1 : 0;
  }
}
