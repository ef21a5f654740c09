/**
 * Files that left their data below when they were copied up (metacopies, extents): over other lower layers, the same name may lead to
 * another file's data, or to none. So before the lower layers change, both stacks are opened beside the overlay and each such
 * file is followed in both. Its cost goes by what the upper and the former uppers hold, where the overlay knows metacopies at all.
 */
import { isRegular } from '../attributes.js';
import { FsError, isFsError } from '../errors.js';
import { type Inode, type Real, Stack } from '../inode.js';
import type { Layer } from '../layer.js';
import { list, lookup } from '../lookup.js';
import { findData, modeOf } from '../metacopy.js';
import { type Operation, wait } from '../run.js';
import { openRoot } from '../super.js';
import { isOneObject } from '../same-object.js';
import type { Insides } from './snapshot-overlay.js';

const ADVICE = 'its data lies in the layers below: write the whole file anew, or remove it, and try again';

/** Throws EBUSY, with its path, for a file whose data would be found elsewhere or not at all over the layers `lower`. */
export function* checkDataBelow(
  { stack, base }: Insides,
  before: readonly Layer[],
  lower: readonly Layer[],
  syscall: 'push' | 'pop',
): Operation<void> {
  if (stack.options.metacopy === undefined) return;
  const former = stack.root.lower.filter(({ layer }) => layer < base).map(({ layer }) => stack.layer(layer));
  const open = function* (below: readonly Layer[]): Operation<Stack> {
    const { lazy: _lazy, verity: _verity, ...options } = stack.options;
    const made = new Stack({ ...options, upper: stack.writable(), lower: [...former, ...below] });
    yield* openRoot(made);
    return made;
  };
  const present = yield* open(before);
  const wanted = yield* open(lower);
  yield* compare({ present, wanted, ours: 1 + former.length, syscall }, present.root, wanted.root, '');
}

interface Comparison {
  present: Stack;
  wanted: Stack;
  /** How many layers, from the top, are the upper and former uppers. */
  ours: number;
  syscall: string;
}

function* compare(stacks: Comparison, here: Inode, there: Inode, path: string): Operation<void> {
  const { present, wanted, ours, syscall } = stacks;
  here.pins++;
  there.pins++;
  const listing = yield* list(present, here);
  for (const [name, { layer }] of listing) {
    const one = layer < ours ? (yield* lookup(present, here, name))?.inode : undefined;
    if (one === undefined) continue;
    const at = `${path}/${name}`;
    const other = (yield* lookup(wanted, there, name))?.inode;
    if (one.isDirectory && other?.isDirectory === true) yield* compare(stacks, one, other, at);
    else if (isRegular(one.type) && !(yield* isSameData(present, one, wanted, other))) {
      throw new FsError('EBUSY', { syscall, path: at, cause: new Error(ADVICE) });
    }
  }
  here.pins--;
  there.pins--;
  present.drop(here);
  wanted.drop(there);
}

function* isSameData(present: Stack, one: Inode, wanted: Stack, other: Inode | undefined): Operation<boolean> {
  const before = yield* chainOf(present, one);
  if (before === undefined) return true; // nobody can read it as it is
  const after = other && (yield* chainOf(wanted, other));
  if (after?.length !== before.length) return false;
  for (const [i, a] of before.entries()) {
    const b = after[i] as Real;
    const layer = present.layer(a.layer);
    if (layer !== wanted.layer(b.layer) || !(yield* isOneObject(layer, a.node, b.node))) return false;
  }
  return true;
}

/** A file's object, and those that its data is in from there on down. Undefined where it leads nowhere. */
function* chainOf(stack: Stack, inode: Inode): Operation<Real[] | undefined> {
  const { layer, node, index } = stack.real(inode);
  const own: Real = { layer: index, node };
  const mark = yield* wait(layer.getxattr(node, `${stack.prefix}metacopy`));
  if (mark === undefined) return [own];
  const chain: Real[] = [];
  try {
    const end = yield* findData(stack, modeOf(stack, 'follow'), inode, own, mark, (_mark, at) => {
      chain.push(at);
      return undefined;
    });
    return [...chain, end];
  } catch (error) {
    // Not what a layer answers: that says nothing about where the data is.
    if (isFsError(error) && (error.syscall === 'metacopy' || error.syscall === 'redirect')) return undefined;
    throw error;
  }
}
