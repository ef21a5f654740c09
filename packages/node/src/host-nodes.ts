/**
 * How objects of a host layer are reached: a node is a name in a parent node, and a directory in use has a descriptor,
 * so that every system call gets a descriptor and a single name. No path is ever built, hence no path is too long, and
 * no component is followed if it is (or has just been replaced by) a symbolic link. Descriptors of directories are
 * cached, bounded over all layers of the thread; the chain of parents opens a forgotten one again.
 */
import { type Attributes, DT_DIR, type EntryType, FsError, type LayerNode } from '@ovl/core';
import { openFileLimit } from './processes.js';
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, close, errorOf, openatOrErrno, statxFd } from './syscalls.js';

const ESTALE = 'ESTALE';

/** What a layer's directories pass on to new entries: a group unless it is the creator's own, a default ACL. */
export interface Inherited {
  gid: number | undefined;
  defaultAcl: boolean;
}

export class HostNode {
  /** Undefined for the root of a layer, and for what has lost its name. */
  parent: HostNode | undefined;
  name: string;
  readonly type: EntryType;
  /** Which object was found under the name: another may have taken it from outside. 0 if it was not looked up. */
  ino = 0;
  dev = 0;
  /** An O_PATH descriptor of the object itself, or −1. */
  fd = -1;
  /** Where the cache has it, or −1: `fd` then belongs to the node (a root, or an object without a name). */
  slot = -1;
  /** Of an upper: known to have no file capability, which the kernel asks for before a first write and a change of owner. */
  incapable = false;

  // Only directories have these: other nodes are many.

  /** Used since the cache's hand last came by. */
  declare recent: boolean;
  /** Above 0 while a call with several directories needs the descriptor to stay. */
  declare pins: number;
  /** In an upper, once known. */
  declare inherits: Inherited | undefined;

  constructor(parent: HostNode | undefined, name: string, type: EntryType) {
    this.parent = parent;
    this.name = name;
    this.type = type;
  }

  /** Records which object it stands for. */
  identify({ ino, dev }: Attributes): void {
    this.ino = ino;
    this.dev = dev;
  }
}

export class HostDirectory extends HostNode {
  override recent = false;
  override pins = 0;
  override inherits: Inherited | undefined = undefined;

  constructor(parent: HostNode | undefined, name: string) {
    super(parent, name, DT_DIR);
  }
}

export function newNode(parent: HostNode | undefined, name: string, type: EntryType): HostNode {
  return type === DT_DIR ? new HostDirectory(parent, name) : new HostNode(parent, name, type);
}

/** Something that directories pass on may have changed. */
export function forgetInherited(node: HostNode): void {
  if (node.type === DT_DIR) node.inherits = undefined;
}

/** The node that core passes back; it has no others of this layer. */
export function hostNode(node: LayerNode): HostNode {
  return node as HostNode;
}

/** Second-chance ("clock") replacement: a hit costs one store, where a list ordered by use would cost two map updates. */
export class DirectoryCache {
  readonly #slots: HostNode[] = [];
  /** How many it holds, given the number of descriptors that roots of layers hold. */
  readonly #capacity: (roots: number) => number;
  #roots = 0;
  #hand = 0;

  constructor(capacity: (roots: number) => number) {
    this.#capacity = capacity;
  }

  /** A layer was opened, whose root keeps its descriptor for as long as it lives. */
  rootOpened(): void {
    this.#roots++;
  }

  rootClosed(): void {
    this.#roots--;
  }

  get size(): number {
    return this.#slots.length;
  }

  /** A descriptor of the directory, valid until the next call of this method unless the node is pinned. */
  fd(node: HostNode): number {
    if (node.fd >= 0) {
      node.recent = true;
      return node.fd;
    }
    return this.#open(node);
  }

  pin(node: HostNode): number {
    const fd = this.fd(node);
    node.pins++;
    return fd;
  }

  unpin(node: HostNode): void {
    node.pins--;
  }

  /** Opens the chain of parents from the nearest open one down, by a loop: trees are deeper than the stack allows. */
  #open(node: HostNode): number {
    const missing: HostNode[] = [];
    let at = node;
    while (at.fd < 0) {
      if (at.parent === undefined) throw new FsError(ESTALE, { syscall: 'openat', path: node.name });
      missing.push(at);
      at = at.parent;
    }
    let fd = at.fd;
    for (let i = missing.length - 1; i >= 0; i--) {
      const next = missing[i] as HostNode;
      if (next.type !== DT_DIR) throw new FsError('ENOTDIR', { syscall: 'openat', path: next.name });
      fd = openKnown(fd, next);
      next.fd = fd; // from here on `at` may lose its descriptor: it is not needed any more
      this.#insert(next);
    }
    return fd;
  }

  #insert(node: HostNode): void {
    node.recent = true;
    if (this.#slots.length < this.#capacity(this.#roots)) {
      node.slot = this.#slots.push(node) - 1;
      return;
    }
    const slot = this.#victim();
    const old = this.#slots[slot] as HostNode;
    close(old.fd);
    old.fd = old.slot = -1;
    this.#slots[slot] = node;
    node.slot = slot;
  }

  #victim(): number {
    for (;;) {
      const slot = this.#hand;
      this.#hand = slot + 1 < this.#slots.length ? slot + 1 : 0;
      const node = this.#slots[slot] as HostNode;
      if (!node.recent && node.pins === 0) return slot;
      node.recent = false;
    }
  }

  /** Takes the directory out and leaves its descriptor, if it had one, to the caller. */
  release(node: HostNode): void {
    if (node.slot < 0) return;
    const last = this.#slots.pop() as HostNode;
    if (last !== node) {
      this.#slots[node.slot] = last;
      last.slot = node.slot;
    }
    if (this.#hand >= this.#slots.length) this.#hand = 0;
    node.slot = -1;
  }

  /** Closes the descriptor of a directory that is gone. */
  forget(node: HostNode): void {
    if (node.slot < 0) return;
    this.release(node);
    close(node.fd);
    node.fd = -1;
  }

  /** Closes the descriptors of everything below `root`, when its layer is closed. */
  forgetTree(root: HostNode): void {
    for (const node of this.#slots.slice()) {
      let at: HostNode | undefined = node;
      while (at !== undefined && at !== root) at = at.parent;
      if (at === root) this.forget(node);
    }
  }
}

/** Opens a directory by its name. Throws ESTALE if something else is there by now, or nothing. */
function openKnown(dirfd: number, node: HostNode): number {
  const fd = openatOrErrno(dirfd, node.name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (fd >= 0 && isKnown(node, statxFd(fd))) return fd;
  if (fd >= 0) close(fd);
  else if (![-2 /* ENOENT */, -20 /* ENOTDIR */].includes(fd)) throw errorOf(-fd, 'openat', node.name);
  throw new FsError(ESTALE, { syscall: 'openat', path: node.name });
}

/** Whether attributes are those of the object that the node stands for. */
export function isKnown({ ino, dev, type }: HostNode, found: Attributes): boolean {
  return (ino === 0 || (found.ino === ino && found.dev === dev)) && found.mode >> 12 === type;
}

const openFiles = openFileLimit();

/** One for all layers of the thread: each of 1,000 layers may not take its own share of the descriptors. */
export const directories: DirectoryCache = new DirectoryCache((roots) =>
  Math.min(Math.max(Math.floor((openFiles - roots) / 4), 64), 4096),
);

/** Where a system call finds an object: a descriptor and a name, or with an empty name the descriptor's own object. */
export interface Location {
  fd: number;
  name: string;
}

// One object for life: a location is used at once, and never across another.
const location: Location = { fd: -1, name: '' };

/** For calls that know AT_EMPTY_PATH. */
export function locate(node: HostNode): Location {
  if (node.fd >= 0) {
    if (node.type === DT_DIR) node.recent = true;
    location.fd = node.fd;
    location.name = '';
  } else {
    location.fd = directories.fd(parentOf(node));
    location.name = node.name;
  }
  return location;
}

/** For calls that need a name wherever there is one: "." names a directory, an empty name only what lost its own. */
export function locateByName(node: HostNode): Location {
  locate(node);
  if (location.name === '' && node.type === DT_DIR) location.name = '.';
  return location;
}

export function parentOf(node: HostNode): HostNode {
  if (node.parent === undefined) throw new FsError(ESTALE, { path: node.name });
  return node.parent;
}

/** Throws EINVAL for what would lead out of the directory. Core has checked names; a layer's walls do not rest on that. */
export function checkEntry(name: string): string {
  if (name === '' || name === '.' || name === '..' || name.includes('/')) throw new FsError('EINVAL', { path: name });
  return name;
}
