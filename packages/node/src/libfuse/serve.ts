/**
 * The process that serves a mount through libfuse: opens the layers, mounts when told, and answers until the unmount. Its
 * controller is at the other end of the IPC channel; when that ends, so does it, and the watchdog takes the mount away.
 */
import { closeSync, openSync } from 'node:fs';
import { isFsError } from '@ovl/core';
import { ExitCode, MountError } from '../mount-error.js';
import type { LayerRequest } from '../mount-request.js';
import { openLayers, serverOptions } from '../open-layers.js';
import { exitNow } from '../syscalls.js';
import type { AttachRequest, ServeEvent, ServeRequest } from '../transport.js';
import { loadAddon } from './addon.js';
import { libfuseOptions } from './mount-options.js';
import { PathServer } from './server.js';
import { Session } from './session.js';

/** From the controller. */
export type ProcessCommand =
  | { kind: 'open'; request: ServeRequest }
  | { kind: 'mount'; request: AttachRequest }
  | { kind: 'close' };

type Mount = (request: AttachRequest) => void;

/** To the controller. */
export type ProcessEvent = ServeEvent | { kind: 'log'; line: string };

async function tell(event: ProcessEvent): Promise<void> {
  await new Promise<void>((resolve) => process.send?.(event, undefined, {}, () => resolve()));
}

/** libfuse's threads would use what an orderly exit has taken down. */
async function leave(event: ServeEvent, code: ExitCode): Promise<never> {
  await tell(event);
  return exitNow(code);
}

function failed(what: string, error: unknown): Promise<never> {
  if (error instanceof MountError) {
    const { message, exitCode } = error;
    return leave({ kind: 'failed', message, code: undefined, exitCode }, exitCode);
  }
  const message = `${what}: ${error instanceof Error ? error.message : String(error)}`;
  return leave({ kind: 'failed', message, code: isFsError(error) ? error.code : undefined }, ExitCode.failed);
}

/** Returns the way to mount what it opened, and the way to close it. */
function open({ layers: asked, log }: ServeRequest): { mount: Mount; close: () => void } {
  const addon = loadAddon();
  const layers: LayerRequest = { ...asked, acl: 'off' }; // libfuse2 has the kernel obey none
  const { overlay, userxattr, begin } = openLayers(layers);
  const server = new PathServer(overlay, serverOptions(layers));
  const session = new Session(addon, server, {
    live: () => {
      try {
        begin();
        silenceLibfuse();
        void tell({ kind: 'live' });
      } catch (error) {
        void failed('cannot begin to serve', error);
      }
    },
    ended: () => {
      server.close();
      void leave({ kind: 'ended' }, ExitCode.ok);
    },
    log: log === 'stderr' ? (line) => void tell({ kind: 'log', line }) : undefined,
  });
  void tell({ kind: 'opened', userxattr });
  return {
    mount: (request) => session.mount(request.mountpoint, libfuseOptions(request, layers)),
    close: () => server.close(),
  };
}

/** Once it is mounted it only complains, over and over, of the threads that it cannot make: see session.ts. */
function silenceLibfuse(): void {
  closeSync(2);
  openSync('/dev/null', 'w'); // takes the lowest number that is free
}

let opened: ReturnType<typeof open> | undefined;

function obey(command: ProcessCommand): void {
  switch (command.kind) {
    case 'open':
      try {
        opened = open(command.request);
      } catch (error) {
        void failed('cannot open the layers', error);
      }
      return;
    case 'mount':
      try {
        opened?.mount(command.request);
      } catch (error) {
        opened?.close();
        void failed(`cannot mount on ${command.request.mountpoint}`, error);
      }
      return;
    case 'close':
      opened?.close();
      exitNow(ExitCode.ok);
  }
}

process.umask(0); // modes come from the mount's clients, whose umask the kernel has applied
process.on('uncaughtException', (error) => void failed('the serving process failed', error));
process.on('disconnect', () => exitNow(ExitCode.failed));
process.on('message', obey);
