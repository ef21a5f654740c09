// The file systems that are compared: how each shows the same layers, fresh, and which processes it takes.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { detach, execute, isGone, mountAt } from '../support/mounts.mjs';

const ovl = fileURLToPath(new URL('../../packages/cli/bin/ovl.js', import.meta.url));
const deadline = 20_000;
const isRoot = process.getuid?.() === 0;

/**
 * @typedef {{ cwd: string, lower: string, upper: string, work: string, merged: string }} Places
 *
 * @typedef {object} Mounted
 * @property {string} where The files are to be seen here,
 * @property {string[]} within by commands that begin with this.
 * @property {() => Promise<void>} unmount Returns when it is so.
 *
 * @typedef {object} System
 * @property {string} name
 * @property {(places: Places, more: string, start?: typeof execute) => Promise<Mounted>} mount `more` is options of its own,
 *   each after a comma; `start` runs the command that mounts, where one does.
 * @property {(merged: string[]) => Promise<number[]>} [processes] Those that serve any of these mounts.
 * @property {'directory' | 'namespace'} [is] `directory`: nothing is mounted, so what changes needs a copy; `namespace`: not
 *   mounted by one command.
 * @property {() => string | undefined} whyNot Why it cannot run here.
 * @property {string} [note] How it was measured, where that is not plain.
 * @property {'onRequest'} [only] Where it is named.
 */

/** @param {Places} places */
const options = ({ lower, upper, work }) => `lowerdir=${lower},upperdir=${upper},workdir=${work}`;

/** @param {string[]} more Options of this system, each after a comma. */
const mountOvl = (...more) =>
  mountBy((places, given) => [ovl, 'mount', '-o', options(places) + more.join('') + given, places.merged]);

/** @type {System[]} */
export const systems = [
  {
    name: 'ext4',
    is: 'directory',
    mount: async ({ lower }) => ({ where: lower, within: [], unmount: async () => {} }),
    whyNot: () => undefined,
  },
  {
    name: 'kernel',
    mount: isRoot
      ? mountBy((places) => ['mount', '-t', 'overlay', 'overlay', '-o', options(places), places.merged])
      : mountInNamespace,
    whyNot: () => (isRoot ? undefined : (commandMissing('unshare') ?? commandMissing('nsenter'))),
    ...(!isRoot && {
      is: 'namespace',
      note: 'kernel: mounted in a user and mount namespace (userxattr), where alone an ordinary user can; the work enters it, as that user',
    }),
  },
  {
    name: 'fuse-overlayfs',
    mount: mountBy((places) => ['fuse-overlayfs', '-o', options(places), places.merged]),
    processes: async (merged) =>
      commandLines()
        .filter(({ argv }) => argv[0] === 'fuse-overlayfs' && merged.includes(argv.at(-1) ?? ''))
        .map(({ pid }) => pid),
    whyNot: () => commandMissing('fuse-overlayfs') ?? fuseMissing(),
  },
  { name: 'ovl', mount: mountOvl(), processes: ovlProcesses, whyNot: ovlMissing },
  {
    name: 'ovl-libfuse',
    mount: mountOvl(',transport=libfuse'),
    processes: ovlProcesses,
    whyNot: ovlMissing,
    only: 'onRequest',
  },
];

/**
 * Mounts by a command that returns when the mount is live.
 * @param {(places: Places, more: string) => string[]} command
 */
function mountBy(command) {
  return async (/** @type {Places} */ places, /** @type {string} */ more, start = execute) => {
    const { merged, cwd } = places;
    const { code, stderr } = await start(command(places, more), { timeout: deadline, cwd });
    if (code !== 0 || !mountAt(merged)) {
      await detach(merged);
      throw new Error(`mount failed (${code}): ${stderr.trim()}`);
    }
    return { where: merged, within: [], unmount: () => unmount(merged) };
  };
}

async function unmount(/** @type {string} */ merged) {
  const end = Date.now() + deadline;
  let { code, stderr } = { code: /** @type {number | null} */ (-1), stderr: 'busy' };
  // In use as long as a large file is still on its way into the upper.
  while (code !== 0 && /busy/.test(stderr) && Date.now() < end) {
    ({ code, stderr } = await execute(isRoot ? ['umount', merged] : ['fusermount3', '-u', merged], {
      timeout: deadline,
    }));
    if (code !== 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (code === 0 && (await isGone(merged, 1_000))) return;
  await detach(merged);
  throw new Error(`unmount failed (${code}): ${stderr.trim()}`);
}

/**
 * The kernel's overlayfs for a user: mount(8) wants to be root, so a namespace is made in which the user is; whoever works
 * there is given the ordinary id back in one more, and with it no capability. Both end with the shell that holds them. What
 * the kernel keeps in the work directory is opened, for only root could remove it otherwise.
 * @param {Places} places
 * @returns {Promise<Mounted>}
 */
async function mountInNamespace(places) {
  const script = 'mount -t overlay overlay -o "$1" "$2" && chmod 700 "$3/work" && echo live && read _';
  const args = ['-Urm', 'sh', '-c', script, 'sh', `${options(places)},userxattr`, places.merged, places.work];
  const holder = spawn('unshare', args, { cwd: places.cwd });
  let said = '';
  const live = await new Promise((resolve) => {
    holder.stderr.on('data', (text) => {
      said += text;
    });
    holder.stdout.on('data', () => resolve(true));
    holder.on('error', (error) => {
      said += error.message;
      resolve(false);
    });
    holder.on('close', () => resolve(false));
  });
  if (!live) throw new Error(`mount failed: ${said.trim()}`);
  const ended = new Promise((resolve) => holder.on('close', resolve));
  const enter = ['nsenter', '-t', String(holder.pid), '-U', '-m', '--preserve-credentials', '--'];
  const asUser = ['unshare', '-U', `--map-user=${process.getuid?.()}`, `--map-group=${process.getgid?.()}`, '--'];
  return {
    where: places.merged,
    within: [...enter, ...asUser],
    unmount: async () => {
      holder.stdin.end();
      await ended;
    },
  };
}

/**
 * Of our mounts the record tells the process; its children (transport, watchdog) count with it. A process that serves
 * somebody else's mounts too has no memory that could be told apart.
 */
async function ovlProcesses(/** @type {string[]} */ merged) {
  const serving = new Set();
  const mounts = await liveOvlMounts();
  for (const { mountpoint, pid } of mounts) if (merged.includes(mountpoint)) serving.add(pid);
  const foreign = mounts.find(({ mountpoint, pid }) => serving.has(pid) && !merged.includes(mountpoint));
  if (foreign) throw new Error(`process ${foreign.pid} serves ${foreign.mountpoint}, too: unmount that first`);
  const all = commandLines();
  for (let size = -1; size !== serving.size; ) {
    size = serving.size;
    for (const { pid, parent } of all) if (serving.has(parent)) serving.add(pid);
  }
  return [...serving];
}

/** This user's. */
async function liveOvlMounts() {
  const { code, stdout, stderr } = await execute([process.execPath, ovl, 'ps', '--json'], { timeout: deadline });
  if (code !== 0) throw new Error(`ovl ps failed (${code}): ${stderr.trim()}`);
  return /** @type {{ mountpoint: string, pid: number }[]} */ (JSON.parse(stdout));
}

function commandLines() {
  const found = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
      found.push({ pid: Number(pid), parent, argv });
    } catch {
      // Gone meanwhile.
    }
  }
  return found;
}

/** @param {string} name */
function commandMissing(name) {
  const folders = `${process.env.PATH}:/usr/sbin:/sbin`.split(':');
  return folders.some((folder) => existsSync(`${folder}/${name}`)) ? undefined : `${name} is not installed`;
}

function ovlMissing() {
  return existsSync(ovl) ? fuseMissing() : 'not built: `pnpm build`';
}

function fuseMissing() {
  return existsSync('/dev/fuse') ? undefined : '/dev/fuse is missing';
}
