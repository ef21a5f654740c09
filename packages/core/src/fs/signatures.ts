/**
 * The types of the faces. A function's come from its operation; those whose answer depends on their options are written
 * out here, once, as the synchronous face has them, and turned into promises and callbacks.
 */
import type { Operation } from '../run.js';
import type { Encoding, ModeLike, OptionsLike, PathLike } from './arguments.js';
import type { Context } from './context.js';
import type { Dirent } from './dirent.js';
import type { ReaddirOptions } from './directories.js';
import type { Group } from './face.js';
import type * as pathFunctions from './path-functions.js';
import type { FileLike, ReadFileOptions } from './files.js';
import type { GlobOptions } from './glob.js';
import type { BigIntOption, StatOptions } from './metadata.js';
import type { EncodingOption, MkdirOptions } from './names.js';
import type { BigIntStatFs, BigIntStats, StatFs } from './bigints.js';
import type { Stats } from './stats.js';

type Bytes = { encoding: 'buffer' } | 'buffer';
type NoEncoding = { encoding?: null | undefined };
type Text = 'utf8' | 'utf-8' | 'latin1' | 'binary' | 'ascii' | 'hex' | 'base64' | 'base64url' | 'ucs2' | 'utf16le';
type Big = { bigint: true };
type Small = { bigint?: false | undefined };
type NoTypes = { withFileTypes?: false | undefined };
type Types = { withFileTypes: true };

/** Functions with several signatures, the most usual first. */
interface Signatures {
  stat: StatSignatures;
  lstat: StatSignatures;
  fstat: [
    (fd: number, options?: BigIntOption & Small) => Stats,
    (fd: number, options: BigIntOption & Big) => BigIntStats,
  ];
  statfs: [
    (path: PathLike, options?: BigIntOption & Small) => StatFs,
    (path: PathLike, options: BigIntOption & Big) => BigIntStatFs,
  ];
  readFile: [
    (path: FileLike, options?: (ReadFileOptions & NoEncoding) | null) => Uint8Array,
    (path: FileLike, options: (ReadFileOptions & { encoding: Text }) | Text) => string,
    (path: FileLike, options?: OptionsLike<ReadFileOptions>) => Uint8Array | string,
  ];
  readdir: [
    (
      path: PathLike,
      options?: (ReaddirOptions & NoTypes & { encoding?: Text | null | undefined }) | Text | null,
    ) => string[],
    (path: PathLike, options: (ReaddirOptions & NoTypes & { encoding: 'buffer' }) | 'buffer') => Uint8Array[],
    (path: PathLike, options: ReaddirOptions & Types & { encoding?: Text | null | undefined }) => Dirent[],
    (path: PathLike, options: ReaddirOptions & Types & { encoding: 'buffer' }) => Dirent<Uint8Array>[],
    (path: PathLike, options?: OptionsLike<ReaddirOptions & NoTypes>) => (string | Uint8Array)[],
  ];
  readlink: NameSignatures;
  realpath: NameSignatures;
  mkdtemp: NameSignatures;
  mkdir: [
    (path: PathLike, options: MkdirOptions & { recursive: true }) => string | undefined,
    (path: PathLike, options?: (MkdirOptions & { recursive?: false | undefined }) | ModeLike | null) => void,
    (path: PathLike, options?: MkdirOptions | ModeLike | null) => string | undefined,
  ];
  glob: [
    (pattern: string | readonly string[], options?: GlobOptions & NoTypes) => string[],
    (pattern: string | readonly string[], options: GlobOptions & Types) => Dirent[],
  ];
}

type StatSignatures = [
  (path: PathLike, options?: StatOptions & Small & { throwIfNoEntry?: true | undefined }) => Stats,
  (path: PathLike, options: StatOptions & Big & { throwIfNoEntry?: true | undefined }) => BigIntStats,
  (path: PathLike, options: StatOptions & Small) => Stats | undefined,
  (path: PathLike, options: StatOptions & Big) => BigIntStats | undefined,
  (path: PathLike, options?: StatOptions) => Stats | BigIntStats | undefined,
];

type NameSignatures = [
  (path: PathLike, options?: { encoding?: Text | null | undefined } | Text | null) => string,
  (path: PathLike, options: Bytes) => Uint8Array,
  (path: PathLike, options?: OptionsLike<EncodingOption> | Encoding) => string | Uint8Array,
];

/** All signatures of a function, in the form of the synchronous face. */
type SignaturesOf<G, K extends keyof G> = K extends keyof Signatures
  ? Signatures[K]
  : G[K] extends (fs: Context, ...args: infer A) => Operation<infer T>
    ? [(...args: A) => T]
    : never;

type Overloads<T> = T extends [infer First, ...infer Rest] ? First & Overloads<Rest> : unknown;

/** The number alone, where an operation answers with its buffer too. */
type Counted<T> = T extends { bytesRead: number } | { bytesWritten: number } ? number : T;
type Sync<T> = { [I in keyof T]: T[I] extends (...args: infer A) => infer R ? (...args: A) => Counted<R> : never };

/** Every function of {@link PromisesFs}, ending in `Sync`, that returns its value. */
export type SyncFs<G extends Group = typeof pathFunctions> = {
  [K in keyof G & string as `${K}Sync`]: Overloads<Sync<SignaturesOf<G, K>>>;
};

type Promised<T> = { [I in keyof T]: T[I] extends (...args: infer A) => infer R ? (...args: A) => Promise<R> : never };

/** Functions that return promises. */
export type PromisesFs<G extends Group = typeof pathFunctions> = {
  [K in keyof G & string]: Overloads<Promised<SignaturesOf<G, K>>>;
};

/** The argument lists that a list with optional members stands for. */
type Lengths<A extends readonly unknown[], Taken extends unknown[] = []> = number extends A['length']
  ? Taken
  : A extends [infer H, ...infer R]
    ? Lengths<R, [...Taken, H]>
    : A extends [(infer H)?, ...infer R]
      ? Taken | Lengths<R, [...Taken, H | undefined]>
      : Taken;
type Before<A, C> = A extends unknown[] ? [...A, callback: C] : never;

/** What a callback gets beside its error. */
type Answered<R> = R extends { bytesRead: number; buffer: infer B }
  ? [bytesRead: number, buffer: B]
  : R extends { bytesWritten: number; buffer: infer B }
    ? [bytesWritten: number, buffer: B]
    : R extends { bytesRead: number; buffers: infer B }
      ? [bytesRead: number, buffers: B]
      : R extends { bytesWritten: number; buffers: infer B }
        ? [bytesWritten: number, buffers: B]
        : [R];
/** A POSIX error, or one of Node's own. */
export type FaceError = Error & { code?: string; errno?: number; syscall?: string; path?: string };
type Callback<R> = [R] extends [void]
  ? (error: FaceError | null) => void
  : (error: FaceError | null, ...answer: Answered<R>) => void;
type CalledBack<T> = {
  [I in keyof T]: T[I] extends (...args: infer A) => infer R
    ? (...args: Before<Lengths<A>, Callback<R>>) => void
    : never;
};

/** Functions that call back. */
export type CallbackFs<G extends Group = typeof pathFunctions> = {
  [K in keyof G & string]: K extends 'exists'
    ? (path: PathLike, callback: (exists: boolean) => void) => void
    : Overloads<CalledBack<SignaturesOf<G, K>>>;
};
