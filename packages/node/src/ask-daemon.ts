/**
 * Getting a daemon to mount. One that already serves mounts of the same kind of process is asked; if there is none, or it does
 * not answer, or cannot have this mount, another is started. Of several who find none at the same moment, one starts it. Whichever
 * it is, it is approached before anybody knows what to mount, so that it starts (or the connection is made) meanwhile. Without
 * koffi, which takes longer to load.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { type Socket, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { daemonFile, hasSockets, socketKey, socketsOf } from './daemon-socket.js';
import { MessageChannel } from './message-channel.js';
import { ExitCode, MountError } from './mount-error.js';
import type { DaemonCommand, DaemonReport } from './mount-host.js';
import type { MountRequest } from './mount-request.js';
import type { MountRecord } from './registry.js';
import { type StartLock, releaseStartLock, takeStartLock } from './start-lock.js';

/** How long a daemon may take to say anything: many may ask at the same moment, while the machine is busy. */
const ANSWER_MS = 3000;
/** For how long it may say nothing at all when it has promised the mount. */
const SILENCE_MS = 10_000;
/** For how long another process may be about to start one, and how often to look. */
const STARTING_MS = 5000;
const LOOK_MS = 5;
/** How long a mount that failed waits for its daemon to leave, which others may have joined. */
const LEAVE_MS = 1000;

type Channel = MessageChannel<DaemonReport, DaemonCommand>;
/** Whether a mount may share its daemon with others. */
export type Company = 'shared' | 'own';

/** The way to a daemon that is there, or to a new one, which starts while its answer is awaited. */
export class DaemonApproach {
  readonly #key: string | undefined;
  /** Daemons that could be asked. */
  #sockets: string[];
  #first: Socket | undefined;
  #started: StartedDaemon | undefined;
  /** With it, it is here that one is started. */
  #lock: StartLock | undefined;

  constructor() {
    const isLinux = process.platform === 'linux';
    // Where nobody listens, whoever he is for, the daemon starts while the key is found out.
    if (!isLinux || !hasSockets()) this.#started = new StartedDaemon();
    this.#key = isLinux ? socketKey() : undefined;
    this.#sockets = this.#started !== undefined || this.#key === undefined ? [] : socketsOf(this.#key);
    const [first] = this.#sockets;
    if (first !== undefined) {
      this.#first = connectTo(first);
      return;
    }
    this.#lock = this.#key === undefined ? undefined : takeStartLock(this.#key);
    if (this.#lock !== undefined || this.#key === undefined) this.#started ??= new StartedDaemon();
    else this.#dropStarted(); // somebody else was first
  }

  /** Resolves when the mount is live. Throws MountError; then nothing is mounted. */
  async mount(request: MountRequest, company: Company): Promise<MountRecord> {
    const key = company === 'shared' && request.transport === 'direct' ? this.#key : undefined;
    if (key === undefined) this.#release();
    const record = key === undefined ? undefined : await this.#join(request, key);
    if (record !== undefined) {
      this.leave();
      return record;
    }
    this.#first?.destroy();
    this.#started ??= new StartedDaemon();
    try {
      return await this.#started.mount(request, key, this.#lock);
    } finally {
      this.#release(); // the daemon has, unless it died
    }
  }

  /** There is nothing to mount after all, or somebody else does. */
  leave(): void {
    this.#release();
    this.#first?.destroy();
    this.#started?.dismiss();
  }

  /** Asks the daemons that there are, and that somebody else is starting. Undefined if a new one is to be started here. */
  async #join(request: MountRequest, key: string): Promise<MountRecord | undefined> {
    const asked = new Set<string>();
    if (this.#lock !== undefined) this.#sockets = socketsOf(key); // its last holder's daemon may have come before it was taken
    for (const deadline = Date.now() + STARTING_MS; ; this.#sockets = socketsOf(key)) {
      for (const path of this.#sockets.filter((each) => !asked.has(each))) {
        asked.add(path);
        const channel: Channel = new MessageChannel(this.#first ?? connectTo(path));
        this.#first = undefined;
        try {
          const answer = await ask(channel, request);
          if (answer === 'declined') return undefined; // for reasons that another daemon would have too
          if (answer !== 'silent') return answer;
        } finally {
          channel.close();
        }
      }
      if (this.#lock !== undefined || Date.now() > deadline) return undefined;
      this.#lock = takeStartLock(key); // and looks once more, for the same reason
      if (this.#lock === undefined) await sleep(LOOK_MS);
    }
  }

  #release(): void {
    if (this.#lock !== undefined) releaseStartLock(this.#lock);
    this.#lock = undefined;
  }

  #dropStarted(): void {
    this.#started?.kill();
    this.#started = undefined;
  }
}

function connectTo(path: string): Socket {
  const socket = connect(path);
  socket.on('error', () => {}); // shows as the end of the connection
  return socket;
}

async function ask(channel: Channel, request: MountRequest): Promise<MountRecord | 'declined' | 'silent'> {
  void channel.send({ kind: 'mount', request, key: undefined, lock: undefined });
  let answer = await channel.nextWithin(ANSWER_MS);
  while (answer?.kind === 'waiting') answer = await channel.nextWithin(ANSWER_MS);
  if (answer?.kind === 'declined') return 'declined';
  if (answer?.kind !== 'taken') return 'silent';
  await channel.send({ kind: 'go' });
  for (;;) {
    const report = await channel.nextWithin(SILENCE_MS);
    if (report === undefined)
      throw new MountError(ExitCode.failed, 'the daemon that serves other mounts of yours has died or hangs');
    const record = recordOf(report);
    if (record !== undefined) return record;
  }
}

/** Throws MountError if the mount failed. */
function recordOf(report: DaemonReport): MountRecord | undefined {
  if (report.kind === 'failed') throw new MountError(report.exitCode, report.message);
  return report.kind === 'live' ? report.record : undefined;
}

/** A daemon that has no mount yet. */
class StartedDaemon {
  readonly #child: ChildProcess;
  readonly #channel: Channel;
  readonly #exit: Promise<string>;

  constructor() {
    const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env; // read at every start, which it makes twice as long
    this.#child = spawn(process.execPath, [daemonFile()], {
      cwd: '/',
      detached: true,
      env,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    this.#channel = new MessageChannel(this.#child.stdio[3] as Socket);
    this.#exit = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(`cannot start the daemon: ${error.message}`));
      this.#child.once('exit', (code, signal) =>
        resolve(`the daemon ended before the mount was live (${signal ?? code})`),
      );
    });
  }

  async mount(request: MountRequest, key: string | undefined, lock: StartLock | undefined): Promise<MountRecord> {
    void this.#channel.send({ kind: 'mount', request, key, lock });
    const report = await this.#channel.next();
    try {
      if (report === undefined) throw new MountError(ExitCode.failed, await this.#exit);
      return recordOf(report) as MountRecord;
    } catch (error) {
      await Promise.race([this.#exit, sleep(LEAVE_MS)]); // nothing is left running, unless somebody else has joined
      throw error;
    } finally {
      this.dismiss();
    }
  }

  /** Before it was asked for anything. */
  kill(): void {
    this.#child.kill('SIGKILL');
    this.dismiss();
  }

  /** It leaves if it has no mount. */
  dismiss(): void {
    this.#channel.close();
    this.#child.unref();
  }
}
