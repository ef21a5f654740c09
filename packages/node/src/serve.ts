/**
 * The serving thread: opens the layers, waits for the mount's device, then answers requests until the unmount. Its loop
 * blocks, so after "serve" it hears nothing more from the main thread; it can still post messages.
 */
import { writeSync } from 'node:fs';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { FsError } from '@ovl/core';
import { LazyCopyUps } from '@ovl/core/lazy';
import { Beside, type BesideTask } from './beside.js';
import { RequestCounts } from './fuse/request-counts.js';
import { Server } from './fuse/server.js';
import { serve } from './fuse/session.js';
import { type SyncTask, SyncsBeside } from './fuse/sync-beside.js';
import { openLayers, serverOptions } from './open-layers.js';
import type { ServeEvent, ServeRequest } from './transport.js';

/** From the main thread, after the request. */
export type ServeCommand = { kind: 'serve'; fd: number } | { kind: 'close' };

export interface ThreadRequest extends ServeRequest {
  /** Of {@link RequestCounts}. */
  counts: SharedArrayBuffer;
  /** Of {@link Beside}. */
  beside: SharedArrayBuffer;
}

/** What the thread tells the main one: the server's events, and what is to be done beside it. */
export type ThreadEvent = ServeEvent | { kind: 'beside'; task: BesideTask } | { kind: 'sync'; task: SyncTask };

function main(port: MessagePort, { layers, log, stats, counts, beside }: ThreadRequest): void {
  const post = (event: ThreadEvent): void => port.postMessage(event);
  const failed = (what: string, error: unknown): void => {
    const message = `${what}: ${error instanceof Error ? error.message : String(error)}`;
    post({ kind: 'failed', message, code: error instanceof FsError ? error.code : undefined });
    port.close();
  };
  try {
    const options = serverOptions(layers);
    // Straight to the descriptor: the thread's own console needs the event loop, which the serving loop never enters.
    const write = log === 'stderr' ? (line: string): void => void writeSync(2, `ovl: ${line}\n`) : undefined;
    if (write !== undefined) options.log = write;
    else Error.stackTraceLimit = 0; // nobody reads the stacks, and each takes longer than a request
    const attributes = layers.lazyCopyUp === 'all' ? 'later' : 'now';
    const lazy = new LazyCopyUps({ unsettled: 'suspend', attributes, ...(write !== undefined && { log: write }) });
    const aside = new Beside(beside, (task) => post({ kind: 'beside', task }));
    const { overlay, userxattr, begin } = openLayers(layers, { lazy, beside: aside });
    const server = new Server(overlay, options, { lazy, beside: aside });
    server.syncs = new SyncsBeside((task) => post({ kind: 'sync', task }));
    port.once('message', (command: ServeCommand) => {
      try {
        if (command.kind === 'serve') {
          begin();
          const statistics = { counts: new RequestCounts(counts), timed: stats };
          serve(command.fd, server, { live: () => post({ kind: 'live' }) }, statistics);
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

const port = parentPort;
port?.once('message', (request: ThreadRequest) => main(port, request));
