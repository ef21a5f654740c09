/**
 * Names in a key-value store: what a change of them asks for, as one draft. What a new object consists of arrives together with
 * its name, and what loses its last name goes with it.
 */
import { DT_DIR, isDirectory, S_IFCHR, S_IFMT } from '../attributes.js';
import { FsError } from '../errors.js';
import type { LayerNode, NamespaceChange, NewObject, Occupant, Place } from '../layer.js';
import type { Operation } from '../run.js';
import { Draft, type Entry, type Inode } from './inode.js';
import { entryKey } from './keys.js';
import type { Known } from './known.js';
import { countLink, touch } from './record.js';

/** Makes an object at a free name. Throws EEXIST. */
export function* create(known: Known, { dir, name }: Place, object: NewObject): Operation<Inode> {
  const parent = dir as Inode;
  if ((yield* known.entries(parent)).has(name)) throw new FsError('EEXIST', { path: name });
  const node = known.newInode(object);
  const draft = new Draft();
  link(draft, parent, name, node);
  yield* known.apply(draft);
  return node;
}

/** Carries out a change of names: all of it in one batch. */
export function* commit(known: Known, change: NamespaceChange): Operation<void> {
  const draft = new Draft();
  switch (change.kind) {
    case 'link': {
      const [dir, node] = [change.to.dir as Inode, yield* known.sure(change.node as Inode)];
      yield* vacate(known, draft, change.to, change.over, change.keep, 'link');
      link(draft, dir, change.to.name, node);
      break;
    }
    case 'unlink':
      yield* vacate(known, draft, change.from, change.occupant, change.keep, 'unlink');
      break;
    case 'rename': {
      const { from, to, over, leave, keep } = change;
      const node = yield* known.sure(change.node as Inode);
      if ((yield* known.entries(from.dir as Inode)).get(from.name)?.ino !== node.ino)
        throw new FsError('ENOENT', { path: from.name });
      yield* vacate(known, draft, to, over, keep, 'rename');
      detach(draft, from.dir as Inode, from.name, node);
      attach(draft, to.dir as Inode, to.name, node);
      if (leave === 'whiteout')
        link(draft, from.dir as Inode, from.name, known.newInode({ mode: S_IFCHR, uid: 0, gid: 0 }));
      break;
    }
    case 'exchange': {
      const { a, b } = change;
      const [one, two] = [yield* known.sure(a.node as Inode), yield* known.sure(b.node as Inode)];
      for (const { dir, name, node } of [a, b])
        if ((yield* known.entries(dir as Inode)).get(name)?.ino !== (node as Inode).ino)
          throw new FsError('ENOENT', { path: name });
      detach(draft, a.dir as Inode, a.name, one);
      detach(draft, b.dir as Inode, b.name, two);
      attach(draft, a.dir as Inode, a.name, two);
      attach(draft, b.dir as Inode, b.name, one);
    }
  }
  yield* known.apply(draft);
}

/** Takes away what stands at a place that a change takes. A false `over` is a bug in the caller, answered as hosts do. */
function* vacate(
  known: Known,
  draft: Draft,
  { dir, name }: Place,
  over: Occupant,
  keep: LayerNode | undefined,
  kind: NamespaceChange['kind'],
): Operation<void> {
  const parent = dir as Inode;
  const entry = (yield* known.entries(parent)).get(name);
  if (entry === undefined) {
    if (over === 'nothing') return;
    throw new FsError('ENOENT', { path: name });
  }
  if (over === 'nothing') throw new FsError('EEXIST', { path: name });
  const node = yield* known.inode(entry.ino);
  if (isDirectory(node.record.mode)) {
    const inside = yield* known.entries(node);
    if (inside.size > 0 && kind === 'rename') throw new FsError('ENOTEMPTY', { path: name });
    for (const [child, { ino, type }] of inside) {
      if (type === DT_DIR) throw new FsError('ENOTEMPTY', { path: name });
      const lost = yield* known.inode(ino);
      detach(draft, node, child, lost);
      unname(draft, lost, undefined);
    }
  }
  detach(draft, parent, name, node);
  unname(draft, node, keep);
}

/** A name for an object that has none yet, or a further one. */
function link(draft: Draft, dir: Inode, name: string, node: Inode): void {
  countLink(draft.edit(node));
  draft.become(node, 'stored');
  draft.mark(node, false);
  attach(draft, dir, name, node);
}

/** One name less; without any, the object goes, unless it is still used. */
function unname(draft: Draft, node: Inode, keep: LayerNode | undefined): void {
  const record = draft.edit(node);
  record.nlink = isDirectory(record.mode) ? 0 : record.nlink - 1;
  if (record.nlink > 0) return;
  if (keep !== node) draft.become(node, 'erased');
  draft.mark(node, keep === node);
}

function attach(draft: Draft, dir: Inode, name: string, node: Inode): void {
  const { mode } = draft.edit(node);
  const entry: Entry = { ino: node.ino, type: (mode & S_IFMT) >>> 12 };
  draft.put(entryKey(dir.ino, { ...entry, name }), new Uint8Array(0));
  draft.afterwards(() => dir.entries?.set(name, entry));
  if (isDirectory(mode)) draft.edit(dir).nlink++;
  touch(draft.edit(node), 'changed');
  touch(draft.edit(dir), 'modified');
}

function detach(draft: Draft, dir: Inode, name: string, node: Inode): void {
  const { mode } = node.record;
  draft.delete(entryKey(dir.ino, { ino: node.ino, type: (mode & S_IFMT) >>> 12, name }));
  draft.afterwards(() => dir.entries?.delete(name));
  if (isDirectory(mode)) draft.edit(dir).nlink--;
  touch(draft.edit(node), 'changed');
  touch(draft.edit(dir), 'modified');
}
