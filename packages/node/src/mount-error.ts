/** Failures of mounting, unmounting and their options: one line for a person, and the exit code of a command. */

/** Exit codes of `ovl` and of every MountError. */
export const ExitCode = {
  ok: 0,
  /** The system refused. */
  failed: 1,
  /** An option is unknown, malformed or missing. */
  usage: 2,
  /** A directory is missing, is none, overlaps another, or lies on the wrong file system. */
  directory: 3,
  /** A directory or the mountpoint is in use. */
  busy: 4,
  /** FUSE is absent, or not permitted. */
  unavailable: 5,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Why there is no mount, in one line that says what to do, with the exit code of the command. */
export class MountError extends Error {
  override readonly name: string = 'MountError';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
