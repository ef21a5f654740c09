/** What a check of an upper can find, what each finding means, and what may be done about it without being asked. */

/** Everything that is found is of one of these kinds; {@link MEANINGS} says what each comes to. */
export type FindingKind =
  | 'dangling-whiteout'
  | 'leftover'
  | 'orphaned-index'
  | 'malformed-index'
  | 'unknown-attribute'
  | 'malformed-attribute'
  | 'misplaced-attribute'
  | 'malformed-override'
  | 'malformed-redirect'
  | 'missing-redirect'
  | 'malformed-metacopy'
  | 'missing-data'
  | 'mixed-whiteouts'
  | 'dirty-volatile'
  | 'unknown-feature';

/**
 * What may be repaired changes nothing in any view: it takes away what is ignored, what hides nothing, or what no name
 * leads to.
 */
export type Repair =
  /** Removes the entry: of the work tree with all that is in it, of the upper only what is no directory. */
  { kind: 'remove' } | { kind: 'removexattr'; name: string };

/** One thing that is wrong with an upper or its work directory. */
export interface Finding {
  kind: FindingKind;
  /** The directory in which `path` leads to it. */
  tree: 'upper' | 'work';
  /** Names from the top of the tree down, as `names.ts` encodes them; none for the top itself. */
  path: readonly string[];
  /** What is there, as a clause. */
  what: string;
  /** Absent where a repair might lose something. */
  repair?: Repair;
}

/** What a finding means for whoever mounts the upper. */
export const MEANINGS: Readonly<Record<FindingKind, string>> = {
  'dangling-whiteout': 'nothing is hidden by it',
  leftover: 'a crash left it; the next mount removes it',
  'orphaned-index': 'no name leads to this file any more; it only takes space',
  'malformed-index': 'the kernel refuses to mount this upper with index=on',
  'unknown-attribute': 'another version wrote it, and what it stands for is not known here',
  'malformed-attribute': 'it is ignored',
  'misplaced-attribute': 'it is ignored on an object of this kind',
  'malformed-override': 'owner and mode cannot be told, so opening it fails with EIO',
  'malformed-redirect': 'opening the directory fails with EIO',
  'missing-redirect': 'the layers below have no such directory, so only what the upper itself holds is shown',
  'malformed-metacopy': 'reading the file fails with EIO',
  'missing-data': 'the layers below do not have the data of this file, so reading it fails with EIO',
  'mixed-whiteouts': 'the kernel shows this as an ordinary file, ovl and fuse-overlayfs obey it',
  'dirty-volatile':
    'if the system crashed since that mount, files may be incomplete; a mount is refused until this is removed',
  'unknown-feature': 'a mount is refused: what wrote it uses a feature that is not known here',
};
