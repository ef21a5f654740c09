/**
 * The main thread of whoever serves a mount: starts the serving thread, mounts, keeps the record and the watchdog, answers
 * signals, and cleans up at the end, whatever brought it. It never waits for the serving thread, nor looks at the mount.
 */
import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { bind } from './libc.js';
import { ExitCode, MountError } from './mount-error.js';
import type { MountRequest } from './mount-request.js';
import { mountAt, readMounts } from './mountinfo.js';
import { startTime } from './processes.js';
import { type MountRecord, register, unregister } from './registry.js';
import type { ServeCommand, ServeEvent, ServeRequest } from './serve.js';
import { close } from './syscalls.js';
import { type TemporaryUpper, makeTemporaryUpper, removeTemporaryUpper } from './temporary.js';
import { type Attachment, transportNamed } from './transport.js';
import { Watchdog } from './watchdog.js';

/** How long the users of a mount that was unmounted lazily by a signal may go on. */
const GRACE_MS = 1000;

/**
 * Inodes are many and live as long as the kernel wants: with V8's default of 48 the collector copies them over and over.
 * CPU time of 20,000 cold lookups, median of 6: 505 ms with the default, 400 with 96, 450 with 192; memory the same.
 */
const YOUNG_GENERATION_MB = 96;

export interface ServedMount {
  readonly record: MountRecord;
  /** Resolves when all is cleaned up: with the exit code to leave with, and whether the serving thread is still blocked. */
  readonly ended: Promise<Ending>;
  /** Unmounts, lazily if the mount is in use. */
  stop(): void;
}

export interface Ending {
  exitCode: ExitCode;
  /** Then only {@link exitNow} ends the process: Node would wait for the thread. */
  threadBlocked: boolean;
}

const exit = bind<(status: number) => void>('void _exit(int)');

/** Ends the process without waiting for threads that are blocked in a system call. */
export function exitNow(code: number): never {
  exit(code);
  throw new Error('unreachable');
}

/** Mounts, and resolves when the mount answers. Rejects with MountError, leaving nothing behind. */
export async function serveMount(request: MountRequest, log: 'stderr' | undefined): Promise<ServedMount> {
  const control = new Control(request, log);
  try {
    await control.start();
  } catch (error) {
    await control.abandon();
    throw error;
  }
  return control;
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

class Control implements ServedMount {
  record!: MountRecord;
  readonly ended: Promise<Ending>;
  readonly #request: MountRequest;
  readonly #log: 'stderr' | undefined;
  readonly #thread: Worker;
  readonly #events: EventQueue;
  readonly #temporary: TemporaryUpper | undefined;
  #attachment: Attachment | undefined;
  #watchdog: Watchdog | undefined;
  #recordFile: string | undefined;
  #stopping = false;
  #end!: (ending: Ending) => void;

  constructor(request: MountRequest, log: 'stderr' | undefined) {
    this.#request = request;
    this.#log = log;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    process.umask(0); // modes come from the mount's clients, whose umask the kernel has applied
    this.#temporary = request.tmp === undefined ? undefined : makeTemporaryUpper(request.tmp);
    const { layers } = request;
    const upper = this.#temporary ?? layers.upper;
    const workerData: ServeRequest = { layers: { ...layers, upper }, log };
    // In MiB, from the start: what a walk leaves behind stays, and a smaller one would copy it several times.
    setFlagsFromString('--min-semi-space-size=4');
    this.#thread = new Worker(new URL('./serve.js', import.meta.url), {
      workerData,
      execArgv: [], // not the process's own, which may be for its main script only (`-e`, `--input-type`)
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    this.#events = new EventQueue(this.#thread);
  }

  async start(): Promise<void> {
    const { attach, transport } = this.#request;
    const { userxattr } = await this.#events.next('opened');
    this.#attachment = transportNamed(transport).attach(attach);
    for (const signal of SIGNALS) process.on(signal, this.stop);
    const { fd, detachCommand } = this.#attachment;
    this.#tell({ kind: 'serve', fd });
    await this.#events.next('live');
    const mount = mountAt(readMounts(), attach.mountpoint);
    if (mount === undefined) throw new MountError(ExitCode.failed, `${attach.mountpoint} was unmounted at once`);
    this.#attachment.tune(mount.device);
    this.#watchdog = new Watchdog({ ...mount, detachCommand });
    this.record = this.#describe(mount.device, userxattr);
    try {
      this.#recordFile = register(this.record);
    } catch (error) {
      this.#complain(`the mount will not be listed: ${String(error)}`);
    }
    void this.#finish();
  }

  #describe(device: string, userxattr: boolean): MountRecord {
    const { layers, transport } = this.#request;
    const upper = this.#temporary ?? layers.upper;
    return {
      id: randomBytes(4).toString('hex'),
      pid: process.pid,
      pidStart: startTime('self') ?? 0,
      mountpoint: layers.mountpoint,
      device,
      lower: layers.lower,
      upper: upper?.upper,
      work: upper?.work,
      userxattr,
      since: new Date().toISOString(),
      transport,
    };
  }

  #tell(command: ServeCommand): void {
    this.#thread.postMessage(command);
  }

  #complain(line: string): void {
    if (this.#log === 'stderr') writeSync(2, `ovl: ${line}\n`);
  }

  /** Follows the mount to its end. */
  async #finish(): Promise<void> {
    let exitCode: ExitCode = ExitCode.ok;
    try {
      await this.#events.next('ended');
    } catch (error) {
      exitCode = ExitCode.failed; // the thread died: nobody would answer any more
      this.#complain((error as Error).message);
      this.#detach();
    }
    await this.#cleanUp();
    this.#end({ exitCode, threadBlocked: false });
  }

  /** Bound, as it also handles signals. */
  readonly stop = (): void => {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#detach();
    // While somebody still has the mount (a file open in it, a copy in another namespace) the thread goes on serving.
    setTimeout(() => {
      void this.#cleanUp().then(() => this.#end({ exitCode: ExitCode.ok, threadBlocked: true }));
    }, GRACE_MS).unref();
  };

  #detach(): void {
    for (const how of ['now', 'lazy'] as const) {
      try {
        this.#attachment?.detach(how);
        return;
      } catch (error) {
        if (how === 'lazy') this.#complain((error as Error).message); // it was gone already, or moved away
      }
    }
  }

  /** Undoes a start that failed. */
  async abandon(): Promise<void> {
    if (this.#attachment !== undefined) {
      this.#detach();
      await this.#events.next('ended').catch(() => undefined);
    } else this.#tell({ kind: 'close' });
    await this.#events.exit;
    await this.#cleanUp();
  }

  async #cleanUp(): Promise<void> {
    for (const signal of SIGNALS) process.off(signal, this.stop);
    if (this.#recordFile !== undefined) unregister(this.#recordFile);
    this.#recordFile = undefined;
    await this.#watchdog?.dismiss();
    if (this.#attachment !== undefined) close(this.#attachment.fd);
    this.#attachment = undefined;
    if (this.#temporary === undefined) return;
    try {
      removeTemporaryUpper(this.#temporary);
    } catch (error) {
      this.#complain(`cannot remove ${this.#temporary.directory}: ${(error as Error).message}`);
    }
  }
}

/** The thread's events in order. */
class EventQueue {
  readonly exit: Promise<void>;
  readonly #arrived: ServeEvent[] = [];
  #waiting: ((event: ServeEvent) => void) | undefined;

  constructor(thread: Worker) {
    const put = (event: ServeEvent): void => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (waiting === undefined) this.#arrived.push(event);
      else waiting(event);
    };
    thread.on('message', put);
    thread.on('error', (error) => put({ kind: 'failed', message: error.message, code: undefined }));
    this.exit = new Promise((resolve) => {
      thread.on('exit', () => {
        put({ kind: 'failed', message: 'the serving thread ended', code: undefined });
        resolve();
      });
    });
  }

  /** Waits for the event. Throws MountError if the thread failed instead. */
  async next<K extends ServeEvent['kind']>(kind: K): Promise<Extract<ServeEvent, { kind: K }>> {
    const event =
      this.#arrived.shift() ??
      (await new Promise<ServeEvent>((resolve) => {
        this.#waiting = resolve;
      }));
    if (event.kind === 'failed') throw new MountError(exitCodeFor(event.code), event.message);
    if (event.kind !== kind) throw new MountError(ExitCode.failed, `expected "${kind}", got "${event.kind}"`);
    return event as Extract<ServeEvent, { kind: K }>;
  }
}

/** What refuses to open is one of the directories. */
function exitCodeFor(code: string | undefined): ExitCode {
  switch (code) {
    case 'EBUSY':
      return ExitCode.busy;
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EXDEV':
    case 'EINVAL':
    case 'EACCES':
    case 'EOPNOTSUPP':
      return ExitCode.directory;
    default:
      return ExitCode.failed;
  }
}
