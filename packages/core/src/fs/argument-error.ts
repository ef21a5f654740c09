/**
 * What Node throws for a wrong argument: a TypeError or RangeError with a code, thrown at the call in every face but the
 * promise one. Codes and sentences are Node's own; how they end, with what was received, is in received.ts, and only there
 * in a program that makes an `fs` in one object.
 */
import type { Received } from './received.js';

let received: Received | undefined;

/** From now on sentences end with what was received. */
export function endWith(ending: Received): void {
  received = ending;
}

export type ArgumentErrorCode =
  | 'ERR_INVALID_ARG_TYPE'
  | 'ERR_INVALID_ARG_VALUE'
  | 'ERR_OUT_OF_RANGE'
  | 'ERR_INVALID_URL_SCHEME'
  | 'ERR_INVALID_FILE_URL_HOST'
  | 'ERR_INVALID_FILE_URL_PATH'
  | 'ERR_FS_INVALID_SYMLINK_TYPE'
  | 'ERR_INCOMPATIBLE_OPTION_PAIR'
  | 'ERR_INVALID_RETURN_VALUE'
  | 'ERR_METHOD_NOT_IMPLEMENTED'
  | 'ERR_MISSING_ARGS';

interface WithCode {
  readonly code: string;
}

/** An error with a code and the name of its class in front of its text, as Node's are. */
export function withCode<E extends Error>(error: E, code: string): E & WithCode {
  const { name } = error;
  const show = { value: () => `${name} [${code}]: ${error.message}`, configurable: true, writable: true };
  return Object.assign(Object.defineProperty(error, 'toString', show), { code });
}

const raised = new WeakSet<object>();

/** Whether the call itself was wrong, not what it met. */
export function isArgumentError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && raised.has(error);
}

/** A TypeError, or a RangeError, that {@link isArgumentError} knows. */
export function argumentError(
  code: ArgumentErrorCode,
  message: string,
  Class: typeof TypeError | typeof RangeError = TypeError,
): Error {
  const error = withCode(new Class(message), code);
  raised.add(error);
  return error;
}

/** `expected` as it stands in the sentence: "of type string". */
export function wrongType(name: string, expected: string, value: unknown): Error {
  const what = name.endsWith(' argument')
    ? `The ${name}`
    : `The "${name}" ${name.includes('.') ? 'property' : 'argument'}`;
  return argumentError('ERR_INVALID_ARG_TYPE', `${what} must be ${expected}.${received?.(value, 'type') ?? ''}`);
}

export function wrongValue(name: string, value: unknown, reason = 'is invalid'): Error {
  const what = name.includes('.') ? 'property' : 'argument';
  return argumentError('ERR_INVALID_ARG_VALUE', `The ${what} '${name}' ${reason}.${received?.(value, 'value') ?? ''}`);
}

export function outOfRange(name: string, range: string, value: number | bigint): Error {
  const message = `The value of "${name}" is out of range. It must be ${range}.${received?.(value, 'number') ?? ''}`;
  return argumentError('ERR_OUT_OF_RANGE', message, RangeError);
}
