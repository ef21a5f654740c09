/**
 * Whether changes can be made to a target: what each was based on is compared with what the target has. Only what a change
 * touches counts, so that a file of which the mode was changed may have got other content meanwhile. Reads, and decides; what
 * is then done is in apply.ts.
 */
import { isDirectory } from '../attributes.js';
import type { Entry, Overlay } from '../overlay.js';
import type { Operation } from '../run.js';
import type { Aspect, Change, Version } from './change.js';
import { compare, sameType } from './compare.js';
import { Pair, State } from './state.js';
import { isBelow, join, nameOf, parentOf } from './steps.js';

/**
 * "exists": something else has the name. "missing": what was changed is not there. "differs": it was changed in the target,
 * too, in the same respect; a directory that was deleted, anything in it. "orphaned": its directory is not there.
 */
export type ConflictReason = 'exists' | 'missing' | 'differs' | 'orphaned';

/** A change that does not fit what the target has there. */
export interface Conflict {
  change: Change;
  reason: ConflictReason;
  /** In the target. */
  path: string;
  /** For "exists" and "differs": in what; empty where it is another type of object. */
  differs: readonly Aspect[];
}

/** What becomes of a change. */
export interface Verdict {
  change: Change;
  /** Where the target has what is changed, or would have it. Undefined in a directory that it does not have. */
  at: string | undefined;
  /**
   * "done": the target has it already. "whole": all of the new version, with what is below it, in place of whatever there is.
   * "join": a new directory where the target has one of that name, too.
   */
  action: 'change' | 'done' | 'whole' | 'join';
  conflict?: Conflict;
}

export type Resolve = (conflict: Conflict) => 'ours' | 'theirs';

export class Examination {
  readonly verdicts: Verdict[] = [];
  readonly #target: State;
  readonly #changes: readonly Change[];
  readonly #resolve: Resolve;
  /** Paths in the target that are free once everything is done. */
  readonly #vacated = new Set<string>();
  /** New directories that the target has, too: where. */
  readonly #joined = new Map<string, string>();
  /** Below these everything is left as it is, or comes with what is above. */
  readonly #settled = new Set<string>();
  readonly #pairs = new Map<Overlay, Pair>();

  constructor(target: State, changes: readonly Change[], resolve: Resolve) {
    this.#target = target;
    this.#changes = changes;
    this.#resolve = resolve;
  }

  *run(): Operation<void> {
    const moving = this.#changes.filter(({ kind }) => kind === 'deleted' || kind === 'renamed');
    for (const change of moving) this.#vacated.add((change.from ?? change.basePath) as string);
    const verdicts = new Map<Change, Verdict>();
    const deleted: string[] = [];
    for (const change of moving) {
      if (change.kind !== 'deleted') continue;
      const at = change.basePath as string;
      if (deleted.some((dir) => isBelow(at, dir))) continue; // with the directory
      if (isDirectory(change.type)) deleted.push(at);
      const verdict = this.#judge(change, at, yield* this.#deletion(change, at));
      if (verdict === undefined) this.#vacated.delete(at);
      else verdicts.set(change, verdict);
    }
    for (const change of this.#changes) {
      const { path } = change;
      const verdict = change.kind === 'deleted' ? verdicts.get(change) : yield* this.#examine(change);
      if (verdict === undefined || this.#isSettled(path)) continue;
      this.verdicts.push(verdict);
      if (verdict.action === 'join') this.#joined.set(path, verdict.at as string);
      if (verdict.action === 'whole' && isDirectory(change.type)) this.#settled.add(path);
    }
  }

  #isSettled(path: string): boolean {
    for (const dir of this.#settled) if (isBelow(path, dir)) return true;
    return false;
  }

  *#examine(change: Change): Operation<Verdict | undefined> {
    if (this.#isSettled(change.path)) return undefined;
    const place = change.basePath ?? this.#placeInJoined(change.path);
    const at = change.from ?? place;
    const found =
      change.kind === 'added' ? yield* this.#addition(change, place) : yield* this.#alteration(change, place);
    const verdict = this.#judge(change, at, found);
    if (verdict !== undefined) return verdict;
    if (change.from !== undefined) this.#vacated.delete(change.from);
    // Where only the attributes of a directory stay what they are, what is in it is looked at all the same.
    const keepsAttributes = found !== undefined && typeof found === 'object' && found.differs.length > 0;
    if (!isDirectory(change.type)) return undefined;
    if (!keepsAttributes || change.kind === 'renamed') this.#settled.add(change.path);
    else if (change.kind === 'added') this.#joined.set(change.path, place as string);
    return undefined;
  }

  #placeInJoined(path: string): string | undefined {
    const dir = this.#joined.get(parentOf(path));
    return dir && join(dir, nameOf(path));
  }

  /** Undefined where the target stays as it is. */
  #judge(change: Change, at: string | undefined, found: Finding): Verdict | undefined {
    if (found === undefined) return { change, at, action: 'change' };
    if (found === 'done' || found === 'join') return { change, at, action: found };
    const { reason, differs } = found;
    if (this.#resolve(found) === 'ours') return undefined;
    const isWhole = reason === 'missing' || (reason === 'differs' && differs.length === 0 && change.kind !== 'deleted');
    const joins = reason === 'exists' && differs.length > 0 && isDirectory(change.type) && change.kind === 'added';
    return { change, at, action: joins ? 'join' : isWhole ? 'whole' : 'change', conflict: found };
  }

  *#addition(change: Change, place: string | undefined): Operation<Finding> {
    if (place === undefined) return undefined; // comes with its directory
    const there = yield* this.#occupant(place);
    if (there === undefined) return undefined;
    if (there === 'orphaned') return { change, reason: 'orphaned', path: place, differs: [] };
    const after = change.after as Version;
    if (!sameType(there.attributes, after.attributes)) return { change, reason: 'exists', path: place, differs: [] };
    const differs = yield* this.#compare(there, after);
    if (differs.length > 0) return { change, reason: 'exists', path: place, differs };
    return isDirectory(change.type) ? 'join' : 'done';
  }

  *#deletion(change: Change, at: string): Operation<Finding> {
    const there = yield* this.#find(at);
    if (there === undefined) return 'done';
    const before = change.before as Version;
    const conflict: Conflict = { change, reason: 'differs', path: at, differs: [] };
    if (!sameType(there.attributes, before.attributes)) return conflict;
    const differs = yield* this.#compare(there, before);
    if (differs.length > 0) return { ...conflict, differs };
    const wasDirectory = isDirectory(before.attributes.mode);
    const changed = wasDirectory ? yield* this.#firstDifference(at, there, before) : undefined;
    return changed === undefined ? undefined : { ...conflict, path: changed };
  }

  *#alteration(change: Change, place: string | undefined): Operation<Finding> {
    const before = change.before as Version;
    const after = change.after as Version;
    const at = before.path;
    const there = yield* this.#find(at);
    if (change.kind === 'renamed') {
      const occupant = place === undefined ? undefined : yield* this.#occupant(place);
      if (occupant === 'orphaned') return { change, reason: 'orphaned', path: place as string, differs: [] };
      if (occupant !== undefined) {
        // What is there already was moved before; a directory may have changed since, so that one is looked at.
        const isSame =
          there === undefined && !isDirectory(change.type) && sameType(occupant.attributes, after.attributes);
        if (isSame && (yield* this.#compare(occupant, after)).length === 0) return 'done';
        return { change, reason: 'exists', path: place as string, differs: [] };
      }
    }
    if (there === undefined) {
      const dir = yield* this.#find(parentOf(at));
      const reason = dir?.inode.isDirectory === true || change.kind === 'renamed' ? 'missing' : 'orphaned';
      return { change, reason, path: at, differs: [] };
    }
    if (change.previousType !== undefined && change.previousType !== change.type) {
      if (sameType(there.attributes, after.attributes) && !isDirectory(change.type)) {
        if ((yield* this.#compare(there, after)).length === 0) return 'done';
      }
      return yield* this.#deletion(change, at);
    }
    if (!sameType(there.attributes, before.attributes)) return { change, reason: 'differs', path: at, differs: [] };
    const touched: readonly Aspect[] = change.differs.filter((aspect) => aspect !== 'mtime' && aspect !== 'links');
    if (touched.length === 0) return undefined;
    const both = (yield* this.#compare(there, before)).filter((aspect) => touched.includes(aspect));
    if (both.length === 0) return undefined;
    const left = (yield* this.#compare(there, after)).filter((aspect) => touched.includes(aspect));
    return left.length === 0 ? undefined : { change, reason: 'differs', path: at, differs: both };
  }

  /** What has the name and is not going away. */
  *#occupant(place: string): Operation<Entry | 'orphaned' | undefined> {
    const dir = yield* this.#find(parentOf(place));
    if (dir?.inode.isDirectory !== true) return 'orphaned';
    return this.#vacated.has(place) ? undefined : yield* this.#find(place);
  }

  #find(path: string): Operation<Entry | undefined> {
    return this.#target.lookup(path);
  }

  /** Without the time, which every copy changes. */
  *#compare(there: Entry, version: Version): Operation<Aspect[]> {
    const { overlay } = version;
    const { inode } = yield* version.entry();
    const other = { overlay, inode, attributes: version.attributes };
    const differs = yield* compare({ ...there, overlay: this.#target.overlay }, other, 'bytes');
    return differs.filter((aspect) => aspect !== 'mtime');
  }

  /** The first path in the target at which a directory is not what it was, but for what moves away. */
  *#firstDifference(at: string, there: Entry, before: Version): Operation<string | undefined> {
    const { overlay } = before;
    let pair = this.#pairs.get(overlay);
    if (pair === undefined) {
      pair = new Pair(this.#target, yield* State.of(overlay));
      this.#pairs.set(overlay, pair);
    }
    return yield* this.#differenceIn(pair, at, there, yield* before.entry());
  }

  *#differenceIn(pair: Pair, at: string, there: Entry, before: Entry): Operation<string | undefined> {
    const target = pair.newer.overlay;
    const { overlay } = pair.older as State;
    target.retain(there.inode);
    overlay.retain(before.inode);
    try {
      const candidates = yield* pair.candidates(there.inode, before.inode);
      for (const name of candidates) {
        const path = join(at, name);
        const now = yield* target.lookup(there.inode, name);
        const old = yield* overlay.lookup(before.inode, name);
        if (old !== undefined && this.#vacated.has(path)) continue;
        if (now === undefined) continue; // gone already
        if (old === undefined || !sameType(now.attributes, old.attributes)) return path;
        const differs = yield* compare({ ...now, overlay: target }, { ...old, overlay }, 'bytes');
        if (differs.some((aspect) => aspect !== 'mtime')) return path;
        const deeper = isDirectory(now.attributes.mode) ? yield* this.#differenceIn(pair, path, now, old) : undefined;
        if (deeper !== undefined) return deeper;
      }
    } finally {
      target.forget(there.inode);
      overlay.forget(before.inode);
    }
    return undefined;
  }
}

type Finding = Conflict | 'done' | 'join' | undefined;
