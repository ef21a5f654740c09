/**
 * One source for synchronous and asynchronous use. An operation is a generator that hands each layer's answer to
 * `wait`; only a promise is ever yielded. `runSync` therefore drives operations over synchronous layers without a
 * single yield, and `runAsync` awaits what the layers could not answer at once.
 */

/** Whether a layer answers at once ("sync") or may answer with a promise ("async"). */
export type Mode = 'sync' | 'async';

/** What a layer's method returns in each mode. */
export type Answer<M extends Mode, T> = M extends 'sync' ? T : T | PromiseLike<T>;

/** An operation: yields promises, returns T. */
export type Operation<T> = Generator<PromiseLike<unknown>, T, unknown>;

/** Whether an answer is still to come. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

/** The value of a layer's answer: `yield* wait(layer.getattr(node))`. */
export function* wait<T>(answer: T | PromiseLike<T>): Operation<T> {
  return isThenable(answer) ? ((yield answer) as T) : answer;
}

/** An operation that there may be none of: `yield* maybe(stack.index?.record(inode))`. */
export function* maybe<T>(operation: Operation<T> | undefined): Operation<T | undefined> {
  return operation && (yield* operation);
}

/** Runs an operation over synchronous layers. A promise means a type was forced: that is a TypeError. */
export function runSync<T>(operation: Operation<T>): T {
  const step = operation.next();
  if (step.done === true) return step.value;
  const misuse = new TypeError('an asynchronous layer answered under the synchronous face');
  operation.throw(misuse); // lets the operation's `finally` blocks run; rethrows
  throw misuse;
}

/** Runs an operation over any layers, synchronously up to the first promise; `first` is what it yielded if it is begun. */
export async function runAsync<T>(
  operation: Operation<T>,
  first: IteratorResult<PromiseLike<unknown>, T> = operation.next(),
): Promise<T> {
  let step = first;
  while (step.done !== true) {
    let value: unknown;
    try {
      value = await step.value;
    } catch (error) {
      step = operation.throw(error);
      continue;
    }
    step = operation.next(value);
  }
  return step.value;
}

/** Runs an operation over any layers: its value where they answered at once, otherwise a promise of it. */
export function runEither<M extends Mode, T>(operation: Operation<T>): Answer<M, T> {
  const first = operation.next();
  return (first.done === true ? first.value : runAsync(operation, first)) as Answer<M, T>;
}
