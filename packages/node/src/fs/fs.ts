/** An overlay as `node:fs`: the core's functions with Buffers in place of byte arrays, Node's streams and watchers. */
import * as host from 'node:fs';
import { promisify } from 'node:util';
import type { Mode, Overlay } from '@ovl/core';
import {
  BigIntStats,
  callbackFs,
  Context,
  createFs as createCoreFs,
  type FaceOptions,
  nativeRealpath,
  type PathLike,
  Stats,
  syncFs,
  toPath,
} from '@ovl/core/fs';
import { bufferCodec } from './codec.js';
import { handleMaker } from './handle.js';
import { type StreamClasses, streamsOf } from './streams.js';
import { FSWatcher, watchersOf } from './watchers.js';

/** What of `node:fs` is not there: see docs/node-fs.md. */
type Missing = 'lchmod' | 'lchmodSync';

/** `node:fs` over an overlay. */
export type NodeFs = Omit<typeof host, Missing>;
/** The same without the synchronous functions, which asynchronous layers cannot answer. */
export type AsyncNodeFs = { [K in keyof NodeFs as K extends `${string}Sync` ? never : K]: NodeFs[K] };

/** Who calls, and where relative paths begin. Default: as the process. */
export type NodeFsOptions = Pick<FaceOptions, 'cwd' | 'umask' | 'uid' | 'gid'>;

/**
 * All of `node:fs` over an overlay, to be handed to what takes an `fs`. Relative paths, the umask and the owner of new
 * objects are the process's, unless given.
 */
export function createFs(overlay: Overlay<'sync'>, options?: NodeFsOptions): NodeFs;
export function createFs(overlay: Overlay<Mode>, options?: NodeFsOptions): AsyncNodeFs;
export function createFs(overlay: Overlay<Mode>, given: NodeFsOptions = {}): NodeFs | AsyncNodeFs {
  let streams: StreamClasses;
  const options: FaceOptions = {
    cwd: () => process.cwd(),
    umask: () => process.umask(),
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    ...given,
    codec: bufferCodec,
    defer: setImmediate,
    fileHandle: handleMaker(() => streams),
  };
  const core = createCoreFs(overlay as Overlay<'sync'>, options);
  for (const [name, members] of Object.entries(ANSWERS)) {
    const original = core[name as 'read'] as unknown as (...args: unknown[]) => void;
    Object.defineProperty(original, promisify.custom, {
      value: (...args: unknown[]) => promisedCall(original, args, members),
      enumerable: false,
    });
  }
  const fs = {
    ...core,
    constants: host.constants,
    promises: { ...core.promises, constants: host.constants },
    BigIntStats,
    FSWatcher,
    openAsBlob: async (path: PathLike, blob?: { type?: string }) =>
      new Blob([(await core.promises.readFile(path)) as Uint8Array<ArrayBuffer>], blob),
    ...watchersOf(
      overlay,
      options,
      core.statSync as never,
      (bigint) => nothing(bigint) as never,
      (path) => new Context(overlay, 'sync', options).absolute(toPath(path)),
    ),
  } as unknown as NodeFs & Record<string, unknown>;
  streams = streamsOf(fs);
  Object.assign(fs, streams, { FileReadStream: streams.ReadStream, FileWriteStream: streams.WriteStream });
  const native = { realpath: nativeRealpath };
  Object.assign(fs.realpath, { native: callbackFs(overlay, options, native).realpath });
  Object.assign(fs.realpathSync, { native: syncFs(overlay as Overlay<'sync'>, options, native).realpathSync });
  return fs;
}

/** What a promisified function answers with, where it calls back with more than one value; one name: that value, never an error. */
const ANSWERS: Record<string, readonly string[]> = {
  exists: [],
  read: ['bytesRead', 'buffer'],
  readv: ['bytesRead', 'buffers'],
  write: ['bytesWritten', 'buffer'],
  writev: ['bytesWritten', 'buffers'],
};

function promisedCall(
  call: (...args: unknown[]) => void,
  args: unknown[],
  members: readonly string[],
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    call(...args, (first: unknown, ...rest: unknown[]) => {
      if (members.length === 0) resolve(first);
      else if (first !== null && first !== undefined) reject(first);
      else resolve(Object.fromEntries(members.map((name, i) => [name, rest[i]])));
    });
  });
}

function nothing(bigint: boolean): Stats | BigIntStats {
  const numbers = ['dev', 'ino', 'mode', 'nlink', 'uid', 'gid', 'rdev', 'size', 'blocks', 'blksize'];
  const times = ['atime', 'mtime', 'ctime'].flatMap((name) => [`${name}Sec`, `${name}Nsec`]);
  const attributes = Object.fromEntries([...numbers, ...times].map((name) => [name, 0])) as never;
  return bigint ? new BigIntStats(attributes) : new Stats(attributes);
}
