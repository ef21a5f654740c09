// The commands that mount and unmount: ours from the checkout, or from a copy that any user may read
// (a checkout may lie under a private directory), and the peers'.
import { cpSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';

const packages = fileURLToPath(new URL('../../packages', import.meta.url));

/** Runs what follows as the user `nobody`, without root's groups. */
export const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];

/** `ovl`, from the checkout. */
export const ovl = /** @type {const} */ ([execPath, join(packages, 'cli/bin/ovl.js')]);

/**
 * Copies the built packages and what they need to `ROOT/node_modules`, for everyone to read.
 * @param {string} root
 */
export async function copyOfCommand(root) {
  const modules = join(root, 'node_modules');
  for (const name of ['core', 'node', 'cli'])
    for (const part of ['package.json', 'dist', ...(name === 'cli' ? ['bin'] : [])])
      cpSync(join(packages, name, part), join(modules, '@ovl', name, part), { recursive: true });
  // Each directory lies beside those of its own dependencies.
  for (const name of ['koffi', 'fuse-native']) {
    const beside = dirname(realpathSync(join(packages, 'node/node_modules', name)));
    cpSync(beside, modules, { recursive: true, dereference: true });
  }
  return ovlIn(root);
}

/** @param {string} root */
function ovlIn(root) {
  return [execPath, join(root, 'node_modules/@ovl/cli/bin/ovl.js')];
}

/**
 * @param {{ system: string, as: 'root' | 'user', root: string, lower: string, upper: string, work: string, merged: string }} scene
 * @returns {{ mount: string[], unmount: string[] }}
 */
export function commandFor({ system, as, root, lower, upper, work, merged }) {
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const ours = as === 'user' ? ovlIn(root) : ovl;
  switch (system) {
    case 'ovl':
    case 'ovl-libfuse': {
      const through = system === 'ovl' ? 'direct' : 'libfuse';
      const mount = [...ours, 'mount', '-o', `${options},transport=${through}`, merged];
      return { mount, unmount: [...ours, 'umount', merged] };
    }
    case 'fuse-overlayfs':
      return { mount: ['fuse-overlayfs', '-o', options, merged], unmount: ['fusermount3', '-u', merged] };
    case 'kernel':
      return {
        mount: ['mount', '-t', 'overlay', 'overlay', '-o', `${options},redirect_dir=on`, merged],
        unmount: ['umount', merged],
      };
    default:
      throw new Error(`no such system: ${system}; there are ovl, ovl-libfuse, fuse-overlayfs and kernel`);
  }
}
