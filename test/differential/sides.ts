/** The file systems that are compared, as the driver (driver.ts) opens and closes them on a set of directories. */
import { deepCopyUp, inodeIndex, type Layer, metacopies, Overlay, runSync, type UpperLayer } from '@ovl/core';
import { hostLayer } from '../../packages/node/src/host-layer.js';
import { hostUpper } from '../../packages/node/src/host-upper.js';
import { mount, umount2 } from '../../packages/node/src/mount-syscalls.js';
import type { Calls } from './calls.js';
import { CoreCalls } from './core-calls.js';
import { KernelCalls } from './kernel-calls.js';
import type { MountedWith } from './operations.js';

/** "kernel": the kernel's overlayfs; "ovl": a mount of ours; "core": ours in the driver's process, without a mount. */
export type SideKind = 'kernel' | 'ovl' | 'core';

export interface Place {
  /** Topmost first. */
  lower: string[];
  upper: string;
  work: string;
  merged: string;
}

export interface Flavour {
  userxattr: boolean;
  /** Kernel and ours alike; "userxattr" excludes it. */
  redirectDir: boolean;
  /** Kernel and ours alike. */
  index?: true;
  /** Kernel and ours: changes of attributes leave data below. Takes `redirectDir`. */
  metacopy?: true;
  /** Ours, "core" only: no redirect is recorded, whatever is renamed is copied up whole. */
  deepMoves?: true;
  /** Ours: a daemon a mount, as for users. */
  daemon?: true;
  /** Ours, "ovl" only. */
  mount?: MountedWith;
}

export interface Opened {
  calls: Calls;
  close(): void;
}

/** For "ovl", {@link serve} has mounted it, in another process. */
export function openSide(kind: SideKind, place: Place, flavour: Flavour): Opened {
  process.umask(0);
  switch (kind) {
    case 'kernel':
      return openKernel(place, flavour);
    case 'core':
      return openCore(place, flavour);
    case 'ovl': {
      const calls = new KernelCalls(place.merged);
      return { calls, close: () => calls.end() };
    }
  }
}

function openKernel({ lower, upper, work, merged }: Place, flavour: Flavour): Opened {
  const { userxattr, redirectDir, index, metacopy } = flavour;
  const options = [`lowerdir=${lower.join(':')}`, `upperdir=${upper}`, `workdir=${work}`, 'xino=off'];
  options.push(`index=${index === true ? 'on' : 'off'}`, `metacopy=${metacopy === true ? 'on' : 'off'}`);
  if (userxattr) options.push('userxattr');
  else options.push(`redirect_dir=${redirectDir ? 'on' : 'off'}`);
  mount('overlay', merged, 'overlay', 0, options.join(','));
  const calls = new KernelCalls(merged);
  return {
    calls,
    close: () => {
      calls.end();
      umount2(merged, 0);
    },
  };
}

function openCore({ lower, upper, work }: Place, flavour: Flavour): Opened {
  const { userxattr, redirectDir, index, metacopy, deepMoves } = flavour;
  const layers: Layer<'sync'>[] = lower.map((path) => hostLayer(path));
  const top: UpperLayer<'sync'> = hostUpper({ upper, work, userxattr });
  const overlay = runSync(
    Overlay.open<'sync'>({
      lower: layers,
      upper: top,
      redirectDir: userxattr ? 'nofollow' : redirectDir ? 'on' : 'follow',
      index: inodeIndex(index === true ? 'on' : 'off'),
      deepCopyUp,
      metacopy: metacopies(metacopy === true ? 'make' : 'refuse'),
      ...(deepMoves === true ? { redirectMax: 0 } : {}),
    }),
  );
  const calls = new CoreCalls(overlay);
  return { calls, close: () => calls.end() };
}

type MountModule = Pick<typeof import('@ovl/node'), 'mount' | 'unmount'>;

/** As built: the serving thread is started from there. */
const builtModule = process.env.OVL_BUILT_NODE ?? '';

/**
 * Mounts ours, and returns what takes it away. Served from this process, which saves the start of a daemon, and so from
 * one that makes no call on the mount.
 */
export async function serve({ lower, upper, work, merged }: Place, flavour: Flavour): Promise<() => Promise<void>> {
  const ovl = (await import(builtModule)) as MountModule;
  const { userxattr, redirectDir, index, metacopy, daemon } = flavour;
  const redirects = userxattr ? 'nofollow' : redirectDir ? 'on' : 'follow';
  const options = {
    lower,
    upper,
    work,
    mountpoint: merged,
    userxattr,
    redirectDir: redirects,
    index: index === true ? 'on' : 'off',
    metacopy: metacopy === true ? 'on' : 'off',
  } as const;
  const mounted = await ovl.mount({ ...options, ...flavour.mount, foreground: daemon !== true });
  return async () => {
    await mounted.unmount();
    await mounted.ended;
  };
}
