/** The callback face: wrong arguments are thrown, everything else reaches the callback later. */
import type { Overlay } from '../overlay.js';
import { type Mode, type Operation, runAsync } from '../run.js';
import { isArgumentError } from './argument-error.js';
import { toFunction } from './arguments.js';
import type { Context, FaceOptions } from './context.js';
import { type FaceFunction, faceOf, type Group } from './face.js';
import { plainCodec } from './text.js';
import { defer, WaitingContext } from './waiting.js';
import type { CallbackFs } from './signatures.js';

/** Functions that call back with an error or null, and their answer: those of `group`. */
export function callbackFs<G extends Group>(
  overlay: Overlay<Mode>,
  options: FaceOptions | undefined,
  group: G,
): CallbackFs<G>;
export function callbackFs(overlay: Overlay<Mode>, options: FaceOptions | undefined, group: Group): object {
  const fs = new WaitingContext(overlay, 'callback', options);
  return faceOf(group, '', (operation, name) => (...args) => {
    const arity = operation.length - 1;
    const at = args.slice(0, arity + 1).findLastIndex((each) => typeof each === 'function');
    if (at < 0) {
      checkArguments(operation, args);
      toFunction(args[arity], name === 'opendir' ? 'callback' : 'cb');
    }
    const callback = args[at] as (...answer: unknown[]) => void;
    const started = begin(fs.call((call) => operation(call, ...args.slice(0, at))));
    const later = (...answer: unknown[]): void => defer(fs, () => callback(...answer));
    if (name === 'exists') void started.then(later);
    else started.then((answer) => later(null, ...spread(answer)), later);
  });
}

/** Throws what is wrong with the arguments, if anything; what comes after that has nothing to work on. */
function checkArguments(operation: FaceFunction, args: unknown[]): void {
  try {
    operation(nowhere, ...args).next();
  } catch (error) {
    if (isArgumentError(error)) throw error;
  }
}

const nowhere = {
  kind: 'callback',
  codec: { ...plainCodec, isEncoding: () => true },
  descriptor: () => undefined,
} as unknown as Context;

/** Runs an operation, as far as it gets at once now: so a wrong argument is the caller's exception. */
function begin(operation: Operation<unknown>): Promise<unknown> {
  try {
    return runAsync(operation, operation.next());
  } catch (error) {
    if (isArgumentError(error)) throw error;
    return Promise.reject(error);
  }
}

/** Counts come with their buffer, as a further argument; nothing comes as no argument. */
function spread(answer: unknown): unknown[] {
  if (answer === undefined) return [];
  if (typeof answer !== 'object' || answer === null) return [answer];
  return 'bytesRead' in answer || 'bytesWritten' in answer ? Object.values(answer) : [answer];
}
