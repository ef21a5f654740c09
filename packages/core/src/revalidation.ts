/**
 * Keeps the caches of an overlay true to layers that change from outside while it is open. A directory's names are read
 * again once one of its layers' directories bears other times than when they were read; what stands under a name that
 * changed is looked up anew. That an object is still the one that was found is checked by the layer itself (ESTALE).
 * Passed in by who expects such changes, so that others neither pay for it nor carry it.
 */
import { type Attributes, DT_DIR } from './attributes.js';
import { FsError, isFsError } from './errors.js';
import type { Inode, Real, Stack } from './inode.js';
import { instantiate, list } from './lookup.js';
import type { Listed } from './merge.js';
import { type Operation, wait } from './run.js';

/** A directory of one layer, as it was when its names were read. */
interface Stamp {
  layer: number;
  /** Everything that tells two states of it apart. */
  state: string;
  /** Whether it had changed so shortly before that a further change may have left the same times. */
  recent: boolean;
}

interface Checked {
  moment: number;
  /** The directory's version: our own changes move it, and the times of the upper's part. */
  version: number;
  stamps: Stamp[];
}

/** The coarsest times of a file system in use (VFAT). */
const GRANULARITY_MS = 2000;

/**
 * Checks caches against layers that are changed from outside: what it has not checked within a request is read again
 * where a directory's times have moved. For overlays without it, layers change only through the overlay.
 */
export class Revalidation {
  #moment = 0;
  readonly #checked = new WeakMap<Inode, Checked>();

  /** Begins another request: within one, a directory is checked once. */
  next(): void {
    this.#moment++;
  }

  /** Makes the cached names and entries of `dir` true. Throws ESTALE if no layer has the directory any more. */
  *check(stack: Stack, dir: Inode): Operation<void> {
    const last = this.#checked.get(dir);
    if (last?.moment === this.#moment) return;
    const stamps = yield* stampsOf(stack, dir);
    const known = last === undefined ? undefined : dir.listing;
    const unchanged =
      last !== undefined &&
      known !== undefined &&
      stamps.length === last.stamps.length &&
      stamps.every((stamp, i) => isSame(stamp, last.stamps[i] as Stamp, last.version === dir.version));
    if (!unchanged) yield* this.#reread(stack, dir, known);
    this.#checked.set(dir, { moment: this.#moment, version: dir.version, stamps });
  }

  *#reread(stack: Stack, dir: Inode, known: Map<string, Listed> | undefined): Operation<void> {
    const listing = yield* list(stack, dir);
    for (const [name, child] of dir.children ?? []) {
      const listed = listing.get(name);
      if (isSameEntry(stack, known?.get(name), listed)) continue;
      if ((yield* replace(stack, dir, name, child, listed)) === 'other layers') this.#checked.delete(child);
    }
  }
}

/** Also forgets the parts of lower layers that are gone. */
function* stampsOf(stack: Stack, dir: Inode): Operation<Stamp[]> {
  const stamps: Stamp[] = [];
  if (dir.upper !== undefined) stamps.push(yield* stampOf(stack, { layer: stack.first, node: dir.upper }));
  const lower: Real[] = [];
  for (const part of dir.lower) {
    try {
      stamps.push(yield* stampOf(stack, part));
      lower.push(part);
    } catch (error) {
      if (!isFsError(error, 'ENOENT', 'ESTALE')) throw error;
    }
  }
  if (lower.length < dir.lower.length) {
    if (stamps.length === 0) throw new FsError('ESTALE', { syscall: 'lookup' });
    dir.parts = lower;
  }
  return stamps;
}

function* stampOf(stack: Stack, { layer, node }: Real): Operation<Stamp> {
  const found: Attributes = yield* wait(stack.layer(layer).getattr(node));
  const { dev, ino, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec } = found;
  const recent = Date.now() - Math.max(mtimeSec, ctimeSec) * 1000 < GRANULARITY_MS;
  return { layer, state: [dev, ino, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec].join(), recent };
}

/** `still`: no change of our own came between the two, so that one of the upper's part is somebody else's. */
function isSame(now: Stamp, then: Stamp, still: boolean): boolean {
  if (now.layer !== then.layer) return false;
  return now.layer === 0 && !still ? true : now.state === then.state && (now.layer === 0 || !then.recent);
}

/** A directory that merges others is never: they may be new ones of the same name, which listings do not tell. */
function isSameEntry(stack: Stack, before: Listed | undefined, now: Listed | undefined): boolean {
  if (before === undefined || now === undefined || now.below !== undefined) return false;
  if (before.layer !== now.layer || before.type !== now.type || before.below !== undefined) return false;
  return now.layer < stack.firstLower || before.ino === now.ino;
}

/** A directory that is still there goes on with the layers that it has now; all else makes room for what is found next. */
function* replace(
  stack: Stack,
  dir: Inode,
  name: string,
  child: Inode,
  listed: Listed | undefined,
): Operation<'other layers' | undefined> {
  const part = listed === undefined ? undefined : stack.part(dir, listed.layer);
  if (listed?.type === DT_DIR && child.isDirectory && part !== undefined) {
    const answer = stack.layer(listed.layer).lookup(part, name);
    const found = (yield* instantiate(stack, dir, name, listed, answer))?.inode;
    const isInUpper = child.upper !== undefined;
    if (found !== undefined && isInUpper === (found.upper !== undefined) && (isInUpper || found.ino === child.ino)) {
      stack.abandon(found);
      child.parts = found.lower;
      child.version++; // who reads its names reads those of others
      return 'other layers';
    }
    if (found !== undefined) stack.abandon(found);
  } else if (listed !== undefined && listed.layer < stack.firstLower && child.upper !== undefined) {
    return undefined; // what lies below an object of the upper is not seen
  }
  stack.lose(child, dir, name);
  return undefined;
}
