/**
 * The main thread of whoever serves a mount: starts what serves, mounts, keeps the record and the watchdog, answers
 * signals, and cleans up at the end, whatever brought it. It never waits for the server, nor looks at the mount.
 */
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExitCode, MountError } from './mount-error.js';
import type { MountRequest } from './mount-request.js';
import { mountAt, readMounts } from './mountinfo.js';
import { startTime } from './processes.js';
import { randomBytes } from './random.js';
import { type MountRecord, readRecords, register, unregister, writeCounts } from './registry.js';
import { type TemporaryUpper, makeTemporaryUpper, removeTemporaryUpper } from './temporary.js';
import type { ServingThread } from './fuse/thread.js';
import { type Attachment, type MountServer, type ServeEvent, transportNamed } from './transport.js';
import { Watchdog } from './watchdog.js';

/** How long the users of a mount that was unmounted lazily by a signal may go on. */
const GRACE_MS = 1000;
/** How long a signal lets copies under way go on that the upper does not have yet. */
const SETTLE_MS = 60_000;

export interface ServedMount {
  readonly record: MountRecord;
  /** Resolves when all is cleaned up: with the exit code to leave with, and whether the serving thread is still blocked. */
  readonly ended: Promise<Ending>;
  /** Unmounts, lazily if the mount is in use; its users may then go on to the end. */
  withdraw(): void;
}

export interface Ending {
  exitCode: ExitCode;
  /** Then only {@link exitNow} ends the process: Node would wait for the thread. */
  threadBlocked: boolean;
}

/**
 * Mounts, and resolves when the mount answers. Rejects with MountError, leaving nothing behind. It is served by `thread`,
 * or by a server of its own.
 */
export async function serveMount(
  request: MountRequest,
  log: 'stderr' | undefined,
  thread?: ServingThread,
): Promise<ServedMount> {
  const control = new Control(request, log, thread);
  try {
    await control.start();
  } catch (error) {
    await control.abandon();
    throw error;
  }
  return control;
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Those that signals are for: all mounts of this process. */
const attached = new Set<Control>();

const stopAll = (): void => {
  for (const control of attached) control.stop();
};

/** Somebody wants to know what the mounts have been asked. */
const countAll = (): void => {
  for (const control of attached) control.count();
};

function followSignals(control: Control): void {
  if (attached.size === 0) {
    for (const signal of SIGNALS) process.on(signal, stopAll);
    process.on('SIGUSR2', countAll);
  }
  attached.add(control);
}

function ignoreSignals(control: Control): void {
  if (!attached.delete(control) || attached.size > 0) return;
  for (const signal of SIGNALS) process.off(signal, stopAll);
  process.off('SIGUSR2', countAll);
}

class Control implements ServedMount {
  record!: MountRecord;
  readonly ended: Promise<Ending>;
  readonly #request: MountRequest;
  readonly #log: 'stderr' | undefined;
  readonly #thread: ServingThread | undefined;
  readonly #events: EventQueue = new EventQueue();
  readonly #temporary: TemporaryUpper | undefined;
  #server: MountServer | undefined;
  #attachment: Attachment | undefined;
  #watchdog: Watchdog | undefined;
  #recordFile: string | undefined;
  #stopping = false;
  #finishing = false;
  #end!: (ending: Ending) => void;

  constructor(request: MountRequest, log: 'stderr' | undefined, thread: ServingThread | undefined) {
    this.#thread = thread;
    this.#request = request;
    this.#log = log;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    process.umask(0); // modes come from the mount's clients, whose umask the kernel has applied
    if (request.tmp === undefined) return;
    readRecords(); // and so clears away what a killed daemon left of its own
    this.#temporary = makeTemporaryUpper(request.tmp);
  }

  async start(): Promise<void> {
    const { attach, layers, transport } = this.#request;
    const upper = this.#temporary ?? layers.upper;
    const toServe = { layers: { ...layers, upper }, log: this.#log, stats: this.#request.stats };
    this.#server = (this.#thread ?? transportNamed(transport)).start(toServe, (event) => this.#events.put(event));
    const { userxattr } = await this.#events.next('opened');
    this.#attachment = this.#server.attach(attach);
    followSignals(this);
    const { detachCommand } = this.#attachment;
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
    const record: MountRecord = {
      id: randomBytes(4).toString('hex'),
      pid: process.pid,
      pidStart: startTime('self') ?? 0,
      mountpoint: layers.mountpoint,
      device,
      lower: layers.lower.slice(0, layers.lower.length - layers.dataOnly),
      dataOnly: layers.lower.slice(layers.lower.length - layers.dataOnly),
      upper: upper?.upper,
      work: upper?.work,
      userxattr,
      since: new Date().toISOString(),
      transport,
      counts: this.#server?.counts !== undefined,
    };
    if (this.#temporary !== undefined) record.temporary = this.#temporary.directory;
    return record;
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
      exitCode = ExitCode.failed; // the server died: nobody would answer any more
      this.#complain((error as Error).message);
      this.#detach();
    }
    this.#stopping = this.#finishing = true;
    await this.#cleanUp();
    this.#attachment?.release();
    this.#end({ exitCode, threadBlocked: false });
  }

  withdraw(): void {
    this.#detach();
  }

  /** Unmounts, and lets users of the mount go on only for a while. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    const settled = this.#attachment?.settle?.();
    if (settled === undefined) this.#leave();
    else void Promise.race([settled, sleep(SETTLE_MS, undefined, { ref: false })]).then(() => this.#leave());
  }

  #leave(): void {
    this.#detach();
    // While somebody still has the mount (a file open in it, a copy in another namespace) the server goes on.
    setTimeout(() => {
      if (this.#finishing) return;
      const threadBlocked = this.#server?.kill() !== true;
      // The device stays open: the thread still reads from it.
      void this.#cleanUp().then(() => this.#end({ exitCode: ExitCode.ok, threadBlocked }));
    }, GRACE_MS).unref();
  }

  /** Writes down what the mount has been asked. */
  count(): void {
    const counts = this.#server?.counts?.();
    if (counts !== undefined && this.#recordFile !== undefined) writeCounts(this.#recordFile, counts);
  }

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
    if (this.#attachment !== undefined) this.#detach();
    else this.#server?.dismiss();
    await this.#server?.exit;
    await this.#cleanUp();
    this.#attachment?.release();
  }

  async #cleanUp(): Promise<void> {
    await this.#watchdog?.dismiss();
    try {
      if (this.#temporary !== undefined) removeTemporaryUpper(this.#temporary);
    } catch (error) {
      this.#complain(`cannot remove ${this.#temporary?.directory}: ${(error as Error).message}`);
      this.#recordFile = undefined; // the record stays, and lets a later command try again
    }
    // Last: until here it is by the record that somebody could go on with the removal, or ask for counts.
    if (this.#recordFile !== undefined) unregister(this.#recordFile);
    this.#recordFile = undefined;
    ignoreSignals(this);
  }
}

/** The server's events in order. */
class EventQueue {
  readonly #arrived: ServeEvent[] = [];
  #waiting: ((event: ServeEvent) => void) | undefined;

  put(event: ServeEvent): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#arrived.push(event);
    else waiting(event);
  }

  /** Waits for the event. Throws MountError if the server failed instead. */
  async next<K extends ServeEvent['kind']>(kind: K): Promise<Extract<ServeEvent, { kind: K }>> {
    const event =
      this.#arrived.shift() ??
      (await new Promise<ServeEvent>((resolve) => {
        this.#waiting = resolve;
      }));
    if (event.kind === 'failed') {
      throw new MountError(event.exitCode ?? exitCodeFor(event.code), event.message);
    }
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
