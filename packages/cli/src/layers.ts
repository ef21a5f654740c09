/** The layers that a command looks at: of a mount of ours, or named with -o. They are opened to be read, beside whoever writes them. */
import { dirname, relative, resolve } from 'node:path';
import { metacopies, type Overlay, overlay } from '@ovl/core';
import { hostLayer, listMounts, type MountRecord, parseMountOptions, sameMountpoint } from '@ovl/node';
import type { Arguments } from './command.js';
import { UsageError } from './exit.js';

export interface Layers {
  lower: readonly string[];
  upper: string | undefined;
  userxattr: boolean;
  /** Where they are mounted. */
  mountpoint?: string;
}

/** Nothing of ours is mounted there. */
export class NotMountedError extends Error {
  readonly exitCode = 3;
}

/** What -o names, or undefined without it. */
export function layersOfOptions(args: Arguments, command: string): Layers | undefined {
  if (!args.has('options')) return undefined;
  const { lower, upper, userxattr } = parseMountOptions(args.values('options').join(','));
  if (lower.length === 0) throw new UsageError('-o needs lowerdir=', command);
  return { lower, upper, userxattr: userxattr ?? process.getuid?.() !== 0 };
}

/** The mount at a path. */
export function mountAt(path: string): Layers | undefined {
  const mount = listMounts().find(({ mountpoint }) => sameMountpoint(mountpoint, path));
  return mount && layersOfMount(mount);
}

/** The mount that a path lies in, and the path in it. */
export function mountAround(path: string): { layers: Layers; inside: string } | undefined {
  const wanted = resolve(path);
  for (let dir = wanted; ; dir = dirname(dir)) {
    const layers = mountAt(dir);
    if (layers !== undefined) return { layers, inside: `/${relative(dir, wanted)}` };
    if (dir === dirname(dir)) return undefined;
  }
}

function layersOfMount({ lower, upper, userxattr, mountpoint }: MountRecord): Layers {
  return { lower, upper, userxattr, mountpoint };
}

/** Runs `use` with the merged view, and what it would be without the upper. */
export function reading<T>(
  { lower, upper, userxattr }: Layers,
  use: (merged: Overlay<'sync'>, older: Overlay<'sync'>) => T,
): T {
  const layers = [...(upper === undefined ? [] : [upper]), ...lower].map((path) => hostLayer(path));
  const xattrPrefix = userxattr ? 'user.overlay.' : 'trusted.overlay.';
  const options = { xattrPrefix, metacopy: metacopies('follow') } as const;
  try {
    const older = overlay({ ...options, lower: layers.slice(-lower.length) });
    return use(overlay({ ...options, lower: layers }), older);
  } finally {
    for (const layer of layers) layer.close?.();
  }
}
