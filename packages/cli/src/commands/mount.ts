/** `ovl mount`, and the bare `ovl -o … MERGED` that stands in for fuse-overlayfs. */
import { DaemonApproach, type MountOptions, mountByDaemon, optionGroups, parseMountOptions } from '@ovl/node/start';
import type { Arguments, Command } from '../command.js';
import { UsageError } from '../exit.js';

let approached: DaemonApproach | undefined;

/** Approaches the daemon of a mount whose arguments nobody has read yet, unless they ask for something else. Says whether it did. */
export function approachDaemon(argv: readonly string[]): boolean {
  const isForeground = argv.some((argument) =>
    /^-(?:-?h|-?f$|-?d$|-help|-foreground|-debug|-version|V)/.test(argument),
  );
  if (!isForeground) approached = new DaemonApproach();
  return !isForeground;
}

/** After a command that mounted nothing. */
export function leaveDaemon(): void {
  approached?.leave();
}

function takeDaemon(): DaemonApproach {
  const daemon = approached ?? new DaemonApproach();
  approached = undefined;
  return daemon;
}

const EXIT_CODES: [number, string][] = [
  [1, 'the mount failed'],
  [3, 'a directory is missing, is none, lies inside another layer, or is on the wrong file system'],
  [4, 'the mountpoint, upper or work directory is in use'],
  [5, 'FUSE is not available: no /dev/fuse, no permission, or no fusermount3'],
];

/** Words that need no explanation are one paragraph. */
const sections: NonNullable<Command['sections']> = optionGroups.map(({ title, options }) => {
  const rows = Object.entries(options).map(([name, { value, help }]): [string, string] => [
    value === undefined || value === '' ? name : `${name}=${value}`,
    help,
  ]);
  const explained = rows.some(([, help]) => help !== '');
  return {
    title: `Mount options (-o): ${title[0]?.toLowerCase()}${title.slice(1)}`,
    rows: explained ? rows : paragraph(rows.map(([name]) => name)),
  };
});

function paragraph(words: readonly string[]): string {
  const lines: string[] = [];
  for (const word of words) {
    const line = lines.at(-1);
    if (line === undefined || line.length + word.length > 98) lines.push(`  ${word}`);
    else lines[lines.length - 1] = `${line}, ${word}`;
  }
  return lines.join(',\n');
}

export const mountCommand: Command = {
  name: 'mount',
  summary: 'mount a merged, writable view of directories',
  usage: [
    '-o lowerdir=A[:B…][,upperdir=U,workdir=W][,OPTION…] MERGED',
    '--lower A [--lower B…] [--upper U [--work W]] MERGED',
  ],
  description:
    'Shows the lower directories (topmost first) as one under MERGED. Changes go to the upper directory, in the format of\n' +
    "Linux's overlayfs; the lower ones are never written. Without an upper the view is read-only. When the command\n" +
    'returns 0 the mount is live; a daemon serves it until it is unmounted.',
  options: [
    {
      name: 'options',
      short: 'o',
      value: 'OPTIONS',
      help: 'comma-separated, as listed below; may be given several times',
    },
    { name: 'lower', value: 'DIR', help: 'a lower directory; repeat for more, topmost first' },
    { name: 'upper', value: 'DIR', help: 'the directory that takes all changes' },
    {
      name: 'work',
      value: 'DIR',
      help: 'scratch beside the upper, same file system (default: chosen beside the upper)',
    },
    { name: 'tmp', help: 'an upper that vanishes at unmount' },
    { name: 'read-only', help: 'no changes, even with an upper' },
    { name: 'foreground', short: 'f', help: 'serve in this process until unmounted or interrupted' },
    { name: 'stats', help: 'measure the time that requests take (ovl ps --stats shows it; they are always counted)' },
    { name: 'debug', short: 'd', help: 'as -f, and log what goes wrong to standard error' },
  ],
  sections,
  examples: [
    ['ovl mount -o lowerdir=base,upperdir=changes,workdir=work merged', 'a writable view of `base`'],
    ['ovl mount --lower patches --lower base --tmp merged', 'two layers, changes dropped at unmount'],
    ['ovl mount --lower base merged', 'a read-only view'],
  ],
  exitCodes: EXIT_CODES,
  run: (args) => runMount(args, args.positionals),
};

/** What fuse-overlayfs takes: `[SOURCE] MERGED -o OPTIONS`, and libfuse's switches. */
export const bareCommand: Command = {
  ...mountCommand,
  name: '',
  usage: ['-o lowerdir=A[:B…][,upperdir=U,workdir=W][,OPTION…] [SOURCE] MERGED'],
  options: [...mountCommand.options, { name: 'single-threaded', short: 's', help: 'accepted and ignored' }],
  run: (args) => runMount(args, args.positionals.slice(-1), args.positionals.slice(0, -1)),
};

async function runMount(args: Arguments, positionals: string[], sources: string[] = []): Promise<number> {
  const [mountpoint, ...rest] = positionals;
  const surplus = rest[0] ?? sources[1];
  if (surplus !== undefined) throw new UsageError(`unexpected argument '${surplus}'`, 'mount');
  if (mountpoint === undefined) throw new UsageError('no mountpoint given', 'mount');
  const options = optionsOf(args, mountpoint);
  if (sources[0] !== undefined) options.fsname ??= sources[0];
  if (options.foreground === true) await (await import('@ovl/node')).mount(options);
  else await mountByDaemon(options, takeDaemon());
  return 0;
}

function optionsOf(args: Arguments, mountpoint: string): MountOptions {
  const options: MountOptions = { ...parseMountOptions(args.values('options').join(',')), mountpoint };
  options.lower.push(...args.values('lower'));
  const upper = args.value('upper');
  if (upper !== undefined) options.upper = upper;
  const work = args.value('work');
  if (work !== undefined) options.work = work;
  if (args.has('tmp')) options.tmp = true;
  if (args.has('read-only')) options.readOnly = true;
  if (args.has('foreground') || args.has('debug')) options.foreground = true;
  if (args.has('stats')) options.stats = true;
  if (args.has('debug')) options.log = 'stderr';
  if (options.tmp === true && options.upper !== undefined) {
    throw new UsageError('--tmp makes its own upper: leave out --upper or --tmp', 'mount');
  }
  return options;
}
