/**
 * The serving thread: opens the layers of mounts, then answers their requests until they are unmounted. While it serves, its
 * event loop stands still: commands of the main thread are announced by a byte on a socket, and taken from the port by hand.
 */
import { writeSync } from 'node:fs';
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { FsError } from '@ovl/core';
import { LazyCopyUps } from '@ovl/core/lazy';
import { Beside, type BesideTask } from './beside.js';
import { RequestCounts } from './fuse/request-counts.js';
import { Server } from './fuse/server.js';
import { ServingLoop } from './fuse/serving-loop.js';
import { type SyncTask, SyncsBeside } from './fuse/sync-beside.js';
import { openLayers, serverOptions } from './open-layers.js';
import type { ServeEvent, ServeRequest } from './transport.js';

export interface SharedMemory {
  /** Of {@link RequestCounts}. */
  counts: SharedArrayBuffer;
  /** Of {@link Beside}. */
  beside: SharedArrayBuffer;
}

/** From the main thread. "bell" is the first, "open" the first of each mount, which has the `id` from then on. */
export type ThreadCommand =
  | { kind: 'bell'; fd: number }
  | { kind: 'open'; id: number; request: ServeRequest; memory: SharedMemory }
  | { kind: 'serve'; id: number; fd: number }
  | { kind: 'close'; id: number }
  | { kind: 'ping' }
  | { kind: 'leave' };

/** To the main thread. "idle" answers a ping; "beside" and "sync" are to be done there. */
export type ThreadEvent =
  | { kind: 'idle' }
  | { kind: 'mount'; id: number; event: ServeEvent }
  | { kind: 'beside'; id: number; task: BesideTask }
  | { kind: 'sync'; id: number; task: SyncTask };

/** A mount whose layers are open. */
interface OpenedMount {
  server: Server;
  begin(): void;
  counts: RequestCounts;
  timed: boolean;
}

class MountsOfThread {
  readonly #port: MessagePort;
  readonly #opened = new Map<number, OpenedMount>();
  #loop: ServingLoop | undefined;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (command: ThreadCommand) => {
      this.#handle(command);
      this.#loop?.run();
    });
  }

  #handle(command: ThreadCommand): void {
    switch (command.kind) {
      case 'bell':
        this.#loop = new ServingLoop(command.fd, () => this.#handleAnnounced());
        return;
      case 'open':
        return this.#open(command.id, command.request, command.memory);
      case 'serve':
        return this.#serve(command.id, command.fd);
      case 'close':
        return this.#end(command.id, undefined);
      case 'ping':
        return this.#port.postMessage({ kind: 'idle' } satisfies ThreadEvent);
      case 'leave':
        this.#port.close();
    }
  }

  #handleAnnounced(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: ThreadCommand } | undefined;
      if (received === undefined) return;
      this.#handle(received.message);
    }
  }

  #open(id: number, { layers, log, stats }: ServeRequest, memory: SharedMemory): void {
    try {
      const options = serverOptions(layers);
      // Straight to the descriptor: the thread's own console needs the event loop, which the serving loop never enters.
      const write = log === 'stderr' ? (line: string): void => void writeSync(2, `ovl: ${line}\n`) : undefined;
      if (write !== undefined) options.log = write;
      else Error.stackTraceLimit = 0; // nobody reads the stacks, and each takes longer than a request
      const attributes = layers.lazyCopyUp === 'all' ? 'later' : 'now';
      const lazy = new LazyCopyUps({ unsettled: 'suspend', attributes, ...(write !== undefined && { log: write }) });
      const beside = new Beside(memory.beside, (task) =>
        this.#port.postMessage({ kind: 'beside', id, task } satisfies ThreadEvent),
      );
      const { overlay, userxattr, begin, ahead, leftovers } = openLayers(layers, { lazy, beside });
      const server = new Server(overlay, options, { lazy, beside, ahead, leftovers });
      server.syncs = new SyncsBeside((task) =>
        this.#port.postMessage({ kind: 'sync', id, task } satisfies ThreadEvent),
      );
      this.#opened.set(id, { server, begin, counts: new RequestCounts(memory.counts), timed: stats });
      this.#post(id, { kind: 'opened', userxattr });
    } catch (error) {
      this.#post(id, failure('cannot open the layers', error));
    }
  }

  #serve(id: number, fd: number): void {
    const { server, begin, counts, timed } = this.#opened.get(id) as OpenedMount;
    try {
      begin();
      this.#loop?.add({
        fd,
        server,
        statistics: { counts, timed },
        live: () => this.#post(id, { kind: 'live' }),
        ended: (error) => this.#end(id, error),
      });
    } catch (error) {
      this.#end(id, error);
    }
  }

  #end(id: number, error: unknown): void {
    let reason = error;
    try {
      this.#opened.get(id)?.server.close();
    } catch (closing) {
      reason ??= closing;
    }
    this.#opened.delete(id);
    this.#post(id, reason === undefined ? { kind: 'ended' } : failure('the serving thread failed', reason));
  }

  #post(id: number, event: ServeEvent): void {
    this.#port.postMessage({ kind: 'mount', id, event } satisfies ThreadEvent);
  }
}

function failure(what: string, error: unknown): ServeEvent {
  const message = `${what}: ${error instanceof Error ? error.message : String(error)}`;
  return { kind: 'failed', message, code: error instanceof FsError ? error.code : undefined };
}

if (parentPort !== null) new MountsOfThread(parentPort);
