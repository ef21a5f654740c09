/**
 * What Node throws for a wrong argument: a TypeError or RangeError with a code, thrown at the call in every face but the
 * promise one. Codes and sentences are Node's own.
 */

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
  return argumentError('ERR_INVALID_ARG_TYPE', `${what} must be ${expected}.${received(value)}`);
}

export function wrongValue(name: string, value: unknown, reason = 'is invalid'): Error {
  const what = name.includes('.') ? 'property' : 'argument';
  return argumentError('ERR_INVALID_ARG_VALUE', `The ${what} '${name}' ${reason}. Received ${show(value)}`);
}

export function outOfRange(name: string, range: string, value: number | bigint): Error {
  const text =
    typeof value === 'bigint' || (Number.isInteger(value) && Math.abs(value) > 2 ** 32)
      ? `${value}`.replace(/\B(?=(\d{3})+$)/g, '_') + (typeof value === 'bigint' ? 'n' : '')
      : show(value);
  const message = `The value of "${name}" is out of range. It must be ${range}. Received ${text}`;
  return argumentError('ERR_OUT_OF_RANGE', message, RangeError);
}

function received(value: unknown): string {
  if (value === null || value === undefined) return ` Received ${value}`;
  if (typeof value === 'function') return ` Received function ${value.name}`;
  if (typeof value === 'object') {
    const name = (value as { constructor?: { name?: string } }).constructor?.name;
    return name ? ` Received an instance of ${name}` : ` Received ${show(value)}`;
  }
  if (typeof value === 'string') {
    const text = value.length > 28 ? `${value.slice(0, 25)}...` : value;
    return ` Received type string (${text.includes("'") ? JSON.stringify(text) : `'${text}'`})`;
  }
  const shown = show(value);
  return ` Received type ${typeof value} (${shown.length > 28 ? `${shown.slice(0, 25)}...` : shown})`;
}

/** A value as a message shows it; of objects only what they are. */
function show(value: unknown): string {
  if (typeof value === 'string') {
    const quote = !value.includes("'") ? "'" : !value.includes('"') ? '"' : '`';
    const text = value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\0', '\\x00');
    return quote + text + quote;
  }
  if (typeof value === 'bigint') return `${value}n`;
  if (Object.is(value, -0)) return '-0';
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `[ ${value.map(show).join(', ')} ]`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${value.byteLength}) []`;
  if (typeof value !== 'object' || value === null) return String(value);
  if (Object.getPrototypeOf(value) === null) return '[Object: null prototype] {}';
  return Object.keys(value).length === 0 ? '{}' : `[${(value as object).constructor.name}]`;
}
