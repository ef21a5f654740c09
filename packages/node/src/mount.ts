/** Mounting: checks the options, gets a daemon to mount (or serves from this process), and returns when the mount answers. */
import { type Company, DaemonApproach } from './ask-daemon.js';
import type { ExitCode } from './mount-error.js';
import { prepareMount } from './mount-request.js';
import type { UnmountOptions } from './mounts.js';
import type { MountOptions } from './options.js';
import type { MountRecord } from './registry.js';

/** A live mount. */
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
  const { unmount } = await import('./mounts.js');
  const mounted = (record: MountRecord): MountedOverlay => ({
    ...record,
    unmount: (how) => unmount(record.mountpoint, how),
  });
  if (options.foreground !== true) return mounted(await mountByDaemon(options, new DaemonApproach()));
  const { request, undo } = prepareMount(options);
  try {
    const { serveMount } = await import('./control.js');
    const served = await serveMount(request, options.log);
    return { ...mounted(served.record), ended: served.ended.then(leave) };
  } catch (error) {
    undo();
    throw error;
  }
}

async function leave({ exitCode, threadBlocked }: { exitCode: ExitCode; threadBlocked: boolean }): Promise<ExitCode> {
  return threadBlocked ? (await import('./syscalls.js')).exitNow(exitCode) : exitCode;
}

/** Mounts by a daemon that was approached before. Throws as {@link mount} does. */
export async function mountByDaemon(options: MountOptions, daemon: DaemonApproach): Promise<MountRecord> {
  let undo: (() => void) | undefined;
  try {
    const prepared = prepareMount(options);
    undo = prepared.undo;
    const company: Company = options.ownDaemon === true ? 'own' : 'shared';
    return await daemon.mount(prepared.request, company);
  } catch (error) {
    daemon.leave();
    undo?.();
    throw error;
  }
}
