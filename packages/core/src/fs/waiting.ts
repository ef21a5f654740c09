/** What the faces that wait need besides: other calls come between the steps of one, and a signal may end it. */
import type { Inode } from '../inode.js';
import type { Operation } from '../run.js';
import { withCode } from './argument-error.js';
import type { SignalLike } from './arguments.js';
import { Context } from './context.js';

export class WaitingContext extends Context {
  /** What one call has found, kept in memory until the call is over. */
  held: Inode[] | undefined;

  override hold(inode: Inode): void {
    if (this.held === undefined) return;
    this.overlay.retain(inode);
    this.held.push(inode);
  }

  /** Carries out one call. */
  *call<T>(operation: (fs: Context) => Operation<T>): Operation<T> {
    const call = Object.create(this) as WaitingContext;
    const held: Inode[] = [];
    call.held = held;
    try {
      return yield* operation(call);
    } finally {
      call.held = undefined; // an open directory may use the context further
      for (const inode of held) this.overlay.forget(inode);
    }
  }

  override checkAborted(signal: SignalLike | undefined): Operation<void> | undefined {
    return signal && giveTurn(this, signal);
  }
}

/** Calls back later, as the face was told to. */
export function defer({ options }: Context, callback: () => void): void {
  if (options.defer !== undefined) options.defer(callback);
  else void Promise.resolve().then(callback);
}

/** The caller gets a turn first, to give the signal. */
function* giveTurn(fs: Context, signal: SignalLike): Operation<void> {
  if (!signal.aborted) yield new Promise<void>((resolve) => defer(fs, resolve));
  throwIfAborted(signal);
}

export function throwIfAborted(signal: SignalLike): void {
  if (!signal.aborted) return;
  const error = new Error('The operation was aborted', { cause: signal.reason });
  error.name = 'AbortError';
  throw withCode(error, 'ABORT_ERR');
}
