/**
 * File-system operations as data, by path, and their results as comparable values: what the overlay, the flat model and
 * any other driver (a mount, through system calls) are asked alike. Paths are absolute, no symbolic link is followed, and
 * "@1" stands for the object that handle slot 1 has open.
 */
import type { RenameFlag } from '../rename.js';

/** One operation on a file system, by path or by an open file's number. */
export type FileOperation =
  | { kind: 'create'; path: string; mode: number; uid: number; gid: number }
  | { kind: 'mkdir'; path: string; mode: number; uid: number; gid: number }
  | { kind: 'symlink'; path: string; target: string }
  /** `mode` with type bits. */
  | { kind: 'mknod'; path: string; mode: number; rdev: number }
  | { kind: 'link'; from: string; to: string }
  | { kind: 'unlink'; path: string }
  | { kind: 'rmdir'; path: string }
  | { kind: 'rename'; from: string; to: string; flag?: RenameFlag | 'exchange' }
  | { kind: 'write'; path: string; position: number; text: string }
  | { kind: 'append'; path: string; text: string }
  | { kind: 'truncate'; path: string; size: number }
  | { kind: 'chmod'; path: string; mode: number }
  | { kind: 'chown'; path: string; uid: number; gid: number }
  | { kind: 'utimes'; path: string; seconds: number }
  | { kind: 'setxattr'; path: string; name: string; value: string; condition?: 'create' | 'replace' }
  | { kind: 'removexattr'; path: string; name: string }
  | { kind: 'getxattr'; path: string; name: string }
  | { kind: 'listxattr'; path: string }
  | { kind: 'stat'; path: string }
  | { kind: 'read'; path: string }
  | { kind: 'readlink'; path: string }
  | { kind: 'readdir'; path: string }
  /** "r" reads, "r+" reads and writes, "w" also truncates, "a" appends. Closes what the slot held. */
  | { kind: 'open'; slot: number; path: string; how: 'r' | 'r+' | 'w' | 'a' }
  | { kind: 'pread'; slot: number; position: number; length: number }
  | { kind: 'pwrite'; slot: number; position: number; text: string }
  | { kind: 'fsync'; slot: number }
  | { kind: 'close'; slot: number };

/** What `stat` compares. Times, and link counts and sizes of directories, are the file system's own affair. */
export interface Stat {
  /** Identity: equal for two names of one object, different for two objects. Not compared between drivers. */
  id: number;
  mode: number;
  uid: number;
  gid: number;
  /** Not directories. */
  nlink?: number;
  /** Regular files and symbolic links. */
  size?: number;
  /** Devices. */
  rdev?: number;
}

/** What an operation answers. */
export type Value = string | number | Stat | string[] | undefined;

/** A file system under test. Throws errors that carry a `code`. */
export interface Driver {
  perform(operation: FileOperation): Value | PromiseLike<Value>;
}

/** What an operation came to: its answer, or the code of its error. */
export type Result = { ok: Value } | { error: string };

/** Performs an operation. Only errors with a POSIX code are results; anything else is thrown on. */
export async function apply(driver: Driver, operation: FileOperation): Promise<Result> {
  try {
    return { ok: comparable(await driver.perform(operation)) };
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return { error: code };
    throw error;
  }
}

function comparable(value: Value): Value {
  if (typeof value !== 'object' || Array.isArray(value)) return value;
  return { ...value, id: 0 };
}

/** One object of a snapshot: everything that can be seen of it. */
export interface Seen extends Stat {
  content?: string;
  target?: string;
  entries?: string[];
  xattrs?: Record<string, string>;
}

/** A whole tree, by path. */
export type Snapshot = Record<string, Seen>;

/** Reads the whole tree under `path`. */
export async function snapshot(driver: Driver, path = '/'): Promise<Snapshot> {
  const seen: Snapshot = {};
  const visit = async (at: string): Promise<void> => {
    const object: Seen = { ...((await driver.perform({ kind: 'stat', path: at })) as Stat) };
    seen[at] = object;
    for (const name of (await driver.perform({ kind: 'listxattr', path: at })) as string[]) {
      object.xattrs ??= {};
      object.xattrs[name] = (await driver.perform({ kind: 'getxattr', path: at, name })) as string;
    }
    const type = object.mode >>> 12;
    if (type === 8) object.content = (await driver.perform({ kind: 'read', path: at })) as string;
    if (type === 10) object.target = (await driver.perform({ kind: 'readlink', path: at })) as string;
    if (type !== 4) return;
    object.entries = (await driver.perform({ kind: 'readdir', path: at })) as string[];
    for (const entry of object.entries) await visit(at === '/' ? `/${nameOf(entry)}` : `${at}/${nameOf(entry)}`);
  };
  await visit(path);
  return seen;
}

/** An entry of a `readdir` result: the name, and the type as `readdir` reports it. */
export function entryText(name: string, type: number): string {
  return `${name}:${type}`;
}

function nameOf(entry: string): string {
  return entry.slice(0, entry.lastIndexOf(':'));
}

/** A snapshot for comparison between drivers: objects with several names are named by the first of them. */
export function canonical(snapshot: Snapshot): Record<string, unknown> {
  const first = new Map<number, string>();
  const out: Record<string, unknown> = {};
  for (const path of Object.keys(snapshot).sort()) {
    const { id, ...rest } = snapshot[path] as Seen;
    if (!first.has(id)) first.set(id, path);
    out[path] = { ...rest, same: first.get(id) };
  }
  return out;
}

/** The parent directories' names and the last one. "/" has neither. */
export function splitPath(path: string): { parents: string[]; name: string } {
  const parts = path.split('/').filter((part) => part !== '');
  return { parents: parts.slice(0, -1), name: parts.at(-1) ?? '' };
}

/** The slot of a path "@n". */
export function slotOf(path: string): number | undefined {
  return path.startsWith('@') ? Number(path.slice(1)) : undefined;
}
