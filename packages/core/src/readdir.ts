/** Listing directories: the merged names, frozen at the moment of the call. */
import { FsError } from './errors.js';
import type { Inode, Stack } from './inode.js';
import { list, lookup } from './lookup.js';
import type { DirectoryEntry } from './merge.js';
import type { Operation } from './run.js';

/** See `Overlay.readdir`. */
export function* openDirectory(stack: Stack, dir: Inode): Operation<DirectoryEntry[]> {
  if (!dir.isDirectory) throw new FsError('ENOTDIR', { syscall: 'readdir' });
  if (stack.options.revalidation !== undefined) yield* stack.options.revalidation.check(stack, dir);
  const listing = dir.listing ?? (yield* list(stack, dir));
  return [...listing.values()].sort((a, b) => b.cookie - a.cookie); // mostly in order, which is seen in one pass
}

/** The inode number of an entry as `getattr` shows it, without keeping the inode; undefined if there is none any more. */
export function* entryIno(stack: Stack, dir: Inode, name: string): Operation<number | undefined> {
  const entry = yield* lookup(stack, dir, name);
  if (entry !== undefined) stack.drop(entry.inode);
  return entry?.inode.ino;
}
