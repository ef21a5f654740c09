/**
 * Owners as users see them and as the layers store them (fuse-overlayfs' `uidmapping`, `gidmapping` and `squash_to_…`). The
 * overlay itself thinks in stored ids; the translation stands at its face, in `overlay.ts`, and nowhere else.
 */

/** `count` ids from `stored` on are shown as those from `shown` on. */
export interface IdRange {
  stored: number;
  shown: number;
  count: number;
}

/** How stored owners are shown: ranges of ids, or one owner for all. */
export interface OwnerMapOptions {
  /** Left out or empty: ids are shown as they are stored. Where ranges overlap, the first counts. */
  uid?: readonly IdRange[];
  gid?: readonly IdRange[];
  /** Everything is shown with this owner or group, whatever the ranges say. */
  squash?: { uid?: number; gid?: number };
  /** For ids that no range names, in both directions. Default 65534. */
  overflow?: { uid: number; gid: number };
}

/** Translates the owners that layers store into those that users see, and back. */
export interface OwnerMap {
  /** Turns stored owners into shown ones, in place. */
  show(owned: { uid: number; gid: number }): void;
  /** A copy with shown owners, where it has any, turned into stored ones. */
  stored<T extends { uid?: number; gid?: number }>(owned: T): T;
  storedUid(shown: number): number;
  storedGid(shown: number): number;
}

const NOBODY = 65534;

/** The translation that the options describe, to be given to an overlay as `owners`. */
export function ownerMap({ uid, gid, squash, overflow }: OwnerMapOptions): OwnerMap {
  const users = idMap(uid, overflow?.uid);
  const groups = idMap(gid, overflow?.gid);
  const storedUid = (shown: number): number => users(shown, 'shown', 'stored');
  const storedGid = (shown: number): number => groups(shown, 'shown', 'stored');
  return {
    show(owned) {
      owned.uid = squash?.uid ?? users(owned.uid, 'stored', 'shown');
      owned.gid = squash?.gid ?? groups(owned.gid, 'stored', 'shown');
    },
    stored(owned) {
      const stored = { ...owned };
      if (owned.uid !== undefined) stored.uid = storedUid(owned.uid);
      if (owned.gid !== undefined) stored.gid = storedGid(owned.gid);
      return stored;
    },
    storedUid,
    storedGid,
  };
}

type Side = 'stored' | 'shown';

function idMap(ranges: readonly IdRange[] = [], overflow = NOBODY): (id: number, from: Side, to: Side) => number {
  return (id, from, to) => {
    if (ranges.length === 0) return id;
    const range = ranges.find((each) => id >= each[from] && id - each[from] < each.count);
    return range === undefined ? overflow : range[to] + id - range[from];
  };
}
