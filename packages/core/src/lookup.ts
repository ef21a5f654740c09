/**
 * Finding objects: which layers stand behind a name (overlayfs: namei.c). A directory's names are read from all its
 * layers once and merged, so that a lookup costs one layer call however many layers there are, and an absent name none.
 */
import { type Attributes, DT_CHR, DT_DIR, DT_UNKNOWN, isDirectory, S_IFMT } from './attributes.js';
import { FsError, isFsError } from './errors.js';
import {
  decodeOrigin,
  type DirectoryMarks,
  directoryMarks,
  isWhiteoutDevice,
  markXattrs,
  mayBeXattrWhiteout,
  NO_MARKS,
  OPAQUE_NAMES,
  parseRedirect,
  whiteoutXattr,
} from './format.js';
import { aliasKey, type Inode, type Origin, type Real, type Stack } from './inode.js';
import type { Found, Layer, LayerEntry, LayerNode } from './layer.js';
import { type LayerListing, type Listed, mergeListings, NO_WHITEOUTS, numberNames } from './merge.js';
import { byteLength, checkName, NAME_MAX } from './names.js';
import type { Entry } from './overlay.js';
import { isThenable, maybe, type Operation, wait } from './run.js';

/** See `Overlay.lookup`. */
export function* lookup(stack: Stack, dir: Inode, name: string): Operation<Entry | undefined> {
  checkName(name);
  if (!dir.isDirectory) throw new FsError('ENOTDIR', { syscall: 'lookup', path: name });
  if (stack.options.revalidation !== undefined) yield* stack.options.revalidation.check(stack, dir);
  for (let reread = false; ; ) {
    const cached = dir.children?.get(name);
    if (cached !== undefined) {
      const attributes = yield* attributesOrLoss(stack, cached, dir, name);
      if (attributes !== undefined && dir.children?.get(name) === cached) return { inode: cached, attributes };
      continue; // lost, or forgotten or renamed while suspended: look again
    }
    const listing = dir.listing ?? (yield* list(stack, dir));
    const listed = listing.get(name);
    if (listed === undefined) return undefined;
    const { version } = dir;
    const parent = stack.part(dir, listed.layer);
    const answer = parent === undefined ? undefined : stack.layer(listed.layer).lookup(parent, name);
    const entry = lowerFile(stack, listed.layer, answer) ?? (yield* instantiate(stack, dir, name, listed, answer));
    if (dir.version !== version || dir.children?.has(name) === true) {
      if (entry !== undefined) stack.abandon(entry.inode);
      continue; // changed while suspended: look again
    }
    if (entry === undefined && !reread) {
      reread = true; // an xattr whiteout; or the layer changed behind our back, and another may have the name
      yield* list(stack, dir);
      continue;
    }
    if (entry === undefined) listing.delete(name);
    else stack.addDentry(entry.inode, dir, name);
    return entry;
  }
}

/** The attributes of a cached entry; undefined if its layer has it no more, which then is no entry any more. */
function* attributesOrLoss(stack: Stack, inode: Inode, dir: Inode, name: string): Operation<Attributes | undefined> {
  try {
    return yield* getattr(stack, inode);
  } catch (error) {
    if (!isFsError(error, 'ENOENT', 'ESTALE')) throw error;
    if (dir.children?.get(name) === inode) {
      stack.lose(inode, dir, name);
      yield* list(stack, dir);
    }
    return undefined;
  }
}

/** As {@link lookup}, but absence is ENOENT. */
export function* require(stack: Stack, dir: Inode, name: string, syscall: string): Operation<Entry> {
  const entry = yield* lookup(stack, dir, name);
  if (entry === undefined) throw new FsError('ENOENT', { syscall, path: name });
  return entry;
}

/** See `Overlay.getattr`. */
export function* getattr(stack: Stack, inode: Inode): Operation<Attributes> {
  const { layer, node } = stack.real(inode);
  const answer = layer.getattr(node);
  return asShown(inode, isThenable(answer) ? yield* wait(answer) : answer);
}

/** What the layer of an inode answered, as the overlay shows it. */
export function asShown(inode: Inode, answer: Attributes): Attributes {
  const attributes = present(inode, answer);
  if (inode.shown !== undefined) Object.assign(attributes, inode.shown);
  // The last name is gone, which a lower layer does not know; and where a staged copy lies is the upper's own affair.
  if (inode.isNameless && (inode.upper === undefined || inode.staged)) attributes.nlink = inode.union?.nlink ?? 0;
  return attributes;
}

/** A layer's attributes as the overlay shows them. The kernel, too, gives merged directories a link count of 1. */
function present(inode: Inode, attributes: Attributes): Attributes {
  attributes.ino = inode.ino;
  const { upper, parts } = inode;
  if (parts !== undefined && parts.length > (upper ? 0 : 1)) attributes.nlink = 1;
  if (inode.union !== undefined) attributes.nlink = inode.union.nlink;
  return attributes;
}

/**
 * Reads and merges the names of a directory. Those that are known stay until then: who changes the directory meanwhile has to
 * know what the layers below show.
 */
export function* list(stack: Stack, dir: Inode): Operation<Map<string, Listed>> {
  for (;;) {
    const { version } = dir;
    const listings: LayerListing[] = [];
    const parts: Real[] = dir.upper === undefined ? [] : [{ layer: stack.first, node: dir.upper }];
    for (const part of parts.concat(dir.lower)) {
      const entries = yield* wait(stack.layer(part.layer).readdir(part.node));
      listings.push(yield* resolveEntries(stack, part, entries));
    }
    if (dir.version !== version) continue;
    const { names, whiteouts } = mergeListings(listings);
    dir.whiteouts = dir.upper === undefined || whiteouts.size === 0 ? undefined : whiteouts;
    dir.version = numberNames(names, dir.listing ?? stack.formerNames.get(dir), dir.version);
    dir.listing = names;
    return names;
  }
}

/** Settles what the entry types leave open: which devices are whiteouts, what an unknown type is. */
function* resolveEntries(stack: Stack, part: Real, entries: LayerEntry[]): Operation<LayerListing> {
  const layer = stack.layer(part.layer);
  let whiteouts: Set<string> | undefined;
  let sawUnmarked = false;
  for (const entry of entries) {
    if (entry.type === DT_CHR || entry.type === DT_UNKNOWN) {
      const found = yield* wait(layer.lookup(part.node, entry.name));
      if (found === undefined) continue;
      entry.type = (found.attributes.mode & S_IFMT) >>> 12;
      if (isWhiteoutDevice(found.attributes)) (whiteouts ??= new Set()).add(entry.name);
    }
    sawUnmarked ||= entry.type !== DT_DIR && entry.type !== DT_CHR;
  }
  // Xattr whiteouts are looked for in listings only where the directory announces them: it costs a call an entry.
  if (sawUnmarked && part.layer >= stack.firstLower && (yield* readMarks(stack, part)).opaque === 'x') {
    for (const entry of entries) {
      if (entry.type === DT_DIR) continue;
      const found = yield* wait(layer.lookup(part.node, entry.name));
      if (found !== undefined && (yield* isXattrWhiteout(stack, part.layer, found))) {
        (whiteouts ??= new Set()).add(entry.name);
      }
    }
  }
  return { layer: part.layer, entries, whiteouts: whiteouts ?? NO_WHITEOUTS };
}

function* isXattrWhiteout(stack: Stack, layer: number, found: Found): Operation<boolean> {
  if (!mayBeXattrWhiteout(found.attributes)) return false;
  return (yield* wait(stack.layer(layer).getxattr(found.node, whiteoutXattr(stack.prefix)))) !== undefined;
}

/** The overlay marks of a directory in one layer. */
export function* readMarks(stack: Stack, part: Real): Operation<DirectoryMarks> {
  const layer = stack.layer(part.layer);
  const names = yield* wait(layer.listxattr(part.node));
  if (names.length === 0) return NO_MARKS;
  const values = new Map<string, Uint8Array>();
  for (const name of markXattrs(names, stack.prefix)) {
    const value = yield* wait(layer.getxattr(part.node, name));
    if (value !== undefined) values.set(name, value);
  }
  return values.size === 0 ? NO_MARKS : directoryMarks(values, stack.prefix);
}

type FoundSoon = ReturnType<Layer['lookup']>;

/** What a walk meets with every file, without the cost of a generator: a lower file, from a layer that answers at once. */
function lowerFile(stack: Stack, index: number, answer: FoundSoon): Entry | undefined {
  if (!isPlainLowerFile(stack, index, answer)) return undefined;
  return newLowerFile(stack, { layer: index, node: answer.node }, answer.attributes);
}

export function isPlainLowerFile(stack: Stack, index: number, answer: FoundSoon): answer is Found {
  if (answer === undefined || isThenable(answer) || index < stack.firstLower) return false;
  const { attributes } = answer;
  if (isDirectory(attributes.mode) || isWhiteoutDevice(attributes) || mayBeXattrWhiteout(attributes)) return false;
  return attributes.nlink <= 1 || stack.index === undefined;
}

export function newLowerFile(stack: Stack, real: Real, attributes: Attributes): Entry {
  const inode = stack.newInode(attributes.mode, stack.presentIno(attributes.dev, attributes.ino), undefined, [real]);
  return { inode, attributes: present(inode, attributes) };
}

/** Makes the inode behind a listed name. Undefined if the layer has it no more or it is a whiteout after all. */
export function* instantiate(
  stack: Stack,
  dir: Inode,
  name: string,
  listed: Listed,
  answer: FoundSoon,
): Operation<Entry | undefined> {
  const { layer: index } = listed;
  const found = yield* wait(answer);
  if (found === undefined || isWhiteoutDevice(found.attributes)) return undefined;
  if (yield* isXattrWhiteout(stack, index, found)) return undefined;
  const { attributes } = found;
  const real: Real = { layer: index, node: found.node };
  const inUpper = index < stack.firstLower;
  if (isDirectory(attributes.mode)) return yield* instantiateDirectory(stack, dir, name, listed, real, attributes);

  const { index: links } = stack;
  if (!inUpper) {
    if (links?.covers(attributes) === true) return yield* links.lowerEntry(real, attributes);
    return newLowerFile(stack, real, attributes);
  }
  const origin = dir.impure ? yield* originOf(stack, real) : undefined;
  const isLinked = attributes.nlink > 1;
  const indexed = isLinked && origin !== undefined ? yield* maybe(links?.unionOf(found, origin)) : undefined;
  const alias = isLinked ? stack.aliases.get(aliasKey(attributes)) : undefined;
  if (alias !== undefined) {
    if (alias.isNameless && alias.union === undefined) {
      stack.releaseKept(alias); // held open only, until now
      stack.place(alias, found.node);
    }
    return { inode: alias, attributes: present(alias, attributes) };
  }
  // Of several names below, each may have its own copy by now: unless indexed, they cannot all have the origin's number.
  const shown = origin !== undefined && (indexed !== undefined || (origin.nlink ?? 1) === 1) ? origin : attributes;
  const ino = stack.presentIno(shown.dev, shown.ino);
  const inode = stack.newInode(attributes.mode, ino, indexed?.node ?? found.node, []);
  inode.hasOrigin = origin !== undefined;
  if (indexed !== undefined) {
    inode.union = indexed.union;
    stack.aliases.set(indexed.union.key, inode);
  }
  if (isLinked) stack.alias(inode, attributes);
  return { inode, attributes: present(inode, attributes) };
}

function* instantiateDirectory(
  stack: Stack,
  dir: Inode,
  name: string,
  listed: Listed,
  real: Real,
  attributes: Attributes,
): Operation<Entry> {
  const inUpper = real.layer < stack.firstLower;
  const parts: Real[] = [real];
  let marks = NO_MARKS;
  if (inUpper || real.layer + 1 < stack.firstData) {
    marks = yield* readMarks(stack, real);
    yield* gatherBelow(stack, dir, name, marks, listed.below ?? [], parts);
  }
  const lower = inUpper ? parts.slice(1) : parts;
  const shown = inUpper && lower[0] !== undefined ? lower[0] : undefined;
  const numbers = shown === undefined ? attributes : yield* wait(stack.layer(shown.layer).getattr(shown.node));
  let ino = stack.presentIno(numbers.dev, numbers.ino);
  const origin = inUpper && shown === undefined && dir.impure ? yield* originOf(stack, real) : undefined;
  if (origin !== undefined) ino = stack.presentIno(origin.dev, origin.ino);
  const inode = stack.newInode(attributes.mode, ino, inUpper ? real.node : undefined, lower);
  if (inUpper) {
    inode.opaque = marks.opaque === 'y';
    inode.redirect = marks.redirect;
    inode.impure = marks.impure;
    inode.hasOrigin = lower.length > 0 || origin !== undefined;
  }
  return { inode, attributes: present(inode, attributes) };
}

/**
 * Appends to `parts` the directories below its first one. `candidates` are the layers that hold the name in sight; once a
 * redirect renames the target, every layer below is searched for the new path instead.
 */
function* gatherBelow(
  stack: Stack,
  dir: Inode,
  name: string,
  marks: DirectoryMarks,
  candidates: readonly number[],
  parts: Real[],
): Operation<void> {
  // Nothing below, so nothing is looked for.
  if (marks.opaque === 'y' || (dir.lower.length === 0 && stack.redirectDir === 'nofollow')) return;
  let last = marks;
  for (const index of candidates) {
    if (follows(stack, last)) break;
    const parent = stack.part(dir, index);
    if (parent === undefined) continue;
    const found = yield* wait(stack.layer(index).lookup(parent, name));
    if (found === undefined || !isDirectory(found.attributes.mode)) return;
    const part = { layer: index, node: found.node };
    parts.push(part);
    if (index + 1 === stack.firstData) return;
    last = yield* readMarks(stack, part);
    if (last.opaque === 'y') return;
  }
  if (!follows(stack, last)) return;
  const { absolute, components } = parseRedirect(last.redirect);
  const { layer } = parts[parts.length - 1] as Real;
  const base = absolute ? stack.root.lower : dir.lower;
  yield* search(stack, { base, path: components }, layer, 'directory', parts);
}

/** Whether there is a redirect. Throws EPERM where none is followed, as the kernel does: what it hides would be missing. */
function follows(stack: Stack, marks: DirectoryMarks): marks is DirectoryMarks & { redirect: string } {
  if (marks.redirect === undefined) return false;
  if (stack.redirectDir === 'nofollow') throw new FsError('EPERM', { syscall: 'redirect', path: marks.redirect });
  return true;
}

/** A path in the terms of the layers below some layer, and the directories where it starts. */
export interface Trail {
  base: readonly Real[];
  path: readonly string[];
}

/**
 * Walks the path in each layer of the base below layer `after`, topmost first, appending what it reaches. Whiteouts, opaque
 * marks and redirects on the way act as they do in a lookup, because the path is what a user's once was. Of a file only the
 * first is wanted; returned is how it is called from there down.
 */
export function* search(
  stack: Stack,
  { base, path }: Trail,
  after: number,
  wanted: 'directory' | 'file',
  parts: Real[],
): Operation<Trail> {
  let target = path;
  for (const start of base) {
    if (start.layer <= after) continue;
    const step = yield* walk(stack, start, target, wanted);
    if (step.reached !== undefined) parts.push({ layer: start.layer, node: step.reached });
    const trail = { base: step.restart ? stack.root.lower : base, path: step.below };
    if (step.stop || (wanted === 'file' && step.reached !== undefined)) return trail;
    if (step.restart) return yield* search(stack, trail, start.layer, wanted, parts);
    target = step.below;
  }
  return { base, path: target };
}

interface Walked {
  /** The object at the end of the path, if this layer has it. */
  reached: LayerNode | undefined;
  /** Whether this layer hides all below it. */
  stop: boolean;
  /** What the path is called in the layers below. */
  below: string[];
  /** Whether `below` starts from the overlay's root instead of the same base. */
  restart: boolean;
}

/** One path in one layer. */
function* walk(stack: Stack, start: Real, path: readonly string[], wanted: 'directory' | 'file'): Operation<Walked> {
  const layer = stack.layer(start.layer);
  let below: string[] = [];
  let restart = false;
  let stop = false;
  let { node } = start;
  const end = (reached?: LayerNode, rest: readonly string[] = [], isLast = stop): Walked => {
    return { reached, stop: isLast, below: [...below, ...rest], restart };
  };
  for (let i = 0; i < path.length; i++) {
    const name = path[i] as string;
    stop ||= yield* hasOpaqueName(layer, node);
    const marker = `.wh.${name}`;
    if (byteLength(marker) <= NAME_MAX && (yield* wait(layer.lookup(node, marker))) !== undefined) stop = true;
    const found = yield* wait(layer.lookup(node, name));
    if (found === undefined) return end(undefined, path.slice(i));
    const hides = isWhiteoutDevice(found.attributes) || (yield* isXattrWhiteout(stack, start.layer, found));
    const isLast = i + 1 === path.length;
    if (hides || !isDirectory(found.attributes.mode)) {
      const reached = !hides && isLast && wanted === 'file' ? found.node : undefined;
      return end(reached, [name], stop || reached === undefined);
    }
    if (isLast && wanted === 'file') return end(undefined, [], true);
    node = found.node;
    const marks = yield* readMarks(stack, { layer: start.layer, node });
    if (marks.opaque === 'y') {
      stop = true;
      below.push(name);
    } else if (follows(stack, marks)) {
      const { absolute, components } = parseRedirect(marks.redirect);
      restart ||= absolute;
      if (absolute) stop = false; // it leads out of what an ancestor closes (`ovl_check_redirect`)
      below = absolute ? components : [...below, ...components];
    } else below.push(name);
  }
  stop ||= yield* hasOpaqueName(layer, node);
  return end(node);
}

/** Whether a directory is opaque by an entry. Where names are listed they tell; here they have to be asked for. */
function* hasOpaqueName(layer: Layer, dir: LayerNode): Operation<boolean> {
  for (const name of OPAQUE_NAMES) if ((yield* wait(layer.lookup(dir, name))) !== undefined) return true;
  return false;
}

/** The lower object that an upper one was copied from, if it records one that still exists. */
function* originOf(stack: Stack, real: Real): Operation<Origin | undefined> {
  const value = yield* wait(stack.layer(real.layer).getxattr(real.node, `${stack.prefix}origin`));
  return value && (yield* resolveOrigin(stack, value));
}

/** The lower object that the value of an `origin` attribute names, if it still exists. */
export function* resolveOrigin(stack: Stack, value: Uint8Array): Operation<Origin | undefined> {
  const handle = decodeOrigin(value);
  if (handle === undefined) return undefined;
  for (const { layer: index, dev } of stack.origins) {
    const layer = stack.layer(index);
    const target = yield* wait(layer.resolveHandle?.(handle));
    if (target !== undefined) return { value, dev, ino: target.ino, nlink: target.nlink };
  }
  return undefined;
}
