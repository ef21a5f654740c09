/**
 * What a change is: one object that differs between two states of a tree, with access to both versions. Which there are is
 * found by diff.ts.
 */
import type { Attributes } from '../attributes.js';
import type { OpenHandle } from '../file.js';
import type { Entry } from '../overlay.js';
import type { Mode, Operation } from '../run.js';
import { readAll, type State, xattrsOf } from './state.js';

/**
 * "metadata": attributes alone. "renamed": with or without changes of its own. "replaced": another type of object has the
 * name now, or a directory that was removed and made again.
 */
export type ChangeKind = 'added' | 'modified' | 'metadata' | 'renamed' | 'replaced' | 'deleted';

/** What differs. "links": which names stand for one object; "target": of a symbolic link; "device": of a device its number. */
export type Aspect = 'content' | 'target' | 'device' | 'mode' | 'owner' | 'mtime' | 'xattrs' | 'links';

/** One difference between two states of a tree. */
export interface Change {
  kind: ChangeKind;
  /** In the newer state. Of what was deleted, where it would be: directories on the way may have been renamed. */
  path: string;
  /** Of what was renamed, its path in the older state. */
  from?: string;
  /**
   * Where the older state has, or would have, the name `path`. Undefined inside of directories that it does not have.
   */
  basePath: string | undefined;
  /** Of a further name of an object: the first of its names in the order of the walk, changed or not. */
  linkOf?: string;
  /** Type bits of the mode: of the new object, or of the deleted one. */
  type: number;
  /** Of what was replaced. */
  previousType?: number;
  /** Sorted; all of them are compared, but for added, deleted and replaced objects it is empty. */
  differs: readonly Aspect[];
  /** Bytes of content now; 0 for what is no regular file. */
  size: number;
  /** Bytes of content before; 0 for what was no regular file. */
  previousSize: number;
  /** Bytes that the newer state takes on its own layers' storage for the object; 0 where it lies in a layer of both. */
  storedBytes: number;
  before?: Version;
  after?: Version;
  /** The directory of `path` in the newer state; of what was in a deleted one, the nearest that is still there. */
  directory: Version;
}

/**
 * One object in one state. Content is looked up by path at each call: what the state shows then, ENOENT if nothing. Each
 * method is an operation, to be run by `runSync` or `runAsync`.
 */
export class Version<M extends Mode = Mode> {
  declare readonly mode: M;
  /** In its own state. */
  readonly path: string;
  /** As they were when the change was found. */
  readonly attributes: Attributes;
  readonly #state: State;

  constructor(state: State, path: string, attributes: Attributes) {
    this.#state = state;
    this.path = path;
    this.attributes = attributes;
  }

  /** The object, with its attributes as they are now. */
  entry(): Operation<Entry> {
    return this.#state.find(this.path);
  }

  /** All bytes of a regular file; the caller's to keep. */
  *content(): Operation<Uint8Array> {
    const { overlay } = this.#state;
    const handle = yield* this.open();
    try {
      return yield* readAll(overlay, handle, (yield* overlay.getattr(handle.inode)).size);
    } finally {
      yield* overlay.release(handle);
    }
  }

  /** Opens a regular file for reading, to be read and released through {@link overlay}. */
  *open(): Operation<OpenHandle> {
    return yield* this.overlay.open((yield* this.entry()).inode, {
      read: true,
      write: false,
      append: false,
      truncate: false,
    });
  }

  /** The target of a symbolic link. */
  *target(): Operation<string> {
    return yield* this.overlay.readlink((yield* this.entry()).inode);
  }

  *xattrs(): Operation<Map<string, Uint8Array>> {
    return yield* xattrsOf(this.overlay, (yield* this.entry()).inode);
  }

  /** The state that it belongs to. */
  get overlay(): State['overlay'] {
    return this.#state.overlay;
  }
}

/** Changes added up. */
export interface Summary {
  /** How many of each kind. */
  counts: Record<ChangeKind, number>;
  /** Sums over all changes, in bytes. */
  size: number;
  previousSize: number;
  storedBytes: number;
}

/** Adds changes up: how many of each kind, and their sizes in bytes. */
export function summarize(changes: Iterable<Change>): Summary {
  const counts = { added: 0, modified: 0, metadata: 0, renamed: 0, replaced: 0, deleted: 0 };
  const summary: Summary = { counts, size: 0, previousSize: 0, storedBytes: 0 };
  for (const { kind, size, previousSize, storedBytes } of changes) {
    counts[kind]++;
    summary.size += size;
    summary.previousSize += previousSize;
    summary.storedBytes += storedBytes;
  }
  return summary;
}
