/**
 * The libfuse transport as its controller sees it: a process of its own. fuse-native's addon answers on the main thread of
 * a process only, and a controller that were that thread could not wait for an unmount which has requests to answer.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { unmountByHelper, unmountDirectly } from '../fuse/mount.js';
import { mountAt, readMounts } from '../mountinfo.js';
import { maySysAdmin } from '../processes.js';
import type { AttachRequest, Attachment, MountServer, ServeEvent, ServeRequest, Transport } from '../transport.js';
import type { ProcessCommand, ProcessEvent } from './serve.js';

/** In MiB. Every request makes strings and buffers, which die young. */
const SEMI_SPACE_MB = 32;

export const libfuseTransport: Transport = {
  name: 'libfuse',
  start: (request, listener) => new ServingProcess(request, listener),
};

class ServingProcess implements MountServer {
  readonly exit: Promise<void>;
  readonly #child: ChildProcess;

  constructor(request: ServeRequest, listener: (event: ServeEvent) => void) {
    const path = fileURLToPath(new URL('./libfuse/serve.js', import.meta.url));
    this.#child = fork(path, [], {
      cwd: '/',
      detached: true, // the terminal's signals are for the controller
      execArgv: [`--max-semi-space-size=${SEMI_SPACE_MB}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let said = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-1000);
    });
    let failure: Extract<ServeEvent, { kind: 'failed' }> | undefined;
    this.#child.on('message', (message) => {
      const event = message as ProcessEvent;
      if (event.kind === 'log') writeSync(2, `ovl: ${event.line}\n`);
      else if (event.kind !== 'failed') listener(event);
      else failure = event; // libfuse's reason for it comes on standard error
    });
    this.#child.on('error', (error) => {
      failure ??= { kind: 'failed', message: error.message, code: undefined };
    });
    this.exit = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        failure ??= { kind: 'failed', message: `the serving process ended (${signal ?? code})`, code: undefined };
        const reason = oneLine(said);
        listener(reason === '' ? failure : { ...failure, message: `${failure.message}: ${reason}` });
        resolve();
      });
    });
    this.#tell({ kind: 'open', request });
  }

  attach(request: AttachRequest): Attachment {
    const { mountpoint } = request;
    const covered = mountAt(readMounts(), mountpoint)?.id;
    const direct = maySysAdmin();
    this.#tell({ kind: 'mount', request });
    return {
      detachCommand: direct ? ['umount', '-l'] : ['fusermount3', '-uz', '--'],
      tune: () => {},
      detach: (how) => {
        if (mountAt(readMounts(), mountpoint)?.id === covered) return; // it never was, or is gone: not another's
        if (direct) unmountDirectly(mountpoint, how);
        else unmountByHelper(mountpoint, how);
      },
      release: () => {},
    };
  }

  dismiss(): void {
    this.#tell({ kind: 'close' });
  }

  kill(): boolean {
    this.#child.kill('SIGKILL');
    return true;
  }

  #tell(command: ProcessCommand): void {
    if (this.#child.connected) this.#child.send(command, () => {}); // a failure shows as its exit
  }
}

/** What libfuse or its helper printed, without the name that each puts before it. */
function oneLine(text: string): string {
  return text
    .trim()
    .split(/\s*\n\s*/)
    .map((line) => line.replace(/^(fuse|fusermount3?): /, ''))
    .join('; ');
}
