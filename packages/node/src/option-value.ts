/** What follows the "=" of an option: quotes, escapes, and reading it as what the option wants. */
import type { IdRange } from '@ovl/core';
import { ExitCode, MountError } from './mount-error.js';

/** The largest id; the one above it means "none" to system calls. */
const MAX_ID = 0xfffffffe;

/**
 * Parts between separators that have no backslash before them and do not stand in a quoted value (`context="a,b"`, as
 * mount(8) has it); backslashes and quotes stay.
 */
export function splitEscaped(text: string, separator: ',' | ':'): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (separator === ',' && text.startsWith('="', i)) i = endOfQuote(text, i + 1);
    else if (text[i] === separator) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

/** The closing quote if there is one before the next option, otherwise the opening one: then it is part of a path. */
function endOfQuote(text: string, opening: number): number {
  const closing = text.indexOf('"', opening + 1);
  const ends = closing > 0 && (closing + 1 === text.length || text[closing + 1] === ',');
  return ends ? closing : opening;
}

function unescape(text: string): string {
  return text.replace(/\\(.)/gs, '$1');
}

/** What follows "=", read as what the option wants; every complaint names the option. */
export class OptionValue {
  readonly #name: string;
  readonly #text: string | undefined;

  constructor(name: string, text: string | undefined) {
    this.#name = name;
    this.#text = text !== undefined && /^".*"$/s.test(text) ? text.slice(1, -1) : text;
  }

  text(): string {
    if (this.#text === undefined || this.#text === '') throw this.#bad('needs a value');
    return unescape(this.#text);
  }

  optional(): string | undefined {
    return this.#text;
  }

  none(): void {
    if (this.#text !== undefined) throw this.#bad('takes no value');
  }

  /** `a:b::c::d`: a and b, then c and d for data only. */
  layers(): { lower: string[]; dataOnly: string[] } {
    if (this.#text === undefined || this.#text === '') throw this.#bad('needs a value');
    const lower: string[] = [];
    const dataOnly: string[] = [];
    let target = lower;
    let isEmpty = false;
    for (const part of splitEscaped(this.#text, ':')) {
      if (part !== '') {
        if (!isEmpty && dataOnly.length > 0) {
          throw this.#bad(`has '${unescape(part)}' after data-only layers, which come last, each after "::"`);
        }
        target.push(unescape(part));
      } else if (isEmpty || lower.length === 0) break;
      else target = dataOnly;
      isEmpty = part === '';
    }
    if (isEmpty || lower.length === 0) throw this.#bad('has an empty path (write "\\:" for a colon in a path)');
    return { lower, dataOnly };
  }

  /** For an option that adds to the layers: refuses one that comes too late. */
  notAfter(dataOnly: readonly string[] | undefined): void {
    if (dataOnly !== undefined) throw this.#bad('comes after data-only layers, which come last');
  }

  seconds(): number {
    const seconds = Number(this.text());
    if (!Number.isFinite(seconds) || seconds < 0) throw this.#bad('needs a number of seconds');
    return seconds;
  }

  /** A user or group. */
  id(): number {
    const text = this.text();
    if (!/^\d+$/.test(text) || Number(text) > MAX_ID) throw this.#bad(`needs a number from 0 to ${MAX_ID}`);
    return Number(text);
  }

  /** `stored:shown:count`, and more of them; podman puts a colon before the first. */
  ranges(): IdRange[] {
    const numbers = this.text()
      .split(':')
      .filter((part) => part !== '');
    const valid = numbers.every((part) => /^\d+$/.test(part) && Number(part) <= MAX_ID + 1);
    if (numbers.length === 0 || numbers.length % 3 !== 0 || !valid) {
      throw this.#bad('needs triples of numbers, as in 0:100000:65536 (stored:shown:count)');
    }
    const ranges: IdRange[] = [];
    for (let i = 0; i < numbers.length; i += 3) {
      const [stored = 0, shown = 0, count = 0] = numbers.slice(i, i + 3).map(Number);
      ranges.push({ stored, shown, count });
    }
    return ranges;
  }

  oneOf<T extends string>(...allowed: T[]): T {
    const text = this.text() as T;
    if (!allowed.includes(text)) throw this.#bad(`must be one of ${allowed.join(', ')}`);
    return text;
  }

  /** Throws: the value is known, and cannot be honoured. */
  refuse(why: string): never {
    throw this.#bad(`is refused with the value '${this.text()}': ${why}`);
  }

  #bad(complaint: string): MountError {
    return new MountError(ExitCode.usage, `option '${this.#name}' ${complaint}`);
  }
}
