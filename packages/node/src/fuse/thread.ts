/** The direct transport: the device is opened and mounted from here, and a thread answers what comes from it. */
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import type { ServeCommand, ThreadRequest } from '../serve.js';
import { close } from '../syscalls.js';
import type { AttachRequest, Attachment, MountServer, ServeEvent, ServeRequest, Transport } from '../transport.js';
import { openDevice } from './mount.js';
import { type RequestCount, RequestCounts } from './request-counts.js';

/**
 * Inodes are many and live as long as the kernel wants: with V8's default of 48 the collector copies them over and over.
 * CPU time of 20,000 cold lookups, median of 6: 505 ms with the default, 400 with 96, 450 with 192; memory the same.
 */
const YOUNG_GENERATION_MB = 96;

export const directTransport: Transport = {
  name: 'direct',
  start: (request, listener) => new ServingThread(request, listener),
};

class ServingThread implements MountServer {
  readonly exit: Promise<void>;
  readonly #thread: Worker;
  readonly #counts: RequestCounts = new RequestCounts();

  constructor(request: ServeRequest, listener: (event: ServeEvent) => void) {
    // In MiB, from the start: what a walk leaves behind stays, and a smaller one would copy it several times.
    setFlagsFromString('--min-semi-space-size=4');
    const workerData: ThreadRequest = { ...request, counts: this.#counts.memory };
    this.#thread = new Worker(new URL('./serve.js', import.meta.url), {
      workerData,
      execArgv: [], // not the process's own, which may be for its main script only (`-e`, `--input-type`)
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
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
