/** `ovl explain`: which layer a path comes from, and what hides the rest. */
import { join } from 'node:path';
import { runSync, S_IFDIR, S_IFREG } from '@ovl/core';
import { explain, type Explanation, type LayerView, type Provenance, provenance } from '@ovl/core/changes';
import { settleMount } from '@ovl/node';
import type { Arguments, Command } from '../command.js';
import { UsageError } from '../exit.js';
import { type Layers, layersOfOptions, mountAround, NotMountedError, reading } from '../layers.js';
import { formatSize, nameOfType, paint, printable, printJson, printLine } from '../print.js';

export const explainCommand: Command = {
  name: 'explain',
  summary: 'show which layer a path comes from, and what hides the rest',
  usage: ['PATH', '-o lowerdir=A[:B…],upperdir=U PATH'],
  description:
    'Lists what each layer has at PATH, topmost first: what is shown, merged into it, or hidden, and by what. PATH lies in a\n' +
    'mount, or with -o in the view that the layers give. Nothing has to be there: a whiteout, or where a renamed object is\n' +
    'now, is told just as well, and of a copy what it was copied from: where no name tells, the layers below are read through\n' +
    'for it. The layers are read directly.',
  options: [
    { name: 'options', short: 'o', value: 'OPTIONS', help: 'layers, as given to `ovl mount`' },
    { name: 'json', help: 'print an object' },
  ],
  examples: [
    ['ovl explain merged/etc/hosts', 'why this file looks as it does'],
    ['ovl explain -o lowerdir=base,upperdir=changes /etc/hosts --json', 'the same of layers that are not mounted'],
  ],
  exitCodes: [
    [1, 'a layer cannot be read'],
    [3, 'PATH lies in no mount of ours, or a layer is missing'],
  ],
  async run(args) {
    const { layers, inside } = place(args);
    if (layers.mountpoint !== undefined) await settleMount(layers.mountpoint);
    const options = (older: Parameters<Parameters<typeof reading>[1]>[1]): { older?: typeof older } =>
      layers.upper === undefined ? {} : { older };
    const uppers = layers.upper === undefined ? 0 : 1;
    const { found, origin } = reading(layers, (merged, older) => {
      const found = runSync(explain(merged, inside, options(older)));
      const isThere = found.shown !== undefined;
      // Contents of one length that were last modified at one time count as the same: they may be large.
      const origin = isThere ? runSync(provenance(merged, inside, { uppers, content: 'times' })) : undefined;
      return { found, origin };
    });
    const directories = [...(layers.upper === undefined ? [] : [layers.upper]), ...layers.lower];
    if (args.has('json')) printJson(toJson(found, directories, uppers > 0, origin));
    else for (const line of [...toLines(found, directories), ...originLines(origin, directories)]) printLine(line);
    return 0;
  },
};

function place(args: Arguments): { layers: Layers; inside: string } {
  const [path, ...rest] = args.positionals;
  if (path === undefined) throw new UsageError('name a path', 'explain');
  if (rest.length > 0) throw new UsageError(`unexpected argument '${rest[0]}'`, 'explain');
  const named = layersOfOptions(args, 'explain');
  if (named !== undefined) return { layers: named, inside: join('/', path) };
  const mounted = mountAround(path);
  if (mounted !== undefined) return mounted;
  throw new NotMountedError(`${path}: in no ovl mount; see 'ovl ps', or name the layers with -o`);
}

function toLines(
  { layers, path, shown, renamedTo, shadowedBytes }: Explanation,
  directories: readonly string[],
): string[] {
  const lines: string[] = [];
  for (const view of layers) {
    if (view.status === 'absent') continue;
    const notes = notesOf(view, directories);
    const where = printable(join(directories[view.layer] as string, view.path));
    const status = paint(view.status === 'shown' ? 'green' : 'dim', view.status.padEnd(8));
    lines.push(`${status} ${where}${notes.length === 0 ? '' : `  ${paint('dim', `(${notes.join(', ')})`)}`}`);
  }
  if (shown === undefined) lines.push(`nothing is shown at ${printable(path)}`);
  if (renamedTo !== undefined) lines.push(`renamed to ${printable(renamedTo)}`);
  if (shadowedBytes > 0) lines.push(`${formatSize(shadowedBytes)} shadowed`);
  return lines;
}

function originLines(origin: Provenance | undefined, directories: readonly string[]): string[] {
  if (origin === undefined || origin.path === '/' || origin.kind === 'lower') return [];
  if (origin.kind === 'created') return ['created here'];
  if (origin.kind === 'unknown') return ['copied from what no layer has now, or without a record of it'];
  const { from, changed, differs, data, endsUnknown, type } = origin;
  if (type === S_IFDIR && changed === 'nothing' && from[0]?.path === origin.path) return []; // listed as merged
  const notes = [changed === 'nothing' ? 'unchanged' : `changed: ${differs.join(', ')}`];
  if (data !== undefined && data.below > 0) notes.push(`${formatSize(data.below)} still read from there`);
  const places = from.map(({ layer, path }) => printable(join(directories[layer] as string, path)));
  const lines = [`copied from ${places.join(', from ')}  ${paint('dim', `(${notes.join('; ')})`)}`];
  return endsUnknown ? [...lines, 'and that from what no layer has now'] : lines;
}

const CAUSES = { whiteout: 'under the whiteout', opaque: 'below the opaque directory', covered: 'covered by' } as const;

function notesOf(
  { type, size, opaque, redirect, metacopy, cause }: LayerView,
  directories: readonly string[],
): string[] {
  const notes: string[] = [];
  if (type !== undefined) notes.push(nameOfType(type));
  if (type === S_IFREG && size !== undefined) notes.push(formatSize(size));
  if (opaque) notes.push('opaque');
  if (metacopy) notes.push('data below');
  if (redirect !== undefined) notes.push(`was ${printable(redirect)}`);
  if (cause !== undefined) {
    notes.push(`${CAUSES[cause.kind]} ${printable(join(directories[cause.layer] as string, cause.path))}`);
  }
  return notes;
}

function toJson(
  { layers, ...rest }: Explanation,
  directories: readonly string[],
  hasUpper: boolean,
  origin: Provenance | undefined,
): object {
  return {
    ...rest,
    ...(origin === undefined ? {} : { provenance: provenanceToJson(origin, directories) }),
    layers: layers.map(({ type, ...view }) => ({
      ...view,
      role: hasUpper && view.layer === 0 ? 'upper' : 'lower',
      directory: directories[view.layer],
      ...(type === undefined ? {} : { type: nameOfType(type) }),
    })),
  };
}

function provenanceToJson(
  { path: _path, type: _type, shown, from, ...rest }: Provenance,
  directories: readonly string[],
): object {
  return { ...rest, from: from.map((place) => ({ ...place, directory: directories[place.layer] })), ino: shown.ino };
}
