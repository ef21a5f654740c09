/**
 * What was renamed between two states: directories and files of the newer one that come from an object of the common layers
 * which the older state has under another name. Found before the differences are listed, since a name that is gone may turn
 * up anywhere. Only directories in which something differs are read.
 */
import type { Inode } from '../inode.js';
import type { Entry } from '../overlay.js';
import type { Operation } from '../run.js';
import { type Pair, type State } from './state.js';

export interface Moves {
  /** Paths in the newer state to those in the older. */
  readonly to: ReadonlyMap<string, string>;
  /** Paths in the older state of what was moved. */
  readonly from: ReadonlySet<string>;
}

export const NO_MOVES: Moves = { to: new Map(), from: new Set() };

/** Something that has no counterpart of its name. */
interface Loose {
  path: string;
  entry: Entry;
}

interface Search {
  pair: Pair;
  older: State;
  /** In the newer state, by identity. */
  arrived: Map<string, Loose>;
  /** In the older state. */
  gone: Loose[];
  to: Map<string, string>;
  from: Set<string>;
  /** Inodes that must not be forgotten meanwhile. */
  held: [State, Inode][];
}

export function* findMoves(pair: Pair): Operation<Moves> {
  const { newer, older } = pair;
  if (older === undefined) return NO_MOVES;
  const search: Search = { pair, older, arrived: new Map(), gone: [], to: new Map(), from: new Set(), held: [] };
  try {
    yield* visit(search, { path: '', inode: newer.overlay.root }, { path: '', inode: older.overlay.root });
    while (search.arrived.size > 0 && search.gone.length > 0) {
      const matched = yield* match(search);
      // What was moved out of a directory that is gone itself is looked for further down.
      if (!matched && search.arrived.size > 0) yield* descend(search);
    }
  } finally {
    for (const [{ overlay }, inode] of search.held) overlay.forget(inode);
  }
  return search;
}

interface At {
  path: string;
  inode: Inode;
}

function* visit(search: Search, now: At, old: At | undefined): Operation<void> {
  const { pair, older } = search;
  const { newer } = pair;
  const candidates = yield* pair.candidates(now.inode, old?.inode);
  for (const name of candidates) {
    const path = `${now.path}/${name}`;
    const present = hold(search, newer, yield* newer.overlay.lookup(now.inode, name));
    const before = old && hold(search, older, yield* older.overlay.lookup(old.inode, name));
    if (present?.inode.isDirectory === true) {
      const identity = yield* pair.identity(newer, present.inode);
      const wasDirectory = before?.inode.isDirectory === true;
      const stayed = wasDirectory && identity !== undefined && identity === (yield* pair.identity(older, before.inode));
      if (stayed) {
        yield* visit(search, { path, inode: present.inode }, { path: `${old?.path}/${name}`, inode: before.inode });
        continue;
      }
      if (identity === undefined) yield* visit(search, { path, inode: present.inode }, undefined);
      else search.arrived.set(identity, { path, entry: present });
    } else if (present !== undefined && before === undefined) {
      const identity = yield* pair.identity(newer, present.inode);
      if (identity !== undefined) search.arrived.set(identity, { path, entry: present });
    } else if (present !== undefined && before?.inode.isDirectory !== true) continue; // compared by name
    if (before !== undefined) search.gone.push({ path: `${old?.path}/${name}`, entry: before });
  }
}

/** Pairs what is gone with what arrived. Returns whether there was any. */
function* match(search: Search): Operation<boolean> {
  const { pair, older, arrived } = search;
  const pending = search.gone.splice(0);
  const rest: Loose[] = [];
  let matched = false;
  for (const gone of pending) {
    const { inode, attributes } = gone.entry;
    // Of several names of a file, nobody knows which one was renamed.
    const identity = inode.isDirectory || attributes.nlink === 1 ? yield* pair.identity(older, inode) : undefined;
    const found = identity === undefined ? undefined : arrived.get(identity);
    if (found === undefined || found.entry.inode.type !== inode.type) {
      rest.push(gone);
      continue;
    }
    matched = true;
    arrived.delete(identity as string);
    if (found.path === gone.path) continue;
    search.to.set(found.path, gone.path);
    search.from.add(gone.path);
    if (!inode.isDirectory) continue;
    yield* visit(search, { path: found.path, inode: found.entry.inode }, { path: gone.path, inode });
  }
  search.gone.push(...rest);
  return matched;
}

/** Replaces the directories that are gone by what was in them. */
function* descend(search: Search): Operation<void> {
  const { older } = search;
  for (const { path, entry } of search.gone.splice(0)) {
    if (!entry.inode.isDirectory) continue;
    const names = (yield* older.list(entry.inode)).keys();
    for (const name of names) {
      const child = hold(search, older, yield* older.overlay.lookup(entry.inode, name));
      if (child !== undefined) search.gone.push({ path: `${path}/${name}`, entry: child });
    }
  }
}

function hold(search: Search, state: State, entry: Entry | undefined): Entry | undefined {
  if (entry === undefined) return undefined;
  state.overlay.retain(entry.inode);
  search.held.push([state, entry.inode]);
  return entry;
}
