// The systems that are compared, and how a peer comes to be there: by a package.json of its own, which only this command installs.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {object} System
 * @property {string} name
 * @property {string} module Exports `open`, which takes the lower layers and answers with an `Opened` (columns.mjs).
 * @property {string[]} packages Whose versions belong to the figures.
 * @property {true} [pairOnly] It has one lower layer.
 * @property {true} [onDisk] What lies below is on the host's disk, not in memory.
 */

/** @type {System[]} */
export const systems = [
  { name: 'ovl', module: './ovl.mjs', packages: [] },
  { name: 'ZenFS', module: './peers/zenfs.mjs', packages: ['@zenfs/core'] },
  { name: 'Rivet', module: './peers/rivet.mjs', packages: ['@rivet-dev/agent-os-core'] },
  { name: 'memfs + unionfs', module: './peers/memfs-unionfs.mjs', packages: ['memfs', 'unionfs'] },
  { name: 'just-bash', module: './peers/just-bash.mjs', packages: ['just-bash'], pairOnly: true, onDisk: true },
];

const home = fileURLToPath(new URL('./peers/', import.meta.url));

/** The peers, exactly as pinned. Answers why not, in one line, where they cannot be had: without network, for one. */
export function installPeers() {
  const pnpm = ['--yes', 'pnpm@12.21.0', 'install', '--frozen-lockfile', '--prefer-offline', '--ignore-scripts'];
  const { status, error, stdout, stderr } = spawnSync('npx', [...pnpm, '--dir', home], {
    cwd: home,
    encoding: 'utf8',
    timeout: 600_000,
  });
  if (status === 0) return undefined;
  const said = `${stdout ?? ''}${stderr ?? ''}`.split('\n').find((line) => /ERR|error/i.test(line));
  return `the peers could not be installed, so they are missing here: ${error?.message ?? said?.trim() ?? `pnpm ended with ${status}`}`;
}

/** "name version", for each package of a system. */
export function versionsOf(/** @type {System} */ { packages }) {
  const { dependencies } = JSON.parse(readFileSync(`${home}package.json`, 'utf8'));
  return packages.map((name) => `${name} ${dependencies[name]}`);
}
