/**
 * What an upper layer changed, read from the upper itself: directories that it does not have are never visited, so the
 * cost follows the number of changes and not the size of what lies below.
 */
import { type Attributes, isRegular } from './attributes.js';
import type { XattrPrefix } from './format.js';
import { type Inode, Stack } from './inode.js';
import type { Layer } from './layer.js';
import { list, lookup } from './lookup.js';
import type { Entry } from './overlay.js';
import type { Mode, Operation } from './run.js';
import { openRoot } from './super.js';

export interface Change {
  /** Absolute within the overlay. */
  path: string;
  kind: 'added' | 'changed' | 'deleted';
  /** Type bits of the mode: of the new object, or of the deleted one. */
  type: number;
  /** Bytes of content now; 0 for what is no regular file. */
  size: number;
  /** Bytes of content that the layers below show under this path; 0 if nothing. */
  previousSize: number;
  /** Bytes that the upper layer takes on its storage for this object. */
  storedBytes: number;
  /** For a directory that was moved here with its lower content: where it is in the layers below. */
  renamedFrom?: string;
}

export interface DiffOptions<M extends Mode = Mode> {
  upper: Layer<M>;
  lower: readonly Layer<M>[];
  /** Default "trusted.overlay.". */
  xattrPrefix?: XattrPrefix;
}

/**
 * The changes that `upper` makes to the merged view of `lower`, parents before children, siblings in byte order. A
 * deleted directory is one change. Nothing is locked: an upper in use may change while it is read.
 */
export function* diff<M extends Mode>(options: DiffOptions<M>): Operation<Change[]> {
  const { upper, lower } = options;
  const xattrPrefix = options.xattrPrefix ?? 'trusted.overlay.';
  const merged = new Stack({ lower, xattrPrefix }, upper);
  const below = new Stack({ lower, xattrPrefix });
  const changes: Change[] = [];
  const roots = [yield* openRoot(merged), yield* openRoot(below)] as const;
  yield* walk({ merged, below, changes }, roots[0], roots[1], { path: '', lowerPath: '' });
  return changes;
}

/** Where a directory is, in the overlay and in the terms of the layers below: renames make the two differ. */
interface Position {
  path: string;
  lowerPath: string;
}

interface Walk {
  merged: Stack;
  below: Stack;
  changes: Change[];
}

function* walk(state: Walk, dir: Inode, oldDir: Inode | undefined, at: Position): Operation<void> {
  const { merged, below } = state;
  const listing = yield* list(merged, dir);
  const names = new Set<string>();
  for (const [name, listed] of listing) if (listed.layer < merged.firstLower) names.add(name);
  if (oldDir !== undefined) {
    const replaced = dir.lower.length === 0 || dir.redirect !== undefined;
    const gone = replaced ? (yield* list(below, oldDir)).keys() : (dir.whiteouts?.keys() ?? []);
    for (const name of gone) if (!listing.has(name)) names.add(name);
  }
  for (const name of [...names].sort()) {
    const now = yield* lookup(merged, dir, name);
    const old = oldDir === undefined ? undefined : yield* lookup(below, oldDir, name);
    yield* compare(state, at, name, now, old);
  }
}

function* compare(
  state: Walk,
  at: Position,
  name: string,
  now: Entry | undefined,
  old: Entry | undefined,
): Operation<void> {
  const path = `${at.path}/${name}`;
  const previousSize = contentSize(old?.attributes);
  if (now === undefined) {
    if (old === undefined) return; // a whiteout over nothing
    const { type } = old.inode;
    state.changes.push({ path, kind: 'deleted', type, size: 0, previousSize, storedBytes: 0 });
    return;
  }
  const { inode, attributes } = now;
  const lowerPath = lowerPathOf(inode, at, name);
  const change: Change = {
    path,
    kind: old === undefined ? 'added' : 'changed',
    type: inode.type,
    size: contentSize(attributes),
    previousSize,
    storedBytes: attributes.blocks * 512,
  };
  const renamed = inode.lower.length > 0 && lowerPath !== path && inode.redirect !== undefined;
  if (renamed) change.renamedFrom = lowerPath;
  const onlyCarries = old !== undefined && inode.isDirectory && sameDirectory(attributes, old.attributes);
  if (!onlyCarries || renamed || inode.opaque) state.changes.push(change);
  if (!inode.isDirectory) return;
  yield* walk(state, inode, old?.inode.isDirectory === true ? old.inode : undefined, { path, lowerPath });
}

function lowerPathOf(inode: Inode, parent: Position, name: string): string {
  const { redirect } = inode;
  if (redirect?.startsWith('/') === true) return redirect;
  return `${parent.lowerPath}/${redirect ?? name}`;
}

function contentSize(attributes: Attributes | undefined): number {
  return attributes !== undefined && isRegular(attributes.mode) ? attributes.size : 0;
}

/** Whether a copied-up directory only carries changes further down. Its times move with its entries. */
function sameDirectory(now: Attributes, old: Attributes): boolean {
  return now.mode === old.mode && now.uid === old.uid && now.gid === old.gid;
}
