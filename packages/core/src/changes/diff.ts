/**
 * What differs between two states of a tree. Directories that both take from the same layers are never visited, so the cost
 * follows the number of changes and not the size of what lies below.
 */
import { type Attributes, isRegular, S_IFMT } from '../attributes.js';
import type { Inode } from '../inode.js';
import type { Entry, Overlay } from '../overlay.js';
import type { Mode, Operation } from '../run.js';
import { type Aspect, type Change, type ChangeKind, Version } from './change.js';
import { compare, type ContentComparison, sameType } from './compare.js';
import { findMoves, type Moves, NO_MOVES } from './moves.js';
import { Pair, State } from './state.js';
import { collect, type Stream } from '../stream.js';

/** What is compared, and how renames and deletions are told. */
export interface DiffOptions<M extends Mode = Mode> {
  /** What `newer` is compared with. Default: what its layers below the upper show. */
  older?: Overlay<M>;
  /**
   * "detect" (default): what was renamed is one change, and what differs in a renamed directory follows it. "expand": it is
   * deleted at its old path and added, with all below it, at the new one; nothing is looked at before the first change.
   */
  renames?: 'detect' | 'expand';
  /** "one" (default): a deleted directory is one change. "expand": what was in it follows, with its sizes. */
  deletions?: 'one' | 'expand';
  /** Default "bytes". */
  content?: ContentComparison;
  /**
   * Whether a directory of which only the time differs is a change: it moves with every entry that comes or goes. Default
   * "ignore"; in a directory that is a change for another reason it is always compared.
   */
  directoryTimes?: 'ignore' | 'report';
}

/**
 * The changes that lead from the older state to `newer`, parents before children, siblings by name; the deleted before what
 * took its name. Nothing is locked: a state that changes meanwhile is read as it is when its turn comes. Throws EINVAL where
 * there is nothing to compare with: neither `older` nor an upper layer.
 */
export function* changes<M extends Mode>(newer: Overlay<M>, options: DiffOptions<M> = {}): Stream<Change> {
  const state = yield* State.of(newer);
  const older = options.older === undefined ? yield* State.below(state) : yield* State.of(options.older);
  const pair = new Pair(state, older);
  const moves = options.renames === 'expand' ? NO_MOVES : yield* findMoves(pair);
  const walk = new Walk(pair, moves, options);
  if (older !== undefined) yield* walk.root(older);
  yield* walk.directory({ path: '', inode: newer.root }, older && { path: '', inode: older.overlay.root });
}

/** All of {@link changes}. */
export function diff<M extends Mode>(newer: Overlay<M>, options?: DiffOptions<M>): Operation<Change[]> {
  return collect(changes(newer, options));
}

interface At {
  path: string;
  inode: Inode;
}

class Walk {
  readonly #pair: Pair;
  readonly #moves: Moves;
  readonly #options: DiffOptions;
  /** The first path of an object with several names, by inode number. */
  readonly #firstNow = new Map<number, string>();
  readonly #firstOld = new Map<number, string>();
  /** Those whose names do not stand for what they stood for together. */
  readonly #relinked = new Set<string>();
  /** The directory that is being walked. */
  #directory!: Version;

  constructor(pair: Pair, moves: Moves, options: DiffOptions) {
    this.#pair = pair;
    this.#moves = moves;
    this.#options = options;
  }

  *root(older: State): Stream<Change> {
    const [now, old] = [this.#pair.newer.overlay, older.overlay];
    const entry = { inode: now.root, attributes: yield* now.getattr(now.root) };
    const before = { inode: old.root, attributes: yield* old.getattr(old.root) };
    const differs = yield* this.#compare(entry, before);
    this.#directory = new Version(this.#pair.newer, '/', entry.attributes);
    if (differs.length > 0) yield this.#change('metadata', '/', '/', entry, before, { differs });
  }

  /** What differs in a directory. `old` is left out where all of it is new. */
  *directory(now: At, old: At | undefined): Stream<Change> {
    const { newer, older } = this.#pair;
    newer.overlay.retain(now.inode);
    if (old !== undefined) older?.overlay.retain(old.inode);
    try {
      const attributes = yield* newer.overlay.getattr(now.inode);
      const directory = new Version(newer, now.path === '' ? '/' : now.path, attributes);
      const candidates = yield* this.#pair.candidates(now.inode, old?.inode);
      for (const name of candidates) {
        this.#directory = directory;
        const entry = yield* newer.overlay.lookup(now.inode, name);
        const before = old && (yield* (older as State).overlay.lookup(old.inode, name));
        yield* this.#name(`${now.path}/${name}`, old && `${old.path}/${name}`, entry, before);
      }
    } finally {
      newer.overlay.forget(now.inode);
      if (old !== undefined) older?.overlay.forget(old.inode);
    }
  }

  *#name(
    path: string,
    basePath: string | undefined,
    now: Entry | undefined,
    before: Entry | undefined,
  ): Stream<Change> {
    const from = this.#moves.to.get(path);
    // What stands under this name in the older state, unless it is to be found under another one now.
    const old = basePath !== undefined && this.#moves.from.has(basePath) ? undefined : before;
    if (old !== undefined && (now === undefined || from !== undefined))
      yield* this.#deleted(path, basePath as string, old);
    if (now === undefined) return;
    if (from !== undefined) yield* this.#renamed(path, from, basePath, now);
    else if (old === undefined) yield* this.#added(path, basePath, now);
    else yield* this.#paired({ path, entry: now }, { path: basePath as string, entry: old });
  }

  *#deleted(path: string, basePath: string, old: Entry): Stream<Change> {
    yield this.#change('deleted', path, basePath, undefined, old, {});
    if (this.#options.deletions !== 'expand' || !old.inode.isDirectory) return;
    const { older } = this.#pair;
    const { overlay } = older as State;
    overlay.retain(old.inode);
    try {
      const listed = yield* (older as State).list(old.inode);
      for (const name of [...listed.keys()].sort()) {
        if (this.#moves.from.has(`${basePath}/${name}`)) continue;
        const child = yield* overlay.lookup(old.inode, name);
        if (child !== undefined) yield* this.#deleted(`${path}/${name}`, `${basePath}/${name}`, child);
      }
    } finally {
      overlay.forget(old.inode);
    }
  }

  *#added(path: string, basePath: string | undefined, now: Entry): Stream<Change> {
    const linkOf = this.#firstName(this.#firstNow, now, path);
    if (linkOf === undefined && now.attributes.nlink > 1) this.#relinked.add(path);
    yield this.#change('added', path, basePath, now, undefined, linkOf === undefined ? {} : { linkOf });
    if (now.inode.isDirectory) yield* this.directory({ path, inode: now.inode }, undefined);
  }

  *#renamed(path: string, from: string, basePath: string | undefined, now: Entry): Stream<Change> {
    const old = yield* (this.#pair.older as State).find(from);
    const { differs, linkOf } = yield* this.#differences({ path, entry: now }, { path: from, entry: old });
    const more = { from, differs, ...(linkOf === undefined ? {} : { linkOf }) };
    yield this.#change('renamed', path, basePath, now, old, more, from);
    if (now.inode.isDirectory) yield* this.directory({ path, inode: now.inode }, { path: from, inode: old.inode });
  }

  *#paired(now: { path: string; entry: Entry }, old: { path: string; entry: Entry }): Stream<Change> {
    const { path, entry } = now;
    const { inode } = entry;
    const isSameType = sameType(entry.attributes, old.entry.attributes);
    if (!isSameType) {
      const linkOf = this.#firstName(this.#firstNow, entry, path);
      const more = { previousType: old.entry.inode.type, ...(linkOf === undefined ? {} : { linkOf }) };
      if (linkOf === undefined && entry.attributes.nlink > 1) this.#relinked.add(path);
      yield this.#change('replaced', path, old.path, entry, old.entry, more);
      if (inode.isDirectory) yield* this.directory({ path, inode }, undefined);
      return;
    }
    const isAnew = inode.isDirectory && (yield* this.#isAnew(inode, old.entry.inode));
    const { differs, linkOf } = yield* this.#differences(now, old);
    if (isAnew) {
      const previousType = old.entry.inode.type;
      yield this.#change('replaced', path, old.path, entry, old.entry, { previousType, differs });
    } else if (differs.length > 0) {
      const kind = differs.some((aspect) => ['content', 'target', 'device'].includes(aspect)) ? 'modified' : 'metadata';
      const more = { differs, ...(linkOf === undefined ? {} : { linkOf }) };
      yield this.#change(kind, path, old.path, entry, old.entry, more);
    }
    if (inode.isDirectory) yield* this.directory({ path, inode }, { path: old.path, inode: old.entry.inode });
  }

  /** Whether a directory is another one than that of its name before. */
  *#isAnew(now: Inode, old: Inode): Operation<boolean> {
    const { newer, older } = this.#pair;
    const before = yield* this.#pair.shown(older as State, old);
    return before !== undefined && (yield* this.#pair.identity(newer, now)) !== before;
  }

  *#differences(
    now: { path: string; entry: Entry },
    old: { path: string; entry: Entry },
  ): Operation<{ differs: Aspect[]; linkOf?: string }> {
    const [a, b] = [now.entry, old.entry];
    const linkOf = this.#firstName(this.#firstNow, a, now.path);
    const before = this.#firstName(this.#firstOld, b, now.path);
    if (yield* this.#pair.isSame(a.inode, b.inode)) return { differs: [] };
    const differs = yield* this.#compare(a, b);
    if (!a.inode.isDirectory && (a.attributes.nlink > 1 || b.attributes.nlink > 1)) {
      const isRelinked =
        linkOf !== before ||
        a.attributes.nlink !== b.attributes.nlink ||
        (linkOf !== undefined && this.#relinked.has(linkOf)) ||
        // Copied up alone, while the other names may have stayed below.
        (b.attributes.nlink > 1 && this.#pair.isBelow(this.#pair.older as State, b.inode));
      if (isRelinked) differs.push('links');
      if (isRelinked && linkOf === undefined) this.#relinked.add(now.path);
    }
    return linkOf === undefined ? { differs: differs.sort() } : { differs: differs.sort(), linkOf };
  }

  *#compare(now: Entry, old: Entry): Operation<Aspect[]> {
    const { newer, older } = this.#pair;
    const { content = 'bytes', directoryTimes = 'ignore' } = this.#options;
    const before = { ...old, overlay: (older as State).overlay };
    newer.overlay.retain(now.inode);
    before.overlay.retain(old.inode);
    try {
      const differs = yield* compare({ ...now, overlay: newer.overlay }, before, content);
      const onlyTime = now.inode.isDirectory && differs.length === 1 && differs[0] === 'mtime';
      return onlyTime && directoryTimes === 'ignore' ? [] : differs;
    } finally {
      newer.overlay.forget(now.inode);
      before.overlay.forget(old.inode);
    }
  }

  /** The path under which an object with several names was met first; undefined if that is this one. */
  #firstName(known: Map<number, string>, { inode, attributes }: Entry, path: string): string | undefined {
    if (inode.isDirectory || attributes.nlink < 2) return undefined;
    const first = known.get(attributes.ino);
    if (first === undefined) known.set(attributes.ino, path);
    return first;
  }

  #change(
    kind: ChangeKind,
    path: string,
    basePath: string | undefined,
    now: Entry | undefined,
    old: Entry | undefined,
    more: Partial<Change>,
    oldPath: string | undefined = basePath,
  ): Change {
    const { newer, older } = this.#pair;
    const entry = (now ?? old) as Entry;
    const isStored = now !== undefined && !this.#pair.isBelow(newer, now.inode);
    const change: Change = {
      kind,
      path,
      basePath,
      type: entry.attributes.mode & S_IFMT,
      differs: [],
      size: contentSize(now?.attributes),
      previousSize: contentSize(old?.attributes),
      storedBytes: isStored ? now.attributes.blocks * 512 : 0,
      directory: this.#directory,
      ...more,
    };
    if (old !== undefined) change.before = new Version(older as State, oldPath as string, old.attributes);
    if (now !== undefined) change.after = new Version(newer, path, now.attributes);
    return change;
  }
}

function contentSize(attributes: Attributes | undefined): number {
  return attributes !== undefined && isRegular(attributes.mode) ? attributes.size : 0;
}
