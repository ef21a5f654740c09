/** The direct transport: the device is opened and mounted from here, and a thread answers what comes from it. */
import type { Worker } from 'node:worker_threads';
import { isFsError } from '@ovl/core';
import { besideMemory, runBeside } from '../beside.js';
import type { ServeCommand, ThreadEvent, ThreadRequest } from '../serve.js';
import { O_CLOEXEC, O_PATH, close, open } from '../syscalls.js';
import type { AttachRequest, Attachment, MountServer, ServeEvent, ServeRequest, Transport } from '../transport.js';
import { openDevice } from './mount.js';
import { settleMount } from './settle-mount.js';
import { type RequestCount, RequestCounts } from './request-counts.js';
import { takeThread } from './start-thread.js';
import { type SyncTask, carryOutSync } from './sync-beside.js';

export const directTransport: Transport = {
  name: 'direct',
  start: (request, listener) => new ServingThread(request, listener),
};

class ServingThread implements MountServer {
  readonly exit: Promise<void>;
  readonly #thread: Worker;
  readonly #counts: RequestCounts = new RequestCounts();
  #mountpoint: string | undefined;
  /** Descriptor of the mount, while copies are under way that are not in the upper yet. */
  #held = -1;
  #device = -1;
  #released = false;
  /** Under way. */
  #syncs = 0;

  constructor(request: ServeRequest, listener: (event: ServeEvent) => void) {
    const beside = besideMemory();
    const toServe: ThreadRequest = { ...request, counts: this.#counts.memory, beside };
    this.#thread = takeThread();
    this.#thread.postMessage(toServe);
    const failed = (message: string): void => listener({ kind: 'failed', message, code: undefined });
    this.#thread.on('message', (event: ThreadEvent) => {
      if (event.kind === 'beside') runBeside(beside, event.task, (how) => this.#hold(how));
      else if (event.kind === 'sync') this.#sync(event.task);
      else listener(event);
    });
    this.#thread.on('error', (error) => failed(error.message));
    this.exit = new Promise((resolve) => {
      this.#thread.on('exit', () => {
        this.#hold('let-go');
        failed('the serving thread ended');
        resolve();
      });
    });
  }

  attach(request: AttachRequest): Attachment {
    const { fd, ...mounted } = openDevice(request);
    this.#mountpoint = request.mountpoint;
    this.#device = fd;
    this.#tell({ kind: 'serve', fd });
    return {
      ...mounted,
      settle: () => (this.#held < 0 ? undefined : settleMount(request.mountpoint)),
      release: () => this.#release(),
    };
  }

  /** While it is held, unmounting it says that it is in use: whoever reads the upper after an unmount finds it complete. */
  #hold(how: 'hold' | 'let-go'): void {
    if (this.#held >= 0) close(this.#held);
    this.#held = -1;
    if (how === 'let-go' || this.#mountpoint === undefined) return;
    try {
      this.#held = open(this.#mountpoint, O_PATH | O_CLOEXEC); // which asks nothing of the mount
    } catch (error) {
      if (!isFsError(error)) throw error; // moved away: then it is unmounted by another name
    }
  }

  #sync(task: SyncTask): void {
    this.#syncs++;
    carryOutSync(this.#device, task, () => {
      this.#syncs--;
      if (this.#released) this.#release();
    });
  }

  /** Not while an answer is to come: the descriptor's number would be somebody else's by then. */
  #release(): void {
    this.#released = true;
    if (this.#syncs === 0 && this.#device >= 0) {
      close(this.#device);
      this.#device = -1;
    }
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
