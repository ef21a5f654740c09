/** `ovl fsck`: what is wrong with an upper that is not mounted. */
import { type FsckFinding, fsck, type FsckOptions } from '@ovl/node';
import type { Command } from '../command.js';
import { UsageError } from '../exit.js';
import { paint, printJson, printLine, quoted } from '../print.js';

/** fsck(8)'s own codes would clash with those of the other commands: its 4 is "uncorrected", ours "in use". */
const EXIT_FOUND = 10;
const EXIT_REPAIRED = 11;

export const fsckCommand: Command = {
  name: 'fsck',
  summary: 'check an upper directory, and repair what is safe to repair',
  usage: ['UPPER [--lower A [--lower B…] [--data D…]] [--work W] [--repair] [--json]'],
  description:
    'Checks the upper directory of an overlay that is not mounted, and its work directory: a line for each finding says\n' +
    'where it is, what is there, and what that means. Finds whiteouts that hide nothing, redirects and metadata-only\n' +
    'files that lead nowhere, overlay attributes that are malformed, unknown or out of place, whiteouts in two forms,\n' +
    'orphaned entries of the hard-link index, what a crash left, and the mark of a volatile mount. What depends on the\n' +
    'layers below is looked at only where they are named. The layers below are never written.',
  options: [
    { name: 'lower', value: 'DIR', help: 'a lower directory; repeat for more, topmost first, as for the mount' },
    { name: 'data', value: 'DIR', help: 'a data-only layer below those; repeat for more' },
    { name: 'work', value: 'DIR', help: 'the work directory (default: the one beside the upper, if it is there)' },
    { name: 'userxattr', help: 'overlay attributes are under "user.overlay." (default: unless run by root)' },
    { name: 'repair', help: 'repair what changes nothing in any view: leftovers, what hides nothing, what is ignored' },
    { name: 'json', help: 'print an array of objects' },
  ],
  examples: [
    ['ovl fsck changes', 'looks at `changes`, and changes nothing'],
    ['ovl fsck changes --lower base --work work --repair', 'also finds what no longer fits `base`, and repairs'],
  ],
  exitCodes: [
    [1, 'a directory cannot be read'],
    [3, 'a directory is missing or is none'],
    [4, 'it is mounted'],
    [EXIT_FOUND, 'something was found, and is left'],
    [EXIT_REPAIRED, 'something was found, and all of it repaired'],
  ],
  run(args) {
    const [upper, surplus] = args.positionals;
    if (upper === undefined) throw new UsageError('name an upper directory', 'fsck');
    if (surplus !== undefined) throw new UsageError(`unexpected argument '${surplus}'`, 'fsck');
    const options: FsckOptions = { upper };
    const work = args.value('work');
    if (work !== undefined) options.work = work;
    if (args.has('lower')) options.lower = args.values('lower');
    if (args.has('data')) options.dataOnly = args.values('data');
    if (args.has('userxattr')) options.userxattr = true;
    if (args.has('repair')) options.repair = 'safe';
    const findings = fsck(options);
    if (args.has('json')) printJson(findings);
    else for (const finding of findings) printLine(toLine(finding));
    return Promise.resolve(exitCode(findings));
  },
};

function exitCode(findings: readonly FsckFinding[]): number {
  if (findings.length === 0) return 0;
  return findings.every(({ repaired }) => repaired) ? EXIT_REPAIRED : EXIT_FOUND;
}

function toLine({ path, what, meaning, repairable, repaired }: FsckFinding): string {
  const fate = repaired
    ? paint('green', 'repaired')
    : repairable
      ? '--repair repairs it'
      : paint('yellow', 'not repaired');
  return `${quoted(path)}: ${what}: ${meaning} (${fate})`;
}
