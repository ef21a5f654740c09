/**
 * The calls made on the core in this process, without a mount: what Linux's VFS does above a file system (walking paths,
 * open flags, the rules for `user.` attributes, umask, set-id bits at chown) is done here in its simplest form, for root.
 */
import {
  allocate,
  type AttributeChange,
  type Attributes,
  copyRange,
  type DirectoryEntry,
  type Entry,
  entryIno,
  errnoOf,
  exchange,
  FsError,
  getxattr,
  type Inode,
  isDirectory,
  isRegular,
  isSymlink,
  listxattr,
  type OpenHandle,
  type Operation,
  type Overlay,
  removexattr,
  runSync,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_ISGID,
  S_ISUID,
  seek,
  setxattr,
} from '@ovl/core';
import { type Calls, type DirEntry, Errno, type Handle, type OpenRequest } from './calls.js';
import {
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  type TimeSpec,
} from './operations.js';

const LINKS_MAX = 40;

type Open =
  | { kind: 'directory'; inode: Inode }
  | { kind: 'file'; inode: Inode; file: OpenHandle; request: OpenRequest };

interface Found {
  dir: Inode;
  name: string;
  entry: Entry | undefined;
}

export class CoreCalls implements Calls {
  readonly #overlay: Overlay<'sync'>;
  #umask = 0;

  constructor(overlay: Overlay<'sync'>) {
    this.#overlay = overlay;
  }

  #do<T>(operation: Operation<T>): T {
    try {
      return runSync(operation);
    } catch (error) {
      if (error instanceof FsError) {
        errnoOf(error.code); // throws for a code that is none
        if (process.env.OVL_STACKS !== undefined) console.error(error.stack);
        throw new Errno(error.code);
      }
      throw error;
    }
  }

  #start(dir: Handle | undefined): Inode {
    return dir === undefined ? this.#overlay.root : (dir as Open).inode;
  }

  #lookup(dir: Inode, name: string): Entry | undefined {
    if (!dir.isDirectory) throw new Errno('ENOTDIR');
    if (dir !== this.#overlay.root && dir.dentry === undefined) throw new Errno('ENOENT'); // removed: IS_DEADDIR
    return this.#do(this.#overlay.lookup(dir, name));
  }

  /** All but the last component, following links; with `follow`, the last one too. */
  #walk(start: Inode, path: string, follow: 'follow' | 'stop' = 'stop', links = 0): Found {
    if (links > LINKS_MAX) throw new Errno('ELOOP');
    let dir = start;
    const parts = path.split('/').filter((part) => part !== '.' && part !== '');
    for (const [i, name] of parts.entries()) {
      const entry = this.#lookup(dir, name);
      const isLast = i === parts.length - 1;
      if (isLast && (follow === 'stop' || entry === undefined || !isSymlink(entry.attributes.mode))) {
        return { dir, name, entry };
      }
      if (entry === undefined) throw new Errno('ENOENT');
      if (!isSymlink(entry.attributes.mode)) {
        dir = entry.inode;
        continue;
      }
      const target = this.#do(this.#overlay.readlink(entry.inode));
      const at = this.#walk(dir, target, 'follow', links + 1);
      if (isLast) return at;
      if (at.entry === undefined) throw new Errno('ENOENT');
      dir = at.entry.inode;
    }
    throw new Errno('ENOENT'); // an empty path
  }

  #existing(dir: Handle | undefined, path: string, follow: 'follow' | 'stop' = 'stop'): Entry {
    if (path === '') {
      const inode = this.#start(dir);
      return { inode, attributes: this.#do(this.#overlay.getattr(inode)) };
    }
    const { entry } = this.#walk(this.#start(dir), path, follow);
    if (entry === undefined) throw new Errno('ENOENT');
    return entry;
  }

  #free(dir: Handle | undefined, path: string): Found {
    const found = this.#walk(this.#start(dir), path);
    if (found.entry !== undefined) throw new Errno('EEXIST');
    return found;
  }

  open(dir: Handle | undefined, path: string, request: OpenRequest, mode: number): Open {
    const { read, write, create, exclusive, truncate, append, directory } = request;
    let entry: Entry | undefined;
    if (create) {
      const found = this.#walk(this.#start(dir), path);
      entry = found.entry;
      if (entry !== undefined && exclusive) throw new Errno('EEXIST');
      if (entry !== undefined && isDirectory(entry.attributes.mode)) throw new Errno('EISDIR');
      if (entry !== undefined && isSymlink(entry.inode.type)) this.#checkSticky(found.dir, entry);
      entry ??= this.#create(found, S_IFREG | mode);
    } else entry = this.#existing(dir, path);
    const { inode } = entry;
    if (isSymlink(inode.type)) throw new Errno(directory ? 'ENOTDIR' : 'ELOOP');
    if (inode.isDirectory) {
      if (write) throw new Errno('EISDIR');
      this.#overlay.retain(inode);
      return { kind: 'directory', inode };
    }
    if (directory) throw new Errno('ENOTDIR');
    const file = this.#do(this.#overlay.open(inode, { read, write, append, truncate }));
    return { kind: 'file', inode, file, request };
  }

  /** A link in a sticky directory that everybody may write is not opened for others with O_CREAT (`may_create_in_sticky`). */
  #checkSticky(dir: Inode, { attributes: { uid } }: Entry): void {
    const parent = this.#do(this.#overlay.getattr(dir));
    if ((parent.mode & 0o1002) === 0o1002 && uid !== 0 && uid !== parent.uid) throw new Errno('EACCES');
  }

  #create({ dir, name }: Found, mode: number, more: { rdev?: number; target?: string } = {}): Entry {
    const permissions = (mode & S_IFMT) === S_IFLNK ? mode | 0o777 : mode & ~this.#umask;
    return this.#do(this.#overlay.create(dir, name, { mode: permissions, uid: 0, gid: 0, ...more }));
  }

  close(handle: Handle): void {
    const open = handle as Open;
    if (open.kind === 'directory') this.#overlay.forget(open.inode);
    else this.#do(this.#overlay.release(open.file));
  }

  #file(handle: Handle): Extract<Open, { kind: 'file' }> {
    const open = handle as Open;
    if (open.kind === 'directory') throw new Errno('EISDIR');
    return open;
  }

  pread(handle: Handle, length: number, offset: number): Uint8Array {
    const { file, request } = this.#file(handle);
    if (!request.read) throw new Errno('EBADF');
    const buffer = new Uint8Array(length);
    return buffer.subarray(0, this.#do(this.#overlay.read(file, buffer, offset)));
  }

  pwrite(handle: Handle, bytes: Uint8Array, offset: number): number {
    const { file, request } = this.#file(handle);
    if (!request.write) throw new Errno('EBADF');
    return bytes.length === 0 ? 0 : this.#do(this.#overlay.write(file, bytes, offset));
  }

  ftruncate(handle: Handle, size: number): void {
    const { inode, request } = this.#file(handle);
    if (!request.write) throw new Errno('EINVAL');
    this.#do(this.#overlay.setattr(inode, { size }));
  }

  fallocate(handle: Handle, mode: number, offset: number, length: number): void {
    const keepSize = (mode & FALLOC_KEEP_SIZE) !== 0;
    const punchHole = (mode & FALLOC_PUNCH_HOLE) !== 0;
    const zeroRange = (mode & FALLOC_ZERO_RANGE) !== 0;
    if (length === 0) throw new Errno('EINVAL');
    if (punchHole && !keepSize) throw new Errno('EOPNOTSUPP');
    const { file, request } = this.#file(handle);
    if (!request.write) throw new Errno('EBADF');
    this.#do(this.#overlay.perform(allocate, file, { keepSize, punchHole, zeroRange }, offset, length));
  }

  lseek(handle: Handle, offset: number, whence: 'data' | 'hole'): number {
    return this.#do(this.#overlay.perform(seek, this.#file(handle).file, offset, whence));
  }

  fsync(handle: Handle): void {
    const open = handle as Open;
    if (open.kind === 'directory') this.#do(this.#overlay.fsyncdir(open.inode));
    else this.#do(this.#overlay.fsync(open.file, 'all'));
  }

  copy(from: Handle, fromOffset: number, to: Handle, toOffset: number, length: number): number {
    const source = this.#file(from);
    const target = this.#file(to);
    if (!source.request.read || !target.request.write || target.request.append) throw new Errno('EBADF');
    const { size } = this.#do(this.#overlay.getattr(source.inode));
    const count = Math.max(0, Math.min(length, size - fromOffset));
    const overlaps = fromOffset < toOffset + count && toOffset < fromOffset + count;
    if (source.inode === target.inode && overlaps) throw new Errno('EINVAL');
    if (count === 0) return 0;
    return this.#do(this.#overlay.perform(copyRange, source.file, fromOffset, target.file, toOffset, count));
  }

  fstat(handle: Handle): Attributes {
    return this.#do(this.#overlay.getattr((handle as Open).inode));
  }

  fchmod(handle: Handle, mode: number): void {
    this.#do(this.#overlay.setattr((handle as Open).inode, { mode: mode & 0o7777 }));
  }

  fchown(handle: Handle, uid: number, gid: number): void {
    this.#chown((handle as Open).inode, uid, gid);
  }

  futimens(handle: Handle, atime: TimeSpec, mtime: TimeSpec): void {
    if (atime === 'omit' && mtime === 'omit') return;
    this.#utimens((handle as Open).inode, atime, mtime);
  }

  fsetxattr(handle: Handle, name: string, value: Uint8Array, flags: number): void {
    this.#setxattr((handle as Open).inode, name, value, flags);
  }

  fgetxattr(handle: Handle, name: string): Uint8Array {
    return this.#getxattr((handle as Open).inode, name);
  }

  flistxattr(handle: Handle): string[] {
    return this.#do(this.#overlay.perform(listxattr, (handle as Open).inode));
  }

  freaddir(handle: Handle): DirEntry[] {
    const { inode } = handle as Open;
    if (inode.dentry === undefined && inode !== this.#overlay.root) throw new Errno('ENOENT');
    const entries = this.#do(this.#overlay.readdir(inode));
    return entries.map(({ name, type }: DirectoryEntry) => ({
      name,
      type,
      ino: this.#do(this.#overlay.perform(entryIno, inode, name)) ?? 0,
    }));
  }

  stat(dir: Handle | undefined, path: string): Attributes {
    return this.#existing(dir, path).attributes;
  }

  truncate(dir: Handle | undefined, path: string, size: number): void {
    const { inode } = this.#existing(dir, path, 'follow');
    this.#do(this.#overlay.setattr(inode, { size }));
  }

  mkdir(dir: Handle | undefined, path: string, mode: number): void {
    this.#create(this.#free(dir, path), S_IFDIR | (mode & 0o1777));
  }

  mknod(dir: Handle | undefined, path: string, mode: number, rdev: number): void {
    const isDevice = (mode & S_IFMT) === S_IFCHR || (mode & S_IFMT) === 0o060000;
    this.#create(this.#free(dir, path), mode, isDevice ? { rdev } : {});
  }

  symlink(target: string, dir: Handle | undefined, path: string): void {
    this.#create(this.#free(dir, path), S_IFLNK, { target });
  }

  link(fromDir: Handle | undefined, from: string, toDir: Handle | undefined, to: string): void {
    const { inode } = this.#existing(fromDir, from);
    const { dir, name } = this.#free(toDir, to);
    this.#do(this.#overlay.link(inode, dir, name));
  }

  unlink(dir: Handle | undefined, path: string): void {
    const at = this.#walk(this.#start(dir), path);
    this.#do(this.#overlay.unlink(at.dir, at.name));
  }

  rmdir(dir: Handle | undefined, path: string): void {
    const at = this.#walk(this.#start(dir), path);
    this.#do(this.#overlay.rmdir(at.dir, at.name));
  }

  rename(fromDir: Handle | undefined, from: string, toDir: Handle | undefined, to: string, flags: number): void {
    if ((flags & RENAME_EXCHANGE) !== 0 && (flags & RENAME_NOREPLACE) !== 0) {
      throw new Errno('EINVAL');
    }
    const [source, target] = this.#parents(fromDir, from, toDir, to);
    const noreplace = flags === RENAME_NOREPLACE ? 'noreplace' : undefined;
    if (flags === RENAME_EXCHANGE) {
      this.#do(this.#overlay.perform(exchange, source.dir, source.name, target.dir, target.name));
    } else this.#do(this.#overlay.rename(source.dir, source.name, target.dir, target.name, noreplace));
  }

  /** Both paths up to their last component, before either of those is looked at. */
  #parents(fromDir: Handle | undefined, from: string, toDir: Handle | undefined, to: string): [Place, Place] {
    const source = this.#parent(fromDir, from);
    const target = this.#parent(toDir, to);
    if (this.#lookup(source.dir, source.name) === undefined) throw new Errno('ENOENT');
    this.#lookup(target.dir, target.name);
    return [source, target];
  }

  #parent(dir: Handle | undefined, path: string): Place {
    const cut = path.lastIndexOf('/');
    const start = this.#start(dir);
    if (cut < 0) return { dir: start, name: path };
    const { entry } = this.#walk(start, path.slice(0, cut), 'follow');
    if (entry === undefined) throw new Errno('ENOENT');
    if (!entry.inode.isDirectory) throw new Errno('ENOTDIR');
    return { dir: entry.inode, name: path.slice(cut + 1) };
  }

  chmod(dir: Handle | undefined, path: string, mode: number): void {
    this.#do(this.#overlay.setattr(this.#existing(dir, path).inode, { mode: mode & 0o7777 }));
  }

  chown(dir: Handle | undefined, path: string, uid: number, gid: number): void {
    this.#chown(this.#existing(dir, path).inode, uid, gid);
  }

  /** A change of owner takes set-id bits away, from root's files too (`chown_common`). */
  #chown(inode: Inode, uid: number, gid: number): void {
    const change: AttributeChange = {};
    if (uid !== -1) change.uid = uid;
    if (gid !== -1) change.gid = gid;
    if (!inode.isDirectory && !isSymlink(inode.type)) {
      const { mode } = this.#do(this.#overlay.getattr(inode));
      let kept = mode & ~S_ISUID;
      if ((mode & 0o010) !== 0) kept &= ~S_ISGID;
      if (kept !== mode) change.mode = kept & 0o7777;
    }
    this.#do(this.#overlay.setattr(inode, change));
  }

  utimens(dir: Handle | undefined, path: string, atime: TimeSpec, mtime: TimeSpec): void {
    if (atime === 'omit' && mtime === 'omit') return; // before the path is looked at (`do_utimes`)
    this.#utimens(this.#existing(dir, path).inode, atime, mtime);
  }

  #utimens(inode: Inode, atime: TimeSpec, mtime: TimeSpec): void {
    const change: AttributeChange = {};
    if (atime !== 'omit') change.atime = atime === 'now' ? 'now' : { sec: atime[0], nsec: atime[1] };
    if (mtime !== 'omit') change.mtime = mtime === 'now' ? 'now' : { sec: mtime[0], nsec: mtime[1] };
    this.#do(this.#overlay.setattr(inode, change));
  }

  setxattr(dir: Handle | undefined, path: string, name: string, value: Uint8Array, flags: number): void {
    this.#setxattr(this.#existing(dir, path).inode, name, value, flags);
  }

  #setxattr(inode: Inode, name: string, value: Uint8Array, flags: number): void {
    if (!holds(inode, name)) throw new Errno('EPERM');
    const condition = flags === 1 ? 'create' : flags === 2 ? 'replace' : undefined;
    this.#do(this.#overlay.perform(setxattr, inode, name, value, condition));
  }

  getxattr(dir: Handle | undefined, path: string, name: string): Uint8Array {
    return this.#getxattr(this.#existing(dir, path).inode, name);
  }

  #getxattr(inode: Inode, name: string): Uint8Array {
    if (!holds(inode, name)) throw new Errno('ENODATA');
    return this.#do(this.#overlay.perform(getxattr, inode, name));
  }

  removexattr(dir: Handle | undefined, path: string, name: string): void {
    const { inode } = this.#existing(dir, path);
    if (!holds(inode, name)) throw new Errno('EPERM');
    this.#do(this.#overlay.perform(removexattr, inode, name));
  }

  listxattr(dir: Handle | undefined, path: string): string[] {
    return this.#do(this.#overlay.perform(listxattr, this.#existing(dir, path).inode));
  }

  readlink(dir: Handle | undefined, path: string): string {
    const { inode } = this.#existing(dir, path);
    if (!isSymlink(inode.type)) throw new Errno('EINVAL');
    return this.#do(this.#overlay.readlink(inode));
  }

  umask(mask: number): void {
    this.#umask = mask;
  }

  become(id: number): void {
    if (id !== 0) throw new Error('the core leaves permissions to the system above it');
  }

  end(): void {
    this.#do(this.#overlay.close());
  }
}

interface Place {
  dir: Inode;
  name: string;
}

/** `user.` attributes are for files and directories only (`xattr_permission`). */
function holds(inode: Inode, name: string): boolean {
  return !name.startsWith('user.') || isRegular(inode.type) || inode.isDirectory;
}
