/**
 * Redirects: how an object that was renamed tells what it is called in the layers below ("redirect_dir"), and what the move
 * of a directory takes. Decides; rename.ts acts.
 */
import type { Inode } from './inode.js';

/** How a directory that moves shows the right content at its new place. */
export type DirectoryMove =
  | { kind: 'plain' }
  | { kind: 'opaque' }
  | { kind: 'redirect'; scope: 'name' | 'path' }
  /** All of its content has to be the upper's own first. */
  | { kind: 'copy' }
  | { kind: 'cross-device' };

/**
 * What the move of a directory takes. One that merges layers must record where they are; one that does not must not
 * begin to merge with what its new parent's layers hold under the new name.
 */
export function planDirectoryMove(facts: {
  merges: boolean;
  opaque: boolean | undefined;
  sameParent: boolean;
  redirect: string | undefined;
  targetParentMerges: boolean;
  moves: 'record' | 'copy' | 'refuse';
}): DirectoryMove {
  const { merges, opaque, sameParent, redirect, targetParentMerges, moves } = facts;
  if (!merges) return targetParentMerges && !opaque ? { kind: 'opaque' } : { kind: 'plain' };
  if (moves === 'refuse') return { kind: 'cross-device' };
  if (moves === 'copy') return { kind: 'copy' };
  const recorded = redirect !== undefined && (sameParent || redirect.startsWith('/'));
  return recorded ? { kind: 'plain' } : { kind: 'redirect', scope: sameParent ? 'name' : 'path' };
}

/** What the layers below call an object's name. */
export function lowerName(inode: Inode): string {
  const redirect = inode.upper && inode.redirect; // asked in this order: see `Inode.upper`
  return redirect ?? (inode.dentry?.name as string);
}

/** The path by which the layers below know an object, from the overlay's root. */
export function lowerPath(inode: Inode): string {
  let path = '';
  for (let at: Inode | undefined = inode; at?.dentry !== undefined; at = at.dentry.dir) {
    const name = lowerName(at);
    if (name.startsWith('/')) return name + path;
    path = `/${name}${path}`;
  }
  return path;
}
