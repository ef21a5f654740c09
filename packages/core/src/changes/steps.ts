/**
 * What an application consists of once everything new is staged: a list of steps, each with its inverse, as plain data that a
 * journal may hold. A step is one change of the target that is there or is not, but for "set", which may be repeated.
 */
import type { AttributeChange } from '../attributes.js';
import { FsError, isFsError } from '../errors.js';
import { exchange } from '../exchange.js';
import type { Inode } from '../inode.js';
import type { Overlay } from '../overlay.js';
import type { Operation } from '../run.js';
import { removexattr, setxattr } from '../xattrs.js';
import { lookupPath } from './state.js';

/** Attributes to be set; of an extended one, `undefined` removes it. */
export interface Dress {
  attributes: AttributeChange;
  xattrs: ReadonlyMap<string, Uint8Array | undefined>;
}

/** One change of the target that {@link carryOut} makes, itself atomic. Each has an inverse. */
export type Step =
  /** To a name that is free. */
  | { kind: 'move'; from: string; to: string }
  /** Both exist. */
  | { kind: 'exchange'; a: string; b: string }
  | { kind: 'set'; path: string; before: Dress; after: Dress };

/** What undoes a step. */
export function inverse(step: Step): Step {
  switch (step.kind) {
    case 'move':
      return { kind: 'move', from: step.to, to: step.from };
    case 'exchange':
      return step;
    case 'set':
      return { kind: 'set', path: step.path, before: step.after, after: step.before };
  }
}

/** Makes one step. Throws what the target does, and ENOENT where a path is gone. */
export function* perform(target: Overlay, step: Step): Operation<void> {
  switch (step.kind) {
    case 'move':
      return yield* rename(target, step.from, step.to, 'noreplace');
    case 'exchange':
      return yield* rename(target, step.a, step.b, 'exchange');
    case 'set':
      return yield* setDress(target, yield* inodeAt(target, step.path), step.after);
  }
}

function* rename(target: Overlay, from: string, to: string, flag: 'noreplace' | 'exchange'): Operation<void> {
  yield* inParent(target, from, (fromDir, fromName) =>
    inParent(target, to, (toDir, toName) =>
      flag === 'exchange'
        ? target.perform(exchange, fromDir, fromName, toDir, toName)
        : target.rename(fromDir, fromName, toDir, toName, flag),
    ),
  );
}

/** Owner before mode and attributes, since a change of it takes set-id bits and capabilities away; times last. */
export function* setDress(target: Overlay, inode: Inode, { attributes, xattrs }: Dress): Operation<void> {
  const { uid, gid, ...rest } = attributes;
  const owner = { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
  target.retain(inode);
  try {
    if (uid !== undefined || gid !== undefined) yield* target.setattr(inode, owner);
    for (const [name, value] of xattrs) yield* setXattr(target, inode, name, value);
    if (Object.keys(rest).length > 0) yield* target.setattr(inode, rest);
  } finally {
    target.forget(inode);
  }
}

/** One that the target may not or cannot hold is left out, as in a copy-up, unless access depends on it. */
function* setXattr(target: Overlay, inode: Inode, name: string, value: Uint8Array | undefined): Operation<void> {
  try {
    if (value === undefined) yield* target.perform(removexattr, inode, name);
    else yield* target.perform(setxattr, inode, name, value);
  } catch (error) {
    if (value === undefined && isFsError(error, 'ENODATA')) return; // done before
    if (!isFsError(error, 'EOPNOTSUPP', 'EPERM') || name.startsWith('system.posix_acl_')) throw error;
  }
}

/** The inode at a path. Throws ENOENT. */
export function* inodeAt(overlay: Overlay, path: string): Operation<Inode> {
  const entry = yield* lookupPath(overlay, path);
  if (entry === undefined) throw new FsError('ENOENT', { syscall: 'apply', path });
  return entry.inode;
}

/** Runs `use` with the directory of a path, held meanwhile, and its last name. */
export function* inParent<T>(
  overlay: Overlay,
  path: string,
  use: (dir: Inode, name: string) => Operation<T>,
): Operation<T> {
  const dir = yield* inodeAt(overlay, parentOf(path));
  overlay.retain(dir);
  try {
    return yield* use(dir, nameOf(path));
  } finally {
    overlay.forget(dir);
  }
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0)) || '/';
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function join(dir: string, name: string): string {
  return dir === '/' ? `/${name}` : `${dir}/${name}`;
}

/** Whether `path` lies below `dir`. */
export function isBelow(path: string, dir: string): boolean {
  return dir === '/' ? path !== '/' : path.startsWith(`${dir}/`);
}
