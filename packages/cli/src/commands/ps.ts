/** `ovl ps`: the live mounts. */
import { listMounts } from '@ovl/node';
import type { Command } from '../command.js';
import { UsageError } from '../exit.js';
import { printable, printJson, printLine, table } from '../print.js';

export const psCommand: Command = {
  name: 'ps',
  summary: 'list the mounts that are live',
  usage: ['[--json]'],
  description: 'Lists your mounts: mountpoint, daemon, since when, upper and lower layers (topmost first).',
  options: [{ name: 'json', help: 'print an array of objects' }],
  examples: [['ovl ps', 'a line for each mount']],
  exitCodes: [],
  async run(args) {
    if (args.positionals.length > 0) throw new UsageError(`unexpected argument '${args.positionals[0]}'`, 'ps');
    const mounts = listMounts();
    if (args.has('json')) printJson(mounts);
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
