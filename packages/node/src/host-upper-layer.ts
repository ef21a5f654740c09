/**
 * A directory of the host as the writable layer, in the kernel's format: names of the merged view in the upper directory,
 * everything without a name in the work directory (work-dir.ts). Making objects is host-create.ts, their data
 * host-copies.ts, changing names host-commit.ts.
 */
import {
  ACL_ACCESS,
  ACL_DEFAULT,
  type AttributeChange,
  DT_DIR,
  type Attributes,
  DT_REG,
  type Found,
  type Job,
  type LayerFile,
  type LayerNode,
  type NamespaceChange,
  type NewObject,
  type Place,
  S_ISGID,
  isFsError,
  isRegular,
} from '@ovl/core';
import { commitExchange, commitLink, commitRename, commitUnlink } from './host-commit.js';
import { type Surroundings, arrivesAsAsked, foundWhiteout, isWhiteout, make, settle } from './host-create.js';
import { HostCopies } from './host-copies.js';
import { HostFile, copyRange } from './host-file.js';
import { HostLayer } from './host-layer.js';
import type { HostUpperLayer, HostUpperOptions } from './host-upper.js';
import {
  HostNode,
  checkEntry,
  directories,
  forgetInherited,
  hostNode,
  locate,
  locateByName,
  newNode,
} from './host-nodes.js';
import { CopyAhead } from './copy-ahead.js';
import { KeptDescriptors } from './kept-descriptors.js';
import { Leftovers } from './leftovers.js';
import { hasAllIds } from './processes.js';
import { hasRoom } from './room.js';
import {
  AT_REMOVEDIR,
  CAPABILITY,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  RENAME_NOREPLACE,
  close,
  fchmodat,
  fchownat,
  fsync,
  ftruncate,
  openat,
  removexattr,
  renameat2,
  setxattr,
  statxAt,
  syncfs,
  unlinkatOrErrno,
  utimensat,
} from './syscalls.js';
import type { GuardedDirectory } from './upper-guard.js';
import { type WriteOrder, writeOrderOf } from './write-order.js';
import { type WorkDirectory, closeBesideWork, openBesideWork } from './work-dir.js';

export class HostUpper extends HostLayer implements HostUpperLayer {
  readonly xattrPrefix: 'trusted.overlay.' | 'user.overlay.';
  readonly ahead: CopyAhead | undefined;
  readonly #upper: GuardedDirectory;
  readonly #workLock: GuardedDirectory;
  readonly #work: WorkDirectory;
  readonly #kept = new KeptDescriptors();
  readonly #copies: HostCopies;
  readonly #owners: 'required' | 'attempted';
  /** Whether files of any owner can be read and made: root's right in the first user namespace. */
  readonly #mayOwnAny: boolean = process.geteuid?.() === 0 && hasAllIds();
  readonly #uid: number = process.geteuid?.() ?? 0;
  readonly #gid: number = process.getegid?.() ?? 0;
  readonly #umask: number = process.umask();
  readonly #staging: Surroundings;
  readonly #order: WriteOrder;
  #index: HostNode | undefined;
  /** The file made last, still open: whoever makes one mostly writes it next, and may no longer be allowed to (0444). */
  #fresh: { node: HostNode; fd: number } | undefined;
  /** The file staged last, as long as nothing can have changed its mode. */
  #staged: { node: HostNode; permissions: number } | undefined;

  constructor(
    upper: GuardedDirectory,
    workLock: GuardedDirectory,
    work: WorkDirectory,
    prefix: 'trusted.overlay.' | 'user.overlay.',
    { owners = 'required', beside, copyAhead }: HostUpperOptions,
  ) {
    super(upper.path, openat(upper.fd, '.', O_PATH | O_DIRECTORY | O_NOFOLLOW));
    this.#upper = upper;
    this.#workLock = workLock;
    this.#work = work;
    this.xattrPrefix = prefix;
    this.#owners = owners;
    this.#copies = new HostCopies(beside);
    this.#staging = this.#surroundings(work.node);
    this.#order = writeOrderOf(upper.fd);
    if (copyAhead === 'on' && beside !== undefined && this.#order === 'journal')
      this.ahead = new CopyAhead(work, (task) => beside.stage(task));
  }

  clearLater(): Leftovers {
    return (this.#work.leftovers ??= new Leftovers(this.#work));
  }

  stage(object: NewObject, source?: LayerNode): Found {
    return this.#asPermitted(object, (permitted) => this.#stageAhead(permitted, source) ?? this.#stage(permitted));
  }

  /** From a copy that was made ahead, where there is one. */
  #stageAhead(object: NewObject, source: LayerNode | undefined): Found | undefined {
    const { ahead } = this;
    if (ahead === undefined || !isRegular(object.mode) || !(source instanceof HostNode)) return undefined;
    if (!this.#copies.copiesFrom(source.dev)) return undefined;
    const made = ahead.take(source);
    ahead.asked(source, object.mode);
    if (made === undefined) return undefined;
    this.#dropFresh();
    const node = newNode(this.#work.node, made.name, DT_REG);
    const found = this.#settled(this.#work.fd, node, made.fd, object, arrivesAsAsked(object, this.#staging));
    this.#staged = { node, permissions: found.attributes.mode & 0o7777 };
    this.#copies.fill(node, made.source);
    return found;
  }

  #asPermitted(object: NewObject, makeIt: (object: NewObject) => Found): Found {
    try {
      return makeIt(object);
    } catch (error) {
      if (!this.#mayIgnore(error)) throw error;
      return makeIt({ ...object, uid: this.#uid, gid: this.#gid });
    }
  }

  /** EINVAL: the owner is none in this user namespace. */
  #mayIgnore(error: unknown): boolean {
    return this.#owners === 'attempted' && isFsError(error, 'EPERM', 'EINVAL');
  }

  #stage(object: NewObject): Found {
    const work = this.#work;
    const name = work.nextName();
    const node = newNode(work.node, name, object.mode >> 12);
    if (isWhiteout(object)) {
      work.linkWhiteout(work.fd, name);
      return foundWhiteout(node, work.fd);
    }
    const fd = this.#makeIn(work.fd, name, object);
    const found = this.#settled(work.fd, node, fd, object, arrivesAsAsked(object, this.#staging));
    this.#staged = { node, permissions: found.attributes.mode & 0o7777 };
    return found;
  }

  discard(node: LayerNode): void {
    const { parent, name } = hostNode(node);
    this.#dropFresh();
    if (parent !== this.#work.node) return; // linked by now
    this.#copies.forget(node);
    directories.forget(hostNode(node));
    this.#work.remove(name);
  }

  create(to: Place, object: NewObject): Found {
    return this.#asPermitted(object, (permitted) => this.#create(to, permitted));
  }

  #create(to: Place, object: NewObject): Found {
    const dir = hostNode(to.dir);
    const node = newNode(dir, checkEntry(to.name), object.mode >> 12);
    const around = this.#surroundings(dir);
    const dirfd = directories.fd(dir);
    if (isWhiteout(object)) {
      this.#work.linkWhiteout(dirfd, to.name);
      return foundWhiteout(node, dirfd);
    }
    if (!arrivesAsAsked(object, around)) return this.#createByStaging(dir, to.name, object);
    const fd = this.#makeIn(dirfd, to.name, object);
    return this.#settled(dirfd, node, fd, object, true);
  }

  /** Never there with a wrong owner or mode, not even for a moment or after a crash. */
  #createByStaging(dir: HostNode, name: string, object: NewObject): Found {
    const { node } = this.stage(object);
    const staged = hostNode(node);
    const dirfd = directories.fd(dir);
    try {
      renameat2(this.#work.fd, staged.name, dirfd, name, RENAME_NOREPLACE);
    } catch (error) {
      this.discard(node);
      throw error;
    }
    staged.parent = dir;
    staged.name = name;
    return { node, attributes: statxAt(dirfd, name) }; // again, because a rename moves ctime
  }

  #makeIn(dirfd: number, name: string, object: NewObject): number {
    this.#dropFresh();
    return make(dirfd, name, object);
  }

  #settled(dirfd: number, node: HostNode, fd: number, object: NewObject, expected: boolean): Found {
    try {
      const attributes = settle(dirfd, node.name, fd, object, expected);
      node.identify(attributes);
      if (fd >= 0) {
        this.#fresh = { node, fd };
        node.incapable = true;
      }
      return { node, attributes };
    } catch (error) {
      if (fd >= 0) close(fd);
      unlinkatOrErrno(dirfd, node.name, node.type === DT_DIR ? AT_REMOVEDIR : 0);
      throw error;
    }
  }

  #surroundings(dir: HostNode): Surroundings {
    if (dir.inherits === undefined) {
      const { mode, gid } = this.getattr(dir);
      const defaultAcl = this.getxattr(dir, ACL_DEFAULT) !== undefined;
      dir.inherits = { gid: (mode & S_ISGID) !== 0 ? gid : undefined, defaultAcl };
    }
    const { gid, defaultAcl } = dir.inherits;
    return { uid: this.#uid, gid: gid ?? this.#gid, setgid: gid !== undefined, defaultAcl, umask: this.#umask };
  }

  commit(change: NamespaceChange): void {
    if (change.kind === 'exchange') return commitExchange(change);
    const keep = change.keep === undefined ? undefined : hostNode(change.keep);
    // Before its name goes, while it can still be found.
    const kept = keep !== undefined && this.#kept.keep(keep);
    try {
      if (change.kind === 'link') commitLink(this.#work, change);
      else {
        this.#dropFresh();
        if (change.kind === 'unlink') commitUnlink(this.#work, change);
        else commitRename(change);
      }
    } catch (error) {
      if (kept) this.#kept.release(keep);
      throw error;
    }
    if (keep !== undefined) keep.parent = undefined;
  }

  openIndex(): HostNode {
    this.#index ??= openBesideWork(this.#workLock.fd, 'index', `${this.#workLock.path}/index`);
    return this.#index;
  }

  release(node: LayerNode): void {
    const object = hostNode(node);
    if (object.parent !== this.#work.node) return this.#kept.release(object);
    try {
      this.discard(node);
    } catch (error) {
      if (!isFsError(error)) throw error; // it stays in the work directory until the next start
    }
  }

  /** Size, then owner, then mode, then times: each may disturb the ones after it. */
  setattr(node: LayerNode, change: AttributeChange): void {
    const object = hostNode(node);
    const { size, uid, gid, mode, atime, mtime } = change;
    if (this.#copies.takeUnwanted(object)) this.#truncate(object, 0);
    const isStill = mode !== undefined && this.#stillHas(object, mode & 0o7777) && (uid ?? gid) === undefined;
    this.#staged = undefined;
    if (size !== undefined) this.#truncate(object, size);
    const at = locate(object);
    if (uid !== undefined || gid !== undefined) {
      try {
        fchownat(at.fd, at.name, uid ?? -1, gid ?? -1);
      } catch (error) {
        if (!this.#mayIgnore(error)) throw error;
      }
    }
    if (mode !== undefined && !isStill) fchmodat(at.fd, at.name, mode & 0o7777);
    if (atime !== undefined || mtime !== undefined) utimensat(at.fd, at.name, atime, mtime);
    forgetInherited(object);
  }

  /** Whether a staged object has a mode from its making. With a name it would be told again, for its ctime. */
  #stillHas(node: HostNode, permissions: number): boolean {
    const { parent } = node;
    return this.#staged?.node === node && parent === this.#work.node && this.#staged.permissions === permissions;
  }

  #truncate(node: HostNode, size: number): void {
    const fd = this.#openOwn(node, O_WRONLY);
    try {
      ftruncate(fd, size);
    } finally {
      close(fd);
    }
  }

  override getxattr(node: LayerNode, name: string): Uint8Array | undefined {
    if (name !== CAPABILITY) return super.getxattr(node, name);
    const object = hostNode(node);
    if (object.incapable) return undefined;
    const value = super.getxattr(node, name);
    object.incapable = value === undefined;
    return value;
  }

  setxattr(node: LayerNode, name: string, value: Uint8Array, condition?: 'create' | 'replace'): void {
    if (name === CAPABILITY) hostNode(node).incapable = false;
    if (name === ACL_ACCESS) this.#staged = undefined;
    const flags = condition === 'create' ? 1 : condition === 'replace' ? 2 : 0;
    this.#despiteMode(hostNode(node), () => {
      const at = locateByName(hostNode(node));
      setxattr(at.fd, at.name, name, value, flags);
    });
    forgetInherited(hostNode(node));
  }

  removexattr(node: LayerNode, name: string): void {
    const at = locateByName(hostNode(node));
    removexattr(at.fd, at.name, name);
    forgetInherited(hostNode(node));
  }

  override open(node: LayerNode): HostFile {
    return new HostFile(this.#openOwn(hostNode(node), O_RDONLY), hostNode(node).dev);
  }

  openWritable(node: LayerNode): HostFile {
    const file = new HostFile(this.#takeFresh(node), hostNode(node).dev, this.#order);
    this.#copies.opened(node, file);
    return file;
  }

  #takeFresh(node: LayerNode): number {
    if (this.#fresh?.node !== node) return this.#openOwn(hostNode(node), O_RDWR);
    const { fd } = this.#fresh;
    this.#fresh = undefined;
    return fd;
  }

  #openOwn(node: HostNode, access: number): number {
    return this.#despiteMode(node, () => this.openRegular(node, access));
  }

  /** The mode binds the overlay's users, not the owner of the upper: root's daemon passes it anyway, others must ask. */
  #despiteMode<T>(node: HostNode, action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (!isFsError(error, 'EACCES') || node.type !== DT_REG) throw error;
      const { mode, uid } = this.getattr(node);
      if (uid !== this.#uid) throw error;
      this.setattr(node, { mode: mode | 0o600 });
      try {
        return action();
      } finally {
        this.setattr(node, { mode });
      }
    }
  }

  #dropFresh(): void {
    if (this.#fresh !== undefined) close(this.#fresh.fd);
    this.#fresh = undefined;
  }

  copyData(from: LayerFile<'sync'>, to: HostFile, length: number): boolean {
    return this.#copies.copy(from, to, length);
  }

  copyRange(
    from: LayerFile<'sync'>,
    fromPosition: number,
    to: HostFile,
    toPosition: number,
    length: number,
  ): number | undefined {
    return copyRange(from, fromPosition, to, toPosition, length);
  }

  copiesBeside(from: LayerFile<'sync'>, to: HostFile): boolean {
    return this.#copies.copiesBeside(from, to);
  }

  copyBeside(from: LayerFile<'sync'>, to: HostFile, position: number, length: number): Job {
    return this.#copies.copyBeside(from, to, position, length);
  }

  syncBeside(file: HostFile, scope: 'order' | 'all'): Job {
    return this.#copies.syncBeside(file, scope);
  }

  promises({ uid, gid, size, mode }: Attributes, bytes: number): boolean {
    if (!this.#mayOwnAny && (uid !== this.#uid || gid !== this.#gid || (mode & 0o400) === 0)) return false;
    return hasRoom(this.#upper.fd, 2 * (bytes + size)); // copies take more than their data
  }

  fsyncdir(dir: LayerNode): void {
    const fd = this.openDirectory(hostNode(dir));
    try {
      fsync(fd);
    } finally {
      close(fd);
    }
  }

  sync(): void {
    syncfs(this.#upper.fd);
  }

  markVolatile(): void {
    this.#work.markVolatile();
  }

  override close(): void {
    if (this.root.fd < 0) return;
    this.ahead?.close();
    this.#dropFresh();
    this.#kept.releaseAll();
    this.#work.close();
    if (this.#index !== undefined) closeBesideWork(this.#index);
    super.close();
    close(this.#workLock.fd); // the locks go with the descriptors
    close(this.#upper.fd);
  }
}
