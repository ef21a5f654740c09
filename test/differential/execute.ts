/** Carries out operations on one file system, and shows its whole tree, both as plain data to be compared. */
import { createHash } from 'node:crypto';
import { type Attributes, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '@ovl/core';
import { type Calls, type DirEntry, Errno, type Handle, type OpenRequest } from './calls.js';
import {
  MAY_HAVE_NO_NAME,
  NOW_BEGINS,
  type Operation,
  type Path,
  type Result,
  type Seen,
  type SpecialType,
} from './operations.js';

const TYPES: Record<SpecialType, number> = {
  file: S_IFREG,
  fifo: S_IFIFO,
  char: S_IFCHR,
  block: S_IFBLK,
  socket: S_IFSOCK,
};

/**
 * The inode numbers of the lower layers, with what they stand for: an object shows its lower one's as long as it lives,
 * copied up or not. Undefined for those with several names, which get a number of their own when one is copied up.
 */
export type InoLabels = ReadonlyMap<number, string | undefined>;

type Slot =
  | {
      kind: 'file' | 'directory';
      handle: Handle;
      writable: boolean;
      /** How many names had been removed or moved when it was opened. */
      openedAt: number;
    }
  | undefined;

const READ_ONLY: OpenRequest = {
  read: true,
  write: false,
  create: false,
  exclusive: false,
  truncate: false,
  append: false,
  directory: false,
};

const bytesOf = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill);

function digest(bytes: Uint8Array): string {
  return `${bytes.length} bytes ${createHash('sha1').update(bytes).digest('hex').slice(0, 12)}`;
}

/** Text where it is text. */
function shown(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

/** What of `stat` is the same on two equal file systems. */
function comparable(stat: Attributes, inos: InoLabels | undefined): Record<string, unknown> {
  const type = stat.mode & S_IFMT;
  const isDir = type === S_IFDIR;
  return {
    mode: stat.mode.toString(8),
    uid: stat.uid,
    gid: stat.gid,
    nlink: stat.nlink,
    ...(isDir ? {} : { size: stat.size }),
    ...(type === S_IFCHR || type === S_IFBLK ? { rdev: stat.rdev } : {}),
    // A time is defined where it was set or inherited from a lower layer; "now" is only known to be recent.
    mtime: stat.mtimeSec < NOW_BEGINS ? `${stat.mtimeSec}.${stat.mtimeNsec}` : 'now',
    ino: inos?.get(stat.ino),
  };
}

export class Executor {
  readonly #calls: Calls;
  readonly #inos: InoLabels | undefined;
  readonly #slots: Slot[] = [];
  #namesGone = 0;

  constructor(calls: Calls, inos: InoLabels | undefined) {
    this.#calls = calls;
    this.#inos = inos;
  }

  run(operations: readonly Operation[]): Result[] {
    return operations.map((operation) => {
      const { as } = operation;
      try {
        if (as !== undefined) this.#calls.become(as);
        const value = this.#run(operation) ?? null;
        if (['unlink', 'rmdir', 'rename'].includes(operation.op)) this.#namesGone++;
        return { value };
      } catch (error) {
        if (error instanceof Errno) return { errno: error.code };
        throw error;
      } finally {
        if (as !== undefined) this.#calls.become(0);
      }
    });
  }

  closeAll(): void {
    for (const slot of this.#slots) if (slot !== undefined) this.#calls.close(slot.handle);
    this.#slots.length = 0;
  }

  #at(path: Path): [Handle | undefined, string] {
    const slot = path.at === undefined ? undefined : this.#slots[path.at];
    return [slot?.kind === 'directory' ? slot.handle : undefined, path.path];
  }

  #put(index: number, slot: Slot): void {
    const old = this.#slots[index];
    if (old !== undefined) this.#calls.close(old.handle);
    this.#slots[index] = slot;
  }

  /** Devices and pipes are not opened: what happens then is the driver's, not the file system's. */
  #openFile(path: Path, request: Partial<OpenRequest>, mode = 0): Handle | undefined {
    const [dir, name] = this.#at(path);
    try {
      const type = this.#calls.stat(dir, name).mode & S_IFMT;
      if (type !== S_IFREG && type !== S_IFDIR && type !== S_IFLNK) return undefined;
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
    }
    return this.#calls.open(dir, name, { ...READ_ONLY, ...request }, mode);
  }

  #withFile<T>(path: Path, request: Partial<OpenRequest>, mode: number, use: (handle: Handle) => T): T | 'special' {
    const handle = this.#openFile(path, request, mode);
    if (handle === undefined) return 'special';
    try {
      return use(handle);
    } finally {
      this.#calls.close(handle);
    }
  }

  #run(operation: Operation): unknown {
    if ('slot' in operation && operation.op !== 'open' && operation.op !== 'opendir') {
      const slot = this.#slots[operation.slot];
      return slot === undefined ? 'empty slot' : this.#runOnHandle(operation, slot);
    }
    return this.#runOnPath(operation);
  }

  #runOnHandle(operation: Operation & { slot: number }, slot: NonNullable<Slot>): unknown {
    const calls = this.#calls;
    const { kind, handle } = slot;
    const isFile = kind === 'file';
    // The kernel cannot copy up what has lost its name (EEXIST from the whiteout); ours can. So what may still be a lower
    // object is not changed through a handle once a name was removed.
    const changes = ['fchmod', 'fchown', 'futimens', 'fsetxattr'].includes(operation.op);
    if (changes && !slot.writable && slot.openedAt !== this.#namesGone) return 'may have no name';
    switch (operation.op) {
      case 'close':
        this.#put(operation.slot, undefined);
        return;
      case 'pread':
        return isFile ? digest(calls.pread(handle, operation.length, operation.offset)) : 'directory';
      case 'pwrite':
        return isFile ? calls.pwrite(handle, bytesOf(operation.length, operation.fill), operation.offset) : 'directory';
      case 'ftruncate':
        return isFile ? calls.ftruncate(handle, operation.size) : 'directory';
      case 'fallocate':
        return isFile ? calls.fallocate(handle, operation.mode, operation.offset, operation.length) : 'directory';
      case 'lseek':
        return isFile ? this.#seek(handle, operation.offset, operation.whence) : 'directory';
      case 'fsync':
        return calls.fsync(handle);
      case 'fstat':
        return this.#open(calls.fstat(handle), slot);
      case 'fchmod':
        return calls.fchmod(handle, operation.mode);
      case 'fchown':
        return calls.fchown(handle, operation.uid, operation.gid);
      case 'futimens':
        return calls.futimens(handle, operation.atime, operation.mtime);
      case 'fsetxattr':
        return calls.fsetxattr(handle, operation.name, Buffer.from(operation.value), operation.flags);
      case 'flistxattr':
        return calls.flistxattr(handle).sort();
      case 'freaddir':
        return isFile ? 'file' : this.#listed(handle);
      default:
        throw new Error(`no operation on a handle: ${operation.op}`);
    }
  }

  /**
   * The link count of an open object that was removed is left out where it had a lower one: the kernel shows that one's,
   * ours the 0 that POSIX asks for. So for directories always. Whether it had one may only show on one side: `reconcileLinks`.
   */
  #open(stat: Attributes, slot: NonNullable<Slot>): unknown {
    const seen = comparable(stat, this.#inos);
    const mayHaveNoName = slot.openedAt !== this.#namesGone && this.#inos?.has(stat.ino) === true;
    if ((stat.mode & S_IFMT) === S_IFDIR) delete seen.nlink;
    else if (mayHaveNoName) seen.nlink = MAY_HAVE_NO_NAME;
    return seen;
  }

  /**
   * POSIX moves the times only if the length changes, Linux leaves it to the file system under the overlay (tmpfs moves
   * them if the file has pages). So a truncation to the present length is not made.
   */
  #truncate(path: Path, size: number): unknown {
    const calls = this.#calls;
    const at = this.#at(path);
    try {
      const present = calls.stat(...at);
      if ((present.mode & S_IFMT) === S_IFLNK) return 'a link';
      if ((present.mode & S_IFMT) === S_IFREG && present.size === size) return 'that long already';
    } catch (error) {
      if (!(error instanceof Errno)) throw error; // truncate itself shall answer
    }
    return calls.truncate(...at, size);
  }

  /**
   * Where the holes are is not compared, since the kernel's copy-up fills those that ours keeps; but what is said to be a
   * hole must read as zeros.
   */
  #seek(handle: Handle, offset: number, whence: 'data' | 'hole'): unknown {
    const calls = this.#calls;
    const { size } = calls.fstat(handle);
    let found = size;
    try {
      found = calls.lseek(handle, offset, whence);
    } catch (error) {
      if (!(error instanceof Errno) || error.code !== 'ENXIO' || offset >= size || whence === 'hole') throw error;
    }
    if (found < offset || found > size) return `out of range: ${found}`;
    if (whence === 'hole') return 'a hole, or the end';
    try {
      return calls.pread(handle, found - offset, offset).every((byte) => byte === 0)
        ? 'zeros until there'
        : 'data skipped';
    } catch {
      return 'zeros until there'; // open for writing only
    }
  }

  /** Order is not compared; a name that comes twice is. */
  #listed(handle: Handle): string[] {
    return visible(this.#calls, handle)
      .map(({ name, type }) => `${name} ${type}`)
      .sort();
  }

  #runOnPath(operation: Operation): unknown {
    const calls = this.#calls;
    switch (operation.op) {
      case 'open': {
        const { access, create, truncate, append } = operation.open;
        const request = {
          read: access !== 'w',
          write: access !== 'r',
          create: create !== undefined,
          exclusive: create === 'exclusive',
          truncate: truncate === true,
          append: append === true,
        };
        const handle = this.#openFile(operation.path, request, operation.mode);
        if (handle === undefined) return 'special';
        const type = calls.fstat(handle).mode & S_IFMT;
        const kind = type === S_IFDIR ? 'directory' : 'file';
        this.#put(operation.slot, { kind, handle, writable: request.write, openedAt: this.#namesGone });
        return;
      }
      case 'opendir': {
        const handle = calls.open(...this.#at(operation.path), { ...READ_ONLY, directory: true }, 0);
        this.#put(operation.slot, { kind: 'directory', handle, writable: false, openedAt: this.#namesGone });
        return;
      }
      case 'copy': {
        const from = this.#slots[operation.from];
        const to = this.#slots[operation.to];
        if (from?.kind !== 'file' || to?.kind !== 'file') return 'no files';
        return calls.copy(from.handle, operation.fromOffset, to.handle, operation.toOffset, operation.length);
      }
      case 'create':
        return this.#withFile(
          operation.path,
          { write: true, create: true, exclusive: true },
          operation.mode,
          () => undefined,
        );
      case 'write':
        return this.#withFile(operation.path, { write: true }, 0, (handle) =>
          calls.pwrite(handle, bytesOf(operation.length, operation.fill), operation.offset),
        );
      case 'append':
        return this.#withFile(operation.path, { write: true, append: true }, 0, (handle) =>
          calls.pwrite(handle, bytesOf(operation.length, operation.fill), 0),
        );
      case 'overwrite':
        return this.#withFile(operation.path, { write: true, create: true, truncate: true }, 0o666, (handle) =>
          calls.pwrite(handle, bytesOf(operation.length, operation.fill), 0),
        );
      case 'read':
        return this.#withFile(operation.path, {}, 0, (handle) => contentOf(calls, handle));
      case 'truncate':
        return this.#truncate(operation.path, operation.size);
      case 'mkdir':
        return calls.mkdir(...this.#at(operation.path), operation.mode);
      case 'mknod':
        return calls.mknod(...this.#at(operation.path), TYPES[operation.type] | operation.mode, operation.rdev);
      case 'symlink':
        return calls.symlink(operation.target, ...this.#at(operation.path));
      case 'link':
        return calls.link(...this.#at(operation.from), ...this.#at(operation.to));
      case 'unlink':
        return calls.unlink(...this.#at(operation.path));
      case 'rmdir':
        return calls.rmdir(...this.#at(operation.path));
      case 'rename':
        return calls.rename(...this.#at(operation.from), ...this.#at(operation.to), operation.flags);
      case 'chmod':
        return calls.chmod(...this.#at(operation.path), operation.mode);
      case 'chown':
        // FUSE shows the server a request without content, which also comes before every write that takes set-id bits
        // away; so ours cannot refuse it to those who may not own the file, as the kernel does.
        if (operation.uid === -1 && operation.gid === -1 && operation.as !== undefined) return 'not asked';
        return calls.chown(...this.#at(operation.path), operation.uid, operation.gid);
      case 'utimens':
        return calls.utimens(...this.#at(operation.path), operation.atime, operation.mtime);
      case 'setxattr':
        return calls.setxattr(
          ...this.#at(operation.path),
          operation.name,
          Buffer.from(operation.value),
          operation.flags,
        );
      case 'getxattr':
        return shown(calls.getxattr(...this.#at(operation.path), operation.name));
      case 'removexattr':
        return calls.removexattr(...this.#at(operation.path), operation.name);
      case 'listxattr':
        return calls.listxattr(...this.#at(operation.path)).sort();
      case 'readlink':
        return calls.readlink(...this.#at(operation.path));
      case 'readdir': {
        const handle = calls.open(...this.#at(operation.path), { ...READ_ONLY, directory: true }, 0);
        try {
          return this.#listed(handle);
        } finally {
          calls.close(handle);
        }
      }
      case 'stat':
        return comparable(calls.stat(...this.#at(operation.path)), this.#inos);
      default:
        throw new Error(`no operation on a path: ${operation.op}`);
    }
  }
}

/**
 * The entries of an open directory, without the whiteouts that the kernel lists where a lower directory that holds them
 * merges with nothing: it denies them to every other call, and ours never shows them.
 */
function visible(calls: Calls, handle: Handle): DirEntry[] {
  return calls.freaddir(handle).filter(({ name, type }) => {
    if (type !== S_IFCHR >> 12) return true;
    try {
      calls.stat(handle, name);
      return true;
    } catch (error) {
      if (error instanceof Errno && error.code === 'ENOENT') return false;
      throw error;
    }
  });
}

/**
 * Everything that can be seen below the root, in order of names. `numbered`: which objects have inode numbers that last,
 * "files" being files and directories.
 */
export function snapshot(calls: Calls, inos: InoLabels | undefined, numbered: 'all' | 'files' = 'all'): Seen[] {
  const seen: Seen[] = [];
  const firstNames = new Map<number, string>();
  const visit = (path: string, entryIno: number | undefined): void => {
    let stat: Attributes;
    try {
      stat = calls.stat(undefined, path);
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      seen.push({ path, stat: `listed, but ${error.code}`, xattrs: {}, ino: 'differs' });
      return;
    }
    const type = stat.mode & S_IFMT;
    const lasts = numbered === 'all' || type === S_IFREG || type === S_IFDIR;
    const object: Seen = {
      path,
      stat: comparable(stat, inos),
      xattrs: xattrsOf(calls, path),
      ino: entryIno === undefined || entryIno === stat.ino || !lasts ? 'agrees' : 'differs',
    };
    seen.push(object);
    if (type === S_IFLNK) object.target = calls.readlink(undefined, path);
    if (type === S_IFREG) {
      const handle = calls.open(undefined, path, READ_ONLY, 0);
      object.content = contentOf(calls, handle);
      calls.close(handle);
    }
    if (type !== S_IFDIR && lasts && stat.nlink > 1) {
      const first = firstNames.get(stat.ino);
      if (first === undefined) firstNames.set(stat.ino, path);
      else object.sameAs = first;
    }
    if (type !== S_IFDIR) return;
    const handle = calls.open(undefined, path, { ...READ_ONLY, directory: true }, 0);
    const entries = visible(calls, handle);
    calls.close(handle);
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const { name, ino } of entries) visit(path === '' ? name : `${path}/${name}`, ino);
  };
  visit('', undefined);
  return seen;
}

function xattrsOf(calls: Calls, path: string): Record<string, string> | string {
  try {
    const names = calls.listxattr(undefined, path).sort();
    return Object.fromEntries(names.map((name) => [name, shown(calls.getxattr(undefined, path, name))]));
  } catch (error) {
    if (error instanceof Errno) return error.code;
    throw error;
  }
}

/** All the bytes, and some that should not be there. */
function contentOf(calls: Calls, handle: Handle): string {
  return digest(calls.pread(handle, calls.fstat(handle).size + 4096, 0));
}
