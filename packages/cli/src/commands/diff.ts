/** `ovl diff`: what an upper layer changed, read from the upper itself. */
import { runSync, S_IFDIR, S_IFREG } from '@ovl/core';
import { type Change, diff } from '@ovl/core/changes';
import { settleMount } from '@ovl/node';
import type { Arguments, Command } from '../command.js';
import { UsageError } from '../exit.js';
import { type Layers, layersOfOptions, mountAt, NotMountedError, reading } from '../layers.js';
import { formatSize, nameOfType, paint, printable, printJson, printLine } from '../print.js';

const LETTERS = { added: 'A', modified: 'C', metadata: 'C', replaced: 'C', renamed: 'R', deleted: 'D' } as const;
const COLOURS = { A: 'green', C: 'yellow', R: 'yellow', D: 'red' } as const;

export const diffCommand: Command = {
  name: 'diff',
  summary: 'show what the upper layer changed',
  usage: ['MERGED', '-o lowerdir=A[:B…],upperdir=U'],
  description:
    'Lists every path that was added (A), changed (C), renamed (R) or deleted (D), with its size now and before, or what\n' +
    'else differs. Reads the upper layer directly, mounted or not: the cost follows the number of changes. A deleted\n' +
    'directory is one line; what differs in a renamed one follows it.',
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
    const found = layers(args);
    if (found.mountpoint !== undefined) await settleMount(found.mountpoint); // a large file may still be on its way into the upper
    const changes = reading(found, (merged, older) => runSync(diff(merged, { older })));
    if (args.has('json')) printJson(changes.map(toJson));
    else for (const change of changes) printLine(toLine(change));
    return 0;
  },
};

function layers(args: Arguments): Layers {
  const [merged, ...rest] = args.positionals;
  if (rest.length > 0) throw new UsageError(`unexpected argument '${rest[0]}'`, 'diff');
  const named = layersOfOptions(args, 'diff');
  if (named !== undefined) {
    if (named.upper === undefined) throw new UsageError('-o needs lowerdir= and upperdir=', 'diff');
    return named;
  }
  if (merged === undefined) throw new UsageError('name a mountpoint, or layers with -o', 'diff');
  const mount = mountAt(merged);
  if (mount === undefined) {
    throw new NotMountedError(`${merged}: no ovl mount there; see 'ovl ps', or name the layers with -o`);
  }
  if (mount.upper === undefined) throw new NotMountedError(`${merged}: mounted read-only, there is nothing to compare`);
  return mount;
}

function toLine(change: Change): string {
  const letter = LETTERS[change.kind];
  const suffix = change.type === S_IFDIR && change.path !== '/' ? '/' : '';
  const name = printable(change.path) + suffix;
  const notes = notesOf(change);
  const line = `${paint(COLOURS[letter], letter)} ${name}`;
  return notes.length === 0 ? line : `${line}  ${paint('dim', `(${notes.join(', ')})`)}`;
}

function notesOf(change: Change): string[] {
  const notes: string[] = [];
  const { kind, size, previousSize, previousType, type } = change;
  const content = kind === 'modified' || kind === 'replaced' || change.differs.includes('content');
  if (type === S_IFREG && kind === 'added') notes.push(formatSize(size));
  else if (type === S_IFREG && kind === 'deleted') notes.push(formatSize(previousSize));
  else if (type === S_IFREG && content) notes.push(`${formatSize(previousSize)} → ${formatSize(size)}`);
  if (previousType !== undefined && previousType !== type) notes.push(`was ${nameOfType(previousType)}`);
  if (change.from !== undefined) notes.push(`from ${printable(change.from)}`);
  if (change.linkOf !== undefined) notes.push(`link of ${printable(change.linkOf)}`);
  if (kind === 'metadata') notes.push(...change.differs);
  return notes;
}

function toJson({ before: _before, after: _after, basePath: _base, directory: _dir, ...change }: Change): object {
  const { kind, type, previousType } = change;
  const json = { ...change, kind: LETTERS[kind], change: kind, type: nameOfType(type) };
  return previousType === undefined ? json : { ...json, previousType: nameOfType(previousType) };
}
