/** `glob`: paths that match patterns with *, ?, [...], {a,b} and **. */
import { DT_DIR } from '../attributes.js';
import { isFsError } from '../errors.js';
import type { Operation } from '../run.js';
import { wrongType } from './argument-error.js';
import { type PathLike, toPath } from './arguments.js';
import type { Context } from './context.js';
import { Dirent } from './dirent.js';
import { entriesOf } from './directories.js';

/** Where `glob` looks, and what it leaves out. */
export interface GlobOptions {
  /** Where patterns begin. Default: where relative paths begin. */
  cwd?: PathLike | undefined;
  /** What is left out, with all below it: patterns, or a function of the path (or Dirent). */
  exclude?: readonly string[] | ((found: never) => boolean) | undefined;
  withFileTypes?: boolean | undefined;
}

/** One part between slashes: "**", or what its names match. */
type Part = '**' | RegExp;

/** The paths that match a pattern, or one of several. Directories that cannot be read are passed over. */
export function* glob(
  fs: Context,
  pattern: string | readonly string[],
  options?: GlobOptions | null,
): Operation<(string | Dirent)[]> {
  const patterns = typeof pattern === 'string' ? [pattern] : pattern;
  if (!Array.isArray(patterns) || !patterns.every((each) => typeof each === 'string')) {
    throw wrongType('patterns', 'of type string or an instance of Array', pattern);
  }
  const { cwd, exclude, withFileTypes } = options ?? {};
  const base = cwd === undefined ? '.' : toPath(cwd, 'options.cwd');
  const leftOut = Array.isArray(exclude) ? exclude.flatMap(expandBraces).map(partsOf) : [];
  const isLeftOut = (path: string, dirent: Dirent): boolean =>
    typeof exclude === 'function'
      ? exclude((withFileTypes === true ? dirent : path) as never)
      : leftOut.some((parts) => matches(parts, path.split('/')));

  const found = new Map<string, Dirent>();
  for (const each of patterns.flatMap(expandBraces)) {
    const isAbsolute = each.startsWith('/');
    const parts = partsOf(each);
    const walk = function* (at: string, path: string[]): Operation<void> {
      let entries: { name: string; type: number }[];
      try {
        entries = yield* entriesOf(fs, at, 'scandir');
      } catch (error) {
        if (isFsError(error)) return; // vanished, or no directory: nothing below it matches
        throw error;
      }
      for (const { name, type } of entries) {
        const here = [...path, name];
        const shown = (isAbsolute ? '/' : '') + here.join('/');
        const dirent = new Dirent(name, at, type);
        if (!mayLead(parts, here) || isLeftOut(shown, dirent)) continue;
        if (matches(parts, here)) found.set(shown, dirent);
        if (type === DT_DIR) yield* walk(`${at === '/' ? '' : at}/${name}`, here);
      }
    };
    yield* walk(isAbsolute ? '/' : base, []);
  }
  return withFileTypes === true ? [...found.values()] : [...found.keys()];
}

function partsOf(pattern: string): Part[] {
  return pattern
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .map((part) => (part === '**' ? part : expressionOf(part)));
}

/** Whether all of a path matches. */
function matches([part, ...parts]: readonly Part[], path: readonly string[]): boolean {
  if (part === undefined) return path.length === 0;
  if (part === '**') {
    if (matches(parts, path)) return true;
    return path.length > 0 && !(path[0] as string).startsWith('.') && matches([part, ...parts], path.slice(1));
  }
  return path.length > 0 && part.test(path[0] as string) && matches(parts, path.slice(1));
}

/** Whether a path, or something below it, may match. */
function mayLead([part, ...parts]: readonly Part[], path: readonly string[]): boolean {
  if (path.length === 0) return true;
  if (part === undefined) return false;
  if (part !== '**') return part.test(path[0] as string) && mayLead(parts, path.slice(1));
  return mayLead(parts, path) || !(path[0] as string).startsWith('.');
}

/** One name; "*" and "?" do not match a dot in front. */
function expressionOf(part: string): RegExp {
  let source = /^[*?[]/.test(part) ? '(?!\\.)' : '';
  for (let i = 0; i < part.length; i++) {
    const c = part[i] as string;
    const end = c === '[' ? part.indexOf(']', i + 2) : -1;
    if (c === '*') source += '[^]*';
    else if (c === '?') source += '[^]';
    else if (end > 0) {
      const set = part.slice(i + 1, end).replaceAll('\\', '\\\\');
      source += `[${set.replace(/^!/, '^')}]`;
      i = end;
    } else source += (c === '\\' ? (part[++i] ?? '\\\\') : c).replace(/[.*+?^${}()|[\]\\]/, '\\$&');
  }
  return new RegExp(`^${source}$`, 'u');
}

/** "a{b,c}" is "ab" and "ac", also nested. */
function expandBraces(pattern: string): string[] {
  const open = pattern.indexOf('{');
  if (open < 0) return [pattern];
  const parts: string[] = [];
  let depth = 0;
  let start = open + 1;
  for (let i = open; i < pattern.length; i++) {
    const c = pattern[i];
    if (c === '{') depth++;
    else if (c === '}') depth--;
    if (depth === 0 || (depth === 1 && c === ',')) {
      parts.push(pattern.slice(start, i));
      start = i + 1;
    }
    if (depth === 0) {
      const rest = expandBraces(pattern.slice(i + 1));
      return parts.flatMap(expandBraces).flatMap((part) => rest.map((end) => pattern.slice(0, open) + part + end));
    }
  }
  return [pattern];
}
