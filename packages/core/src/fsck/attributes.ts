/** What is wrong with the overlay attributes of one object of an upper: pure, as lookup and the kernel would read them. */
import { type Attributes, isDirectory, isRegular, S_IFDIR, S_IFMT, S_IFREG } from '../attributes.js';
import { isFsError } from '../errors.js';
import {
  decodeMetacopy,
  isForeignMark,
  parseRedirect,
  REDIRECT_MAX,
  unknownXattr,
  type XattrPrefix,
} from '../format.js';
import { applyOverride, OVERRIDE_XATTRS } from '../override.js';
import { decodeName } from '../names.js';
import type { Finding } from './finding.js';

/** A finding that does not know yet where it is. */
export type Flaw = Omit<Finding, 'tree' | 'path'>;

interface Rule {
  /** On which types the attribute means something; the rest ignores it. */
  on: (mode: number) => boolean;
  /** What is wrong with the value, or undefined. */
  check(value: Uint8Array, mode: number): Flaw | undefined;
}

const text = (value: Uint8Array): string => decodeName(value);
const isNoDirectory = (mode: number): boolean => !isDirectory(mode);
const malformed = (name: string, value: Uint8Array): Flaw => ({
  kind: 'malformed-attribute',
  what: `"${name}" is ${shown(value)}`,
});

/** A value as a person may read it. */
function shown(value: Uint8Array): string {
  const string = text(value);
  if (/^[\x20-\x7e]*$/.test(string)) return value.length === 0 ? 'empty' : `"${string}"`;
  return `0x${Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

function oneOf(name: string, pattern: RegExp): Rule['check'] {
  return (value) => (pattern.test(text(value)) ? undefined : malformed(name, value));
}

const RULES: Readonly<Record<string, Rule>> = {
  opaque: { on: isDirectory, check: oneOf('opaque', /^[xy]$/) },
  impure: { on: isDirectory, check: oneOf('impure', /^y$/) },
  nlink: { on: isNoDirectory, check: oneOf('nlink', /^[UL][+-]\d{1,9}$/) },
  protattr: { on: (mode) => isRegular(mode) || isDirectory(mode), check: oneOf('protattr', /^[ai]{1,2}$/) },
  whiteout: { on: isRegular, check: () => undefined },
  redirect: { on: (mode) => isDirectory(mode) || isRegular(mode), check: checkRedirect },
  metacopy: { on: isRegular, check: checkMetacopy },
  origin: { on: () => true, check: checkOrigin },
};

function checkRedirect(value: Uint8Array): Flaw | undefined {
  try {
    parseRedirect(text(value));
    return undefined;
  } catch (error) {
    if (!isFsError(error)) throw error;
    const why = value.length > REDIRECT_MAX ? `is longer than ${REDIRECT_MAX} bytes` : `is ${shown(value)}`;
    return { kind: 'malformed-redirect', what: `"redirect" ${why}` };
  }
}

/** Bytes of a digest, by fs-verity's number of its algorithm. */
const DIGEST_BYTES: readonly (number | undefined)[] = [0, 32, 64];

/** As `ovl_check_metacopy_xattr` reads it: nothing, or a header of version, length, flags, algorithm, and the digest. */
function checkMetacopy(value: Uint8Array): Flaw | undefined {
  const flaw: Flaw = { kind: 'malformed-metacopy', what: `"metacopy" is ${shown(value)}` };
  if (value.length === 0) return undefined;
  try {
    decodeMetacopy(value);
  } catch (error) {
    if (!isFsError(error)) throw error;
    return flaw;
  }
  const [, length, flags, algorithm] = value;
  const digest = DIGEST_BYTES[algorithm as number];
  return length === value.length && flags === 0 && digest === value.length - 4 ? undefined : flaw;
}

/** Empty is "unknown", and so is one of another machine or a later version. */
function checkOrigin(value: Uint8Array): Flaw | undefined {
  const [version, magic, length] = value;
  if (value.length === 0 || version !== 0) return undefined;
  const wellFormed = magic === 0xfb && value.length > 21 && (length as number) <= value.length;
  return wellFormed ? undefined : malformed('origin', value);
}

const UUID_BYTES = 16;

function checkAttribute(
  name: string,
  value: Uint8Array,
  attributes: Attributes,
  where: 'top' | 'below',
): Flaw | undefined {
  if (name === 'uuid' && where === 'top') return value.length === UUID_BYTES ? undefined : malformed(name, value);
  if (name === 'uuid' || name === 'upper')
    return { kind: 'misplaced-attribute', what: `"${name}" does not belong here` };
  const rule = RULES[name];
  if (rule === undefined) return undefined;
  if (rule.on(attributes.mode)) {
    if (name === 'whiteout' && attributes.size > 0)
      return { kind: 'misplaced-attribute', what: '"whiteout" on a file that is not empty' };
    return rule.check(value, attributes.mode);
  }
  return {
    kind: 'misplaced-attribute',
    what: `"${name}" on a ${TYPES.get(attributes.mode & S_IFMT) ?? 'special file'}`,
  };
}

const TYPES: ReadonlyMap<number, string> = new Map([
  [S_IFREG, 'regular file'],
  [S_IFDIR, 'directory'],
  [0o120000, 'symbolic link'],
]);

/** `where`: the upper itself has attributes of its own. */
export function checkXattrs(
  attributes: Attributes,
  xattrs: ReadonlyMap<string, Uint8Array>,
  prefix: XattrPrefix,
  where: 'top' | 'below',
): Flaw[] {
  const flaws: Flaw[] = [];
  for (const [full, value] of xattrs) {
    if (unknownXattr([full], prefix) !== undefined) {
      flaws.push({ kind: 'unknown-attribute', what: `"${full}"` });
    } else if ((OVERRIDE_XATTRS as readonly string[]).includes(full)) {
      if (!isOverride(attributes, value)) flaws.push({ ...malformed(full, value), kind: 'malformed-override' });
    } else if (isForeignMark(full)) {
      if (full.endsWith('.opaque') && isNoDirectory(attributes.mode)) {
        flaws.push({
          kind: 'misplaced-attribute',
          what: `"${full}" on what is no directory`,
          repair: { kind: 'removexattr', name: full },
        });
      }
    } else if (full.startsWith(prefix)) {
      const flaw = checkAttribute(full.slice(prefix.length), value, attributes, where);
      if (flaw === undefined) continue;
      // What is ignored where it is can go; a malformed value may mean something to another reader.
      if (flaw.kind === 'misplaced-attribute') flaw.repair = { kind: 'removexattr', name: full };
      flaws.push(flaw);
    }
  }
  return flaws;
}

function isOverride(attributes: Attributes, value: Uint8Array): boolean {
  try {
    return applyOverride(attributes, value) !== undefined;
  } catch (error) {
    if (isFsError(error)) return false;
    throw error;
  }
}
