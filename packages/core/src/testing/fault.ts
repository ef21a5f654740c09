/**
 * A layer that fails when it is told to: counts its calls and refuses the k-th one with an error of the caller's choice,
 * before anything has happened. Also keeps the books that show a leak: files left open, staged objects left behind.
 */
import { type ErrorCode, FsError } from '../errors.js';
import type { Found, Layer, LayerNode, NamespaceChange } from '../layer.js';
import { intercept, type LayerCall, whenAnswered } from './intercept.js';

/** A layer one of whose calls fails where a test says. */
export interface FaultLayer<L extends Layer> {
  /** What to give to the overlay. */
  layer: L;
  /** Calls so far. */
  readonly calls: number;
  /** Lets the next calls but `after` through and then fails one with `code`. */
  arm(after: number, code: ErrorCode): void;
  disarm(): void;
  /** The call that failed since `arm`, if it has come to that. */
  readonly failed: string | undefined;
  /** Files opened and not closed. A close that failed counts as closed. */
  readonly openFiles: number;
  /** Objects staged and neither linked nor discarded. A discard that failed counts as done. */
  readonly stagedObjects: number;
}

/** Wraps a layer. */
export function faultLayer<L extends Layer>(target: L): FaultLayer<L> {
  const staged = new Set<LayerNode>();
  let calls = 0;
  let openFiles = 0;
  let countdown: { left: number; code: ErrorCode } | undefined;
  let failed: string | undefined;

  const strike = (call: LayerCall): void => {
    calls++;
    if (countdown === undefined || countdown.left-- > 0) return;
    const { code } = countdown;
    countdown = undefined;
    failed = call.name;
    throw new FsError(code, { syscall: call.name });
  };
  const record = ({ name, args }: LayerCall, answer: unknown): void => {
    if (name === 'stage') staged.add((answer as Found).node);
    if (name === 'open' || name === 'openWritable') openFiles++;
    if (name !== 'commit') return;
    const change = args[0] as NamespaceChange;
    if (change.kind === 'link') staged.delete(change.node);
  };

  const layer = intercept(target, (call, proceed) => {
    if (call.name === 'file.close') openFiles--;
    if (call.name === 'discard') staged.delete(call.args[0] as LayerNode);
    strike(call);
    return whenAnswered(proceed(), (answer) => {
      record(call, answer);
      return answer;
    });
  });
  return {
    layer,
    get calls() {
      return calls;
    },
    arm(after, code) {
      countdown = { left: after, code };
      failed = undefined;
    },
    disarm() {
      countdown = undefined;
    },
    get failed() {
      return failed;
    },
    get openFiles() {
      return openFiles;
    },
    get stagedObjects() {
      return staged.size;
    },
  };
}
