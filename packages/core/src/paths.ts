/**
 * The path faces: Node-shaped file-system functions over an overlay. Each is written once, as an operation; the
 * synchronous and the promise face run the same one. Paths are absolute and "/"-separated.
 */
import {
  type Attributes,
  DT_DIR,
  DT_LNK,
  DT_REG,
  isDirectory,
  isRegular,
  isSymlink,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  type Time,
} from './attributes.js';
import { type ErrorCode, FsError, isFsError } from './errors.js';
import type { OpenFlags } from './file.js';
import type { Inode } from './inode.js';
import { encodeName } from './names.js';
import type { Entry, Overlay } from './overlay.js';
import { type Mode, type Operation, runAsync, runSync } from './run.js';

/** As in Linux: this many symbolic links in one path are ELOOP. */
const SYMLINKS_MAX = 40;
const CHUNK = 1 << 20;

/** As Node's `fs.Stats`, with times in milliseconds. */
export class Stats {
  readonly dev!: number;
  readonly ino!: number;
  readonly mode!: number;
  readonly nlink!: number;
  readonly uid!: number;
  readonly gid!: number;
  readonly rdev!: number;
  readonly size!: number;
  readonly blksize!: number;
  readonly blocks!: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;

  constructor(attributes: Attributes) {
    Object.assign(this, attributes);
    this.atimeMs = attributes.atimeSec * 1000 + attributes.atimeNsec / 1e6;
    this.mtimeMs = attributes.mtimeSec * 1000 + attributes.mtimeNsec / 1e6;
    this.ctimeMs = attributes.ctimeSec * 1000 + attributes.ctimeNsec / 1e6;
  }

  get mtime(): Date {
    return new Date(this.mtimeMs);
  }

  isFile(): boolean {
    return isRegular(this.mode);
  }

  isDirectory(): boolean {
    return isDirectory(this.mode);
  }

  isSymbolicLink(): boolean {
    return isSymlink(this.mode);
  }
}

/** As Node's `fs.Dirent`. */
export class Dirent {
  readonly name: string;
  readonly parentPath: string;
  readonly #type: number;

  constructor(name: string, parentPath: string, type: number) {
    this.name = name;
    this.parentPath = parentPath;
    this.#type = type;
  }

  isFile(): boolean {
    return this.#type === DT_REG;
  }

  isDirectory(): boolean {
    return this.#type === DT_DIR;
  }

  isSymbolicLink(): boolean {
    return this.#type === DT_LNK;
  }
}

export type FileContent = string | Uint8Array;

interface Located {
  dir: Inode;
  name: string;
  entry: Entry | undefined;
}

type FinalLink = 'follow' | 'nofollow';

class Paths {
  readonly #overlay: Overlay;

  constructor(overlay: Overlay) {
    this.#overlay = overlay;
  }

  *stat(path: string): Operation<Stats> {
    return new Stats((yield* this.#existing(path, 'stat', 'follow')).attributes);
  }

  *lstat(path: string): Operation<Stats> {
    return new Stats((yield* this.#existing(path, 'lstat', 'nofollow')).attributes);
  }

  /** False for every path that `stat` fails on. */
  *exists(path: string): Operation<boolean> {
    try {
      yield* this.#existing(path, 'access', 'follow');
      return true;
    } catch (error) {
      if (isFsError(error)) return false;
      throw error;
    }
  }

  /** Names in byte order of their code units. */
  *readdir(path: string): Operation<string[]> {
    return (yield* this.readdirWithTypes(path)).map((entry) => entry.name);
  }

  *readdirWithTypes(path: string): Operation<Dirent[]> {
    const { inode } = yield* this.#existing(path, 'scandir', 'follow');
    const entries = yield* this.#named('scandir', path, this.#overlay.readdir(inode));
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ name, type }) => new Dirent(name, path, type));
  }

  *readFile(path: string): Operation<Uint8Array> {
    const { inode, attributes } = yield* this.#existing(path, 'open', 'follow');
    const flags: OpenFlags = { read: true, write: false, append: false, truncate: false };
    const handle = yield* this.#named('open', path, this.#overlay.open(inode, flags));
    try {
      // One byte more than the size tells the end from a file that grew since it was looked at.
      let content = new Uint8Array(attributes.size + 1);
      let length = 0;
      for (;;) {
        const got = yield* this.#overlay.read(handle, content.subarray(length), length);
        length += got;
        if (got === 0 || length < content.length) break;
        const grown = new Uint8Array(content.length + CHUNK);
        grown.set(content);
        content = grown;
      }
      return content.subarray(0, length);
    } finally {
      yield* this.#overlay.release(handle);
    }
  }

  writeFile(path: string, content: FileContent, options: { mode?: number } = {}): Operation<void> {
    return this.#write(path, content, { read: false, write: true, append: false, truncate: true }, options.mode);
  }

  appendFile(path: string, content: FileContent, options: { mode?: number } = {}): Operation<void> {
    return this.#write(path, content, { read: false, write: true, append: true, truncate: false }, options.mode);
  }

  /** With `recursive`, also the directories on the way, and no error if it exists. */
  *mkdir(path: string, options: { mode?: number; recursive?: boolean } = {}): Operation<void> {
    const mode = S_IFDIR | (options.mode ?? 0o777 & ~0o022);
    if (options.recursive !== true) {
      yield* this.#create(path, 'mkdir', { mode, uid: 0, gid: 0 });
      return;
    }
    let at = '';
    for (const name of split(path)) {
      at += `/${name}`;
      try {
        yield* this.#create(at, 'mkdir', { mode, uid: 0, gid: 0 });
      } catch (error) {
        if (!isFsError(error, 'EEXIST') || !(yield* this.stat(at)).isDirectory()) throw error;
      }
    }
  }

  *rmdir(path: string): Operation<void> {
    const { dir, name } = yield* this.#locate(path, 'rmdir', 'nofollow');
    yield* this.#named('rmdir', path, this.#overlay.rmdir(dir, name));
  }

  *unlink(path: string): Operation<void> {
    const { dir, name } = yield* this.#locate(path, 'unlink', 'nofollow');
    yield* this.#named('unlink', path, this.#overlay.unlink(dir, name));
  }

  *rename(from: string, to: string): Operation<void> {
    const source = yield* this.#locate(from, 'rename', 'nofollow');
    const target = yield* this.#locate(to, 'rename', 'nofollow');
    const operation = this.#overlay.rename(source.dir, source.name, target.dir, target.name);
    yield* this.#named('rename', from, operation, to);
  }

  *link(existing: string, path: string): Operation<void> {
    const { inode } = yield* this.#existing(existing, 'link', 'nofollow');
    const { dir, name } = yield* this.#locate(path, 'link', 'nofollow');
    yield* this.#named('link', existing, this.#overlay.link(inode, dir, name), path);
  }

  *symlink(target: string, path: string): Operation<void> {
    yield* this.#create(path, 'symlink', { mode: S_IFLNK | 0o777, uid: 0, gid: 0, target });
  }

  *readlink(path: string): Operation<string> {
    const { inode, attributes } = yield* this.#existing(path, 'readlink', 'nofollow');
    if (!isSymlink(attributes.mode)) throw new FsError('EINVAL', { syscall: 'readlink', path });
    return yield* this.#overlay.readlink(inode);
  }

  *chmod(path: string, mode: number): Operation<void> {
    const { inode } = yield* this.#existing(path, 'chmod', 'follow');
    yield* this.#named('chmod', path, this.#overlay.setattr(inode, { mode }));
  }

  *chown(path: string, uid: number, gid: number): Operation<void> {
    const { inode } = yield* this.#existing(path, 'chown', 'follow');
    yield* this.#named('chown', path, this.#overlay.setattr(inode, { uid, gid }));
  }

  *truncate(path: string, size = 0): Operation<void> {
    const { inode } = yield* this.#existing(path, 'open', 'follow');
    yield* this.#named('open', path, this.#overlay.setattr(inode, { size }));
  }

  /** Times as Dates, or in seconds. */
  *utimes(path: string, atime: number | Date, mtime: number | Date): Operation<void> {
    const { inode } = yield* this.#existing(path, 'utime', 'follow');
    yield* this.#named('utime', path, this.#overlay.setattr(inode, { atime: toTime(atime), mtime: toTime(mtime) }));
  }

  *#write(path: string, content: FileContent, flags: OpenFlags, mode = 0o666 & ~0o022): Operation<void> {
    const bytes = typeof content === 'string' ? encodeName(content) : content;
    const located = yield* this.#locate(path, 'open', 'follow');
    const object = { mode: S_IFREG | mode, uid: 0, gid: 0 };
    const { inode } =
      located.entry ?? (yield* this.#named('open', path, this.#overlay.create(located.dir, located.name, object)));
    const handle = yield* this.#named('open', path, this.#overlay.open(inode, flags));
    try {
      for (let done = 0; done < bytes.length; ) {
        const written = yield* this.#overlay.write(handle, bytes.subarray(done), done);
        if (written === 0) throw new FsError('ENOSPC', { syscall: 'write', path });
        done += written;
      }
    } finally {
      yield* this.#overlay.release(handle);
    }
  }

  *#create(path: string, syscall: string, object: Parameters<Overlay['create']>[2]): Operation<void> {
    const { dir, name, entry } = yield* this.#locate(path, syscall, 'nofollow');
    if (entry !== undefined || name === '') throw new FsError('EEXIST', { syscall, path });
    yield* this.#named(syscall, path, this.#overlay.create(dir, name, object));
  }

  *#existing(path: string, syscall: string, final: FinalLink): Operation<Entry> {
    const { entry } = yield* this.#locate(path, syscall, final);
    if (entry === undefined) throw new FsError('ENOENT', { syscall, path });
    return entry;
  }

  /** Walks a path. The root is its own directory under the name "". A missing last name is no error here. */
  *#locate(path: string, syscall: string, final: FinalLink): Operation<Located> {
    const overlay = this.#overlay;
    const fail = (code: ErrorCode): never => {
      throw new FsError(code, { syscall, path });
    };
    if (path.includes('\0') || !path.startsWith('/')) fail('EINVAL');
    let rest = split(path);
    const trail: Inode[] = [overlay.root];
    let links = 0;
    for (let i = 0; i < rest.length; i++) {
      const name = rest[i] as string;
      if (name === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const dir = trail[trail.length - 1] as Inode;
      const entry = yield* this.#named(syscall, path, overlay.lookup(dir, name));
      const isLast = i + 1 === rest.length;
      if (entry === undefined) return isLast ? { dir, name, entry } : fail('ENOENT');
      if (isSymlink(entry.attributes.mode) && (!isLast || final === 'follow')) {
        if (++links > SYMLINKS_MAX) fail('ELOOP');
        const target = yield* overlay.readlink(entry.inode);
        if (target.startsWith('/')) trail.length = 1;
        rest = [...split(target), ...rest.slice(i + 1)];
        i = -1;
        continue;
      }
      if (isLast) return { dir, name, entry };
      if (!isDirectory(entry.attributes.mode)) fail('ENOTDIR');
      trail.push(entry.inode);
    }
    const inode = trail[trail.length - 1] as Inode;
    const attributes = yield* overlay.getattr(inode);
    return { dir: inode.dentry?.dir ?? inode, name: inode.dentry?.name ?? '', entry: { inode, attributes } };
  }

  /** Errors name the call and the path that the user gave. */
  *#named<T>(syscall: string, path: string, operation: Operation<T>, dest?: string): Operation<T> {
    try {
      return yield* operation;
    } catch (cause) {
      if (!isFsError(cause)) throw cause;
      throw new FsError(cause.code, dest === undefined ? { syscall, path, cause } : { syscall, path, dest, cause });
    }
  }
}

function split(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

function toTime(time: number | Date): Time {
  const seconds = typeof time === 'number' ? time : time.getTime() / 1000;
  const sec = Math.floor(seconds);
  return { sec, nsec: Math.round((seconds - sec) * 1e9) };
}

type PathOperations = { [K in keyof Paths]: Paths[K] };
type Result<F> = F extends (...args: never[]) => Operation<infer T> ? T : never;

/** Every function of {@link PromisesFs}, ending in `Sync`, that returns its value. */
export type SyncFs = {
  [K in keyof PathOperations as `${K}Sync`]: (...args: Parameters<PathOperations[K]>) => Result<PathOperations[K]>;
};

/** Path functions that return promises. */
export type PromisesFs = {
  [K in keyof PathOperations]: (...args: Parameters<PathOperations[K]>) => Promise<Result<PathOperations[K]>>;
};

const names = Object.getOwnPropertyNames(Paths.prototype).filter((name) => name !== 'constructor');

function face(overlay: Overlay, suffix: string, run: (operation: Operation<unknown>) => unknown): object {
  const paths = new Paths(overlay) as unknown as Record<string, (...args: unknown[]) => Operation<unknown>>;
  const entries = names.map((name) => [
    name + suffix,
    (...args: unknown[]) => run((paths[name] as (...args: unknown[]) => Operation<unknown>).apply(paths, args)),
  ]);
  return Object.fromEntries(entries) as object;
}

/** The synchronous face. The types refuse an overlay with an asynchronous layer. */
export function syncFs(overlay: Overlay<'sync'>): SyncFs {
  return face(overlay, 'Sync', runSync) as SyncFs;
}

/** The promise face, over any layers. */
export function promisesFs<M extends Mode>(overlay: Overlay<M>): PromisesFs {
  return face(overlay as Overlay, '', runAsync) as PromisesFs;
}
