/**
 * What a daemon does: mounts what its starter asks for over the socket that it was started with, then what others of the same
 * user ask for, as long as it has a mount at all. Whoever asks is told that the mount is live, or why not; from then on
 * it depends on nobody. It has no standard streams of its starter's.
 */
import { rmSync } from 'node:fs';
import { type Server, Socket, createServer } from 'node:net';
import { type ServedMount, serveMount } from './control.js';
import { ownSocket, scopeOf } from './daemon-socket.js';
import { ServingThread } from './fuse/thread.js';
import { MessageChannel } from './message-channel.js';
import { ExitCode, MountError } from './mount-error.js';
import type { MountRequest } from './mount-request.js';
import type { MountRecord } from './registry.js';
import { SharedLayers } from './sharing.js';
import { type StartLock, releaseStartLock } from './start-lock.js';
import { exitNow, peerOf } from './syscalls.js';

/** From a command. A daemon that was just started takes the request at once; another takes it first, and goes on "go". */
export type DaemonCommand =
  /** `key`: who may ask for further mounts (daemon-socket.ts); undefined for nobody. `lock`: they wait for it to be released. */
  { kind: 'mount'; request: MountRequest; key: string | undefined; lock: StartLock | undefined } | { kind: 'go' };

export type DaemonReport =
  | { kind: 'live'; record: MountRecord }
  | { kind: 'failed'; exitCode: ExitCode; message: string }
  /** It may have the mount: no other thread, no other process is needed. */
  | { kind: 'taken' }
  /** The mount needs a daemon of its own, or this one is busy. */
  | { kind: 'declined' }
  /** It is still at it, or at others' mounts. */
  | { kind: 'waiting' };

type Channel = MessageChannel<DaemonCommand, DaemonReport>;

/** The socket that the starter has the other end of. */
const STARTER_FD = 3;

/** For how long its thread may be at something else when it is asked for a mount. */
const BUSY_MS = 250;
/** How much longer if what it is at is opening other mounts. */
const OPENING_MS = 5000;
/** How long a command may take to confirm. */
const CONFIRM_MS = 2000;
const HEARTBEAT_MS = 1000;

/** Called once. */
export async function host(): Promise<void> {
  const daemon = new MountHost();
  await daemon.serveStarter(new MessageChannel(new Socket({ fd: STARTER_FD })));
}

class MountHost {
  readonly #scope = scopeOf('self');
  readonly #layers = new SharedLayers();
  readonly #thread = new ServingThread();
  readonly #mounts = new Set<ServedMount>();
  /** Mounts that are being made, or are promised. */
  #coming = 0;
  /** Of these, those being made; and how many ever were. */
  #opening = 0;
  #begun = 0;
  #server: Server | undefined;
  #socket: string | undefined;
  #exitCode: ExitCode = ExitCode.ok;
  #threadBlocked = false;

  async serveStarter(channel: Channel): Promise<void> {
    const command = await channel.next();
    if (command?.kind !== 'mount') return this.#leaveIfIdle(); // it found something wrong with the request
    const { request, key, lock } = command;
    const release = (): void => (lock === undefined ? undefined : releaseStartLock(lock));
    if (request.transport !== 'direct') this.#thread.leave();
    else if (key !== undefined && this.#layers.mayJoin(request)) this.#listen(key, release);
    if (this.#server === undefined) release();
    this.#layers.add(request);
    await this.#serve(request, channel);
    channel.close();
    this.#leaveIfIdle();
  }

  /** Mounts, and reports. */
  async #serve(request: MountRequest, channel: Channel): Promise<ServedMount | undefined> {
    this.#coming++;
    this.#opening++;
    this.#begun++;
    try {
      const thread = request.transport === 'direct' ? this.#thread : undefined;
      const mount = await serveMount(request, undefined, thread);
      this.#mounts.add(mount);
      void this.#follow(mount, request);
      await channel.send({ kind: 'live', record: mount.record });
      return mount;
    } catch (error) {
      this.#layers.delete(request);
      const exitCode = error instanceof MountError ? error.exitCode : ExitCode.failed;
      await channel.send({ kind: 'failed', exitCode, message: (error as Error).message });
      return undefined;
    } finally {
      this.#opening--;
      this.#coming--;
    }
  }

  async #follow(mount: ServedMount, request: MountRequest): Promise<void> {
    const { exitCode, threadBlocked } = await mount.ended;
    this.#layers.delete(request);
    this.#mounts.delete(mount);
    if (exitCode !== ExitCode.ok) this.#exitCode = exitCode;
    this.#threadBlocked ||= threadBlocked;
    this.#leaveIfIdle();
  }

  #leaveIfIdle(): void {
    if (this.#mounts.size > 0 || this.#coming > 0) return;
    // Who has not been told "taken" by now sees the connection end, and starts a daemon.
    if (this.#socket !== undefined) rmSync(this.#socket, { force: true });
    if (this.#threadBlocked) exitNow(this.#exitCode);
    process.exit(this.#exitCode);
  }

  /** `then`: when others can ask. */
  #listen(key: string, then: () => void): void {
    try {
      this.#socket = ownSocket(key);
      if (this.#socket === undefined) return;
      this.#server = createServer((socket) => void this.#answer(socket));
      this.#server.on('error', then); // then every mount gets a daemon of its own
      this.#server.listen(this.#socket, then);
    } catch {
      // As above: no directory for it.
    }
  }

  /** Somebody has connected. */
  async #answer(socket: Socket): Promise<void> {
    const channel: Channel = new MessageChannel(socket);
    this.#coming++;
    try {
      const command = await channel.nextWithin(CONFIRM_MS);
      if (command?.kind !== 'mount') return;
      if (this.#mayHave(socket, command.request)) await this.#serveStranger(command.request, channel);
      else await channel.send({ kind: 'declined' });
    } finally {
      this.#coming--;
      channel.close();
      this.#leaveIfIdle();
    }
  }

  async #serveStranger(request: MountRequest, channel: Channel): Promise<void> {
    this.#layers.add(request); // before anybody else is promised something
    if (!(await this.#isFree(channel))) {
      this.#layers.delete(request);
      return channel.send({ kind: 'declined' });
    }
    await channel.send({ kind: 'taken' });
    if ((await channel.nextWithin(CONFIRM_MS))?.kind !== 'go') {
      this.#layers.delete(request);
      return;
    }
    const heartbeat = setInterval(() => void channel.send({ kind: 'waiting' }), HEARTBEAT_MS);
    const mount = await this.#serve(request, channel);
    clearInterval(heartbeat);
    if (channel.closed) mount?.withdraw(); // whoever asked has given up, and said so to its user
  }

  /** Whether the thread is at nothing that takes long. Where it opens mounts of others, whoever asks is told to wait. */
  async #isFree(channel: Channel): Promise<boolean> {
    for (const deadline = performance.now() + OPENING_MS; ; ) {
      const begun = this.#begun;
      const isOpening = this.#opening > 0;
      if (await this.#thread.isIdle(BUSY_MS)) return true;
      const opensOthers = isOpening || this.#begun > begun;
      if (!opensOthers || performance.now() > deadline) return false;
      await channel.send({ kind: 'waiting' });
    }
  }

  #mayHave(socket: Socket, request: MountRequest): boolean {
    const peer = peerOf((socket as unknown as { _handle: { fd: number } })._handle.fd);
    if (this.#scope === undefined || peer === undefined || scopeOf(peer) !== this.#scope) return false;
    return this.#layers.mayJoin(request);
  }
}
