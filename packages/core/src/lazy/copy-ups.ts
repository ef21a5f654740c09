/**
 * Copy-up after the answer ("lazy"): changes of a lower file's attributes are remembered and shown, and made together with its
 * copy when there is time; a large file is opened for writing at once, and its data follows (pending-copy.ts). The upper
 * never holds part of it: copies have no name until they are whole. What another change of names, an fsync or the end of the
 * overlay depends on is completed first. Passed in, by hosts that have something to copy beside.
 */
import { type AttributeChange, type Attributes, isRegular, S_ISGID, S_ISUID } from '../attributes.js';
import { copyUp, linkCopy } from '../copy-up.js';
import { type FsError, isFsError } from '../errors.js';
import { isPrivateXattr } from '../format.js';
import type { Inode, Real, Stack } from '../inode.js';
import type { LayerNode } from '../layer.js';
import { getattr } from '../lookup.js';
import type { LazyCopyUp, PendingData } from '../options.js';
import { isForGood, PendingCopy, putTime, Unsettled } from './pending-copy.js';
import { type Operation, wait } from '../run.js';

/** What is copied after the answer, and who waits for it. */
export interface LazyOptions {
  /**
   * What becomes of an operation that needs a copy completed first: it fails with {@link Unsettled} and is to be tried again
   * after {@link LazyCopyUps.work} ("suspend"), or it waits ("wait").
   */
  unsettled: 'suspend' | 'wait';
  /** Whether changes of attributes alone are made at once (the default), or later with the copy. */
  attributes?: 'now' | 'later';
  /** Files of at least so many bytes are copied after the answer. Default 1 MiB, which is copied about as fast as asked for. */
  minBytes?: number;
  /** Told of copies that cannot be completed. */
  log?: (line: string) => void;
}

/** How many changed files may wait for their copies; each costs memory, and time at the unmount. */
const MAX_DEFERRED = 8192;
/** How many copies without names may be under way. */
const MAX_PENDING = 64;
/** How many of them are worked at: more would only make the first later. */
const MAX_ACTIVE = 2;
/** Copies of changed files that one attempt of an operation makes before others have their turn. */
const SLICE = 16;
/** Milliseconds after which a copy that failed is tried again by itself. */
const RETRY_MS = 1000;
const DEFAULT_MIN_BYTES = 1 << 20;
const CAPABILITY = 'security.capability';

/** The copies that are still to be made of one overlay: given to it as `lazy`, and worked at between its operations. */
export class LazyCopyUps implements LazyCopyUp {
  readonly #options: LazyOptions;
  /** In order of their changes. */
  readonly #deferred = new Map<Inode, { bytes: number; since: number }>();
  readonly #pending = new Map<Inode, PendingCopy>();
  /** Of files that are gone, until what is done beside has ended. */
  #ending: PendingCopy[] = [];
  /** Bytes that copies of changed files will take. */
  #promised = 0;
  #retryAt = 0;
  /** The last copy of a changed file failed, and not for want of room. */
  #isForGood = false;

  constructor(options: LazyOptions) {
    this.#options = options;
  }

  /** Whether something is being done beside, which is worth a look soon. */
  get isCopying(): boolean {
    if (this.#ending.length > 0) return true;
    for (const inode of this.#pending.keys()) if (!inode.isNameless) return true;
    return false;
  }

  /** Whether the upper has all that was answered. */
  get isEmpty(): boolean {
    return this.#deferred.size === 0 && !this.isCopying;
  }

  /** Whether there is something to do, now. */
  get hasWork(): boolean {
    return this.isCopying || (this.#deferred.size > 0 && this.#retryAt <= Date.now());
  }

  /** Whether all that is left to do has just failed, and will fail again. */
  get isHopeless(): boolean {
    if (this.isEmpty || this.#ending.length > 0) return false;
    for (const [inode, copy] of this.#pending) if (!inode.isNameless && !copy.isHopeless) return false;
    return this.#deferred.size === 0 || (this.#isForGood && this.#retryAt > Date.now());
  }

  /** Since when the oldest change waits, as `Date.now` counts; undefined if none does. */
  get oldest(): number | undefined {
    return this.#deferred.values().next().value?.since;
  }

  /** See {@link LazyCopyUp.defer}. */
  *defer(stack: Stack, inode: Inode, change: AttributeChange): Operation<boolean> {
    const { atime, mtime, uid, gid, mode, size } = change;
    const { dentry, upper } = inode;
    if (upper !== undefined || dentry === undefined || !isRegular(inode.type) || size !== undefined) return false;
    if (atime === 'now' || mtime === 'now' || Object.keys(change).length === 0) return false;
    if (this.#options.attributes !== 'later') return yield* this.#withCopy(stack, inode, change);
    if (stack.options.revalidation !== undefined) return false;
    if (stack.options.fsync === 'strict' || stack.upper?.promises === undefined) return false;
    const now = yield* getattr(stack, inode);
    const special = S_ISUID | S_ISGID;
    if (((now.mode | (mode ?? 0)) & special) !== 0 || (now.nlink > 1 && inode.union === undefined)) return false;
    if (!this.#deferred.has(inode)) {
      const { layer, node } = stack.real(inode);
      // An ACL changes with the mode, a capability goes with the owner.
      const names = yield* wait(layer.listxattr(node));
      for (const name of names) if (!isPrivateXattr(name, stack.prefix)) return false;
      if (this.#deferred.size >= MAX_DEFERRED) yield* this.#oldestFirst(stack);
      yield* copyUp(stack, dentry.dir);
    }
    const shown = { ...now, ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }) };
    const known = this.#deferred.get(inode)?.bytes ?? 0;
    if (!(yield* wait(stack.upper.promises(shown, this.#promised - known)))) return false;
    if (inode.upper !== undefined) return false; // somebody was faster
    const wanted: Partial<Attributes> = { ...inode.shown, uid: shown.uid, gid: shown.gid };
    wanted.mode = mode === undefined ? now.mode : (now.mode & ~0o7777) | (mode & 0o7777);
    putTime(wanted, 'atime', atime);
    putTime(wanted, 'mtime', mtime);
    const ms = Date.now();
    putTime(wanted, 'ctime', { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1e6 });
    inode.shown = wanted;
    if (!this.#deferred.has(inode)) {
      inode.pins++; // until the copy is there: nothing else knows the change
      this.#deferred.set(inode, { bytes: now.size, since: ms });
      this.#promised += now.size;
    }
    return true;
  }

  /**
   * Makes the copy with the change in it, so that no crash shows it without. Not another owner: to stage a file as somebody's is
   * no change of its owner, which takes capabilities away.
   */
  *#withCopy(stack: Stack, inode: Inode, { uid, gid, mode, atime, mtime }: AttributeChange): Operation<boolean> {
    if (uid !== undefined || gid !== undefined || inode.shown !== undefined) return false;
    // A change that takes set-id bits along is not told as one of the mode.
    const special = mode === undefined ? (yield* getattr(stack, inode)).mode & (S_ISUID | S_ISGID) : 0;
    if (special !== 0) return false;
    const wanted: Partial<Attributes> = {};
    if (mode !== undefined) wanted.mode = inode.type | (mode & 0o7777);
    putTime(wanted, 'atime', atime);
    putTime(wanted, 'mtime', mtime);
    inode.shown = wanted;
    try {
      yield* copyUp(stack, inode, 'metadata');
      return true;
    } finally {
      if (inode.shown === wanted) inode.shown = undefined; // there is no copy
    }
  }

  *#oldestFirst(stack: Stack): Operation<void> {
    const [inode] = this.#deferred.keys();
    if (inode !== undefined) yield* this.#make(stack, inode);
  }

  /** Makes the copy of a changed file, whose change goes with it. Throws what copy-up throws: the change is then still waiting. */
  *#make(stack: Stack, inode: Inode): Operation<void> {
    if (inode.upper === undefined && !inode.isNameless) yield* copyUp(stack, inode, 'metadata');
    this.#done(inode);
  }

  #done(inode: Inode): void {
    const entry = this.#deferred.get(inode);
    if (entry === undefined) return;
    this.#deferred.delete(inode);
    this.#promised -= entry.bytes;
    inode.pins--; // whoever has it may go on to use it
  }

  /** See {@link LazyCopyUp.begin}. */
  *begin(
    stack: Stack,
    inode: Inode,
    source: Real,
    target: LayerNode,
    length: number,
    attributes: Attributes,
  ): Operation<PendingData | undefined> {
    const upper = stack.writable();
    const { nlink, mode } = attributes;
    if (length < (this.#options.minBytes ?? DEFAULT_MIN_BYTES) || upper.copiesBeside === undefined) return undefined;
    if (nlink > 1 || inode.dentry === undefined || (mode & (S_ISUID | S_ISGID)) !== 0) return undefined;
    if (stack.options.revalidation !== undefined) return undefined;
    const { layer, node } = stack.real(inode);
    if ((yield* wait(layer.getxattr(node, CAPABILITY))) !== undefined) return undefined; // copying would drop it
    if (this.#pending.size >= MAX_PENDING) yield* this.#await(stack, [...this.#pending.keys()][0] as Inode);
    const copy = PendingCopy.open(stack, inode, source, target, length, attributes, this.#options.unsettled);
    if (copy === undefined) return undefined;
    inode.pins++;
    this.#pending.set(inode, copy);
    return copy;
  }

  /** See {@link LazyCopyUp.abandon}. */
  abandon(inode: Inode): void {
    const copy = this.#pending.get(inode);
    if (copy === undefined) return;
    this.#pending.delete(inode);
    inode.pending = undefined;
    if (inode.upper !== undefined) inode.shown = undefined; // a change that was remembered before waits for the next copy
    if (!copy.end()) this.#ending.push(copy);
    inode.pins--;
  }

  /** See {@link LazyCopyUp.settle}. */
  *settle(stack: Stack, inode: Inode): Operation<void> {
    if (this.#deferred.has(inode)) yield* this.#make(stack, inode);
    if (inode.pending !== undefined && !inode.isNameless) yield* this.#await(stack, inode);
  }

  /** See {@link LazyCopyUp.settleIn}. */
  *settleIn(stack: Stack, dir: Inode): Operation<void> {
    const isWithin = (inode: Inode): boolean => dir === stack.root || inode.dentry?.dir === dir;
    let made = 0;
    for (const inode of this.#deferred.keys()) {
      if (!isWithin(inode)) continue;
      if (made++ === SLICE && this.#options.unsettled === 'suspend') throw new Unsettled();
      yield* this.#make(stack, inode);
    }
    for (const inode of this.#pending.keys()) if (isWithin(inode)) yield* this.settle(stack, inode);
  }

  *#await(stack: Stack, inode: Inode): Operation<void> {
    for (;;) {
      const copy = this.#pending.get(inode);
      if (copy === undefined) return;
      copy.report();
      if (yield* this.#step(stack, inode, copy)) return;
      if (this.#options.unsettled === 'suspend') throw new Unsettled();
      copy.wait();
    }
  }

  /** True once the copy has its name. */
  *#step(stack: Stack, inode: Inode, copy: PendingCopy): Operation<boolean> {
    if (!copy.step(stack)) return false;
    if (!inode.isNameless) {
      copy.dress();
      inode.pending = undefined; // from here on its name is the upper's
      let linked = false;
      try {
        linked = yield* stack.namespace.hold(linkCopy(stack, inode, inode.upper as LayerNode, copy.origin, undefined));
      } finally {
        if (!linked) inode.pending = copy;
      }
      if (!linked) return false;
    }
    this.abandon(inode);
    return true;
  }

  /**
   * Does a piece of what waits: looks after the copies under way, and makes one of a changed file if there is none. Throws
   * nothing: what fails is tried again, and reported to whoever asks for it to be made durable.
   */
  *work(stack: Stack): Operation<void> {
    const ending = this.#ending;
    this.#ending = [];
    for (const copy of ending) if (!copy.end()) this.#ending.push(copy);
    let active = 0;
    for (const [inode, copy] of this.#pending) {
      if (inode.isNameless || active >= MAX_ACTIVE || copy.isResting) continue;
      active++;
      try {
        if (yield* this.#step(stack, inode, copy)) stack.drop(inode);
      } catch (error) {
        if (!isFsError(error)) throw error;
        copy.fail(error);
      }
    }
    if (active > 0) return;
    const [inode] = this.#deferred.keys();
    if (inode === undefined) return;
    try {
      yield* this.#make(stack, inode);
      stack.drop(inode);
    } catch (error) {
      if (error instanceof Unsettled) return;
      if (!isFsError(error)) throw error;
      this.#options.log?.(`the copy of ${inode.dentry?.name ?? 'a file'} waits: ${error.message}`);
      this.#retryAt = Date.now() + RETRY_MS;
      this.#isForGood = isForGood(error);
      const entry = this.#deferred.get(inode);
      if (entry === undefined) return;
      this.#deferred.delete(inode); // behind the others
      this.#deferred.set(inode, entry);
    }
  }

  /** Completes everything, at the end of the overlay. What cannot be completed is told and given up: it was never durable. */
  *drain(stack: Stack): Operation<void> {
    for (const inode of this.#deferred.keys()) {
      try {
        yield* this.#make(stack, inode);
      } catch (error) {
        if (!isFsError(error) && !(error instanceof Unsettled)) throw error;
        if (isFsError(error)) this.#lose(inode, error);
      }
    }
    for (const [inode, copy] of this.#pending) {
      try {
        copy.forgive();
        while (!inode.isNameless && !(yield* this.#step(stack, inode, copy))) {
          copy.wait();
          copy.report();
        }
      } catch (error) {
        if (!isFsError(error)) throw error;
        this.#lose(inode, error);
      }
      this.abandon(inode);
    }
    for (const copy of this.#ending) {
      copy.wait();
      copy.end();
    }
  }

  #lose(inode: Inode, error: FsError): void {
    this.#options.log?.(`changes of ${inode.dentry?.name ?? 'a file'} are lost: ${error.message}`);
  }
}
