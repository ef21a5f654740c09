/**
 * The process behind a mount: gets its request over the IPC channel from whoever started it, reports there that the mount
 * is live or why not, and from then on depends on nobody. It has no standard streams of the starter's.
 */
import { startAhead } from './fuse/start-thread.js';
import { ExitCode, MountError } from './mount-error.js';
import type { MountRequest } from './mount-request.js';
import type { MountRecord } from './registry.js';

/** To the starter, once. */
export type DaemonReport =
  | { kind: 'live'; record: MountRecord }
  | { kind: 'failed'; exitCode: ExitCode; message: string };

async function main(request: MountRequest): Promise<void> {
  try {
    const { serveMount } = await control;
    const served = await serveMount(request, undefined);
    await report({ kind: 'live', record: served.record });
    const { exitCode, threadBlocked } = await served.ended;
    if (threadBlocked) (await import('./processes.js')).exitNow(exitCode);
    process.exit(exitCode);
  } catch (error) {
    const exitCode = error instanceof MountError ? error.exitCode : ExitCode.failed;
    await report({ kind: 'failed', exitCode, message: (error as Error).message });
    process.exit(exitCode);
  }
}

/** The starter may be dead by now; that is no reason to stop. */
async function report(message: DaemonReport): Promise<void> {
  if (!process.connected) return;
  await new Promise<void>((resolve) => process.send?.(message, undefined, {}, () => resolve()));
  if (process.connected) process.disconnect();
}

process.on('error', () => {});
if (process.argv[2] === 'direct') startAhead();
const control = import('./control.js');
process.once('message', (request) => void main(request as MountRequest));
