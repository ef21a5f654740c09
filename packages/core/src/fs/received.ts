/** How Node's sentences about a wrong argument end: with what was received. */

/** The end of a sentence about a value: about its type, the value itself, or a number. */
export type Received = (value: unknown, about: 'type' | 'value' | 'number') => string;

export const received: Received = (value, about) => {
  if (about === 'type') return ofType(value);
  const grouped = typeof value === 'bigint' || (Number.isInteger(value) && Math.abs(value as number) > 2 ** 32);
  if (about === 'value' || !grouped) return ` Received ${show(value)}`;
  return ` Received ${`${value}`.replace(/\B(?=(\d{3})+$)/g, '_')}${typeof value === 'bigint' ? 'n' : ''}`;
};

function ofType(value: unknown): string {
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
