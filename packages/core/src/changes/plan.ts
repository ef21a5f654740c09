/**
 * From verdicts to steps: stages what is new, and lists what then has to be done in order. First everything that goes or
 * moves is taken away, deepest first, under the names that the target has now; then everything gets its place, directories
 * before what is in them, under the names that it is to have; attributes last.
 */
import { type Attributes, isDirectory, isSymlink, S_IFMT } from '../attributes.js';
import type { Entry } from '../overlay.js';
import type { Operation } from '../run.js';
import type { Aspect, Change, Version } from './change.js';
import type { Verdict } from './conflicts.js';
import { type Blueprint, dressOf, Staging, timesOf } from './staging.js';
import { lookupPath, type State, xattrsOf } from './state.js';
import { type Dress, isBelow, join, nameOf, parentOf, type Step } from './steps.js';

/** Data alone: what a journal has to hold to carry out or take back an application. */
export interface Plan {
  /** The directory in the target that holds what is new and gets what is taken away; removed at the end. */
  staging: string;
  steps: Step[];
  /** Times of directories, to be set at the end, by the paths that they have then. */
  times: [path: string, dress: Dress][];
  /** Those that they had, by the paths that they had. */
  timesBefore: [path: string, dress: Dress][];
}

/** The aspects that take a new object; a change of the others is made to the one that is there. */
const ANEW: ReadonlySet<Aspect> = new Set(['content', 'target', 'device', 'links']);

export class Planner {
  readonly #target: State;
  readonly #staging: Staging;
  readonly #verdicts: readonly Verdict[];
  /** Where new objects are staged, by the paths that they are to have. */
  readonly #staged = new Map<string, string>();
  /** Of what is renamed: the path that it is to have, and the one that the target has. */
  readonly #renames = new Map<string, string>();
  readonly #outs: { from: string; to: string }[] = [];
  readonly #ins: Step[] = [];
  readonly #sets: Step[] = [];
  /** Directories of which entries come or go, by the paths that they are to have. */
  readonly #touched = new Set<string>();

  /** Of the target, before anything was staged in it. */
  readonly #root: Attributes;

  constructor(target: State, staging: Staging, verdicts: readonly Verdict[], root: Attributes) {
    this.#target = target;
    this.#staging = staging;
    this.#verdicts = verdicts;
    this.#root = root;
  }

  *run(): Operation<Plan> {
    for (const { change, action, at } of this.#verdicts) {
      if (change.kind === 'renamed' && action === 'change') this.#renames.set(change.path, at as string);
    }
    for (const verdict of this.#verdicts) yield* this.#plan(verdict);
    yield* this.#staging.finish();
    const depth = (path: string): number => path.split('/').length;
    const outs = this.#outs.sort((a, b) => depth(b.from) - depth(a.from));
    const steps: Step[] = outs.map(({ from, to }) => ({ kind: 'move', from, to }));
    steps.push(...this.#ins, ...this.#sets.reverse());
    return { staging: this.#staging.path, steps, ...(yield* this.#times()) };
  }

  *#plan(verdict: Verdict): Operation<void> {
    const { change, action, at, conflict } = verdict;
    const { kind, path, differs } = change;
    if (isDirectory(change.type) && differs.includes('mtime')) this.#touched.add(path);
    if (action === 'done' || (action === 'join' && conflict === undefined)) return;
    if (action === 'join') return yield* this.#set(change, at as string, ['mode', 'owner', 'xattrs']);
    if (kind === 'deleted') {
      this.#takeAway(at as string, parentOf(path));
      return;
    }
    if (conflict?.reason === 'exists') this.#takeAway(conflict.path, parentOf(path));
    if (action === 'whole') return yield* this.#whole(verdict);
    if (kind === 'added') return yield* this.#added(change);
    if (kind === 'replaced' && change.previousType !== change.type) {
      return this.#arrive('exchange', path, yield* this.#stageNew(change));
    }
    if (kind === 'renamed') {
      const slot = this.#takeAway(at as string, this.#newPath(parentOf(at as string)));
      this.#arrive('move', path, slot);
    }
    if (isDirectory(change.type)) return yield* this.#set(change, at as string, differs);
    const isAnew = differs.some((aspect) => ANEW.has(aspect));
    const joinsStaged = change.linkOf !== undefined && this.#staged.has(change.linkOf);
    if (isAnew || joinsStaged) this.#arrive('exchange', path, yield* this.#stageAltered(change, at as string));
    else yield* this.#set(change, at as string, differs);
  }

  *#whole({ change, at, conflict }: Verdict): Operation<void> {
    const { path } = change;
    const after = change.after as Version;
    const slot = this.#staging.slot();
    yield* this.#staging.copyTree(slot, after.overlay, (yield* after.entry()).inode);
    const isThere = conflict?.reason !== 'missing';
    if (change.kind === 'renamed') {
      if (isThere) this.#takeAway(at as string, this.#newPath(parentOf(at as string)));
      this.#arrive('move', path, slot);
    } else this.#arrive(isThere ? 'exchange' : 'move', path, slot);
  }

  *#added(change: Change): Operation<void> {
    const { path } = change;
    const dir = this.#staged.get(parentOf(path));
    const staged = yield* this.#stageNew(change, dir === undefined ? undefined : join(dir, nameOf(path)));
    if (dir === undefined) this.#arrive('move', path, staged);
  }

  /** A new object as the newer state has it. */
  *#stageNew(change: Change, at: string = this.#staging.slot()): Operation<string> {
    if (yield* this.#stageLink(change, at)) return at;
    const after = change.after as Version;
    const { inode, attributes } = yield* after.entry();
    const content = { overlay: after.overlay, inode };
    yield* this.#make(change.path, at, { attributes, xattrs: yield* xattrsOf(after.overlay, inode), content });
    return at;
  }

  /** A new object that takes from the newer state what differs there, and the rest from what the target has. */
  *#stageAltered(change: Change, at: string): Operation<string> {
    const slot = this.#staging.slot();
    if (yield* this.#stageLink(change, slot)) return slot;
    const { differs } = change;
    const after = change.after as Version;
    const now = yield* after.entry();
    const there = yield* this.#target.find(at);
    const isNew = (aspect: Aspect): boolean => differs.includes(aspect);
    const newContent = isNew('content') || isNew('target');
    const attributes: Attributes = { ...there.attributes };
    if (newContent) attributes.size = now.attributes.size;
    if (isNew('mode')) attributes.mode = now.attributes.mode;
    if (isNew('device')) attributes.rdev = now.attributes.rdev;
    if (isNew('owner')) Object.assign(attributes, { uid: now.attributes.uid, gid: now.attributes.gid });
    if (isNew('mtime')) {
      const { mtimeSec, mtimeNsec } = now.attributes;
      Object.assign(attributes, { mtimeSec, mtimeNsec });
    }
    const { overlay } = this.#target;
    const xattrs = isNew('xattrs') ? yield* xattrsOf(after.overlay, now.inode) : yield* xattrsOf(overlay, there.inode);
    const content = newContent ? { overlay: after.overlay, inode: now.inode } : { overlay, inode: there.inode };
    yield* this.#make(change.path, slot, { attributes, xattrs, content });
    return slot;
  }

  *#make(path: string, slot: string, blueprint: Blueprint): Operation<void> {
    const { overlay, inode } = blueprint.content;
    overlay.retain(inode);
    try {
      yield* this.#staging.make(slot, blueprint);
    } finally {
      overlay.forget(inode);
    }
    this.#staged.set(path, slot);
  }

  /** Whether the object is a further name of one that is staged or that the target has. */
  *#stageLink({ linkOf, type, path }: Change, slot: string): Operation<boolean> {
    if (linkOf === undefined) return false;
    const existing = this.#staged.get(linkOf) ?? this.#oldPath(linkOf);
    const there = yield* this.#target.lookup(existing);
    if (there === undefined || (there.attributes.mode & S_IFMT) !== type) return false; // the target's own affair
    yield* this.#staging.link(slot, existing);
    this.#staged.set(path, slot);
    return true;
  }

  #takeAway(from: string, dir: string | undefined): string {
    const to = this.#staging.slot();
    this.#outs.push({ from, to });
    if (dir !== undefined) this.#touched.add(dir);
    return to;
  }

  #arrive(kind: 'move' | 'exchange', path: string, slot: string): void {
    this.#ins.push(kind === 'move' ? { kind, from: slot, to: path } : { kind, a: slot, b: path });
    this.#touched.add(parentOf(path));
  }

  /** Attributes of what the target has and keeps. */
  *#set(change: Change, at: string, aspects: readonly Aspect[]): Operation<void> {
    const after = change.after as Version;
    const now = yield* after.entry();
    const there = yield* this.#target.find(at);
    const isDir = isDirectory(change.type); // its times come last
    const wanted = aspects.filter((aspect) => !(isDir && aspect === 'mtime'));
    if (wanted.length === 0) return;
    const values = yield* this.#differentXattrs(wanted, after, now, there);
    const dress = (entry: Entry, xattrs: Dress['xattrs']): Dress => ({
      attributes: pick(entry.attributes, wanted),
      xattrs,
    });
    this.#sets.push({
      kind: 'set',
      path: change.path,
      before: dress(there, values.before),
      after: dress(now, values.after),
    });
  }

  *#differentXattrs(
    wanted: readonly Aspect[],
    after: Version,
    now: Entry,
    there: Entry,
  ): Operation<{ before: Map<string, Uint8Array | undefined>; after: Map<string, Uint8Array | undefined> }> {
    const values = {
      before: new Map<string, Uint8Array | undefined>(),
      after: new Map<string, Uint8Array | undefined>(),
    };
    if (!wanted.includes('xattrs')) return values;
    const has = yield* xattrsOf(this.#target.overlay, there.inode);
    const gets = yield* xattrsOf(after.overlay, now.inode);
    for (const name of new Set([...has.keys(), ...gets.keys()])) {
      values.before.set(name, has.get(name));
      values.after.set(name, gets.get(name));
    }
    return values;
  }

  /** Where the target has what is to have a path. */
  #oldPath(path: string): string {
    for (let dir = path; dir !== '/'; dir = parentOf(dir)) {
      const from = this.#renames.get(dir);
      if (from !== undefined) return from + path.slice(dir.length);
    }
    return path;
  }

  /** The path that what the target has at a path is to have. */
  #newPath(path: string): string {
    let found = { from: '', to: '' };
    for (const [to, from] of this.#renames) {
      if ((path === from || isBelow(path, from)) && from.length > found.from.length) found = { from, to };
    }
    return found.to + path.slice(found.from.length) || '/';
  }

  *#times(): Operation<Pick<Plan, 'times' | 'timesBefore'>> {
    const times: Plan['times'] = [];
    const timesBefore: Plan['timesBefore'] = [];
    const newer = this.#verdicts[0]?.change.directory.overlay;
    const add = (list: Plan['times'], path: string, attributes: Attributes): void => {
      if (isDirectory(attributes.mode)) list.push([path, { attributes: timesOf(attributes), xattrs: new Map() }]);
    };
    for (const path of this.#touched) {
      const old = this.#oldPath(path);
      const before = old === '/' ? undefined : yield* this.#target.lookup(old);
      if (before !== undefined) add(timesBefore, old, before.attributes);
      const now = newer && (yield* lookupPath(newer, path));
      if (now !== undefined) add(times, path, now.attributes);
    }
    add(timesBefore, '/', this.#root);
    if (!this.#touched.has('/')) add(times, '/', this.#root);
    return { times: times.reverse(), timesBefore };
  }
}

function pick(attributes: Attributes, aspects: readonly Aspect[]): Dress['attributes'] {
  const all = dressOf(attributes).attributes;
  const picked: Dress['attributes'] = {};
  if (aspects.includes('mode') && !isSymlink(attributes.mode)) picked.mode = all.mode as number;
  if (aspects.includes('owner')) Object.assign(picked, { uid: all.uid, gid: all.gid });
  if (aspects.includes('mtime')) Object.assign(picked, { mtime: all.mtime });
  return picked;
}
