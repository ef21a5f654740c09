/** Failures that end a command with one line and a code. */

/** Bad arguments: exit code 2, and the help to read. */
export class UsageError extends Error {
  readonly command: string | undefined;

  constructor(message: string, command?: string) {
    super(message);
    this.command = command;
  }
}

export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
