/**
 * The serving thread: opens the layers, waits for the mount's device, then answers requests until the unmount. Its loop
 * blocks, so after "serve" it hears nothing more from the main thread; it can still post messages.
 */
import { writeSync } from 'node:fs';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { FsError, Overlay, runSync } from '@ovl/core';
import { CoveredLayer } from './covered-layer.js';
import { Server, type ServerOptions } from './fuse/server.js';
import { serve } from './fuse/session.js';
import { hostLayer } from './host-layer.js';
import { type HostUpperLayer, hostUpper } from './host-upper.js';
import type { LayerRequest } from './mount-request.js';

export interface ServeRequest {
  layers: LayerRequest;
  log: 'stderr' | undefined;
}

/** From the main thread. */
export type ServeCommand = { kind: 'serve'; fd: number } | { kind: 'close' };

/** To the main thread, in this order; "failed" may come in place of any. */
export type ServeEvent =
  /** `userxattr`: where overlay attributes are kept. */
  | { kind: 'opened'; userxattr: boolean }
  | { kind: 'live' }
  | { kind: 'ended' }
  | { kind: 'failed'; message: string; code: string | undefined };

interface OpenedOverlay {
  overlay: Overlay<'sync'>;
  upper: HostUpperLayer | undefined;
  userxattr: boolean;
}

function openOverlay(request: LayerRequest): OpenedOverlay {
  const { lower, covered, mountpoint, upper, userxattr, redirectDir, fsync } = request;
  const layers = lower.map((path, index) =>
    covered.includes(index) ? new CoveredLayer(path, mountpoint) : hostLayer(path),
  );
  const options: Parameters<typeof Overlay.open<'sync'>>[0] = { lower: layers };
  const opened = upper === undefined ? undefined : hostUpper(userxattr === undefined ? upper : { ...upper, userxattr });
  if (opened !== undefined) options.upper = opened;
  if (userxattr === true) options.xattrPrefix = 'user.overlay.';
  if (redirectDir !== undefined) options.redirectDir = redirectDir;
  if (fsync !== undefined) options.fsync = fsync;
  const prefix = options.upper?.xattrPrefix ?? options.xattrPrefix;
  return { overlay: runSync(Overlay.open(options)), upper: opened, userxattr: prefix === 'user.overlay.' };
}

function serverOptions({ fsync, timeout, staticNlink, acl, xattrs, owner }: LayerRequest): ServerOptions {
  const options: ServerOptions = { volatile: fsync === 'volatile', staticNlink };
  if (timeout !== undefined) options.timeout = timeout;
  if (acl !== undefined) options.acl = acl;
  if (xattrs !== undefined) options.xattrs = xattrs;
  if (owner !== undefined) options.owner = owner;
  return options;
}

function main(port: MessagePort, { layers, log }: ServeRequest): void {
  const post = (event: ServeEvent): void => port.postMessage(event);
  const failed = (what: string, error: unknown): void => {
    const message = `${what}: ${error instanceof Error ? error.message : String(error)}`;
    post({ kind: 'failed', message, code: error instanceof FsError ? error.code : undefined });
    port.close();
  };
  try {
    const { overlay, upper, userxattr } = openOverlay(layers);
    const options = serverOptions(layers);
    // Straight to the descriptor: the thread's own console needs the event loop, which the serving loop never enters.
    if (log === 'stderr') options.log = (line) => void writeSync(2, `ovl: ${line}\n`);
    const server = new Server(overlay, options);
    port.once('message', (command: ServeCommand) => {
      try {
        if (command.kind === 'serve') {
          if (layers.fsync === 'volatile' && !layers.vanishes) upper?.markVolatile();
          serve(command.fd, server, { live: () => post({ kind: 'live' }) });
        }
        server.close();
        post({ kind: 'ended' });
        port.close();
      } catch (error) {
        failed('the serving thread failed', error);
      }
    });
    post({ kind: 'opened', userxattr });
  } catch (error) {
    failed('cannot open the layers', error);
  }
}

if (parentPort !== null) main(parentPort, workerData as ServeRequest);
