/** A mounted file system as a driver of `@ovl/core/testing`: what the flat model is asked, by system calls below one directory. */
import { DT_CHR, decodeName, encodeName, isDirectory } from '@ovl/core';
import { type Driver, type FileOperation, statOf, type Value } from '@ovl/core/testing';
import { type DirEntry, Errno, type OpenRequest } from '../differential/calls.js';
import { KernelCalls } from '../differential/kernel-calls.js';

const REGULAR = { write: false, create: false, exclusive: false, truncate: false, append: false, directory: false };
const HOW: Record<'r' | 'r+' | 'w' | 'a', OpenRequest> = {
  r: { ...REGULAR, read: true },
  'r+': { ...REGULAR, read: true, write: true },
  w: { ...REGULAR, read: true, write: true, truncate: true },
  a: { ...REGULAR, read: true, write: true, append: true },
};
const NEW: OpenRequest = { ...HOW['r+'], create: true, exclusive: true };
const DIRECTORY: OpenRequest = { ...HOW.r, directory: true };
const FLAGS = { noreplace: 1, exchange: 2, whiteout: 4, 'noreplace-whiteout': 5 } as const;
const XATTR_FLAGS = { create: 1, replace: 2 } as const;

export class MountDriver implements Driver {
  readonly #calls: KernelCalls;
  readonly #slots = new Map<number, number>();

  readonly #by: 'ovl' | 'kernel';

  constructor(root: string, by: 'ovl' | 'kernel' = 'ovl') {
    this.#by = by;
    this.#calls = new KernelCalls(root);
    this.#calls.umask(0);
  }

  perform(op: FileOperation): Value {
    const calls = this.#calls;
    switch (op.kind) {
      case 'write':
        return this.#opened(op.path, HOW['r+'], (fd) => calls.pwrite(fd, encodeName(op.text), op.position));
      case 'append':
        return this.#opened(op.path, HOW.a, (fd) => calls.pwrite(fd, encodeName(op.text), 0));
      case 'getxattr':
        return decodeName(calls.getxattr(undefined, relative(op.path), op.name));
      case 'listxattr':
        return calls.listxattr(undefined, relative(op.path)).sort();
      case 'stat':
        return statOf(calls.stat(undefined, relative(op.path)));
      case 'read':
        return this.#opened(op.path, HOW.r, (fd) => this.#readAll(fd));
      case 'readlink':
        return calls.readlink(undefined, relative(op.path));
      case 'readdir':
        return this.#list(op.path).map(entryText).sort();
      case 'pread':
        return decodeName(calls.pread(this.#slot(op.slot), op.length, op.position));
      case 'pwrite':
        return calls.pwrite(this.#slot(op.slot), encodeName(op.text), op.position);
      default:
        this.#change(op);
        return undefined;
    }
  }

  /** What answers nothing. */
  #change(op: FileOperation): void {
    const calls = this.#calls;
    switch (op.kind) {
      case 'create':
        return calls.close(calls.open(undefined, relative(op.path), NEW, op.mode));
      case 'mkdir':
        return calls.mkdir(undefined, relative(op.path), op.mode);
      case 'symlink':
        return calls.symlink(op.target, undefined, relative(op.path));
      case 'mknod':
        return calls.mknod(undefined, relative(op.path), op.mode, op.rdev);
      case 'link':
        return calls.link(undefined, relative(op.from), undefined, relative(op.to));
      case 'unlink':
        return calls.unlink(undefined, relative(op.path));
      case 'rmdir':
        return calls.rmdir(undefined, relative(op.path));
      case 'rename': {
        const flags = op.flag === undefined ? 0 : FLAGS[op.flag];
        return calls.rename(undefined, relative(op.from), undefined, relative(op.to), flags);
      }
      case 'truncate':
        return calls.truncate(undefined, relative(op.path), op.size);
      case 'chmod':
        return calls.chmod(undefined, relative(op.path), op.mode);
      case 'chown':
        return calls.chown(undefined, relative(op.path), op.uid, op.gid);
      case 'utimes':
        return calls.utimens(undefined, relative(op.path), [op.seconds, 0], [op.seconds, 0]);
      case 'setxattr': {
        const flags = op.condition === undefined ? 0 : XATTR_FLAGS[op.condition];
        return calls.setxattr(undefined, relative(op.path), op.name, encodeName(op.value), flags);
      }
      case 'removexattr':
        return calls.removexattr(undefined, relative(op.path), op.name);
      case 'open': {
        const fd = calls.open(undefined, relative(op.path), HOW[op.how], 0);
        if (isDirectory(calls.fstat(fd).mode)) {
          calls.close(fd);
          throw new Errno('EISDIR'); // the system opens it for reading, the model does not
        }
        this.#close(op.slot);
        this.#slots.set(op.slot, fd);
        return undefined;
      }
      case 'fsync':
        return calls.fsync(this.#slot(op.slot));
      case 'close':
        this.#slot(op.slot);
        return this.#close(op.slot);
      default:
        throw new Error(`not a change: ${op.kind}`);
    }
  }

  #slot(slot: number): number {
    const fd = this.#slots.get(slot);
    if (fd === undefined) throw new Errno('EBADF');
    return fd;
  }

  #close(slot: number): void {
    const fd = this.#slots.get(slot);
    this.#slots.delete(slot);
    if (fd !== undefined) this.#calls.close(fd);
  }

  #opened<T>(path: string, how: OpenRequest, use: (fd: number) => T): T {
    const fd = this.#calls.open(undefined, relative(path), how, 0);
    try {
      return use(fd);
    } finally {
      this.#calls.close(fd);
    }
  }

  /** The kernel lists whiteouts of a lower directory that merges with nothing (docs/differences.md). */
  #list(path: string): DirEntry[] {
    const entries = this.#opened(path, DIRECTORY, (fd) => this.#calls.freaddir(fd));
    if (this.#by === 'ovl') return entries;
    return entries.filter(({ name, type }) => type !== DT_CHR || this.#exists(`${relative(path)}/${name}`));
  }

  #exists(path: string): boolean {
    try {
      return this.#calls.stat(undefined, path) !== undefined;
    } catch (error) {
      if (error instanceof Errno && error.code === 'ENOENT') return false;
      throw error;
    }
  }

  #readAll(fd: number): string {
    const parts: Uint8Array[] = [];
    for (let at = 0; ; ) {
      const part = this.#calls.pread(fd, 1 << 18, at);
      if (part.length === 0) return decodeName(Buffer.concat(parts));
      parts.push(part);
      at += part.length;
    }
  }

  /** Lets go of everything, so that the file system can be unmounted. */
  end(): void {
    for (const fd of this.#slots.values()) {
      try {
        this.#calls.close(fd);
      } catch (error) {
        if (!(error instanceof Errno)) throw error; // the server is gone, the descriptor all the same
      }
    }
    this.#slots.clear();
    this.#calls.end();
  }
}

function relative(path: string): string {
  return path === '/' ? '.' : path.slice(1);
}

const entryText = ({ name, type }: DirEntry): string => `${name}:${type}`;
