/** Failures that end a command with one line and a code. */
import { FsError } from '@ovl/core';
import { printable } from './print.js';

/** Bad arguments: exit code 2, and the help to read. */
export class UsageError extends Error {
  readonly command: string | undefined;

  constructor(message: string, command?: string) {
    super(message);
    this.command = command;
  }
}

const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** The line and the code for what a command threw. */
function report(error: unknown): [line: string, code: number] {
  if (error instanceof UsageError) {
    const hint = error.command === undefined ? '' : `; see '${`ovl ${error.command}`.trim()} --help'`;
    return [printable(error.message) + hint, EXIT_USAGE];
  }
  if (error instanceof Error && 'exitCode' in error) return [printable(error.message), error.exitCode as number];
  if (error instanceof FsError) return [printable(error.message), EXIT_FAILED];
  return [
    `unexpected failure: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    EXIT_FAILED,
  ];
}

/** Runs a command to its exit code; what it throws becomes one line on standard error. */
export async function reporting(run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    const [line, code] = report(error);
    process.stderr.write(`ovl: ${line}\n`);
    return code;
  }
}
