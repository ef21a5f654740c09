/** The direct transport: the device is opened and mounted from here, and a thread answers what comes from it. */
import type { Worker } from 'node:worker_threads';
import type { ServeCommand, ThreadRequest } from '../serve.js';
import { close } from '../syscalls.js';
import type { AttachRequest, Attachment, MountServer, ServeEvent, ServeRequest, Transport } from '../transport.js';
import { openDevice } from './mount.js';
import { type RequestCount, RequestCounts } from './request-counts.js';
import { takeThread } from './start-thread.js';

export const directTransport: Transport = {
  name: 'direct',
  start: (request, listener) => new ServingThread(request, listener),
};

class ServingThread implements MountServer {
  readonly exit: Promise<void>;
  readonly #thread: Worker;
  readonly #counts: RequestCounts = new RequestCounts();

  constructor(request: ServeRequest, listener: (event: ServeEvent) => void) {
    const toServe: ThreadRequest = { ...request, counts: this.#counts.memory };
    this.#thread = takeThread();
    this.#thread.postMessage(toServe);
    const failed = (message: string): void => listener({ kind: 'failed', message, code: undefined });
    this.#thread.on('message', listener);
    this.#thread.on('error', (error) => failed(error.message));
    this.exit = new Promise((resolve) => {
      this.#thread.on('exit', () => {
        failed('the serving thread ended');
        resolve();
      });
    });
  }

  attach(request: AttachRequest): Attachment {
    const { fd, ...mounted } = openDevice(request);
    this.#tell({ kind: 'serve', fd });
    return { ...mounted, release: () => close(fd) };
  }

  counts(): RequestCount[] {
    return this.#counts.list();
  }

  dismiss(): void {
    this.#tell({ kind: 'close' });
  }

  kill(): boolean {
    return false; // it is blocked in a read, which no other thread can end
  }

  #tell(command: ServeCommand): void {
    this.#thread.postMessage(command);
  }
}
