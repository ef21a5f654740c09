/**
 * What takes the mount away when the daemon is killed outright: a shell that waits on a pipe. A line on it means an
 * orderly end; its end without one means that the daemon is gone. Only a mount with the same device number at the same
 * place is touched, so a later mount there is safe. Paths are parameters of the script, never part of it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

const script = `
read -r _ && exit 0
at=$1 device=$2 path=$3
shift 3
while read -r _ _ here _ there _; do
  if [ "$there" = "$at" ]; then
    if [ "$here" = "$device" ]; then found=1; else found=; fi
  fi
done < /proc/self/mountinfo
[ -n "$found" ] && exec "$@" "$path"
`;

export interface WatchedMount {
  mountpoint: string;
  /** As the mount table spells it. */
  escapedMountpoint: string;
  /** `major:minor`. */
  device: string;
  /** Followed by the mountpoint, unmounts it. */
  detachCommand: readonly string[];
}

export class Watchdog {
  readonly #shell: ChildProcess;

  constructor({ mountpoint, escapedMountpoint, device, detachCommand }: WatchedMount) {
    this.#shell = spawn(
      '/bin/sh',
      ['-c', script, 'ovl-watchdog', escapedMountpoint, device, mountpoint, ...detachCommand],
      { cwd: '/', stdio: ['pipe', 'ignore', 'ignore'], detached: true },
    );
    this.#shell.on('error', () => {}); // no shell: then a kill -9 leaves a dead mount, as it does without a watchdog
    this.#shell.stdin?.on('error', () => {});
    this.#shell.unref();
    (this.#shell.stdin as Socket | null)?.unref();
  }

  /** The mount ended in order: lets the shell go. */
  async dismiss(): Promise<void> {
    const { stdin } = this.#shell;
    if (stdin === null || !stdin.writable) return;
    await new Promise<void>((resolve) => stdin.end('done\n', () => resolve()));
  }
}
