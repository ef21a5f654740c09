/**
 * The content of an upper as a layer of its own, as it is now: to be stacked over the same layers, where the view is the
 * same. A copy of the raw tree, marks included, so that the cost follows the number of changes.
 */
import { type Attributes, isDirectory, isRegular, isSymlink, S_IFMT } from '../attributes.js';
import { copySegments, stagingMode } from '../copy-up.js';
import { FsError } from '../errors.js';
import { leavesAllBelow, type XattrPrefix } from '../format.js';
import type { Layer, LayerNode, NewObject, UpperLayer } from '../layer.js';
import { MemoryLayer } from '../memory.js';
import type { Overlay } from '../overlay.js';
import { type Mode, type Operation, wait } from '../run.js';
import { timesOf } from './staging.js';
import { State } from './state.js';

/** What is true of that upper only. Where its objects came from stays true. */
const OWN: readonly string[] = ['nlink', 'uuid', 'upper'];
/** Of the root it says which layers the upper belongs to. */
const OWN_OF_ROOT: readonly string[] = [...OWN, 'origin'];

/**
 * Copies the upper of `merged` into `into`, which has to be empty (default: a new memory layer), and returns it as a layer to
 * be read. Later writes to the overlay do not reach it. Nothing is locked: nobody may write meanwhile. Throws EINVAL without
 * an upper or where attributes are kept under another prefix, ENOTEMPTY, EOPNOTSUPP for an upper with an inode index in
 * use, whose files have names that only the layers below hold.
 */
export function commit(merged: Overlay): Operation<Layer<'sync'>>;
export function commit<M extends Mode>(merged: Overlay, into: UpperLayer<M>): Operation<Layer<M>>;
export function* commit(merged: Overlay, into?: UpperLayer): Operation<Layer> {
  const { stack } = yield* State.of(merged);
  const { upper } = stack;
  if (upper === undefined) throw new FsError('EINVAL', { syscall: 'commit' });
  if (stack.index !== undefined && upper.openIndex !== undefined) {
    const index = yield* wait(upper.openIndex());
    if ((yield* wait(upper.readdir(index))).length > 0) throw new FsError('EOPNOTSUPP', { syscall: 'commit' });
  }
  const target: UpperLayer = into ?? (new MemoryLayer({ xattrPrefix: upper.xattrPrefix }) as UpperLayer);
  if (target.xattrPrefix !== upper.xattrPrefix) throw new FsError('EINVAL', { syscall: 'commit' });
  if ((yield* wait(target.readdir(target.root))).length > 0) throw new FsError('ENOTEMPTY', { syscall: 'commit' });
  const copy = new Copy(upper, target, upper.xattrPrefix);
  yield* copy.entries(upper.root, target.root);
  yield* copy.dress(upper.root, target.root, yield* wait(upper.getattr(upper.root)));
  return target;
}

class Copy {
  readonly #from: UpperLayer;
  readonly #to: UpperLayer;
  readonly #prefix: XattrPrefix;
  /** Objects with several names. */
  readonly #made = new Map<string, LayerNode>();

  constructor(from: UpperLayer, to: UpperLayer, prefix: XattrPrefix) {
    this.#from = from;
    this.#to = to;
    this.#prefix = prefix;
  }

  *entries(from: LayerNode, to: LayerNode): Operation<void> {
    const entries = yield* wait(this.#from.readdir(from));
    for (const { name } of entries) {
      const found = yield* wait(this.#from.lookup(from, name));
      if (found === undefined) continue;
      const { node, attributes } = found;
      const key = `${attributes.dev}:${attributes.ino}`;
      const first = this.#made.get(key);
      if (first !== undefined) {
        yield* wait(this.#to.commit({ kind: 'link', node: first, to: { dir: to, name }, over: 'nothing' }));
        continue;
      }
      const made = yield* wait(this.#to.create({ dir: to, name }, yield* this.#object(node, attributes)));
      if (!isDirectory(attributes.mode) && attributes.nlink > 1) this.#made.set(key, made.node);
      if (isDirectory(attributes.mode)) yield* this.entries(node, made.node);
      else if (isRegular(attributes.mode)) yield* this.#data(node, made.node, attributes.size);
      yield* this.dress(node, made.node, attributes);
    }
  }

  *#object(node: LayerNode, { mode, uid, gid, rdev }: Attributes): Operation<NewObject> {
    const object = { mode: stagingMode(mode), uid, gid, rdev };
    return isSymlink(mode) ? { ...object, target: yield* wait(this.#from.readlink(node)) } : object;
  }

  /** Attributes after data, which clears some; times last, and those of a directory after its entries. */
  *dress(from: LayerNode, to: LayerNode, attributes: Attributes): Operation<void> {
    const own = from === this.#from.root ? OWN_OF_ROOT : OWN;
    const names = yield* wait(this.#from.listxattr(from));
    for (const name of names) {
      if (own.some((mark) => name === this.#prefix + mark)) continue;
      const value = yield* wait(this.#from.getxattr(from, name));
      if (value !== undefined) yield* wait(this.#to.setxattr(to, name, value));
    }
    const { mode, uid, gid } = attributes;
    const change = { uid, gid, ...timesOf(attributes) };
    yield* wait(this.#to.setattr(to, isSymlink(mode) ? change : { ...change, mode: mode & ~S_IFMT }));
  }

  *#data(from: LayerNode, to: LayerNode, size: number): Operation<void> {
    const mark = yield* wait(this.#from.getxattr(from, `${this.#prefix}metacopy`));
    const isBelow = mark !== undefined && leavesAllBelow(mark);
    if (size > 0 && !isBelow) yield* this.#bytes(from, to, size);
    yield* wait(this.#to.setattr(to, { size })); // a hole at the end, or all of it
  }

  *#bytes(from: LayerNode, to: LayerNode, size: number): Operation<void> {
    const source = yield* wait(this.#from.open(from));
    try {
      const target = yield* wait(this.#to.openWritable(to));
      try {
        const copied = this.#to.copyData !== undefined && (yield* wait(this.#to.copyData(source, target, size)));
        if (!copied) yield* copySegments(this.#to, to, source, target, size);
      } finally {
        yield* wait(target.close());
      }
    } finally {
      yield* wait(source.close());
    }
  }
}
