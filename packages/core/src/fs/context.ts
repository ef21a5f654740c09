/**
 * What the functions of a face work on: an overlay, how callers see bytes, who they are, where relative paths begin, and
 * the open descriptors, which all faces of one overlay share.
 */
import { FsError, isFsError } from '../errors.js';
import type { OpenHandle } from '../file.js';
import type { Inode } from '../inode.js';
import type { Overlay } from '../overlay.js';
import type { Operation } from '../run.js';
import type { FileHandle } from './file-handle.js';
import { type Codec, plainCodec } from './text.js';

export interface FaceOptions {
  /** Where relative paths begin. Default "/". */
  cwd?: string | (() => string);
  /** Permission bits that new objects do not get. Default 0o022. */
  umask?: number | (() => number);
  /** Owner of new objects. Default 0. */
  uid?: number;
  gid?: number;
  /** How callers see bytes and text. Default: Uint8Array; UTF-8 and Latin-1. */
  codec?: Codec;
  /** What `open` of the promise face answers with. Default: a {@link FileHandle}. */
  fileHandle?: (fs: Context, fd: number) => FileHandle;
  /** Calls back later. Default: as soon as what runs now is done. */
  defer?: (callback: () => void) => void;
}

/** An open file or directory. */
export interface Descriptor {
  readonly inode: Inode;
  /** Undefined for a directory. */
  readonly handle: OpenHandle | undefined;
  /** Where the next read or write without a position goes, in bytes. */
  position: number;
  readonly canRead: boolean;
  readonly canWrite: boolean;
}

/** How the caller waits: decides where Node's functions differ in more than that. */
export type FaceKind = 'sync' | 'callback' | 'promises';

export class Context {
  readonly overlay: Overlay;
  readonly kind: FaceKind;
  readonly codec: Codec;
  readonly options: FaceOptions;
  readonly descriptors: Map<number, Descriptor>;
  /** What one call has found, kept in memory until the call is over. Not needed where nothing comes between its steps. */
  held: Inode[] | undefined;

  constructor(overlay: Overlay, kind: FaceKind, options: FaceOptions = {}) {
    this.overlay = overlay;
    this.kind = kind;
    this.options = options;
    this.codec = options.codec ?? plainCodec;
    let descriptors = opened.get(overlay);
    if (descriptors === undefined) opened.set(overlay, (descriptors = new Map()));
    this.descriptors = descriptors;
  }

  /** Keeps what was found usable while the call waits. */
  hold(inode: Inode): void {
    if (this.held === undefined) return;
    this.overlay.retain(inode);
    this.held.push(inode);
  }

  /** Carries out one call of an asynchronous face. */
  *call<T>(operation: (fs: Context) => Operation<T>): Operation<T> {
    const call = Object.create(this) as Context;
    const held: Inode[] = [];
    call.held = held;
    try {
      return yield* operation(call);
    } finally {
      call.held = undefined; // an open directory may use the context further
      for (const inode of held) this.overlay.forget(inode);
    }
  }

  get owner(): { uid: number; gid: number } {
    const { uid = 0, gid = 0 } = this.options;
    return { uid, gid };
  }

  /** The path from the root that stands for `path`; it may still hold "." and "..". */
  absolute(path: string): string {
    if (path.startsWith('/')) return path;
    const { cwd = '/' } = this.options;
    return `${typeof cwd === 'function' ? cwd() : cwd}/${path}`;
  }

  /** Permission bits of a new object. */
  masked(mode: number): number {
    const { umask = 0o022 } = this.options;
    return mode & ~(typeof umask === 'function' ? umask() : umask);
  }

  readonly isEncoding = (name: string): boolean => this.codec.isEncoding(name);

  /** Throws EBADF. */
  descriptor(fd: number, syscall: string): Descriptor {
    const descriptor = this.descriptors.get(fd);
    if (descriptor === undefined) throw new FsError('EBADF', { syscall });
    return descriptor;
  }

  readonly defer = (callback: () => void): void => {
    if (this.options.defer !== undefined) this.options.defer(callback);
    else void Promise.resolve().then(callback);
  };
}

/** By overlay, so that a descriptor of one face is good in another. */
const opened = new WeakMap<Overlay, Map<number, Descriptor>>();

/** Errors name the call and the paths that the caller gave. */
export function* named<T>(
  syscall: string,
  path: string | undefined,
  operation: Operation<T>,
  dest?: string,
): Operation<T> {
  try {
    return yield* operation;
  } catch (cause) {
    if (!isFsError(cause)) throw cause;
    const context: { syscall: string; path?: string; dest?: string; cause: unknown } = { syscall, cause };
    if (path !== undefined) context.path = path;
    if (dest !== undefined) context.dest = dest;
    throw new FsError(cause.code, context);
  }
}
