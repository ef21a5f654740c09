/**
 * A state of a tree: an overlay that is only read here, by path or by inode; and what two states share, so that nothing is
 * compared that both take from the same layers.
 */
import type { Attributes } from '../attributes.js';
import { FsError } from '../errors.js';
import type { OpenHandle } from '../file.js';
import { type Inode, type Real, Stack } from '../inode.js';
import type { Layer } from '../layer.js';
import { list, resolveOrigin } from '../lookup.js';
import type { Listed } from '../merge.js';
import { type Entry, Overlay } from '../overlay.js';
import { maybe, type Operation, wait } from '../run.js';
import { isOneObject } from '../same-object.js';
import { GONE } from '../snapshots/layers-gone.js';
import { getxattr, listxattr } from '../xattrs.js';

export class State {
  readonly overlay: Overlay;
  readonly stack: Stack;

  constructor(overlay: Overlay, stack: Stack) {
    this.overlay = overlay;
    this.stack = stack;
  }

  /** What is still being copied up is completed first, or the layer that cannot wait for it throws. */
  static *of(overlay: Overlay): Operation<State> {
    return yield* overlay.perform(stateOf, overlay);
  }

  /** What the state would be without its upper; undefined where nothing is below. Throws EINVAL without an upper. */
  static *below({ stack }: State): Operation<State | undefined> {
    if (stack.upper === undefined) throw new FsError('EINVAL', { syscall: 'diff' });
    const lower = lowerLayers(stack);
    if (lower.length === 0) return undefined;
    const { upper: _upper, index: _index, lazy: _lazy, ...options } = stack.options;
    return yield* State.of(yield* Overlay.open({ ...options, lower, xattrPrefix: stack.prefix }));
  }

  /** The object at a path; undefined where there is none. */
  lookup(path: string): Operation<Entry | undefined> {
    return lookupPath(this.overlay, path);
  }

  /** The object at a path. Throws ENOENT. */
  *find(path: string): Operation<Entry> {
    const entry = yield* this.lookup(path);
    if (entry === undefined) throw new FsError('ENOENT', { syscall: 'lookup', path });
    return entry;
  }

  /** The names of a directory and the layers that they come from. */
  *list(dir: Inode): Operation<ReadonlyMap<string, Listed>> {
    return dir.listing ?? (yield* list(this.stack, dir));
  }
}

function* stateOf(stack: Stack, overlay: Overlay): Operation<State> {
  yield* maybe(stack.options.lazy?.settleIn(stack, overlay.root));
  return new State(overlay, stack);
}

/**
 * Directories that are looked at again and again, kept in memory meanwhile: an overlay forgets what nobody holds, and would read
 * their names anew each time.
 */
export class Held {
  readonly #seen = new Map<Overlay, Set<string>>();
  readonly #inodes: [Overlay, Inode][] = [];

  /** Nothing where there is no such directory. */
  *directory(overlay: Overlay, path: string): Operation<void> {
    const seen = this.#seen.get(overlay) ?? new Set();
    this.#seen.set(overlay, seen);
    if (seen.has(path)) return;
    seen.add(path);
    const entry = yield* lookupPath(overlay, path);
    if (entry?.inode.isDirectory !== true) return;
    overlay.retain(entry.inode);
    this.#inodes.push([overlay, entry.inode]);
  }

  release(): void {
    for (const [overlay, inode] of this.#inodes.splice(0)) overlay.forget(inode);
  }
}

/** The object at a path, symbolic links not followed; undefined where there is none. */
export function* lookupPath(overlay: Overlay, path: string): Operation<Entry | undefined> {
  let entry: Entry = { inode: overlay.root, attributes: yield* overlay.getattr(overlay.root) };
  for (const name of path.split('/')) {
    if (name === '') continue;
    if (!entry.inode.isDirectory) return undefined;
    const next = yield* overlay.lookup(entry.inode, name);
    if (next === undefined) return undefined;
    entry = next;
  }
  return entry;
}

export function* xattrsOf(overlay: Overlay, inode: Inode): Operation<Map<string, Uint8Array>> {
  const values = new Map<string, Uint8Array>();
  const names = (yield* overlay.perform(listxattr, inode)).sort();
  for (const name of names) values.set(name, yield* overlay.perform(getxattr, inode, name));
  return values;
}

export function* readAll(overlay: Overlay, handle: OpenHandle, size: number): Operation<Uint8Array> {
  const bytes = new Uint8Array(size);
  return bytes.subarray(0, yield* overlay.read(handle, bytes, 0));
}

/** Two states of which the bottommost layers may be the same. */
export class Pair {
  readonly newer: State;
  readonly older: State | undefined;
  /** The indices in both from which on they have the same layers. */
  readonly #shared: { newer: number; older: number };

  constructor(newer: State, older: State | undefined) {
    this.newer = newer;
    this.older = older;
    this.#shared = older === undefined ? { newer: Infinity, older: Infinity } : findShared(newer.stack, older.stack);
  }

  isShared(state: State, layer: number): boolean {
    return layer >= (state === this.newer ? this.#shared.newer : this.#shared.older);
  }

  /** Whether an object lies in a layer of both states. */
  isBelow(state: State, inode: Inode): boolean {
    return this.isShared(state, state.stack.real(inode).index);
  }

  /** Whether both are the same object of one layer, so that there is nothing to compare; for directories, not below them. */
  *isSame(now: Inode, old: Inode): Operation<boolean> {
    const { newer, older } = this;
    if (older === undefined || !this.isBelow(newer, now) || !this.isBelow(older, old)) return false;
    const [a, b] = [newer.stack.real(now), older.stack.real(old)];
    return a.layer === b.layer && (yield* isOneObject(a.layer, a.node, b.node));
  }

  /** The object of the common layers that one shows, or merges, if any. */
  *shown(state: State, inode: Inode): Operation<string | undefined> {
    const { stack } = state;
    const top = stack.real(inode);
    const below = inode.lower.find(({ layer }) => this.isShared(state, layer));
    const known = this.isShared(state, top.index) ? { layer: top.index, node: top.node } : below;
    return known && key(yield* wait(stack.layer(known.layer).getattr(known.node)));
  }

  /** What tells an object that was copied up or moved from a new one: the one that it shows, or else was made from. */
  *identity(state: State, inode: Inode): Operation<string | undefined> {
    const known = yield* this.shown(state, inode);
    if (known !== undefined) return known;
    const { stack } = state;
    const { layer, node } = stack.real(inode);
    const recorded = yield* wait(layer.getxattr(node, `${stack.prefix}origin`));
    const origin = recorded === undefined ? undefined : yield* resolveOrigin(stack, recorded);
    return origin && key(origin);
  }

  /** Whether two directories take the same from the common layers. */
  *isAligned(now: Inode, old: Inode): Operation<boolean> {
    const { newer, older } = this;
    if (older === undefined) return false;
    const a = this.#sharedParts(newer, now);
    const b = this.#sharedParts(older, old);
    if (a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) {
      const [one, other] = [a[i] as Real, b[i] as Real];
      const layer = newer.stack.layer(one.layer);
      if (layer !== older.stack.layer(other.layer)) return false;
      if (!(yield* isOneObject(layer, one.node, other.node))) return false;
    }
    return true;
  }

  #sharedParts(state: State, dir: Inode): Real[] {
    const parts = dir.upper === undefined ? [] : [{ layer: state.stack.first, node: dir.upper }];
    return parts.concat(dir.lower).filter(({ layer }) => this.isShared(state, layer));
  }

  /** The names under which two directories may differ, sorted. `old` is left out where everything is new. */
  *candidates(now: Inode, old: Inode | undefined): Operation<string[]> {
    const { newer, older } = this;
    const names: string[] = [];
    const listing = yield* newer.list(now);
    if (older === undefined || old === undefined) return [...listing.keys()].sort();
    const before = yield* older.list(old);
    const aligned = yield* this.isAligned(now, old);
    for (const [name, { layer }] of listing) {
      const listed = before.get(name);
      const same = aligned && listed && this.isShared(newer, layer) && this.isShared(older, listed.layer);
      if (same !== true) names.push(name);
    }
    for (const name of before.keys()) if (!listing.has(name)) names.push(name);
    return names.sort();
  }
}

/** The lower layers that are looked into, topmost first. Where layers came and went, others have places, too. */
function lowerLayers(stack: Stack): Layer[] {
  return stack.root.lower.map(({ layer }) => stack.layer(layer));
}

/** The same layers, numbered from 0 as they lie: in a stack with checkpoints they are not. For reading only. */
export function renumbered(stack: Stack): Stack {
  const { upper: _upper, ...options } = stack.options;
  return new Stack({
    ...options,
    lower: lowerLayers(stack),
    ...(stack.upper && { upper: stack.upper }),
    xattrPrefix: stack.prefix,
  });
}

/** Layers for data only count where both have them: a file's data is looked for in all. */
function findShared(a: Stack, b: Stack): { newer: number; older: number } {
  const none = { newer: Infinity, older: Infinity };
  const end = (stack: Stack): number => stack.first + stack.layers.length;
  const data = (stack: Stack): number => end(stack) - stack.firstData;
  if (a.prefix !== b.prefix || data(a) !== data(b)) return none;
  let [newer, older] = [end(a), end(b)];
  while (newer > a.first && older > b.first) {
    const [one, other] = [a.layer(newer - 1), b.layer(older - 1)];
    if (one !== GONE && other !== GONE && one !== other) break;
    if (one === GONE || one === other) newer--;
    if (other === GONE || one === other) older--;
  }
  return newer > a.firstData || older > b.firstData ? none : { newer, older };
}

function key({ dev, ino }: Pick<Attributes, 'dev' | 'ino'>): string {
  return `${dev}:${ino}`;
}
