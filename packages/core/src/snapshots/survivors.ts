/**
 * Inodes that somebody holds across a rollback, or while lower layers come and go. The tree in memory is given up as a whole, at its
 * root, so that this costs the same however much was cached; an inode from before is found again by its name when it is next
 * used, if what it was still stands there. Objects are recognised by their inode numbers, which an overlay with checkpoints
 * keeps, and where only lower layers changed also by the layers' objects: what the upper has is what it was.
 */
import { FsError, isFsError } from '../errors.js';
import { forgetNames, type Inode, type Stack } from '../inode.js';
import type { Layer, LayerNode } from '../layer.js';
import { Mutex } from '../lock.js';
import { lookup } from '../lookup.js';
import type { Operation } from '../run.js';
import { isOneObject } from '../same-object.js';

/**
 * "rollback": what is not found again is stale for good. "lower layers": so is a directory, but a file goes on as one that was
 * removed, for who has it open.
 */
type Change = 'rollback' | 'lower layers';

export class Survivors {
  readonly #stack: Stack;
  /** Entries from before, by directory: who is asked for one of these names looks whether it can go on. */
  readonly #former = new WeakMap<Inode, Map<string, Inode>>();
  readonly #lost = new WeakSet<Inode>();
  readonly #lock = new Mutex();
  /** What the last change of the stack was; undefined as long as there was none, and nobody to be found. */
  #last: Change | undefined;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** Gives up all that is known but the root. */
  detach(change: Change): void {
    const stack = this.#stack;
    this.#last = change;
    const { warm = [] } = stack;
    stack.warm = undefined;
    for (const dir of warm) stack.drop(dir);
    this.#setAside(stack.root);
    if (change === 'rollback') stack.aliases.clear(); // otherwise the upper has the same files by the same names
    stack.inodeCount = 1;
  }

  /** Sees to it that an inode is one of the tree. Throws ESTALE if it is no more. */
  *find(inode: Inode): Operation<void> {
    if (!this.isFound(inode)) yield* this.#lock.hold(this.#find(inode));
  }

  /** As {@link find}, for who was known by a name before. */
  *findEntry(dir: Inode, name: string): Operation<void> {
    const inode = this.#former.get(dir)?.get(name);
    if (inode === undefined) return;
    try {
      yield* this.find(inode);
    } catch (error) {
      if (!isFsError(error, 'ESTALE')) throw error; // then another stands there now, or nothing
    }
  }

  /** Whether an inode is one of the tree, or has no name at all. */
  isFound(inode: Inode): boolean {
    if (this.#last === undefined) return true;
    let at = inode;
    for (; at.dir !== undefined; at = at.dir) if (at.dir.children?.get(at.name) !== at) return false;
    return !this.#lost.has(at);
  }

  /** Lets an inode go that nobody holds and that was not found again, and its directories that only led to it. */
  drop(inode: Inode): void {
    let at = inode;
    for (; at.dir !== undefined && !this.isFound(at) && this.#isAlone(at) && !isHeld(at); ) {
      const { dir, name } = at;
      this.#forgetFormer(at, dir);
      this.#stack.removeDentry(at, dir, name);
      at = dir;
    }
    if (at !== inode && this.isFound(at)) this.#stack.drop(at);
  }

  /** Whether nothing below a directory is held; forgets entries that are not. */
  #isAlone(dir: Inode): boolean {
    for (const known of [dir.children, this.#former.get(dir)]) {
      for (const [name, child] of known ?? []) {
        if (!this.#isAlone(child) || isHeld(child)) return false;
        if (known === dir.children) known?.delete(name);
        else this.#forgetFormer(child, dir);
      }
    }
    return true;
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
    if (!this.isFound(inode)) this.#lose(inode);
    if (this.#lost.has(inode)) throw new FsError('ESTALE');
  }

  #lose(inode: Inode): void {
    if (this.#last === 'rollback' || inode.isDirectory) this.#lost.add(inode);
    inode.dir = inode.links = undefined;
    inode.isNameless = true;
  }

  /** Puts an inode in the place of the one that its name leads to, if both are one object. */
  *#resume(inode: Inode, dir: Inode): Operation<boolean> {
    const stack = this.#stack;
    const { name } = inode;
    if (dir.children?.has(name) === true) return false; // found anew by who did not know of this one
    const found = (yield* lookup(stack, dir, name))?.inode;
    if (found === inode) {
      stack.inodeCount++; // known by its alias
      this.#forgetFormer(inode, dir);
      return true;
    }
    const isOther =
      found === undefined || isHeld(found) || found.links !== undefined || !(yield* this.#isSame(inode, found));
    this.#forgetFormer(inode, dir);
    if (isOther) {
      stack.drop(found ?? dir); // nobody asked for it
      return false;
    }
    if (inode.upper === undefined || found.own === undefined || this.#last === 'rollback' || inode.isDirectory) {
      inode.own = found.own;
      inode.node = found.node;
      inode.layer = found.layer;
      inode.whole = found.whole;
      inode.data = inode.redirect = undefined;
    } // else who has it open goes on with the same object
    inode.hasOrigin = found.hasOrigin;
    inode.links = undefined;
    if (found.alias !== undefined) stack.aliases.set(found.alias, inode);
    inode.alias = found.alias ?? inode.alias;
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

  /** A directory stays the same as long as one of the layers that had it shows it. */
  *#isSame(inode: Inode, found: Inode): Operation<boolean> {
    if (found.type !== inode.type) return false;
    if (found.ino === inode.ino) return true;
    if (this.#last === 'rollback') return false;
    const before = this.#parts(inode);
    for (const [layer, node] of this.#parts(found)) {
      const known = before.get(layer);
      if (known !== undefined && (yield* isOneObject(layer, known, node))) return true;
    }
    return false;
  }

  /** Its objects by their layers. */
  #parts(inode: Inode): Map<Layer, LayerNode> {
    const stack = this.#stack;
    const { upper, lower } = inode;
    const parts = new Map(lower.map(({ layer, node }) => [stack.layer(layer), node]));
    return upper === undefined ? parts : parts.set(stack.top, upper);
  }

  #forgetFormer(inode: Inode, dir: Inode): void {
    const former = this.#former.get(dir);
    if (former?.get(inode.name) !== inode) return;
    former.delete(inode.name);
    if (former.size > 0) return;
    this.#former.delete(dir);
    dir.pins--;
  }

  #setAside(dir: Inode): void {
    // Those who were not found again since the change before may yet be. Whom nobody holds is forgotten.
    const known = this.#former.get(dir);
    const former = known ?? new Map<string, Inode>();
    for (const [name, child] of dir.children ?? []) {
      if (isHeld(child) || (child.children?.size ?? 0) > 0) former.set(name, child);
      else this.#stack.unalias(child);
    }
    if (known === undefined && former.size > 0) {
      this.#former.set(dir, former);
      dir.pins++; // it stays where it is until they are found, whose way it is
    }
    dir.children = undefined;
    dir.group = dir.defaultAcl = undefined;
    forgetNames(this.#stack, dir);
  }
}

function isHeld({ references, handles, pins }: Inode): boolean {
  return references + handles + pins > 0;
}
