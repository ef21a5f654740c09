/** The change feed: what happened to names and objects, told to whoever subscribed, after it happened. */
import type { Dentry, Inode, Stack } from './inode.js';
import type { Operation } from './run.js';

/** One change, as those who subscribed are told of it once it is made. */
export type OverlayChange =
  | {
      /** As `fs.watch` has it: "rename" where a name came, went or now stands for something else, "change" for content and attributes. */
      type: 'rename' | 'change';
      /** The directory of the name. */
      dir: Inode;
      name: string;
    }
  /** Other layers (see `@ovl/core/snapshots`): anything below the root may have come, gone or changed. */
  | { type: 'layers'; dir: Inode; name?: undefined };

/** Is told of each change; what it throws is thrown to whoever made the change. */
export type ChangeListener = (change: OverlayChange) => void;

/** The same operation, told to those who subscribed. */
export function told<T>(
  { listeners }: Stack,
  operation: Operation<T>,
  type: 'rename' | 'change',
  ...names: (Dentry | undefined)[]
): Operation<T> {
  return listeners.size === 0 ? operation : tell(operation, listeners, type, names);
}

function* tell<T>(
  operation: Operation<T>,
  listeners: Iterable<ChangeListener>,
  type: 'rename' | 'change',
  names: readonly (Dentry | undefined)[],
): Operation<T> {
  const answer = yield* operation;
  for (const at of names) if (at !== undefined) for (const listener of listeners) listener({ type, ...at });
  return answer;
}
