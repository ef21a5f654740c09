/** `ovl ps`: the live mounts. */
import { listMounts, type MountRecord, type RequestCount, requestCounts } from '@ovl/node';
import type { Command } from '../command.js';
import { UsageError } from '../exit.js';
import { printable, printJson, printLine, table } from '../print.js';

export const psCommand: Command = {
  name: 'ps',
  summary: 'list the mounts that are live',
  usage: ['[--stats] [--json]'],
  description: 'Lists your mounts: mountpoint, daemon, since when, upper and lower layers (topmost first).',
  options: [
    { name: 'stats', help: 'how many requests of each kind the kernel has sent (and their time: ovl mount --stats)' },
    { name: 'json', help: 'print an array of objects' },
  ],
  examples: [
    ['ovl ps', 'a line for each mount'],
    ['ovl ps --stats', 'what each has been asked, to see what work costs'],
  ],
  exitCodes: [],
  async run(args) {
    if (args.positionals.length > 0) throw new UsageError(`unexpected argument '${args.positionals[0]}'`, 'ps');
    const mounts = listMounts();
    if (args.has('stats')) await printStats(mounts, args.has('json'));
    else if (args.has('json')) printJson(mounts);
    else if (mounts.length > 0) {
      const rows = mounts.map(({ mountpoint, pid, since, upper, lower }) => [
        printable(mountpoint),
        String(pid),
        age(since),
        upper === undefined ? '(read-only)' : printable(upper),
        lower.map(printable).join(':'),
      ]);
      printLine(table([['MOUNTPOINT', 'PID', 'SINCE', 'UPPER', 'LOWER'], ...rows]));
    }
    return 0;
  },
};

function age(since: string): string {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(since)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

async function printStats(mounts: readonly MountRecord[], asJson: boolean): Promise<void> {
  const counted = await Promise.all(mounts.map(async (mount) => ({ ...mount, requests: await requestCounts(mount) })));
  if (asJson) printJson(counted);
  else if (counted.length > 0)
    printLine(counted.map(({ mountpoint, requests }) => `${printable(mountpoint)}\n${lines(requests)}`).join('\n\n'));
}

function lines(requests: readonly RequestCount[] | undefined): string {
  if (requests === undefined) return 'does not tell';
  const rows = requests.map(({ request, count, microseconds }) => [
    request,
    String(count),
    microseconds === 0 ? '' : (microseconds / count).toFixed(1),
  ]);
  return table([['REQUEST', 'COUNT', requests.some(({ microseconds }) => microseconds > 0) ? 'µs EACH' : ''], ...rows]);
}
