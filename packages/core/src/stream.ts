/**
 * Changes one by one: a generator that yields each as it is found, and promises where layers answer later. These turn it into
 * what `for` and `for await` take, or into an operation that gives all.
 */
import { isThenable, type Operation } from './run.js';

/** As an operation, but what it yields that is no promise is an item. */
export type Stream<T extends object> = Generator<PromiseLike<unknown> | T, void, unknown>;

/** Over synchronous layers. A promise is a TypeError, as in `runSync`. */
export function* iterateSync<T extends object>(stream: Stream<T>): Generator<T, void, undefined> {
  for (const item of stream) {
    if (isThenable(item)) throw new TypeError('an asynchronous layer answered under the synchronous face');
    yield item;
  }
}

/** Over any layers. */
export async function* iterateAsync<T extends object>(stream: Stream<T>): AsyncGenerator<T, void, undefined> {
  try {
    for (let step = stream.next(); step.done !== true; ) {
      const item = step.value;
      if (!isThenable(item)) {
        yield item;
        step = stream.next();
        continue;
      }
      let answer: unknown;
      try {
        answer = await item;
      } catch (error) {
        step = stream.throw(error);
        continue;
      }
      step = stream.next(answer);
    }
  } finally {
    stream.return(); // also where nobody wants the rest: its `finally` blocks run
  }
}

/** All items. */
export function* collect<T extends object>(stream: Stream<T>): Operation<T[]> {
  const items: T[] = [];
  for (let step = stream.next(); step.done !== true; ) {
    const item = step.value;
    if (!isThenable(item)) {
      items.push(item);
      step = stream.next();
      continue;
    }
    let answer: unknown;
    try {
      answer = yield item;
    } catch (error) {
      step = stream.throw(error);
      continue;
    }
    step = stream.next(answer);
  }
  return items;
}
