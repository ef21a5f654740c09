// The file systems that are compared: how each shows the same layers, fresh.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { detach, execute, isGone, mountAt } from '../support/mounts.mjs';

const ovl = fileURLToPath(new URL('../../packages/cli/bin/ovl.js', import.meta.url));
const daemon = fileURLToPath(new URL('../../packages/node/dist/', import.meta.url));
const deadline = 20_000;

/**
 * @typedef {{ cwd: string, lower: string, upper: string, work: string, merged: string }} Places
 * @typedef {object} System
 * @property {string} name
 * @property {(places: Places) => string[]} [mount] The command; without one, the plain directory is measured.
 * @property {(argv: string[]) => boolean} [serves] Whether a process with this command line serves its mounts.
 * @property {() => string | undefined} whyNot Why it cannot run here.
 * @property {true} [onRequest] Only where it is named.
 */

/** @param {Places} places */
const options = ({ lower, upper, work }) => `lowerdir=${lower},upperdir=${upper},workdir=${work}`;

/** @type {System[]} */
export const systems = [
  { name: 'ext4', whyNot: () => undefined },
  {
    name: 'kernel',
    mount: (places) => ['mount', '-t', 'overlay', 'overlay', '-o', options(places), places.merged],
    whyNot: () => (process.getuid?.() === 0 ? undefined : 'needs root'),
  },
  {
    name: 'fuse-overlayfs',
    mount: (places) => ['fuse-overlayfs', '-o', options(places), places.merged],
    serves: ([program]) => program === 'fuse-overlayfs',
    whyNot: () => commandMissing('fuse-overlayfs') ?? fuseMissing(),
  },
  {
    name: 'ovl',
    mount: (places) => [process.execPath, ovl, 'mount', '-o', options(places), places.merged],
    serves: (argv) => argv.some((arg) => arg.startsWith(daemon)),
    whyNot: () => (existsSync(ovl) ? fuseMissing() : 'not built: `pnpm build`'),
  },
  {
    name: 'ovl-libfuse',
    mount: (places) => [process.execPath, ovl, 'mount', '-o', `${options(places)},transport=libfuse`, places.merged],
    whyNot: () => (existsSync(ovl) ? fuseMissing() : 'not built: `pnpm build`'),
    onRequest: true,
  },
];

/**
 * Mounts; answers where the files are to be seen.
 * @param {System} system
 * @param {Places} places
 */
export async function mount(system, places) {
  if (!system.mount) return places.lower;
  const { code, stderr } = await execute(system.mount(places), { timeout: deadline, cwd: places.cwd });
  if (code !== 0 || !mountAt(places.merged)) {
    await detach(places.merged);
    throw new Error(`mount failed (${code}): ${stderr.trim()}`);
  }
  return places.merged;
}

/**
 * Unmounts, and waits until it is so.
 * @param {System} system
 * @param {Places} places
 */
export async function unmount(system, places) {
  if (!system.mount) return;
  const command = process.getuid?.() === 0 ? ['umount', places.merged] : ['fusermount3', '-u', places.merged];
  const { code, stderr } = await execute(command, { timeout: deadline });
  if (code === 0 && (await isGone(places.merged, 1_000))) return;
  await detach(places.merged);
  throw new Error(`unmount failed (${code}): ${stderr.trim()}`);
}

/** @param {string} name */
function commandMissing(name) {
  const folders = `${process.env.PATH}:/usr/sbin:/sbin`.split(':');
  return folders.some((folder) => existsSync(`${folder}/${name}`)) ? undefined : `${name} is not installed`;
}

function fuseMissing() {
  return existsSync('/dev/fuse') ? undefined : '/dev/fuse is missing';
}
