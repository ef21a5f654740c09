/**
 * The direct transport: the device is opened and mounted from here, and a thread answers what comes from it. One thread
 * can serve several mounts, and does so in a daemon (mount-host.ts).
 */
import { writeSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { isFsError } from '@ovl/core';
import { type Hold, besideMemory, runBeside } from '../beside.js';
import { mountIdOf, readMounts } from '../mountinfo.js';
import type { ThreadCommand, ThreadEvent } from '../serve.js';
import { O_CLOEXEC, O_PATH, close, open, socketpair } from '../syscalls.js';
import type { AttachRequest, Attachment, MountServer, ServeEvent, ServeRequest, Transport } from '../transport.js';
import { openDevice } from './mount.js';
import { settleMount } from './settle-mount.js';
import { type RequestCount, RequestCounts } from './request-counts.js';
import { takeThread } from './start-thread.js';
import { type SyncTask, carryOutSync } from './sync-beside.js';

type Listener = (event: Exclude<ThreadEvent, { kind: 'idle' }>) => void;

export const directTransport: Transport = {
  name: 'direct',
  start(request, listener) {
    const thread = new ServingThread();
    const server = thread.start(request, listener);
    void server.exit.then(() => thread.leave());
    return server;
  },
};

export class ServingThread {
  readonly #worker: Worker;
  /** What is written to the first wakes the thread, which waits at the second. */
  readonly #bell: [ours: number, theirs: number] = socketpair();
  readonly #listeners = new Map<number, Listener>();
  readonly #pings: (() => void)[] = [];
  #mounts = 0;

  constructor() {
    this.#worker = takeThread();
    this.#worker.on('message', (event: ThreadEvent) => {
      if (event.kind === 'idle') this.#pings.shift()?.();
      else this.#listeners.get(event.id)?.(event);
    });
    this.#worker.on('error', (error) => this.#failed(error.message));
    this.#worker.on('exit', () => {
      this.#failed('the serving thread ended');
      for (const fd of this.#bell) close(fd);
    });
    this.tell({ kind: 'bell', fd: this.#bell[1] });
  }

  #failed(message: string): void {
    for (const [id, listener] of this.#listeners) {
      listener({ kind: 'mount', id, event: { kind: 'failed', message, code: undefined } });
    }
  }

  /** Has it open the layers of a mount. */
  start(request: ServeRequest, listener: (event: ServeEvent) => void): MountServer {
    const id = this.#mounts++;
    const counts = new RequestCounts();
    const server = new ThreadServer(this, id, counts);
    const beside = besideMemory();
    this.#listeners.set(id, (told) => {
      if (told.kind === 'beside') return runBeside(beside, told.task, (how) => server.hold(how));
      if (told.kind === 'sync') return server.sync(told.task);
      const { event } = told;
      if (event.kind === 'ended' || event.kind === 'failed') {
        this.#listeners.delete(id);
        server.hold('let-go');
        server.left();
      }
      listener(event);
    });
    this.tell({ kind: 'open', id, request, memory: { counts: counts.memory, beside } });
    return server;
  }

  /** Whether it answers at once, and not only after a long operation of one of its mounts. */
  async isIdle(withinMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), withinMs);
    });
    const answer = new Promise<true>((resolve) => {
      this.#pings.push(() => resolve(true));
    });
    this.tell({ kind: 'ping' });
    const isIdle = await Promise.race([answer, late]);
    clearTimeout(timer);
    return isIdle;
  }

  /** Lets a thread go that serves nothing. */
  leave(): void {
    this.tell({ kind: 'leave' });
  }

  tell(command: ThreadCommand): void {
    this.#worker.postMessage(command);
    writeSync(this.#bell[0], '!');
  }
}

class ThreadServer implements MountServer {
  readonly exit: Promise<void>;
  left!: () => void;
  readonly #thread: ServingThread;
  readonly #id: number;
  readonly #counts: RequestCounts;
  #mountpoint: string | undefined;
  /** Descriptor of the mount, while copies are under way that are not in the upper yet. */
  #held = -1;
  #device = -1;
  #released = false;
  /** Under way. */
  #syncs = 0;

  constructor(thread: ServingThread, id: number, counts: RequestCounts) {
    this.#thread = thread;
    this.#id = id;
    this.#counts = counts;
    this.exit = new Promise((resolve) => {
      this.left = resolve;
    });
  }

  attach(request: AttachRequest): Attachment {
    const { fd, ...mounted } = openDevice(request);
    this.#mountpoint = request.mountpoint;
    this.#device = fd;
    this.#thread.tell({ kind: 'serve', id: this.#id, fd });
    return {
      ...mounted,
      settle: () => (this.#held < 0 ? undefined : settleMount(request.mountpoint)),
      release: () => this.#release(),
    };
  }

  /** While it is held, unmounting it says that it is in use: whoever reads the upper after an unmount finds it complete. */
  hold(how: Hold): void {
    if (how === 'give-up' && (this.#held < 0 || isInTable(this.#held))) return;
    if (this.#held >= 0) close(this.#held);
    this.#held = -1;
    if (how !== 'hold' || this.#mountpoint === undefined) return;
    try {
      this.#held = open(this.#mountpoint, O_PATH | O_CLOEXEC); // which asks nothing of the mount
    } catch (error) {
      if (!isFsError(error)) throw error; // moved away: then it is unmounted by another name
    }
  }

  sync(task: SyncTask): void {
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
    this.#thread.tell({ kind: 'close', id: this.#id });
  }

  kill(): boolean {
    return false; // only the end of the unmounted file system's last user ends it
  }
}

/** Whether the mount that a descriptor lies on is still in the mount table. Asks nothing of the mount. */
function isInTable(fd: number): boolean {
  const id = mountIdOf(fd);
  return readMounts().some((mount) => mount.id === id);
}
