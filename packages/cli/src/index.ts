/** `ovl`: finds the command, runs it, and turns what it throws into one line and an exit code. */
import { columns, helpOf, runCommand } from './command.js';
import { COMMANDS } from './commands.js';
import { bareCommand } from './commands/mount.js';
import { EXIT_USAGE, UsageError, reporting } from './exit.js';
import { printLine } from './print.js';
import { VERSION } from './version.js';

/** Runs the program with arguments as after `ovl`. Resolves to the exit code; prints, never throws. */
export function main(argv: readonly string[]): Promise<number> {
  return reporting(() => dispatch(argv));
}

async function dispatch(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    const topic = COMMANDS.find((command) => command.name === rest[0]);
    if (first === 'help' && rest[0] !== undefined && topic === undefined) throw unknownCommand(rest[0]);
    printLine(topic === undefined ? overview() : helpOf(topic));
    return first === undefined ? EXIT_USAGE : 0;
  }
  if (first === '--version' || first === '-V') {
    printLine(`ovl: version ${VERSION}\nusing FUSE kernel interface version 7.45`);
    return 0;
  }
  const named = COMMANDS.find((command) => command.name === first);
  // fuse-overlayfs has no subcommands: with -o anywhere, or a leading switch, this is its mount.
  const isBare = named === undefined && argv.some((argument) => argument.startsWith('-'));
  if (named === undefined && !isBare) throw unknownCommand(first);
  return await runCommand(named ?? bareCommand, named === undefined ? argv : rest);
}

function overview(): string {
  return [
    'Usage: ovl COMMAND [ARGUMENT…]',
    '       ovl -o lowerdir=A[:B…],upperdir=U,workdir=W MERGED     (as fuse-overlayfs)',
    '',
    'Overlay file systems: read-only layers below, one writable layer on top, one merged view.',
    '',
    'Commands:',
    ...columns(COMMANDS.map(({ name, summary }) => [name, summary] as const)),
    '',
    '`ovl COMMAND --help` has the options, examples and exit codes of each.',
  ].join('\n');
}

function unknownCommand(name: string): UsageError {
  return new UsageError(`unknown command '${name}'; see 'ovl --help'`);
}
