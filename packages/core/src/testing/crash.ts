/**
 * An upper layer that can be cut off in mid-operation. After the cut every call fails; what was done before stands, and
 * staged objects without a name are gone, as at a reopening. With a power loss, file data that was never made durable is
 * lost too: the worst case, in which a file falls back to what its last fsync covered, and to nothing without one.
 */
import { isRegular } from '../attributes.js';
import { FsError } from '../errors.js';
import type { Found, LayerFile, LayerNode } from '../layer.js';
import type { MemoryLayer } from '../memory.js';
import { intercept, type LayerCall } from './intercept.js';

/** A memory layer whose power fails where a test says. */
export interface CrashLayer {
  /** What to give to the overlay. */
  layer: MemoryLayer;
  /** Mutating calls so far, fsyncs included. */
  readonly mutations: number;
  /** Lets the next mutating calls but `after` through; from then on every call fails with EIO. */
  cutAfter(after: number): void;
  /** Whether the cut has come. */
  readonly isCut: boolean;
  /** The memory layer as it is found after the crash. The wrapper is not used again. */
  recover(loss: 'kill' | 'power'): MemoryLayer;
}

/** Wraps an upper layer in memory. */
export function crashLayer(target: MemoryLayer): CrashLayer {
  /** Of every file whose data changed: what a power loss leaves. Undefined: that is not known to differ. */
  const durable = new Map<LayerNode, Uint8Array>();
  /** Staged, and nothing written: the size that such a file is given comes with its other attributes, as hosts have it. */
  const unwritten = new Set<LayerNode>();
  const nodeOfFile = new Map<LayerFile, LayerNode>();
  let mutations = 0;
  let left = Infinity;
  let isCut = false;

  const contentOf = (node: LayerNode): Uint8Array => {
    const bytes = new Uint8Array(target.getattr(node).size);
    target.open(node).read(bytes, 0);
    return bytes;
  };
  /** Before data changes: what is there counts as durable, unless an earlier change already put it at stake. */
  const dirty = (node: LayerNode): void => {
    if (!durable.has(node)) durable.set(node, contentOf(node));
  };
  const countDown = (): void => {
    mutations++;
    if (left-- > 0) return;
    isCut = true;
    throw new FsError('EIO', { syscall: 'crash' });
  };
  const before = ({ name, args, file }: LayerCall): void => {
    const node = file === undefined ? args[0] : nodeOfFile.get(file);
    if (name === 'file.write' || name === 'file.allocate') {
      dirty(node as LayerNode);
      unwritten.delete(node as LayerNode);
    }
    if (name === 'commit') unwritten.clear();
    if (name === 'setattr' && (args[1] as { size?: number }).size !== undefined) dirty(node as LayerNode);
  };
  const after = ({ name, args, file }: LayerCall, answer: unknown): void => {
    if (name === 'openWritable' || name === 'open') nodeOfFile.set(answer as LayerFile, args[0] as LayerNode);
    if (name === 'file.fsync' && file !== undefined) durable.delete(nodeOfFile.get(file) as LayerNode);
    if (name === 'sync') durable.clear();
    if (name === 'setattr' && unwritten.has(args[0] as LayerNode)) {
      durable.set(args[0] as LayerNode, contentOf(args[0] as LayerNode));
    }
    if (name !== 'stage' && name !== 'create') return;
    const { node, attributes } = answer as Found;
    if (!isRegular(attributes.mode)) return;
    durable.set(node, new Uint8Array(0));
    if (name === 'stage') unwritten.add(node);
  };

  const layer = intercept(target, (call, proceed) => {
    if (isCut) throw new FsError('EIO', { syscall: 'crash' });
    if (call.mutates || call.name === 'file.fsync') countDown();
    before(call);
    const answer = proceed();
    after(call, answer);
    return answer;
  });
  return {
    layer,
    get mutations() {
      return mutations;
    },
    cutAfter(after) {
      left = after;
    },
    get isCut() {
      return isCut;
    },
    recover(loss) {
      isCut = true;
      if (loss === 'power') {
        for (const [node, bytes] of durable) {
          target.setattr(node, { size: 0 });
          target.openWritable(node).write(bytes, 0);
        }
      }
      return target;
    },
  };
}
