/**
 * Makes new objects in a directory of the target that nothing else knows, complete with data and attributes, so that giving
 * them their places is all that is left to do.
 */
import {
  type Attributes,
  isDirectory,
  isRegular,
  isSymlink,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  type Time,
} from '../attributes.js';
import type { Creation } from '../create.js';
import { FsError, isFsError } from '../errors.js';
import { type OpenHandle, seek } from '../file.js';
import type { Inode } from '../inode.js';
import type { Overlay } from '../overlay.js';
import { type Operation, wait } from '../run.js';
import { listxattr } from '../xattrs.js';
import { type State, xattrsOf } from './state.js';
import { type Dress, inodeAt, inParent, join, setDress } from './steps.js';

const BUFFER_SIZE = 1 << 20;
const READ = { read: true, write: false, append: false, truncate: false };
const WRITE = { read: true, write: true, append: false, truncate: false };
const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

/** What a new object is made of. */
export interface Blueprint {
  attributes: Attributes;
  xattrs: ReadonlyMap<string, Uint8Array>;
  /** Where the data of a file, or the target of a symbolic link, is. */
  content: { overlay: Overlay; inode: Inode };
}

export class Staging {
  readonly path: string;
  readonly #target: State;
  #slots = 0;
  /** Directories that get their attributes when they have their entries. */
  readonly #undressed: { inode: Inode; dress: Dress }[] = [];

  private constructor(target: State, path: string) {
    this.#target = target;
    this.path = path;
  }

  /** Makes the directory, in the root of the target, under a name that is free. */
  static *open(target: State): Operation<Staging> {
    const { overlay } = target;
    const { uid, gid } = yield* overlay.getattr(overlay.root);
    for (let number = 1; ; number++) {
      const name = `.ovl-apply-${number}`;
      if ((yield* overlay.lookup(overlay.root, name)) !== undefined) continue;
      const object = { mode: S_IFDIR | 0o700, uid, gid };
      const { inode } = yield* overlay.create(overlay.root, name, object);
      const staging = new Staging(target, `/${name}`);
      try {
        // Nothing is to be inherited from the root: neither its group nor an ACL.
        const acls = (yield* overlay.perform(listxattr, inode)).filter((each) => each.startsWith('system.posix_acl_'));
        const xattrs = new Map(acls.map((each) => [each, undefined]));
        yield* setDress(overlay, inode, { attributes: { mode: 0o700 }, xattrs });
      } catch (error) {
        yield* staging.remove();
        throw error;
      }
      return staging;
    }
  }

  /** A new name in it. */
  slot(): string {
    return join(this.path, `${++this.#slots}`);
  }

  /** Makes an object at a path in it. A directory has its attributes after {@link finish}. */
  *make(path: string, { attributes, xattrs, content }: Blueprint): Operation<void> {
    const target = this.#target.overlay;
    const { mode, uid, gid, rdev } = attributes;
    const object: Creation = { mode: stagingMode(mode), uid, gid, rdev };
    if (isSymlink(mode)) object.target = yield* content.overlay.readlink(content.inode);
    const { inode } = yield* inParent(target, path, (dir, name) => target.create(dir, name, object));
    const dress = dressOf(attributes, xattrs);
    if (isDirectory(mode)) {
      target.retain(inode);
      this.#undressed.push({ inode, dress });
      return;
    }
    target.retain(inode);
    try {
      if (isRegular(mode)) yield* this.#copyData(content, inode, attributes.size);
      yield* setDress(target, inode, dress);
    } finally {
      target.forget(inode);
    }
  }

  /** Makes a further name of an object of the target. */
  *link(path: string, existing: string): Operation<void> {
    const target = this.#target.overlay;
    yield* inParent(target, path, function* (dir, name) {
      yield* target.link(yield* inodeAt(target, existing), dir, name);
    });
  }

  /** Makes a copy of a whole tree. */
  *copyTree(path: string, from: Overlay, inode: Inode, made: Map<number, string> = new Map()): Operation<void> {
    const attributes = yield* from.getattr(inode);
    const first = made.get(attributes.ino);
    if (first !== undefined) return yield* this.link(path, first);
    if (!inode.isDirectory && attributes.nlink > 1) made.set(attributes.ino, path);
    from.retain(inode);
    try {
      yield* this.make(path, { attributes, xattrs: yield* xattrsOf(from, inode), content: { overlay: from, inode } });
      if (!inode.isDirectory) return;
      const entries = yield* from.readdir(inode);
      for (const { name } of entries) {
        const entry = yield* from.lookup(inode, name);
        if (entry !== undefined) yield* this.copyTree(join(path, name), from, entry.inode, made);
      }
    } finally {
      from.forget(inode);
    }
  }

  /** Gives the directories made so far their attributes. */
  *finish(): Operation<void> {
    const { overlay } = this.#target;
    for (const { inode, dress } of this.#undressed.toReversed()) yield* setDress(overlay, inode, dress);
    this.#release();
  }

  *remove(): Operation<void> {
    this.#release();
    yield* removeTree(this.#target.overlay, this.path);
  }

  #release(): void {
    for (const { inode } of this.#undressed.splice(0)) this.#target.overlay.forget(inode);
  }

  *#copyData(from: Blueprint['content'], to: Inode, size: number): Operation<void> {
    const target = this.#target.overlay;
    const source = yield* from.overlay.open(from.inode, READ);
    try {
      const handle = yield* target.open(to, WRITE);
      try {
        const { upper } = this.#target.stack;
        const { writable } = handle;
        const copied =
          upper?.copyData !== undefined &&
          writable !== undefined &&
          size > 0 &&
          (yield* wait(upper.copyData(source.file, writable, size)));
        if (!copied) yield* copySegments(from.overlay, source, target, handle, size);
      } finally {
        yield* target.release(handle);
      }
    } finally {
      yield* from.overlay.release(source);
    }
    yield* target.setattr(to, { size }); // a hole at the end
  }
}

/** Removes what is at a path, with all below it. Nothing if there is nothing. */
export function* removeTree(overlay: Overlay, path: string): Operation<void> {
  yield* inParent(overlay, path, (dir, name) => removeEntry(overlay, dir, name));
}

function* removeEntry(overlay: Overlay, dir: Inode, name: string): Operation<void> {
  const inode = (yield* overlay.lookup(dir, name))?.inode;
  if (inode === undefined) return;
  if (!inode.isDirectory) return yield* overlay.unlink(dir, name);
  overlay.retain(inode);
  try {
    const entries = yield* overlay.readdir(inode);
    // What was taken away keeps its mode, which may not let its owner empty it.
    if (entries.length > 0 && ((yield* overlay.getattr(inode)).mode & 0o700) !== 0o700)
      yield* overlay.setattr(inode, { mode: 0o700 });
    for (const entry of entries) yield* removeEntry(overlay, inode, entry.name);
  } finally {
    overlay.forget(inode);
  }
  yield* overlay.rmdir(dir, name);
}

function stagingMode(mode: number): number {
  if (isRegular(mode)) return S_IFREG | 0o600;
  return isDirectory(mode) ? S_IFDIR | 0o700 : mode;
}

/** All attributes of an object. */
export function dressOf(attributes: Attributes, xattrs: ReadonlyMap<string, Uint8Array> = NO_XATTRS): Dress {
  const { mode, uid, gid } = attributes;
  const change = { uid, gid, ...timesOf(attributes) };
  return { attributes: isSymlink(mode) ? change : { ...change, mode: mode & ~S_IFMT }, xattrs };
}

export function timesOf(attributes: Attributes): { atime: Time; mtime: Time } {
  return {
    atime: { sec: attributes.atimeSec, nsec: attributes.atimeNsec },
    mtime: { sec: attributes.mtimeSec, nsec: attributes.mtimeNsec },
  };
}

/** Copies what is data and leaves holes holes. */
function* copySegments(
  from: Overlay,
  source: OpenHandle,
  to: Overlay,
  handle: OpenHandle,
  size: number,
): Operation<void> {
  const buffer = new Uint8Array(Math.min(BUFFER_SIZE, size));
  for (let at = 0; at < size; ) {
    const start = yield* seekOrEnd(from, source, at, 'data', size);
    const end = start < size ? yield* seekOrEnd(from, source, start, 'hole', size) : size;
    for (at = start; at < end; ) {
      const chunk = buffer.subarray(0, Math.min(buffer.length, end - at));
      const length = yield* from.read(source, chunk, at);
      if (length === 0) throw new FsError('ESTALE', { syscall: 'apply' }); // it became shorter meanwhile
      for (let done = 0; done < length; ) {
        const written = yield* to.write(handle, chunk.subarray(done, length), at + done);
        if (written === 0) throw new FsError('ENOSPC', { syscall: 'write' });
        done += written;
      }
      at += length;
    }
  }
}

function* seekOrEnd(
  overlay: Overlay,
  handle: OpenHandle,
  position: number,
  whence: 'data' | 'hole',
  end: number,
): Operation<number> {
  try {
    return Math.min(yield* overlay.perform(seek, handle, position, whence), end);
  } catch (error) {
    if (isFsError(error, 'ENXIO')) return end;
    throw error;
  }
}
