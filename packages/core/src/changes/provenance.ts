/**
 * Where an object came from: the layer, the object and the path that it was copied up from, through renames, hard links and layers that were
 * uppers once. What says so is the `origin` that copying up records; a path alone never does. It is believed only where a layer of the overlay has
 * the object still: looked for under the name that the path has below, then by its number in all of the layer.
 */
import { type Attributes, DT_DIR, DT_UNKNOWN, isDirectory, isRegular, S_IFMT } from '../attributes.js';
import { FsError } from '../errors.js';
import { ExtentMap } from '../extents/map.js';
import { decodeOrigin, leavesAllBelow, parseRedirect } from '../format.js';
import type { Stack } from '../inode.js';
import type { FileHandle, Found, LayerNode } from '../layer.js';
import { decodeName } from '../names.js';
import { Overlay } from '../overlay.js';
import { type Mode, type Operation, wait } from '../run.js';
import type { Aspect } from './change.js';
import { compare, type ContentComparison } from './compare.js';
import { descend, type LayerView } from './explain.js';
import { renumbered, State } from './state.js';
import { join } from './steps.js';

/** An object of one layer. */
export interface Place {
  /** From the top, 0 first. */
  layer: number;
  /** In the terms of that layer; of several names one. */
  path: string;
  /** The layer's own number for it. */
  ino: number;
}

/** What is known of where an object came from. */
export interface Provenance {
  path: string;
  /** Type bits of the mode. */
  type: number;
  /** What is shown. */
  shown: Place;
  /**
   * "lower": it lies in a lower layer, which does not say that it is a copy. "copied": of what `from` tells; a directory that merges others,
   * of the first of them. "created": the upper records no origin: it was made there. "unknown": it is a copy, but no layer has what it was made of, or
   * copying it would have left no record.
   */
  kind: 'lower' | 'copied' | 'created' | 'unknown';
  /** What it was copied from, and that from, and so on: more than one where a lower layer was an upper once. */
  from: readonly Place[];
  /** Whether the last of `from` is a copy itself, of what no layer has. */
  endsUnknown: boolean;
  /** What differs from the first of `from`: of directories their own attributes, without times. */
  differs: readonly Aspect[];
  changed: 'nothing' | 'metadata' | 'content' | 'unknown';
  /** Of a copied regular file: bytes that are its own, and bytes that are still read from the layers below. */
  data?: { own: number; below: number };
}

/** How much is read to answer. */
export interface ProvenanceOptions {
  /** How content of equal length is compared. Default "bytes". */
  content?: ContentComparison;
  /** "names" does not read layers through for what has another name there: it is then "unknown" where no name tells. Default "layers". */
  search?: 'layers' | 'names';
  /** How many layers, from the top, count as uppers. Default: the overlay's own, none where it is only read. */
  uppers?: number;
}

/** Of what is shown at an absolute path. Throws ENOENT where nothing is. Symbolic links are not followed. */
export function* provenance<M extends Mode>(
  overlay: Overlay<M>,
  path: string,
  options?: ProvenanceOptions,
): Operation<Provenance> {
  const found = yield* provenances(overlay, [path], options);
  const [only] = found;
  if (only === undefined) throw new FsError('ENOENT', { syscall: 'provenance', path });
  return only;
}

/**
 * Of several paths (those of a diff, say), in that order; a path where nothing is shown is left out. Layers are read through once for all that is
 * to be looked for.
 */
export function* provenances<M extends Mode>(
  overlay: Overlay<M>,
  paths: Iterable<string>,
  { content = 'bytes', search = 'layers', uppers }: ProvenanceOptions = {},
): Operation<Provenance[]> {
  const state = yield* State.of(overlay);
  const stack = renumbered(state.stack);
  const traces: Trace[] = [];
  for (const path of paths) {
    const trace = yield* begin(state, stack, path);
    if (trace !== undefined) traces.push(trace);
  }
  const isOpen = ({ wanted }: Trace): boolean => wanted !== undefined;
  // Each round finds one step of the way down.
  for (let open = traces.filter(isOpen); open.length > 0; open = open.filter(isOpen)) {
    for (const trace of open) yield* byName(stack, trace);
    const rest = open.filter(isOpen);
    if (search === 'layers' && rest.length > 0) yield* byNumber(stack, rest);
    for (const trace of rest) trace.isLost = trace.wanted !== undefined;
    for (const trace of open) yield* next(stack, trace);
  }
  const context: Context = { state, stack, content, older: new Map(), firstLower: uppers ?? stack.firstLower };
  const answers: Provenance[] = [];
  for (const trace of traces) answers.push(yield* answerOf(context, trace));
  return answers;
}

interface Context {
  state: State;
  /** With layers numbered from 0. */
  stack: Stack;
  content: ContentComparison;
  /** Overlays of the layers from one on. */
  older: Map<number, Overlay>;
  firstLower: number;
}

interface At extends Place {
  node: LayerNode;
  attributes: Attributes;
}

/** The way of one object, as far as it is known. */
interface Trace {
  path: string;
  views: readonly LayerView[];
  /** What is shown first. */
  at: At[];
  /** What the last of `at` was copied from, as long as it is looked for. */
  wanted: FileHandle | undefined;
  /** Nobody has what was wanted, or it cannot be read. */
  isLost: boolean;
}

function* begin(state: State, stack: Stack, path: string): Operation<Trace | undefined> {
  const names = path.split('/').filter((name) => name !== '');
  const { views } = yield* descend(stack, names, 0);
  const top = views.find(({ status }) => status === 'shown');
  const found = top && (yield* objectAt(stack, top.layer, top.path));
  if (found === undefined || top === undefined) return undefined;
  const indexed = top.layer < stack.firstLower ? undefined : yield* copyInIndex(state, path);
  const at = [indexed === undefined ? placed(top.layer, top.path, found) : placed(0, path, indexed)];
  const trace = { path: `/${names.join('/')}`, views, at, wanted: undefined, isLost: false };
  yield* next(stack, trace);
  return trace;
}

/** Of a lower file with several names, the copy that the index has, while the upper has not got this name. */
function* copyInIndex(state: State, path: string): Operation<Found | undefined> {
  if (state.stack.index === undefined) return undefined;
  const node = (yield* state.lookup(path))?.inode.upper;
  return node && { node, attributes: yield* wait(state.stack.top.getattr(node)) };
}

/** Reads what the last object says of where it came from. */
function* next(stack: Stack, trace: Trace): Operation<void> {
  const { layer, node } = trace.at.at(-1) as At;
  trace.wanted = undefined;
  if (trace.isLost) return;
  const value = yield* wait(stack.layer(layer).getxattr(node, `${stack.prefix}origin`));
  if (value === undefined || trace.path === '/') return; // of a root it says which layers it belongs to
  trace.wanted = decodeOrigin(value);
  trace.isLost = trace.wanted === undefined; // empty, or of another machine
}

/** Looks under the names that the path has in the layers below, and the one that a redirect tells. */
function* byName(stack: Stack, trace: Trace): Operation<void> {
  const { at, views, wanted } = trace;
  const last = at.at(-1) as At;
  if (wanted === undefined) return;
  const redirect = yield* redirectOf(stack, last);
  for (const view of views) {
    if (view.layer <= last.layer) continue;
    for (const path of new Set([view.path, ...(redirect === undefined ? [] : [redirected(view.path, redirect)])])) {
      const found = yield* objectAt(stack, view.layer, path);
      if (found === undefined || !(yield* isNamed(stack, view.layer, found.node, wanted))) continue;
      at.push(placed(view.layer, path, found));
      trace.wanted = undefined;
      return;
    }
  }
}

function* redirectOf(stack: Stack, { layer, node, attributes }: At): Operation<string | undefined> {
  if (!isRegular(attributes.mode)) return undefined; // of directories the names tell
  const value = yield* wait(stack.layer(layer).getxattr(node, `${stack.prefix}redirect`));
  return value && decodeName(value);
}

function redirected(path: string, redirect: string): string {
  const { absolute, components } = parseRedirect(redirect);
  return absolute
    ? `/${components.join('/')}`
    : join(path.slice(0, path.lastIndexOf('/')) || '/', components[0] as string);
}

/** Reads the lower layers through, each as far as anything is looked for that its file system has. */
function* byNumber(stack: Stack, traces: readonly Trace[]): Operation<void> {
  for (let layer = stack.firstLower; layer < stack.firstData; layer++) {
    const wanted = new Map<number, Trace[]>();
    for (const trace of traces) {
      if (trace.wanted === undefined || layer <= (trace.at.at(-1) as At).layer) continue;
      const target = yield* wait(stack.layer(layer).resolveHandle?.(trace.wanted));
      if (target !== undefined) wanted.set(target.ino, [...(wanted.get(target.ino) ?? []), trace]);
    }
    if (wanted.size > 0) yield* searchLayer(stack, layer, wanted);
  }
}

function* searchLayer(stack: Stack, index: number, wanted: Map<number, Trace[]>): Operation<void> {
  const layer = stack.layer(index);
  const pending: { path: string; node: LayerNode }[] = [{ path: '/', node: layer.root }];
  for (let dir = pending.pop(); dir !== undefined && wanted.size > 0; dir = pending.pop()) {
    const entries = yield* wait(layer.readdir(dir.node));
    for (const { name, type, ino } of entries) {
      const traces = wanted.get(ino);
      if (traces === undefined && type !== DT_DIR && type !== DT_UNKNOWN) continue;
      const found = yield* wait(layer.lookup(dir.node, name));
      if (found === undefined) continue;
      const path = join(dir.path, name);
      for (const trace of traces ?? []) {
        if (trace.wanted === undefined || !(yield* isNamed(stack, index, found.node, trace.wanted))) continue;
        trace.at.push(placed(index, path, found));
        trace.wanted = undefined;
      }
      if (traces?.every((trace) => trace.wanted === undefined)) wanted.delete(ino);
      if (isDirectory(found.attributes.mode)) pending.push({ path, node: found.node });
    }
  }
}

/** Whether a layer's object is the one that a handle names. One without a UUID comes from where none was asked for. */
function* isNamed(stack: Stack, layer: number, node: LayerNode, { uuid, type, bytes }: FileHandle): Operation<boolean> {
  const handle = yield* wait(stack.layer(layer).fileHandle?.(node));
  if (handle === undefined || handle.type !== type) return false;
  const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);
  return same(handle.bytes, bytes) && (uuid.every((byte) => byte === 0) || same(handle.uuid, uuid));
}

/** What a layer itself has at a path. */
function* objectAt(stack: Stack, index: number, path: string): Operation<Found | undefined> {
  const layer = stack.layer(index);
  let found: Found = { node: layer.root, attributes: yield* wait(layer.getattr(layer.root)) };
  for (const name of path.split('/')) {
    if (name === '') continue;
    if (!isDirectory(found.attributes.mode)) return undefined;
    const inner = yield* wait(layer.lookup(found.node, name));
    if (inner === undefined) return undefined;
    found = inner;
  }
  return found;
}

function placed(layer: number, path: string, { node, attributes }: Found): At {
  return { layer, path, ino: attributes.ino, node, attributes };
}

function* answerOf(context: Context, trace: Trace): Operation<Provenance> {
  const { stack } = context;
  const { path, at, isLost, views } = trace;
  const shown = at[0] as At;
  const isDir = isDirectory(shown.attributes.mode);
  if (at.length === 1 && !isLost && isDir && shown.layer < context.firstLower) {
    const merged = views.find(({ status }) => status === 'merged');
    const below = merged && (yield* objectAt(stack, merged.layer, merged.path));
    if (merged !== undefined && below !== undefined) at.push(placed(merged.layer, merged.path, below));
  }
  const from = at.slice(1);
  const [source] = from;
  const answer: Provenance = {
    path,
    type: shown.attributes.mode & S_IFMT,
    shown: plain(shown),
    kind: source !== undefined ? 'copied' : isLost ? 'unknown' : yield* withoutOrigin(context, trace),
    from: from.map(plain),
    endsUnknown: isLost && source !== undefined,
    differs: [],
    changed: 'unknown',
  };
  if (answer.kind === 'lower' || answer.kind === 'created') answer.changed = 'nothing';
  if (source === undefined) return answer;
  const differs = yield* differences(context, path, source);
  if (differs !== undefined) {
    answer.differs = differs;
    const isContent = differs.some((aspect) => aspect === 'content' || aspect === 'target' || aspect === 'device');
    answer.changed = isContent ? 'content' : differs.length > 0 ? 'metadata' : 'nothing';
  }
  if (isRegular(shown.attributes.mode)) answer.data = yield* dataOf(stack, shown);
  return answer;
}

/** Where nothing is recorded: made there, unless what lies below could have been copied without a record. */
function* withoutOrigin(
  { stack, firstLower }: Context,
  { at, views, path }: Trace,
): Operation<'lower' | 'created' | 'unknown'> {
  const shown = at[0] as At;
  if (shown.layer >= firstLower) return 'lower';
  if (path === '/') return 'created';
  for (const view of views) {
    if (view.layer < firstLower || view.type !== (shown.attributes.mode & S_IFMT)) continue;
    if (view.cause !== undefined && view.cause.kind !== 'covered') continue;
    const below = yield* objectAt(stack, view.layer, view.path);
    if (below === undefined) continue;
    const isOneOfSeveral = !isDirectory(below.attributes.mode) && below.attributes.nlink > 1;
    const holdsNone = stack.prefix === 'user.overlay.' && !isRegular(below.attributes.mode);
    const handle = yield* wait(stack.layer(view.layer).fileHandle?.(below.node));
    return isOneOfSeveral || holdsNone || handle === undefined ? 'unknown' : 'created';
  }
  return 'created';
}

function* differences(
  { state, stack, content, older }: Context,
  path: string,
  source: At,
): Operation<readonly Aspect[] | undefined> {
  const before = older.get(source.layer) ?? (yield* below(stack, source.layer));
  older.set(source.layer, before);
  const old = yield* (yield* State.of(before)).lookup(source.path);
  if (old === undefined) return undefined;
  before.retain(old.inode);
  try {
    const now = yield* state.find(path);
    const differs = yield* compare({ ...now, overlay: state.overlay }, { ...old, overlay: before }, content);
    return now.inode.isDirectory ? differs.filter((aspect) => aspect !== 'mtime') : differs;
  } finally {
    before.forget(old.inode);
  }
}

/** The layers from one on, by themselves: what that one has is what they show. */
function* below(stack: Stack, layer: number): Operation<Overlay> {
  const { upper: _upper, index: _index, lazy: _lazy, ...options } = stack.options;
  const lower = stack.layers.slice(layer, stack.firstData);
  return yield* Overlay.open({ ...options, lower, xattrPrefix: stack.prefix });
}

function* dataOf(stack: Stack, { layer, node, attributes: { size } }: At): Operation<{ own: number; below: number }> {
  const mark = yield* wait(stack.layer(layer).getxattr(node, `${stack.prefix}metacopy`));
  if (mark === undefined) return { own: size, below: 0 };
  if (leavesAllBelow(mark)) return { own: 0, below: size };
  const map = ExtentMap.decode(mark);
  let own = 0;
  for (let at = 0; map !== undefined && at < size; ) {
    const segment = map.segment(at, size);
    const end = Math.min(segment.end, size);
    if (segment.own) own += end - at;
    at = end;
  }
  return { own, below: size - own };
}

function plain({ layer, path, ino }: At): Place {
  return { layer, path, ino };
}
