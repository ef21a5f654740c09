/** A store whose every failure is an {@link FsError}, so that nothing above has to think of the store's own errors. */
import { FsError } from '../errors.js';
import { type Answer, isThenable, type Mode } from '../run.js';
import type { Store } from './store.js';

export function guarded<M extends Mode>(store: Store<M>): Store<M> {
  return {
    get: (key) => guard('get', key, () => store.get(key)),
    put: (key, value) => guard('put', key, () => store.put(key, value)),
    delete: (key) => guard('delete', key, () => store.delete(key)),
    list: (prefix) => guard('list', prefix, () => store.list(prefix)),
    batch: (operations) => guard('batch', operations[0]?.key ?? '', () => store.batch(operations)),
  };
}

function guard<M extends Mode, T>(syscall: string, path: string, call: () => Answer<M, T>): Answer<M, T> {
  const fail = (cause: unknown): never => {
    throw cause instanceof FsError ? cause : new FsError('EIO', { syscall, path, cause });
  };
  try {
    const answer = call();
    return isThenable(answer) ? (answer.then(undefined, fail) as Answer<M, T>) : answer;
  } catch (error) {
    return fail(error);
  }
}
