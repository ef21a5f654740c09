/**
 * Inodes that somebody holds across a rollback. The tree in memory is given up as a whole, at its root, so that this costs
 * the same however much was cached; an inode from before is found again by its name when it is next used, if what it was
 * still stands there, and is stale for good if not. Objects are recognised by their inode numbers, which an overlay with
 * checkpoints keeps.
 */
import { FsError, isFsError } from '../errors.js';
import { forgetNames, type Inode, type Stack } from '../inode.js';
import { Mutex } from '../lock.js';
import { lookup } from '../lookup.js';
import type { Operation } from '../run.js';

export class Survivors {
  readonly #stack: Stack;
  /** Entries from before, by directory: who is asked for one of these names looks whether it can go on. */
  readonly #former = new WeakMap<Inode, Map<string, Inode>>();
  readonly #lost = new WeakSet<Inode>();
  readonly #lock = new Mutex();
  /** Whether there may be any. */
  #any = false;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** Gives up all that is known but the root. */
  detach(): void {
    const stack = this.#stack;
    this.#any = true;
    this.#setAside(stack.root);
    stack.aliases.clear();
    stack.inodeCount = 1;
  }

  /** Sees to it that an inode is one of the tree. Throws ESTALE if it is no more. */
  *find(inode: Inode): Operation<void> {
    if (this.#any && !this.isFound(inode)) yield* this.#lock.hold(this.#find(inode));
  }

  /** As {@link find}, for who was known by a name before. */
  *findEntry(dir: Inode, name: string): Operation<void> {
    const inode = this.#any ? this.#former.get(dir)?.get(name) : undefined;
    if (inode === undefined) return;
    try {
      yield* this.find(inode);
    } catch (error) {
      if (!isFsError(error, 'ESTALE')) throw error; // then another stands there now, or nothing
    }
  }

  /** Whether an inode is one of the tree, or has no name at all. */
  isFound(inode: Inode): boolean {
    if (!this.#any) return true;
    let at = inode;
    for (; at.dir !== undefined; at = at.dir) if (at.dir.children?.get(at.name) !== at) return false;
    return !this.#lost.has(at);
  }

  /** Lets an inode go that nobody holds and that was not found again. */
  drop(inode: Inode): void {
    const { dir, name } = inode;
    if (dir === undefined || inode.references + inode.handles > 0) return;
    const former = this.#former.get(dir);
    if (former?.get(name) === inode) former.delete(name);
    this.#stack.removeDentry(inode, dir, name);
  }

  *#find(inode: Inode): Operation<void> {
    const path: Inode[] = [];
    for (let at = inode; at.dir !== undefined; at = at.dir) path.unshift(at);
    for (const at of path) {
      const dir = at.dir as Inode;
      if (this.#lost.has(dir)) break;
      if (dir.children?.get(at.name) !== at && !(yield* this.#resume(at, dir))) {
        this.#lose(at);
        break;
      }
    }
    if (this.isFound(inode)) return;
    this.#lose(inode);
    throw new FsError('ESTALE', { syscall: 'rollback' });
  }

  #lose(inode: Inode): void {
    this.#lost.add(inode);
    inode.dir = undefined;
    inode.isNameless = true;
  }

  /** Puts an inode in the place of the one that its name leads to, if both are one object. */
  *#resume(inode: Inode, dir: Inode): Operation<boolean> {
    const stack = this.#stack;
    const { name } = inode;
    const former = this.#former.get(dir);
    if (former?.get(name) === inode) former.delete(name);
    if (dir.children?.has(name) === true) return false; // found anew by who did not know of this one
    const found = (yield* lookup(stack, dir, name))?.inode;
    if (found === undefined || found === inode) return found !== undefined;
    const isHeld = found.references + found.handles + found.pins > 0 || found.links !== undefined;
    if (isHeld || found.type !== inode.type || found.ino !== inode.ino) return false;
    inode.own = found.own;
    inode.node = found.node;
    inode.layer = found.layer;
    inode.whole = found.whole;
    inode.hasOrigin = found.hasOrigin;
    inode.links = undefined;
    inode.data = inode.redirect = undefined;
    if (found.alias !== undefined) stack.aliases.set(found.alias, inode);
    inode.alias = found.alias;
    if (inode.isDirectory) {
      inode.parts = found.parts;
      inode.opaque = found.opaque;
      inode.redirect = found.redirect;
      inode.impure = found.impure;
      this.#setAside(inode);
    }
    dir.children?.set(name, inode);
    found.dir = undefined;
    return true;
  }

  #setAside(dir: Inode): void {
    if (dir.children !== undefined) this.#former.set(dir, dir.children);
    dir.children = undefined;
    dir.group = dir.defaultAcl = undefined;
    forgetNames(this.#stack, dir);
  }
}
