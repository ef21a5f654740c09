/**
 * How the listings of one directory's layers become one: first occurrence wins, a whiteout hides what lies below it, an
 * opaque marker ends the descent, directories of one name accumulate. Pure; lookup.ts feeds it.
 */
import { DT_DIR, type EntryType } from './attributes.js';
import { meaningOfName } from './format.js';
import type { LayerEntry } from './layer.js';

/** A visible name of a directory, as it stays until it is gone. */
export interface DirectoryEntry {
  readonly name: string;
  readonly type: EntryType;
  /** As the layer reports it; `entryIno` gives the number that `stat` shows. */
  readonly ino: number;
  /** Its place in the directory, above 0: see {@link numberNames}. */
  cookie: number;
}

/** The same with what the overlay knows of it. */
export interface Listed extends DirectoryEntry {
  /** The layer that answers for the name, an index into the stack. */
  layer: number;
  /** For a directory: the further layers, in order, that hold a directory of this name in sight. */
  below: number[] | undefined;
  /** Whether a layer below has something in sight under this name, so that removing it takes a whiteout. */
  covers: boolean;
}

/** One layer's share of a merged directory. */
export interface LayerListing {
  layer: number;
  entries: readonly LayerEntry[];
  /** Names that are whiteout devices (or marked files). */
  whiteouts: ReadonlySet<string>;
}

/** A name that the topmost layer hides by a whiteout of its own. */
export interface Whiteout {
  /** Whether something below is really hidden by it. */
  covers: boolean;
  /** What stands for it: an entry of that name, or a marker file beside it (`.wh.name`), which leaves the name free. */
  form: 'entry' | 'marker';
}

export interface MergedListing {
  names: Map<string, Listed>;
  whiteouts: Map<string, Whiteout>;
}

const NOTHING: ReadonlySet<string> = new Set();
export { NOTHING as NO_WHITEOUTS };

/** Merges listings given topmost first. */
export function mergeListings(layers: readonly LayerListing[]): MergedListing {
  const names = new Map<string, Listed>();
  const whiteouts = new Map<string, Whiteout>();
  const hidden = new Set<string>();
  /** Directories that no lower one joins any more. */
  const closed = new Set<string>();

  const hide = (name: string, layer: number, form: Whiteout['form']): void => {
    if (names.has(name) || hidden.has(name)) closed.add(name);
    else if (layer === (layers[0] as LayerListing).layer) whiteouts.set(name, { covers: false, form });
    hidden.add(name);
  };

  for (const { layer, entries, whiteouts: devices } of layers) {
    const later: string[] = [];
    let opaque = false;
    for (const { name, type, ino } of entries) {
      const meaning = meaningOfName(name);
      if (meaning.kind === 'opaque') opaque = true;
      else if (meaning.kind === 'whiteout') later.push(meaning.of);
      if (meaning.kind !== 'entry') continue;

      const above = names.get(name);
      if (devices.has(name)) hide(name, layer, 'entry');
      else if (above === undefined) {
        if (!hidden.has(name)) names.set(name, { name, type, ino, cookie: 0, layer, below: undefined, covers: false });
        else if (!closed.has(name)) {
          const whiteout = whiteouts.get(name);
          if (whiteout !== undefined) whiteout.covers = true;
        }
      } else if (!closed.has(name)) {
        above.covers = true;
        if (above.type === DT_DIR && type === DT_DIR) (above.below ??= []).push(layer);
        else closed.add(name);
      }
    }
    for (const name of later) hide(name, layer, 'marker'); // affects only the layers below this one
    if (opaque) break;
  }
  return { names, whiteouts };
}

/**
 * Gives the names of a directory their places; those that `known` has keep theirs. A directory is read from the highest
 * place down and new names come above all others, so that who has read it to some place and goes on below that meets no name
 * twice, misses none that stays, and comes to an end however many appear meanwhile. Places up to `last` were given before;
 * returns the last one now.
 */
export function numberNames(names: Map<string, Listed>, known: Map<string, Listed> | undefined, last: number): number {
  let next = last + names.size; // downwards, so that a directory that did not change is read in this order
  for (const [name, listed] of names) listed.cookie = known?.get(name)?.cookie ?? next--;
  return last + names.size;
}
