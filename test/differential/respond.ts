/** The child's end of a {@link Driver}: answers one request at a time until its parent has gone. */
import type { Reply } from './protocol.js';

type Handlers<R extends { [K in keyof R]: [unknown, unknown] }> = {
  [K in keyof R]: (argument: R[K][0]) => R[K][1] | Promise<R[K][1]>;
};

export function respond<R extends { [K in keyof R]: [unknown, unknown] }>(handlers: Handlers<R>): void {
  const answer = async (id: number, method: keyof R, argument: unknown): Promise<Reply> => {
    try {
      return { id, value: await (handlers[method] as (argument: unknown) => unknown)(argument) };
    } catch (error) {
      return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
  };
  process.on('message', ({ id, method, argument }: { id: number; method: keyof R; argument: unknown }) => {
    void answer(id, method, argument).then((reply) => process.send?.(reply));
  });
  // The tests have gone: whatever is still open is theirs to sweep.
  process.on('disconnect', () => process.exit());
}
