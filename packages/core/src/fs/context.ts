/**
 * What the functions of a face work on: an overlay, how callers see bytes, who they are, where relative paths begin, and
 * the open descriptors, which all faces of one overlay share. What faces that wait have besides is in waiting.ts.
 */
import { FsError, isFsError } from '../errors.js';
import type { OpenHandle } from '../file.js';
import type { Inode } from '../inode.js';
import type { Overlay } from '../overlay.js';
import type { Operation } from '../run.js';
import type { SignalLike } from './arguments.js';
import type { FileHandle } from './file-handle.js';
import { type Codec, plainCodec } from './text.js';

/** What a face is made with: who calls it, and how it spells bytes. */
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

/**
 * What the functions of a face work on: an overlay, its caller, and the descriptors that all faces of the overlay
 * share.
 */
export class Context {
  // Declared only, where the constructor sets them.
  declare readonly overlay: Overlay;
  declare readonly kind: FaceKind;
  declare readonly codec: Codec;
  declare readonly options: FaceOptions;
  declare readonly descriptors: Map<number, Descriptor>;
  /** The directory that was worked in last. */
  last: Inode | undefined;

  constructor(overlay: Overlay, kind: FaceKind, options: FaceOptions = {}) {
    this.overlay = overlay;
    this.kind = kind;
    this.options = options;
    this.codec = options.codec ?? plainCodec;
    let descriptors = opened.get(overlay);
    if (descriptors === undefined) opened.set(overlay, (descriptors = new Map()));
    this.descriptors = descriptors;
  }

  /** Keeps what one call has found usable while it waits. Nothing comes between the steps of one that does not wait. */
  hold(_inode: Inode): void {}

  /** Throws an AbortError once the signal is given, in a face that waits. */
  checkAborted(_signal: SignalLike | undefined): Operation<void> | undefined {
    return undefined;
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

  /** Throws EBADF. */
  descriptor(fd: number, syscall: string): Descriptor {
    const descriptor = this.descriptors.get(fd);
    if (descriptor === undefined) throw new FsError('EBADF', { syscall });
    return descriptor;
  }
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
