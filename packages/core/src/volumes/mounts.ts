/**
 * What is attached where: the trees that a view is composed of, the volumes that they are seen through, and who uses what. It
 * answers questions about places; volume-overlay.ts acts on them.
 */
import { newDev } from '../clock.js';
import { FsError } from '../errors.js';
import type { Dentry, Inode } from '../inode.js';
import type { Overlay } from '../overlay.js';

/** An overlay that is part of a view, or was. */
export class Tree {
  readonly overlay: Overlay;
  /** What all of its objects show as their device. */
  readonly dev: number = newDev();
  readOnly = false;
  /** Its volumes that are attached. */
  readonly volumes: Set<Volume> = new Set();
  /** Inodes that are held, and files that are open, through the view. */
  readonly #uses = new Map<Inode, number>();

  constructor(overlay: Overlay) {
    this.overlay = overlay;
  }

  use(inode: Inode, count: number): void {
    const uses = (this.#uses.get(inode) ?? 0) + count;
    if (uses > 0) this.#uses.set(inode, uses);
    else this.#uses.delete(inode);
  }

  /** The volume that shows an inode; undefined once it is detached, and for what has no name. */
  volumeOf(inode: Inode): Volume | undefined {
    for (let at: Inode | undefined = inode; at !== undefined; at = this.overlay.dentryOf(at)?.dir) {
      for (const volume of this.volumes) if (volume.root === at) return volume;
    }
    return undefined;
  }

  /** Whether something in a volume is in use: what has no name any more counts for all. */
  isBusy(volume: Volume): boolean {
    for (const inode of this.#uses.keys()) if ((this.volumeOf(inode) ?? volume) === volume) return true;
    return false;
  }
}

/** A part of a view that comes from a tree of its own. */
export class Volume {
  readonly tree: Tree;
  /** What is seen at the mountpoint. */
  readonly root: Inode;
  /** Where that is. */
  readonly at: Dentry;
  /** What is there besides, and not seen meanwhile. */
  readonly covered: Inode;

  constructor(tree: Tree, root: Inode, at: Dentry, covered: Inode) {
    this.tree = tree;
    this.root = root;
    this.at = at;
    this.covered = covered;
  }
}

export class Mounts {
  readonly base: Tree;
  readonly #trees = new WeakMap<Overlay, Tree>();
  /** An inode is of one tree for ever. What is not here is of the base. */
  readonly #homes = new WeakMap<Inode, Tree>();
  /** By the directory of the mountpoint, and its name there. */
  readonly #points = new Map<Inode, Map<string, Volume>>();

  constructor(base: Overlay) {
    this.base = new Tree(base);
  }

  *volumes(): Generator<Volume> {
    for (const points of this.#points.values()) yield* points.values();
  }

  /** The base and what is attached, each once. */
  get trees(): Set<Tree> {
    return new Set([this.base, ...Array.from(this.volumes(), ({ tree }) => tree)]);
  }

  treeOf(inode: Inode): Tree {
    return this.#homes.get(inode) ?? this.base;
  }

  /** An inode was found in a tree. */
  adopt(inode: Inode, tree: Tree): void {
    if (tree !== this.base) this.#homes.set(inode, tree);
  }

  at(dir: Inode, name: string): Volume | undefined {
    return this.#points.get(dir)?.get(name);
  }

  /** The volume whose root an inode is. */
  rootedAt(inode: Inode): Volume | undefined {
    for (const volume of this.treeOf(inode).volumes) if (volume.root === inode) return volume;
    return undefined;
  }

  /** As the view shows it. */
  dentryOf(inode: Inode): Dentry | undefined {
    return this.rootedAt(inode)?.at ?? this.treeOf(inode).overlay.dentryOf(inode);
  }

  /** The mount that a directory is in, as the kernel tells them apart for renames and links. */
  mountOf(inode: Inode): Volume | Tree {
    const tree = this.treeOf(inode);
    return tree.volumeOf(inode) ?? tree;
  }

  /**
   * Whether a volume lies in another, at whatever depth.
   */
  isWithin(volume: Volume, other: Volume): boolean {
    const mount = this.mountOf(volume.at.dir);
    return mount instanceof Volume && (mount === other || this.isWithin(mount, other));
  }

  /** The tree of an overlay, if `root` may be attached. Throws EBUSY: nothing is in view twice. */
  treeFor(overlay: Overlay, root: Inode, readOnly: boolean): Tree {
    const busy = (): never => {
      throw new FsError('EBUSY', { syscall: 'mount' });
    };
    if (overlay === this.base.overlay) busy();
    const tree = this.#trees.get(overlay) ?? new Tree(overlay);
    const others = [...tree.volumes].map((volume) => volume.root);
    const isAbove = (above: Inode, below: Inode): boolean => {
      for (let at: Inode | undefined = below; at !== undefined; at = overlay.dentryOf(at)?.dir)
        if (at === above) return true;
      return false;
    };
    if (others.some((other) => isAbove(other, root) || isAbove(root, other))) busy();
    if (others.length > 0 && tree.readOnly !== readOnly) busy();
    tree.readOnly = readOnly;
    this.#trees.set(overlay, tree);
    return tree;
  }

  attach(volume: Volume): void {
    const { tree, root, at, covered } = volume;
    let points = this.#points.get(at.dir);
    if (points === undefined) this.#points.set(at.dir, (points = new Map()));
    points.set(at.name, volume);
    this.adopt(root, tree);
    tree.volumes.add(volume);
    tree.overlay.retain(root);
    const { overlay } = this.treeOf(at.dir);
    for (const inode of [at.dir, covered]) overlay.retain(inode);
  }

  /** From now on nothing leads there. What is in use stays usable. */
  detach(volume: Volume): void {
    const { tree, root, at, covered } = volume;
    const points = this.#points.get(at.dir);
    points?.delete(at.name);
    if (points?.size === 0) this.#points.delete(at.dir);
    tree.volumes.delete(volume);
    tree.overlay.forget(root);
    const { overlay } = this.treeOf(at.dir);
    for (const inode of [covered, at.dir]) overlay.forget(inode);
  }
}
