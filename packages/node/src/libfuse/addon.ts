/**
 * Finding and loading the addon of the package fuse-native (or of its fork that builds against the system's libfuse2).
 * The addon is used without the package's own JavaScript, which answers an extended attribute that is longer than the
 * caller's buffer with what lies behind that buffer, and refuses a mountpoint that is one already.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { FsError } from '@ovl/core';
import { loadLibrary } from '../libc.js';
import { ExitCode, MountError } from '../mount-error.js';

/** In this order: the one with a library of its own, the one for machines that the first is not built for. */
const PACKAGES = ['fuse-native', '@cocalc/fuse-native'];

/** The state of one waiting libfuse thread; goes back with the answer. */
export type Waiting = Buffer;

export type Handler = (waiting: Waiting, operation: number, ...parameters: never[]) => void;

/** Wakes the waiting thread. The values that follow the result differ by operation; too few hang it for ever. */
export type Signal = (waiting: Waiting, result: number, ...values: unknown[]) => void;

export interface Addon {
  readonly sizeof_fuse_thread_t: number;
  /**
   * Mounts, and starts the thread that reads requests. Everything given must be kept: the addon holds no references that
   * count. Throws an Error whose reason libfuse has printed on standard error.
   */
  fuse_native_mount(
    mountpoint: string,
    options: string,
    thread: Buffer,
    self: object,
    allocate: (bytes: number) => Buffer,
    handlers: readonly (Handler | undefined)[],
    implemented: Uint32Array,
  ): void;
  /** `op_NAME` is the index of a handler, `fuse_native_signal_NAME` answers what it was asked. */
  readonly [name: `op_${string}`]: number;
  readonly [name: `fuse_native_signal_${string}`]: Signal;
}

/** Throws MountError (unavailable), saying what to install. */
export function loadAddon(): Addon {
  const ours = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const name of PACKAGES) {
    let manifest: string;
    try {
      manifest = ours.resolve(`${name}/package.json`);
    } catch {
      continue;
    }
    try {
      return loadFrom(dirname(manifest), createRequire(manifest));
    } catch (error) {
      failures.push(`${name} does not load: ${(error as Error).message.trim().replace(/\s*\n\s*/g, '; ')}`);
    }
  }
  const why =
    failures.length > 0
      ? `${failures.join('; ')}: install libfuse2 (Debian: apt install libfuse2), and the package anew`
      : `the package ${PACKAGES[0]} is not installed: install it beside ovl (npm install ${PACKAGES[0]})`;
  throw new MountError(ExitCode.unavailable, `transport=libfuse cannot be used: ${why}`);
}

type Load = (directory: string) => Addon;

function loadFrom(directory: string, theirs: NodeJS.Require): Addon {
  const load = theirs('node-gyp-build') as Load;
  try {
    return load(directory);
  } catch (error) {
    // It is linked with libfuse.so.2 and does not say where that is. Where the system has none, the one that the package
    // brings will do: the loader takes a library that is loaded already for the one of that name.
    const bundled = bundledLibrary(directory);
    if (bundled === undefined) throw error;
    return load(directory);
  }
}

/** Loads the package's own libfuse; undefined if it has none for this machine. */
function bundledLibrary(directory: string): unknown {
  try {
    return loadLibrary(join(directory, 'prebuilds', `${process.platform}-${process.arch}`, 'libfuse.so'));
  } catch {
    return undefined;
  }
}

/** Where the waiting thread's state has the access time; the modification time follows. Both in milliseconds. */
const ATIME_AT = process.platform === 'darwin' ? 96 : 104;

/**
 * The parameters of `utimens` as they should be: the addon gives the access time twice. Throws EOPNOTSUPP if the other
 * cannot be found, for a wrong modification time is worse than none.
 */
export function repairTimes(waiting: Waiting, [path, low, high]: readonly unknown[]): unknown[] {
  const found = waiting.length >= ATIME_AT + 16 && waiting.readUInt32LE(ATIME_AT) === low;
  if (!found || waiting.readUInt32LE(ATIME_AT + 4) !== high) throw new FsError('EOPNOTSUPP', { syscall: 'utimensat' });
  return [path, low, high, waiting.readUInt32LE(ATIME_AT + 8), waiting.readUInt32LE(ATIME_AT + 12)];
}
