/** `ovl diff`: what an upper layer changed, read from the upper itself. */
import { type Change, diff, runSync, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from '@ovl/core';
import { hostLayer, listMounts, parseMountOptions, sameMountpoint, settleMount } from '@ovl/node';
import type { Arguments, Command } from '../command.js';
import { UsageError } from '../exit.js';
import { formatSize, paint, printable, printJson, printLine } from '../print.js';

const LETTERS = { added: 'A', changed: 'C', deleted: 'D' } as const;
const COLOURS = { added: 'green', changed: 'yellow', deleted: 'red' } as const;

const TYPES: ReadonlyMap<number, string> = new Map([
  [S_IFREG, 'file'],
  [S_IFDIR, 'directory'],
  [S_IFLNK, 'symlink'],
  [S_IFIFO, 'fifo'],
  [S_IFSOCK, 'socket'],
  [S_IFCHR, 'character device'],
  [S_IFBLK, 'block device'],
]);

export const diffCommand: Command = {
  name: 'diff',
  summary: 'show what the upper layer changed',
  usage: ['MERGED', '-o lowerdir=A[:B…],upperdir=U'],
  description:
    'Lists every path that was added (A), changed (C) or deleted (D), with its size now and before. Reads the upper\n' +
    'layer directly, mounted or not: the cost follows the number of changes. A deleted directory is one line; a renamed\n' +
    'one says where its content comes from.',
  options: [
    { name: 'options', short: 'o', value: 'OPTIONS', help: 'layers, as given to `ovl mount`' },
    { name: 'json', help: 'print an array of objects' },
  ],
  examples: [
    ['ovl diff merged', 'what was changed under the mountpoint `merged`'],
    ['ovl diff -o lowerdir=base,upperdir=changes --json', 'the same of layers that are not mounted, for a program'],
  ],
  exitCodes: [
    [1, 'a layer cannot be read'],
    [3, 'nothing of ours is mounted there, or a layer is missing'],
  ],
  async run(args) {
    const { lower, upper, userxattr, mountpoint } = layers(args);
    if (mountpoint !== undefined) await settleMount(mountpoint); // a large file may still be on its way into the upper
    const upperLayer = hostLayer(upper);
    const lowerLayers = lower.map((path) => hostLayer(path));
    const xattrPrefix = userxattr ? 'user.overlay.' : 'trusted.overlay.';
    let changes: Change[];
    try {
      changes = runSync(diff({ upper: upperLayer, lower: lowerLayers, xattrPrefix }));
    } finally {
      for (const layer of [upperLayer, ...lowerLayers]) layer.close?.();
    }
    if (args.has('json')) printJson(changes.map(toJson));
    else for (const change of changes) printLine(toLine(change));
    return 0;
  },
};

interface Layers {
  lower: readonly string[];
  upper: string;
  userxattr: boolean;
  /** Where they are mounted. */
  mountpoint?: string;
}

function layers(args: Arguments): Layers {
  const [merged, ...rest] = args.positionals;
  if (rest.length > 0) throw new UsageError(`unexpected argument '${rest[0]}'`, 'diff');
  if (args.has('options')) {
    const { lower, upper, userxattr } = parseMountOptions(args.values('options').join(','));
    if (upper === undefined || lower.length === 0) throw new UsageError('-o needs lowerdir= and upperdir=', 'diff');
    return { lower, upper, userxattr: userxattr ?? process.getuid?.() !== 0 };
  }
  if (merged === undefined) throw new UsageError('name a mountpoint, or layers with -o', 'diff');
  const mount = listMounts().find((candidate) => sameMountpoint(candidate.mountpoint, merged));
  if (mount === undefined) {
    throw new NotMountedError(`${merged}: no ovl mount there; see 'ovl ps', or name the layers with -o`);
  }
  if (mount.upper === undefined) throw new NotMountedError(`${merged}: mounted read-only, there is nothing to compare`);
  const { lower, upper, userxattr, mountpoint } = mount;
  return { lower, upper, userxattr, mountpoint };
}

class NotMountedError extends Error {
  readonly exitCode = 3;
}

function toLine(change: Change): string {
  const letter = paint(COLOURS[change.kind], LETTERS[change.kind]);
  const suffix = change.type === S_IFDIR ? '/' : '';
  const name = printable(change.path) + suffix;
  const notes: string[] = [];
  if (change.type === S_IFREG) {
    if (change.kind === 'added') notes.push(formatSize(change.size));
    else if (change.kind === 'deleted') notes.push(formatSize(change.previousSize));
    else notes.push(`${formatSize(change.previousSize)} → ${formatSize(change.size)}`);
  }
  if (change.renamedFrom !== undefined) notes.push(`from ${printable(change.renamedFrom)}`);
  return notes.length === 0 ? `${letter} ${name}` : `${letter} ${name}  ${paint('dim', `(${notes.join(', ')})`)}`;
}

function toJson(change: Change): object {
  return { ...change, kind: LETTERS[change.kind], type: TYPES.get(change.type) ?? 'unknown' };
}
