/**
 * An overlay parts of which come straight from other trees, as with bind mounts in a mount namespace. It has the operations of
 * every overlay and hands each to the tree that its inode is of; what it decides is what happens where trees meet: a lookup
 * crosses, a change of names does not, and a mountpoint stays.
 */
import type { AttributeChange, Attributes, FileSystemStatistics } from '../attributes.js';
import type { ChangeListener } from '../change-feed.js';
import { copyRange } from '../copy-range.js';
import type { Creation } from '../create.js';
import { FsError } from '../errors.js';
import { exchange } from '../exchange.js';
import { isHandle, type OpenFlags, type OpenHandle } from '../file.js';
import type { Context } from '../fs/context.js';
import { WaitingContext } from '../fs/waiting.js';
import { existing, locate, pathOf } from '../fs/walk.js';
import { type Dentry, Inode, type Stack } from '../inode.js';
import type { UpperFile } from '../layer.js';
import type { DirectoryEntry } from '../merge.js';
import { type Entry, Overlay } from '../overlay.js';
import type { RenameFlag } from '../rename.js';
import { type Mode, type Operation, runSync } from '../run.js';
import { createTmpfile } from '../tmpfile.js';
import { removexattr, setxattr } from '../xattrs.js';
import { Feed } from './feed.js';
import { Mounts, type Tree, Volume } from './mounts.js';

/** Operations for `perform` that change an object, beside those on a file that is open for writing. */
const CHANGING: ReadonlySet<unknown> = new Set<unknown>([setxattr, removexattr, createTmpfile, exchange]);
const BUFFER_SIZE = 1 << 20;

type CopyArguments = [from: OpenHandle, fromPosition: number, to: OpenHandle, toPosition: number, length: number];

/** What a view may be composed of: in a synchronous one, nothing else. */
export type TreeOf<M extends Mode> = M extends 'sync' ? Overlay<'sync'> : Overlay;

/** What of an overlay is mounted, and how. */
export interface MountOptions {
  /** Path of what is shown, in the tree: a directory, or a file over a file. Default "/". */
  from?: string;
  /** Every change in it is EROFS. Default false. */
  readOnly?: boolean;
}

/** How a volume is taken away. */
export interface UnmountOptions {
  /** As `umount -l`: also what is in use, with what is mounted in it. Open files stay open. Default false. */
  lazy?: boolean;
}

/** What is mounted where. */
export interface MountedVolume {
  /** Of the mountpoint, as it is now. */
  path: string;
  overlay: Overlay;
  readOnly: boolean;
}

/** A view of an overlay in which others are mounted, see {@link volumes}. */
export class VolumeOverlay<M extends Mode = Mode> extends Overlay<M> {
  /** What is shown where nothing is mounted: to be asked for changes, checkpoints and what else is of one overlay. */
  readonly base: TreeOf<M>;
  readonly #mounts: Mounts;
  readonly #feed: Feed;

  constructor(base: TreeOf<M>) {
    super(runSync(base.perform(stackOf)), base.root);
    this.base = base;
    this.#mounts = new Mounts(base);
    this.#feed = new Feed(this.#mounts);
  }

  /** The volumes there are, in no particular order. */
  get volumes(): MountedVolume[] {
    return Array.from(this.#mounts.volumes(), ({ tree, at }) => ({
      path: pathOf(this, at.dir, at.name),
      overlay: tree.overlay,
      readOnly: tree.readOnly,
    }));
  }

  /**
   * Shows `overlay` at `path`, which has to be there: a directory for a directory, anything else for a file. Throws ENOENT, ENOTDIR,
   * and EBUSY where something is mounted already, at "/", and for what is in view already: parts of one overlay may be
   * mounted at several places if none holds another, all of them read-only or none. The overlay stays the caller's.
   */
  *mount(path: string, overlay: TreeOf<M>, options: MountOptions = {}): Operation<void> {
    if ((overlay as Overlay) instanceof VolumeOverlay) throw new FsError('EINVAL', { syscall: 'mount', path });
    yield* new WaitingContext(this, 'promises').call((fs) => this.#mount(fs, path, overlay, options));
  }

  *#mount(
    fs: Context,
    path: string,
    overlay: Overlay,
    { from = '/', readOnly = false }: MountOptions,
  ): Operation<void> {
    const fail = (code: 'ENOENT' | 'EBUSY' | 'ENOTDIR'): never => {
      throw new FsError(code, { syscall: 'mount', path });
    };
    const { dir, name, entry } = yield* locate(fs, path, 'mount', 'follow');
    if (entry === undefined) return fail('ENOENT');
    const { inode } = entry;
    const root = yield* held(overlay, from);
    try {
      if (name === '' || this.#mounts.at(dir, name) !== undefined) fail('EBUSY');
      if (inode.isDirectory !== root.isDirectory) fail('ENOTDIR');
      this.#mounts.attach(new Volume(this.#mounts.treeFor(overlay, root, readOnly), root, { dir, name }, inode));
    } finally {
      overlay.forget(root);
    }
    this.#feed.follow();
    this.#feed.tell({ type: 'rename', dir, name });
  }

  /**
   * Takes away what is mounted at `path`, and shows what was there. The overlay is the caller's again. Throws ENOENT, EINVAL where nothing
   * is mounted, EBUSY where something in it is in use (open, watched, held) or mounted.
   */
  *unmount(path: string, options: UnmountOptions = {}): Operation<void> {
    const fail = (code: 'ENOENT' | 'EINVAL' | 'EBUSY'): never => {
      throw new FsError(code, { syscall: 'umount', path });
    };
    // What finds the way holds what lies on it, and has to be done before anybody asks what is in use.
    const finding = new WaitingContext(this, 'promises').call((fs) => locate(fs, path, 'umount', 'follow'));
    const { dir, name, entry } = yield* finding;
    if (entry === undefined) return fail('ENOENT');
    const volume = this.#mounts.at(dir, name);
    if (volume === undefined) return fail('EINVAL');
    const inside = [...this.#mounts.volumes()].filter((other) => this.#mounts.isWithin(other, volume));
    if (options.lazy !== true && (inside.length > 0 || volume.tree.isBusy(volume))) fail('EBUSY');
    for (const each of [...inside, volume]) this.#mounts.detach(each);
    this.#feed.follow();
    this.#feed.tell({ type: 'rename', dir, name });
  }

  override subscribe(listener: ChangeListener): () => void {
    return this.#feed.subscribe(listener);
  }

  /** Nothing is known at a glance, which would miss what is mounted on the way. */
  override ask(): undefined {}

  // What is asked of one tree.

  #overlayOf(inode: Inode): Overlay {
    return this.#mounts.treeOf(inode).overlay;
  }

  /** To change something. Throws EROFS. */
  #writable(inode: Inode): Overlay {
    const { readOnly, overlay } = this.#mounts.treeOf(inode);
    if (readOnly) throw new FsError('EROFS');
    return overlay;
  }

  override get writable(): boolean {
    for (const { overlay, readOnly } of this.#mounts.trees) if (overlay.writable && !readOnly) return true;
    return false;
  }

  override isReadOnly(inode: Inode): boolean {
    const { overlay, readOnly } = this.#mounts.treeOf(inode);
    return readOnly || overlay.isReadOnly(inode);
  }

  override dentryOf(inode: Inode): Dentry | undefined {
    return this.#mounts.dentryOf(inode);
  }

  override get inodeCount(): number {
    return [...this.#mounts.trees].reduce((sum, { overlay }) => sum + overlay.inodeCount, 0);
  }

  override get revalidates(): boolean {
    return [...this.#mounts.trees].some(({ overlay }) => overlay.revalidates);
  }

  override beginRequest(): void {
    for (const { overlay } of this.#mounts.trees) overlay.beginRequest();
  }

  override retain(inode: Inode): void {
    const tree = this.#mounts.treeOf(inode);
    tree.overlay.retain(inode);
    if (tree !== this.#mounts.base) tree.use(inode, 1);
  }

  override forget(inode: Inode, count = 1): void {
    const tree = this.#mounts.treeOf(inode);
    if (tree !== this.#mounts.base) tree.use(inode, -count);
    tree.overlay.forget(inode, count);
  }

  /** A mountpoint leads to the root of its volume. */
  override *lookup(dir: Inode, name: string): Operation<Entry | undefined> {
    const volume = this.#mounts.at(dir, name);
    if (volume !== undefined) return { inode: volume.root, attributes: yield* this.getattr(volume.root) };
    const tree = this.#mounts.treeOf(dir);
    return this.#seen(tree, yield* tree.overlay.lookup(dir, name));
  }

  #seen<E extends Entry | undefined>(tree: Tree, entry: E): E {
    if (entry === undefined) return entry;
    this.#mounts.adopt(entry.inode, tree);
    return { inode: entry.inode, attributes: { ...entry.attributes, dev: tree.dev } } as E;
  }

  override *getattr(inode: Inode): Operation<Attributes> {
    const { overlay, dev } = this.#mounts.treeOf(inode);
    return { ...(yield* overlay.getattr(inode)), dev };
  }

  override *setattr(inode: Inode, change: AttributeChange, clearSetId?: 'clear-set-id'): Operation<Attributes> {
    const attributes = yield* this.#writable(inode).setattr(inode, change, clearSetId);
    const volume = inode.dentry === undefined ? this.#mounts.rootedAt(inode) : undefined;
    if (volume !== undefined) this.#feed.tell({ type: 'change', ...volume.at }); // its tree has no name for it
    return { ...attributes, dev: this.#mounts.treeOf(inode).dev };
  }

  override readlink(inode: Inode): Operation<string> {
    return this.#overlayOf(inode).readlink(inode);
  }

  override *create(dir: Inode, name: string, object: Creation): Operation<Entry> {
    return this.#seen(this.#mounts.treeOf(dir), yield* this.#writable(dir).create(dir, name, object));
  }

  override *link(inode: Inode, dir: Inode, name: string): Operation<Entry> {
    const isNamed = this.#mounts.dentryOf(inode) !== undefined; // otherwise it has no place yet
    const [from, to] = isNamed
      ? [this.#mounts.mountOf(inode), this.#mounts.mountOf(dir)]
      : [this.#mounts.treeOf(inode), this.#mounts.treeOf(dir)];
    if (from !== to) throw new FsError('EXDEV', { syscall: 'link' });
    return this.#seen(this.#mounts.treeOf(dir), yield* this.#writable(dir).link(inode, dir, name));
  }

  override *unlink(dir: Inode, name: string): Operation<void> {
    const overlay = this.#writable(dir);
    const covered = this.#mounts.at(dir, name)?.covered;
    if (covered?.isDirectory === false) throw new FsError('EBUSY', { syscall: 'unlink', path: name });
    yield* overlay.unlink(dir, name); // of a directory, that is EISDIR
  }

  override *rmdir(dir: Inode, name: string): Operation<void> {
    const overlay = this.#writable(dir);
    const covered = this.#mounts.at(dir, name)?.covered;
    if (covered?.isDirectory === true) throw new FsError('EBUSY', { syscall: 'rmdir', path: name });
    yield* overlay.rmdir(dir, name);
  }

  override *rename(fromDir: Inode, fromName: string, toDir: Inode, toName: string, flag?: RenameFlag): Operation<void> {
    const overlay = this.#sameMount(fromDir, toDir);
    yield* this.#keepsMountpoints(overlay, fromDir, fromName, toDir, toName, flag);
    yield* overlay.rename(fromDir, fromName, toDir, toName, flag);
  }

  /** Throws EXDEV, EROFS: names move within one mount only. */
  #sameMount(from: Inode, to: Inode): Overlay {
    if (this.#mounts.mountOf(from) !== this.#mounts.mountOf(to)) throw new FsError('EXDEV', { syscall: 'rename' });
    return this.#writable(from);
  }

  /** Throws EBUSY for a mountpoint, after what Linux's vfs_rename looks at first. */
  *#keepsMountpoints(
    overlay: Overlay,
    fromDir: Inode,
    fromName: string,
    toDir: Inode,
    toName: string,
    flag?: RenameFlag | 'exchange',
  ): Operation<void> {
    const [source, target] = [this.#mounts.at(fromDir, fromName), this.#mounts.at(toDir, toName)];
    if (source === undefined && target === undefined) return;
    const fail = (code: 'EBUSY' | 'ENOENT' | 'EEXIST' | 'ENOTDIR' | 'EISDIR'): never => {
      throw new FsError(code, { syscall: 'rename', path: fromName, dest: toName });
    };
    const from = source?.covered ?? (yield* overlay.lookup(fromDir, fromName))?.inode;
    const to = target?.covered ?? (yield* overlay.lookup(toDir, toName))?.inode;
    if (from === undefined) return fail('ENOENT');
    if (to !== undefined && flag === 'noreplace') fail('EEXIST');
    if (from === to) return;
    if (to !== undefined && flag === undefined && from.isDirectory !== to.isDirectory) {
      fail(from.isDirectory ? 'ENOTDIR' : 'EISDIR');
    }
    fail('EBUSY');
  }

  override *open(inode: Inode, flags: OpenFlags): Operation<OpenHandle> {
    const tree = this.#mounts.treeOf(inode);
    const handle = yield* (flags.write || flags.truncate ? this.#writable(inode) : tree.overlay).open(inode, flags);
    if (tree !== this.#mounts.base) tree.use(inode, 1);
    return handle;
  }

  override *release(handle: OpenHandle): Operation<void> {
    const tree = this.#mounts.treeOf(handle.inode);
    if (tree !== this.#mounts.base) tree.use(handle.inode, -1);
    yield* tree.overlay.release(handle);
  }

  override read(handle: OpenHandle, buffer: Uint8Array, position: number): Operation<number> {
    return this.#overlayOf(handle.inode).read(handle, buffer, position);
  }

  override write(handle: OpenHandle, buffer: Uint8Array, position: number): Operation<number> {
    return this.#overlayOf(handle.inode).write(handle, buffer, position);
  }

  override fsync(
    handle: OpenHandle,
    scope: 'data' | 'all',
    sync?: (file: Pick<UpperFile, 'fd' | 'fsync'>) => void | PromiseLike<void>,
  ): Operation<void> {
    return this.#overlayOf(handle.inode).fsync(handle, scope, sync);
  }

  /** A mountpoint stands there with the type of what it covers. */
  override readdir(dir: Inode): Operation<DirectoryEntry[]> {
    return this.#overlayOf(dir).readdir(dir);
  }

  override fsyncdir(dir: Inode): Operation<void> {
    return this.#overlayOf(dir).fsyncdir(dir);
  }

  override statfs(inode: Inode = this.root): Operation<FileSystemStatistics> {
    return this.#overlayOf(inode).statfs(inode);
  }

  /** In the tree of the inodes and open files among the arguments; without any, in the base. */
  override *perform<A extends unknown[], T>(
    operation: (stack: Stack, ...args: A) => Operation<T>,
    ...args: A
  ): Operation<T> {
    const inodes = args.flatMap((arg) => (arg instanceof Inode ? [arg] : isHandle(arg) ? [arg.inode] : []));
    const [first = this.root, second = first] = inodes;
    const tree = this.#mounts.treeOf(first);
    if (CHANGING.has(operation)) this.#writable(first);
    if ((operation as unknown) === exchange) {
      const [fromDir, fromName, toDir, toName] = args as unknown as [Inode, string, Inode, string];
      const overlay = this.#sameMount(fromDir, toDir);
      yield* this.#keepsMountpoints(overlay, fromDir, fromName, toDir, toName, 'exchange');
    }
    if ((operation as unknown) === copyRange && this.#mounts.treeOf(second) !== tree) {
      return (yield* this.#copyAcross(...(args as unknown as CopyArguments))) as T;
    }
    const answer = yield* tree.overlay.perform(operation, ...args);
    if (isEntry(answer)) return this.#seen(tree, answer) as T & Entry;
    return answer;
  }

  /** `copyRange` between two trees. */
  *#copyAcross(...[from, fromPosition, to, toPosition, length]: CopyArguments): Operation<number> {
    const buffer = new Uint8Array(Math.min(length, BUFFER_SIZE));
    for (let done = 0; ; ) {
      const part = buffer.subarray(0, Math.min(buffer.length, length - done));
      const got = yield* this.read(from, part, fromPosition + done);
      if (got === 0) return done;
      const put = yield* this.write(to, part.subarray(0, got), toPosition + done);
      done += put;
      if (put < got) return done;
    }
  }

  override *sync(): Operation<void> {
    for (const { overlay } of this.#mounts.trees) yield* overlay.sync();
  }

  /** Closes the base, and what is mounted; what was unmounted is the caller's. */
  override *close(): Operation<void> {
    for (const { overlay } of this.#mounts.trees) yield* overlay.close();
  }
}

// oxlint-disable-next-line require-yield
function* stackOf(stack: Stack): Operation<Stack> {
  return stack;
}

function isEntry(answer: unknown): answer is Entry {
  return (
    typeof answer === 'object' &&
    answer !== null &&
    (answer as Partial<Entry>).inode instanceof Inode &&
    'attributes' in answer
  );
}

/** What a path leads to, retained. Throws ENOENT. */
function held(overlay: Overlay, path: string): Operation<Inode> {
  return new WaitingContext(overlay, 'promises').call(function* (fs) {
    const { inode } = yield* existing(fs, path, 'mount');
    overlay.retain(inode);
    return inode;
  });
}

/**
 * A view of `base` in which other overlays can be mounted. With `volumes<'async'>(base)`, asynchronous ones too; the synchronous
 * face then does not take it.
 */
export function volumes<M extends Mode = 'sync'>(base: TreeOf<M>): VolumeOverlay<M> {
  return new VolumeOverlay<M>(base);
}
