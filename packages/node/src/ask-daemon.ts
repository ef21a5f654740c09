/**
 * Getting a daemon to mount. One that already serves mounts of the same kind of process is asked; if there is none, or it does
 * not answer, or cannot have this mount, another is started. Whichever it is, it is approached before anybody knows
 * what to mount, so that it starts (or the connection is made) meanwhile. Without koffi, which takes longer to load.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { type Socket, connect } from 'node:net';
import { daemonFile, hasSockets, socketKey, socketsOf } from './daemon-socket.js';
import { MessageChannel } from './message-channel.js';
import { ExitCode, MountError } from './mount-error.js';
import type { DaemonCommand, DaemonReport } from './mount-host.js';
import type { MountRequest } from './mount-request.js';
import type { MountRecord } from './registry.js';

/** How long a daemon may take to say whether it can have the mount. */
const ANSWER_MS = 1000;
/** For how long it may say nothing at all when it has promised the mount. */
const SILENCE_MS = 10_000;

type Channel = MessageChannel<DaemonReport, DaemonCommand>;
/** Whether a mount may share its daemon with others. */
export type Company = 'shared' | 'own';

export class DaemonApproach {
  readonly #key: string | undefined;
  /** Daemons that could be asked. */
  readonly #sockets: string[];
  #first: Socket | undefined;
  #started: StartedDaemon | undefined;

  constructor() {
    const isLinux = process.platform === 'linux';
    // Where nobody listens, whoever he is for, the daemon starts while the key is found out.
    if (!isLinux || !hasSockets()) this.#started = new StartedDaemon();
    this.#key = isLinux ? socketKey() : undefined;
    this.#sockets = this.#started !== undefined || this.#key === undefined ? [] : socketsOf(this.#key);
    const [first] = this.#sockets;
    if (first !== undefined) this.#first = connectTo(first);
    else this.#started ??= new StartedDaemon();
  }

  /** Resolves when the mount is live. Throws MountError; then nothing is mounted. */
  async mount(request: MountRequest, company: Company): Promise<MountRecord> {
    const mayShare = company === 'shared' && request.transport === 'direct';
    if (mayShare) {
      for (const path of this.#sockets) {
        const channel: Channel = new MessageChannel(this.#first ?? connectTo(path));
        this.#first = undefined;
        try {
          const answer = await ask(channel, request);
          if (answer === 'declined') break; // for reasons that another daemon would have too
          if (answer !== 'silent') return answer;
        } finally {
          channel.close();
        }
      }
    }
    this.#first?.destroy();
    this.#started ??= new StartedDaemon();
    return await this.#started.mount(request, mayShare ? this.#key : undefined);
  }

  /** There is nothing to mount after all. */
  leave(): void {
    this.#first?.destroy();
    this.#started?.dismiss();
  }
}

function connectTo(path: string): Socket {
  const socket = connect(path);
  socket.on('error', () => {}); // shows as the end of the connection
  return socket;
}

async function ask(channel: Channel, request: MountRequest): Promise<MountRecord | 'declined' | 'silent'> {
  void channel.send({ kind: 'mount', request, key: undefined });
  const answer = await channel.nextWithin(ANSWER_MS);
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

  async mount(request: MountRequest, key: string | undefined): Promise<MountRecord> {
    void this.#channel.send({ kind: 'mount', request, key });
    const report = await this.#channel.next();
    try {
      if (report === undefined) throw new MountError(ExitCode.failed, await this.#exit);
      return recordOf(report) as MountRecord;
    } catch (error) {
      await this.#exit; // nothing is left running
      throw error;
    } finally {
      this.dismiss();
    }
  }

  /** It leaves if it has no mount. */
  dismiss(): void {
    this.#channel.close();
    this.#child.unref();
  }
}
