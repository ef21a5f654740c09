/**
 * The overlay as a driver: walks paths as an adapter does, holding a reference on every inode it passes. With "forget" it
 * gives each back at the end, as the kernel may at any moment, so that nothing rests on what the overlay has cached.
 */
import { type Attributes, isDirectory, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../attributes.js';
import { FsError } from '../errors.js';
import { exchange } from '../exchange.js';
import type { OpenHandle } from '../file.js';
import type { Inode } from '../inode.js';
import { decodeName, encodeName } from '../names.js';
import type { Overlay } from '../overlay.js';
import { type Mode, type Operation, runAsync, runSync } from '../run.js';
import { getxattr, listxattr, removexattr, setxattr } from '../xattrs.js';
import { type Driver, entryText, type FileOperation, slotOf, splitPath, type Stat, type Value } from './operations.js';

/** How an overlay is driven. */
export interface OverlayDriverOptions {
  /** Whether operations are run by `runSync` or `runAsync`. */
  mode: Mode;
  /** Whether inodes stay cached between operations. */
  inodes: 'keep' | 'forget';
}

const HOW = {
  r: { read: true, write: false, append: false, truncate: false },
  'r+': { read: true, write: true, append: false, truncate: false },
  w: { read: true, write: true, append: false, truncate: true },
  a: { read: true, write: true, append: true, truncate: false },
} as const;

/** Inodes that one operation holds. */
type Held = Inode[];

/** Performs operations on an overlay, by path. */
export class OverlayDriver implements Driver {
  readonly overlay: Overlay;
  readonly #options: OverlayDriverOptions;
  readonly #handles = new Map<number, OpenHandle>();

  constructor(overlay: Overlay, options: OverlayDriverOptions) {
    this.overlay = overlay;
    this.#options = options;
  }

  /** Open handles. */
  get openCount(): number {
    return this.#handles.size;
  }

  perform(operation: FileOperation): Value | PromiseLike<Value> {
    const running = this.#perform(operation);
    return this.#options.mode === 'sync' ? runSync(running) : runAsync(running);
  }

  *#perform(operation: FileOperation): Operation<Value> {
    const held: Held = [];
    try {
      return yield* this.#dispatch(operation, held);
    } finally {
      if (this.#options.inodes === 'forget') for (const inode of held.reverse()) this.overlay.forget(inode);
    }
  }

  *#dispatch(op: FileOperation, held: Held): Operation<Value> {
    const { overlay } = this;
    switch (op.kind) {
      case 'create':
      case 'mkdir':
      case 'symlink':
      case 'mknod':
        return yield* this.#create(op, held);
      case 'link': {
        const inode = yield* this.#find(op.from, held);
        const to = yield* this.#parent(op.to, held);
        this.#hold((yield* overlay.link(inode, to.dir, to.name)).inode, held);
        return undefined;
      }
      case 'unlink': {
        const { dir, name } = yield* this.#parent(op.path, held);
        yield* overlay.unlink(dir, name);
        return undefined;
      }
      case 'rmdir': {
        const { dir, name } = yield* this.#parent(op.path, held);
        yield* overlay.rmdir(dir, name);
        return undefined;
      }
      case 'rename': {
        const from = yield* this.#parent(op.from, held);
        const to = yield* this.#parent(op.to, held);
        const { flag } = op;
        if (flag === 'exchange') yield* overlay.perform(exchange, from.dir, from.name, to.dir, to.name);
        else yield* overlay.rename(from.dir, from.name, to.dir, to.name, flag);
        return undefined;
      }
      case 'write':
      case 'append':
        return yield* this.#write(op, held);
      case 'truncate':
        yield* overlay.setattr(yield* this.#find(op.path, held), { size: op.size });
        return undefined;
      case 'chmod':
        yield* overlay.setattr(yield* this.#find(op.path, held), { mode: op.mode });
        return undefined;
      case 'chown':
        yield* overlay.setattr(yield* this.#find(op.path, held), { uid: op.uid, gid: op.gid }, 'clear-set-id');
        return undefined;
      case 'utimes': {
        const time = { sec: op.seconds, nsec: 0 };
        yield* overlay.setattr(yield* this.#find(op.path, held), { atime: time, mtime: time });
        return undefined;
      }
      case 'setxattr': {
        const inode = yield* this.#find(op.path, held);
        yield* overlay.perform(setxattr, inode, op.name, encodeName(op.value), op.condition);
        return undefined;
      }
      case 'removexattr':
        yield* overlay.perform(removexattr, yield* this.#find(op.path, held), op.name);
        return undefined;
      case 'getxattr':
        return decodeName(yield* overlay.perform(getxattr, yield* this.#find(op.path, held), op.name));
      case 'listxattr':
        return (yield* overlay.perform(listxattr, yield* this.#find(op.path, held))).sort();
      case 'stat':
        return statOf(yield* overlay.getattr(yield* this.#find(op.path, held)));
      case 'read':
        return yield* this.#readAll(yield* this.#find(op.path, held));
      case 'readlink':
        return yield* overlay.readlink(yield* this.#find(op.path, held));
      case 'readdir': {
        const entries = yield* overlay.readdir(yield* this.#find(op.path, held));
        return entries.map(({ name, type }) => entryText(name, type)).sort();
      }
      default:
        return yield* this.#handle(op, held);
    }
  }

  *#create(
    op: Extract<FileOperation, { kind: 'create' | 'mkdir' | 'symlink' | 'mknod' }>,
    held: Held,
  ): Operation<undefined> {
    const { dir, name } = yield* this.#parent(op.path, held);
    const object =
      op.kind === 'create'
        ? { mode: S_IFREG | op.mode, uid: op.uid, gid: op.gid }
        : op.kind === 'mkdir'
          ? { mode: S_IFDIR | op.mode, uid: op.uid, gid: op.gid }
          : op.kind === 'symlink'
            ? { mode: S_IFLNK | 0o777, uid: 0, gid: 0, target: op.target }
            : { mode: op.mode, uid: 0, gid: 0, rdev: op.rdev };
    this.#hold((yield* this.overlay.create(dir, name, object)).inode, held);
  }

  *#write(op: Extract<FileOperation, { kind: 'write' | 'append' }>, held: Held): Operation<number> {
    const inode = yield* this.#find(op.path, held);
    const handle = yield* this.overlay.open(inode, HOW[op.kind === 'append' ? 'a' : 'r+']);
    try {
      const position = op.kind === 'append' ? 0 : op.position;
      return yield* this.overlay.write(handle, encodeName(op.text), position);
    } finally {
      yield* this.overlay.release(handle);
    }
  }

  *#readAll(inode: Inode): Operation<string> {
    const handle = yield* this.overlay.open(inode, HOW.r);
    try {
      const { size } = yield* this.overlay.getattr(inode);
      const buffer = new Uint8Array(size);
      const length = yield* this.overlay.read(handle, buffer, 0);
      return decodeName(buffer, 0, length);
    } finally {
      yield* this.overlay.release(handle);
    }
  }

  *#handle(
    op: Extract<FileOperation, { kind: 'open' | 'pread' | 'pwrite' | 'fsync' | 'close' }>,
    held: Held,
  ): Operation<Value> {
    const { overlay } = this;
    if (op.kind === 'open') {
      const handle = yield* overlay.open(yield* this.#find(op.path, held), HOW[op.how]);
      const stale = this.#handles.get(op.slot);
      this.#handles.set(op.slot, handle);
      if (stale !== undefined) yield* overlay.release(stale);
      return undefined;
    }
    const handle = this.#handles.get(op.slot);
    if (handle === undefined) throw new FsError('EBADF');
    switch (op.kind) {
      case 'pread': {
        const buffer = new Uint8Array(op.length);
        return decodeName(buffer, 0, yield* overlay.read(handle, buffer, op.position));
      }
      case 'pwrite':
        return yield* overlay.write(handle, encodeName(op.text), op.position);
      case 'fsync':
        yield* overlay.fsync(handle, 'all');
        return undefined;
      case 'close':
        yield* this.#close(op.slot);
        return undefined;
    }
  }

  *#close(slot: number): Operation<void> {
    const handle = this.#handles.get(slot);
    this.#handles.delete(slot);
    if (handle !== undefined) yield* this.overlay.release(handle);
  }

  #hold(inode: Inode, held: Held): Inode {
    if (this.#options.inodes === 'forget') {
      this.overlay.retain(inode);
      held.push(inode);
    }
    return inode;
  }

  *#find(path: string, held: Held): Operation<Inode> {
    const slot = slotOf(path);
    if (slot !== undefined) {
      const handle = this.#handles.get(slot);
      if (handle === undefined) throw new FsError('EBADF');
      return this.#hold(handle.inode, held);
    }
    const { dir, name } = yield* this.#parent(path, held);
    return name === '' ? dir : yield* this.#step(dir, name, held);
  }

  *#parent(path: string, held: Held): Operation<{ dir: Inode; name: string }> {
    const { parents, name } = splitPath(path);
    let dir = this.#hold(this.overlay.root, held);
    for (const parent of parents) dir = yield* this.#step(dir, parent, held);
    // System calls find this out while they walk, before anything else is looked at.
    if (!dir.isDirectory) throw new FsError('ENOTDIR', { path });
    return { dir, name };
  }

  *#step(dir: Inode, name: string, held: Held): Operation<Inode> {
    const entry = yield* this.overlay.lookup(dir, name);
    if (entry === undefined) throw new FsError('ENOENT', { path: name });
    return this.#hold(entry.inode, held);
  }
}

/** Attributes as {@link Stat} compares them. */
export function statOf(attributes: Attributes): Stat {
  const { ino, mode, uid, gid, nlink, size, rdev } = attributes;
  const stat: Stat = { id: ino, mode, uid, gid };
  const type = mode & S_IFMT;
  if (!isDirectory(mode)) stat.nlink = nlink;
  if (type === S_IFREG || type === S_IFLNK) stat.size = size;
  if (type === 0o020000 || type === 0o060000) stat.rdev = rdev;
  return stat;
}
