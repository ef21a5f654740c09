/** Mounting: checks the options, starts a daemon (or serves from this process), and returns when the mount answers. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { serveMount } from './control.js';
import type { DaemonReport } from './daemon.js';
import { ExitCode, MountError } from './mount-error.js';
import { type MountRequest, prepareMount } from './mount-request.js';
import { type UnmountOptions, unmount } from './mounts.js';
import type { MountOptions } from './options.js';
import { exitNow } from './processes.js';
import { type MountRecord, readRecords } from './registry.js';

export interface MountedOverlay extends MountRecord {
  /** See {@link unmount}. */
  unmount(options?: UnmountOptions): Promise<void>;
  /**
   * Foreground only: resolves after the unmount, with an exit code. If the mount was still in use when a signal ended it,
   * the process itself ends here with that code: its users would otherwise keep it.
   */
  readonly ended?: Promise<ExitCode>;
}

/** Throws MountError; then nothing is mounted and nothing left running. */
export async function mount(options: MountOptions): Promise<MountedOverlay> {
  if (options.tmp === true) readRecords(); // and so clears away what a killed daemon left of its own
  const { request, undo } = prepareMount(options);
  try {
    return options.foreground === true ? await serveHere(request, options) : await startDaemon(request);
  } catch (error) {
    undo();
    throw error;
  }
}

function mounted(record: MountRecord): MountedOverlay {
  return { ...record, unmount: (options) => unmount(record.mountpoint, options) };
}

async function serveHere(request: MountRequest, options: MountOptions): Promise<MountedOverlay> {
  const served = await serveMount(request, options.log);
  const ended = served.ended.then(({ exitCode, threadBlocked }) => (threadBlocked ? exitNow(exitCode) : exitCode));
  return { ...mounted(served.record), ended };
}

async function startDaemon(request: MountRequest): Promise<MountedOverlay> {
  const path = fileURLToPath(new URL('./daemon.js', import.meta.url));
  const daemon = fork(path, [request.transport], {
    cwd: '/',
    detached: true,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const report = await new Promise<DaemonReport>((resolve) => {
    const failed = (message: string): void => resolve({ kind: 'failed', exitCode: ExitCode.failed, message });
    daemon.once('message', (message) => resolve(message as DaemonReport));
    daemon.once('error', (error) => failed(`cannot start the daemon: ${error.message}`));
    daemon.once('exit', (code, signal) => failed(`the daemon ended before the mount was live (${signal ?? code})`));
    daemon.send(request, () => {}); // a failure shows as its exit
  });
  daemon.removeAllListeners('exit');
  if (daemon.connected) daemon.disconnect();
  if (report.kind === 'failed') {
    if (daemon.exitCode === null && daemon.signalCode === null)
      await new Promise((resolve) => daemon.once('exit', resolve));
    throw new MountError(report.exitCode, report.message);
  }
  daemon.unref();
  return mounted(report.record);
}
