/** The change feed: what happened to names and objects, told to whoever subscribed, after it happened. */
import type { Inode } from './inode.js';

export interface OverlayChange {
  /** As `fs.watch` has it: "rename" where a name came, went or now stands for something else, "change" for content and attributes. */
  type: 'rename' | 'change';
  /** The directory of the name. */
  dir: Inode;
  name: string;
}

export type ChangeListener = (change: OverlayChange) => void;
