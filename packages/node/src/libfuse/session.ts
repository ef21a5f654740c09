/**
 * A mount through libfuse: gives its threads' requests to the operations, one at a time on this thread, and notices the
 * end. This thread must never touch its own mount: libfuse would wait for an answer that only this thread can give.
 */
import { fstatSync, readdirSync } from 'node:fs';
import { type Addon, type Handler, type Signal, type Waiting, repairTimes } from './addon.js';
import * as attributes from './attributes.js';
import * as directories from './directories.js';
import { resultOf } from './errors.js';
import * as files from './files.js';
import * as names from './names.js';
import { type Operation, act } from './operation.js';
import type { PathServer } from './server.js';

/**
 * By the addon's names. Left out: `access` (the kernel checks permissions itself), `flush` (nothing is held back until
 * close), `opendir` and `releasedir` (a list is made whole). fuse-native has no locks, `fallocate`, `lseek` or `ioctl`.
 */
const operations: Readonly<Record<string, Operation>> = {
  getattr: attributes.getattr,
  fgetattr: attributes.fgetattr,
  chmod: attributes.chmod,
  chown: attributes.chown,
  utimens: attributes.utimens,
  statfs: attributes.statfs,
  getxattr: attributes.getxattr,
  setxattr: attributes.setxattr,
  listxattr: attributes.listxattr,
  removexattr: attributes.removexattr,
  readdir: directories.readdir,
  fsyncdir: directories.fsyncdir,
  mknod: names.mknod,
  mkdir: names.mkdir,
  symlink: names.symlink,
  link: names.link,
  unlink: names.unlink,
  rmdir: names.rmdir,
  rename: names.rename,
  readlink: names.readlink,
  open: files.open,
  create: files.create,
  read: files.read,
  write: files.write,
  release: files.release,
  fsync: files.fsync,
  truncate: files.truncate,
  ftruncate: files.ftruncate,
};

/** Slots in the addon's tables. */
const OPERATIONS = 35;

/**
 * The size that libfuse gives its threads' stacks, for no more of them to be made: one that cannot be had. It makes a thread
 * for every request at a time and ends those beyond ten idle ones, and the addon never lets go of what a thread has had;
 * after half a minute with 40 busy clients, every request took eight times as long as before, for ever. The two threads that
 * there are when the mount answers are enough: one has its request answered here, while the other brings the next.
 */
const STACK = { variable: 'FUSE_THREAD_STACK', impossible: '-4096' };

/** How often the end of the mount is looked for, in milliseconds: libfuse has no word for it that reaches us. */
const WATCH_MS = 25;

export interface SessionEvents {
  /** The mount answers when this returns. */
  live(): void;
  ended(): void;
  log: ((line: string) => void) | undefined;
}

export class Session {
  readonly #server: PathServer;
  readonly #events: SessionEvents;
  readonly #addon: Addon;
  /** What the addon points to without holding it. */
  readonly #thread: Buffer;
  readonly #waiting = new Set<Buffer>();
  readonly #handlers: (Handler | undefined)[] = Array.from({ length: OPERATIONS });

  constructor(addon: Addon, server: PathServer, events: SessionEvents) {
    this.#addon = addon;
    this.#server = server;
    this.#events = events;
    this.#thread = Buffer.alloc(addon.sizeof_fuse_thread_t);
  }

  /** Throws an Error; libfuse has printed why. */
  mount(mountpoint: string, options: string): void {
    const implemented = new Uint32Array(OPERATIONS);
    delete process.env[STACK.variable];
    const isLive = act(() => {
      process.env[STACK.variable] = STACK.impossible;
      this.#events.live();
    });
    for (const [name, operation] of Object.entries({ ...operations, init: isLive })) {
      if (name.endsWith('xattr') && this.#server.options.xattrs === 'off') continue;
      const index = this.#addon[`op_${name}`];
      const signal = this.#addon[`fuse_native_signal_${name}`];
      if (index === undefined || signal === undefined) throw new Error(`fuse-native has no ${name}`);
      this.#handlers[index] = this.#handler(name, operation, signal);
      implemented[index] = 1;
    }
    const allocate = (bytes: number): Buffer => {
      const state = Buffer.alloc(bytes);
      this.#waiting.add(state);
      return state;
    };
    const before = new Set(openDevices());
    this.#addon.fuse_native_mount(mountpoint, options, this.#thread, this, allocate, this.#handlers, implemented);
    const device = openDevices().find((fd) => !before.has(fd));
    this.#watch(device);
  }

  #handler(name: string, operation: Operation, signal: Signal): Handler {
    const { log } = this.#events;
    const server = this.#server;
    return (waiting: Waiting, _index: number, ...parameters: unknown[]) => {
      let result: number;
      let values: readonly unknown[];
      try {
        const given = name === 'utimens' ? repairTimes(waiting, parameters) : parameters;
        ({ result, values } = operation.run(server, ...given));
      } catch (error) {
        result = resultOf(error, name, log);
        values = operation.failed(...parameters);
      }
      signal(waiting, result, ...values);
    };
  }

  /** libfuse closes its device when the kernel has nothing more to ask. */
  #watch(device: number | undefined): void {
    if (device === undefined) throw new Error('libfuse has no device open');
    const { rdev } = fstatSync(device);
    const timer = setInterval(() => {
      if (isDevice(device, rdev)) return;
      clearInterval(timer);
      this.#events.ended();
    }, WATCH_MS);
  }
}

/** Descriptors of this process that are open on a character device. */
function openDevices(): number[] {
  return readdirSync('/dev/fd')
    .map(Number)
    .filter((fd) => isDevice(fd, undefined));
}

/** Whether a descriptor is open on a character device, of a certain number if given. */
function isDevice(fd: number, rdev: number | undefined): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isCharacterDevice() && (rdev === undefined || stat.rdev === rdev);
  } catch {
    return false;
  }
}
