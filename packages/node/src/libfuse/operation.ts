/**
 * One operation of libfuse as the addon has it: called with parameters, answered with a result (0, a count, or a negative
 * errno) and with values that must be there even in failure. An operation throws FsError for failure.
 */
import type { PathServer } from './server.js';

export interface Answer {
  result: number;
  values: readonly unknown[];
}

// biome-ignore lint/suspicious/noExplicitAny: the parameters are the addon's, declared by each operation
export interface Operation<P extends readonly any[] = any> {
  run(server: PathServer, ...parameters: P): Answer;
  /** The values of a failure. */
  failed(...parameters: P): readonly unknown[];
}

const nothing: readonly unknown[] = [];
const done: Answer = { result: 0, values: nothing };

/** An operation that answers with its success only. */
export function act<P extends readonly unknown[]>(run: (server: PathServer, ...parameters: P) => void): Operation<P> {
  return {
    run: (server, ...parameters) => {
      run(server, ...parameters);
      return done;
    },
    failed: () => nothing,
  };
}

/** An operation that answers with one value, and with `none` in failure. */
export function tell<T, P extends readonly unknown[]>(
  none: T,
  run: (server: PathServer, ...parameters: P) => T,
): Operation<P> {
  return {
    run: (server, ...parameters) => ({ result: 0, values: [run(server, ...parameters)] }),
    failed: () => [none],
  };
}

/** Libfuse's memory, lent for one operation: its ArrayBuffer goes back, whatever the outcome. */
export type Lent = Buffer<ArrayBuffer>;
