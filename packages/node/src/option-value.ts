/** What follows the "=" of an option: quotes, escapes, and reading it as what the option wants. */
import { ExitCode, MountError } from './mount-error.js';

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

  paths(): string[] {
    if (this.#text === undefined || this.#text === '') throw this.#bad('needs a value');
    const paths = splitEscaped(this.#text, ':').map(unescape);
    if (paths.includes(''))
      throw this.#bad('has an empty path (write "\\:" for a colon in a path; "::" is not supported)');
    return paths;
  }

  seconds(): number {
    const seconds = Number(this.text());
    if (!Number.isFinite(seconds) || seconds < 0) throw this.#bad('needs a number of seconds');
    return seconds;
  }

  oneOf<T extends string>(...allowed: T[]): T {
    const text = this.text() as T;
    if (!allowed.includes(text)) throw this.#bad(`must be one of ${allowed.join(', ')}`);
    return text;
  }

  #bad(complaint: string): MountError {
    return new MountError(ExitCode.usage, `option '${this.#name}' ${complaint}`);
  }
}
