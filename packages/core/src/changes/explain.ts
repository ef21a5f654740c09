/**
 * Why a path looks as it does: what each layer has there, which of it is shown, and what hides the rest. Follows the rules of
 * lookup.ts in every layer at once, also in those that a lookup never asks.
 */
import { isDirectory, isRegular, S_IFDIR, S_IFMT } from '../attributes.js';
import { isWhiteoutDevice, mayBeXattrWhiteout, OPAQUE_NAMES, parseRedirect, whiteoutXattr } from '../format.js';
import type { Real, Stack } from '../inode.js';
import type { Found, LayerNode } from '../layer.js';
import { readMarks } from '../lookup.js';
import { byteLength, NAME_MAX } from '../names.js';
import type { Overlay } from '../overlay.js';
import { type Mode, type Operation, wait } from '../run.js';
import { findMoves } from './moves.js';
import { Pair, renumbered, State } from './state.js';
import { join } from './steps.js';

/** What hides something: a whiteout; an opaque directory; an object of that name that it does not merge with ("covered"). */
export interface Cause {
  kind: 'whiteout' | 'opaque' | 'covered';
  layer: number;
  /** In the terms of that layer. */
  path: string;
}

/** What one layer has at a path. */
export interface LayerView {
  /** From the top, 0 first. */
  layer: number;
  role: 'upper' | 'lower';
  /** What the path is called in this layer: renames above it make it another one. */
  path: string;
  /** "merged": part of a directory that a higher layer shows. */
  status: 'shown' | 'merged' | 'whiteout' | 'hidden' | 'absent';
  /** Type bits of the mode, and bytes of content, of what is there and no whiteout. */
  type?: number;
  size?: number;
  /** Marks of the object. "metacopy": its data is further down. */
  opaque?: true;
  redirect?: string;
  metacopy?: true;
  /** Of what is hidden, or would be. */
  cause?: Cause;
}

/** Which layers have something at a path, which one is shown, and why the others are not. */
export interface Explanation {
  path: string;
  layers: LayerView[];
  /** The layer whose object is shown; undefined where there is nothing. */
  shown: number | undefined;
  /** Where what the layers below the upper have there is shown now. */
  renamedTo?: string;
  /** Sizes of the files that are hidden at this very path, in bytes. */
  shadowedBytes: number;
}

/** What a layer has at the directories of the path so far. */
interface At {
  path: string;
  node: LayerNode | undefined;
  cause: Cause | undefined;
}

/** What {@link explain} compares with. */
export interface ExplainOptions<M extends Mode = Mode> {
  /** The state in which what was renamed had its old name. Default: what the layers below the upper show. */
  older?: Overlay<M>;
}

/** Explains an absolute path, whether anything is there or not. Symbolic links are not followed. */
export function* explain<M extends Mode>(
  overlay: Overlay<M>,
  path: string,
  { older }: ExplainOptions<M> = {},
): Operation<Explanation> {
  const state = yield* State.of(overlay);
  const names = path.split('/').filter((name) => name !== '');
  const step = yield* descend(renumbered(state.stack), names, 0);
  const layers = step.views;
  const shown = layers.findIndex(({ status }) => status === 'shown');
  const shadowedBytes = layers.reduce((sum, { status, size = 0 }) => (status === 'hidden' ? sum + size : sum), 0);
  const explanation: Explanation = {
    path: `/${names.join('/')}`,
    layers,
    shown: shown < 0 ? undefined : shown,
    shadowedBytes,
  };
  if (shown >= 0 || (state.stack.upper === undefined && older === undefined)) return explanation;
  const before = older === undefined ? yield* State.below(state) : yield* State.of(older);
  const renamedTo = yield* newPath(new Pair(state, before), explanation.path);
  return renamedTo === undefined ? explanation : { ...explanation, renamedTo };
}

/** Follows a path from the root in all layers from `first` on. */
export function* descend(
  stack: Stack,
  names: readonly string[],
  first: number,
): Operation<Pick<Step, 'next' | 'views'>> {
  let step: Pick<Step, 'next' | 'views'> = yield* roots(stack, first);
  for (const name of names) {
    const next = new Step(stack, step.next, name, first);
    yield* next.run();
    step = next;
  }
  return step;
}

/** A root is opaque by an entry only. */
function* roots(stack: Stack, first: number): Operation<Pick<Step, 'next' | 'views'>> {
  const next: At[] = [];
  const views: LayerView[] = [];
  let cause: Cause | undefined;
  for (let layer = 0; layer < stack.firstData; layer++) {
    const node = stack.layer(layer).root;
    next.push({ path: '/', node, cause });
    const made = view(stack, layer, '/', layer === first ? 'shown' : 'merged');
    views.push({ ...made, type: S_IFDIR });
    if (layer >= first && (yield* hasOpaqueName(stack, layer, node))) cause ??= { kind: 'opaque', layer, path: '/' };
  }
  return { next, views };
}

/** Where a path of the layers below the upper is now. */
function* newPath(pair: Pair, path: string): Operation<string | undefined> {
  const { to } = yield* findMoves(pair);
  for (const [now, before] of to) if (`${path}/`.startsWith(`${before}/`)) return now + path.slice(before.length);
  return undefined;
}

function view(stack: Stack, layer: number, path: string, status: LayerView['status']): LayerView {
  return { layer, role: layer < stack.firstLower ? 'upper' : 'lower', path, status };
}

/** One name further down, in all layers. */
class Step {
  readonly next: At[] = [];
  readonly views: LayerView[] = [];
  readonly #stack: Stack;
  /** The directories of the name; where a redirect tells another path, those of that one. */
  #at: readonly At[];
  /** What ends the search, once something does. */
  #closed: Cause | undefined;
  /** The type of what is shown. */
  #top: number | undefined;
  /** What a redirect calls it in the layers below. */
  #name: string;
  readonly #first: number;

  constructor(stack: Stack, at: readonly At[], name: string, first: number) {
    this.#stack = stack;
    this.#at = at;
    this.#name = name;
    this.#first = first;
  }

  *run(): Operation<void> {
    for (let layer = 0; layer < this.#at.length; layer++) {
      if (layer >= this.#first) yield* this.#layer(layer);
      else {
        this.next.push(this.#at[layer] as At);
        this.views.push(view(this.#stack, layer, '/', 'absent'));
      }
    }
  }

  *#layer(layer: number): Operation<void> {
    const stack = this.#stack;
    const parent = this.#at[layer] as At;
    const name = this.#name;
    const path = join(parent.path, name);
    const cause = parent.cause ?? this.#closed;
    const found = parent.node && (yield* wait(stack.layer(layer).lookup(parent.node, name)));
    const isWhiteout = found !== undefined && (yield* isWhiteoutObject(stack, layer, found));
    const isMarked = parent.node !== undefined && (yield* hasMarker(stack, layer, parent.node, name));
    const made = view(stack, layer, path, 'absent');
    this.views.push(made);
    const hides: Cause = { kind: 'whiteout', layer, path };
    if (found === undefined || isWhiteout) {
      if (isWhiteout || isMarked) {
        made.status = 'whiteout';
        if (cause === undefined) this.#closed = hides;
      }
      if (cause !== undefined && made.status === 'whiteout') made.cause = cause;
      this.next.push({ path, node: undefined, cause: cause ?? this.#closed });
      return;
    }
    const { attributes, node } = found;
    const isDir = isDirectory(attributes.mode);
    made.type = attributes.mode & S_IFMT;
    made.size = isRegular(attributes.mode) ? attributes.size : 0;
    const real: Real = { layer, node };
    let covered: Cause | undefined = cause;
    if (cause === undefined) {
      if (this.#top === undefined) made.status = 'shown';
      else if (isDir)
        made.status = 'merged'; // below anything else, the search was over
      else covered = this.#closed = { kind: 'covered', layer: this.#shownLayer(), path: this.#shownPath() };
      this.#top ??= made.type;
    }
    if (covered !== undefined) {
      made.status = 'hidden';
      made.cause = covered;
    }
    const next: At = { path, node: isDir ? node : undefined, cause: covered };
    this.next.push(next);
    if (isDir) yield* this.#directory(made, real, covered === undefined);
    else {
      if ((yield* wait(stack.layer(layer).getxattr(node, `${stack.prefix}metacopy`))) !== undefined)
        made.metacopy = true;
      const ends: Cause = { kind: 'covered', layer, path };
      if (covered === undefined) this.#closed = ends;
    }
    if (isMarked && covered === undefined) this.#closed ??= hides;
  }

  *#directory(made: LayerView, real: Real, isSeen: boolean): Operation<void> {
    const stack = this.#stack;
    const marks = yield* readMarks(stack, real);
    const isOpaque = marks.opaque === 'y' || (yield* hasOpaqueName(stack, real.layer, real.node));
    if (isOpaque) made.opaque = true;
    if (marks.redirect !== undefined) made.redirect = marks.redirect;
    if (!isSeen) return;
    if (isOpaque) this.#closed ??= { kind: 'opaque', layer: real.layer, path: made.path };
    else if (marks.redirect !== undefined && stack.redirectDir !== 'nofollow') {
      const { absolute, components } = parseRedirect(marks.redirect);
      this.#name = components.at(-1) as string;
      if (absolute) this.#at = (yield* descend(stack, components.slice(0, -1), real.layer + 1)).next;
    }
  }

  #shownLayer(): number {
    return this.views.findIndex(({ status }) => status === 'shown');
  }

  #shownPath(): string {
    return this.views[this.#shownLayer()]?.path ?? '/';
  }
}

function* hasOpaqueName(stack: Stack, layer: number, dir: LayerNode): Operation<boolean> {
  for (const name of OPAQUE_NAMES) if ((yield* wait(stack.layer(layer).lookup(dir, name))) !== undefined) return true;
  return false;
}

function* isWhiteoutObject(stack: Stack, layer: number, { node, attributes }: Found): Operation<boolean> {
  if (isWhiteoutDevice(attributes)) return true;
  if (!mayBeXattrWhiteout(attributes)) return false;
  return (yield* wait(stack.layer(layer).getxattr(node, whiteoutXattr(stack.prefix)))) !== undefined;
}

function* hasMarker(stack: Stack, layer: number, dir: LayerNode, name: string): Operation<boolean> {
  const marker = `.wh.${name}`;
  return byteLength(marker) <= NAME_MAX && (yield* wait(stack.layer(layer).lookup(dir, marker))) !== undefined;
}
