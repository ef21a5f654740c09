/**
 * The work directory of an upper that is not mounted: what a crash left in `work`, the marks of features in
 * `work/incompat`, and the entries of the hard-link `index`, judged as the kernel's ovl_verify_index does.
 */
import { isDirectory } from '../attributes.js';
import { isWhiteoutDevice, type XattrPrefix } from '../format.js';
import type { Found, Layer } from '../layer.js';
import { decodeName } from '../names.js';
import { type Operation, wait } from '../run.js';
import type { Finding } from './finding.js';

/** What is wrong with a work directory. Throws what the layer throws; changes nothing. */
export function* checkWork(work: Layer, prefix: XattrPrefix): Operation<Finding[]> {
  return [...(yield* checkStaging(work)), ...(yield* checkIndex(work, prefix))];
}

/** The entries of one directory of the work tree, none if there is no such directory. */
function* entriesOf(work: Layer, name: string): Operation<{ name: string; found: Found }[]> {
  const dir = yield* wait(work.lookup(work.root, name));
  if (dir === undefined || !isDirectory(dir.attributes.mode)) return [];
  const entries: { name: string; found: Found }[] = [];
  const listed = yield* wait(work.readdir(dir.node));
  for (const entry of listed) {
    const found = yield* wait(work.lookup(dir.node, entry.name));
    if (found !== undefined) entries.push({ name: entry.name, found });
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function* checkStaging(work: Layer): Operation<Finding[]> {
  const findings: Finding[] = [];
  const entries = yield* entriesOf(work, 'work');
  for (const { name, found } of entries) {
    if (isMasterWhiteout(name, found)) continue;
    if (name === 'incompat' && isDirectory(found.attributes.mode)) {
      findings.push(...(yield* checkIncompatible(work, found)));
      continue;
    }
    const what = isDirectory(found.attributes.mode) ? 'a directory in staging' : 'a file in staging';
    findings.push({ kind: 'leftover', tree: 'work', path: ['work', name], what, repair: { kind: 'remove' } });
  }
  return findings;
}

/** The one that all whiteouts of an upper are hard links of: the kernel leaves it there at the end of a mount. */
function isMasterWhiteout(name: string, { attributes }: Found): boolean {
  return name.startsWith('#') && isWhiteoutDevice(attributes);
}

function* checkIndex(work: Layer, prefix: XattrPrefix): Operation<Finding[]> {
  const findings: Finding[] = [];
  const entries = yield* entriesOf(work, 'index');
  for (const { name, found } of entries) {
    if (isMasterWhiteout(name, found)) continue;
    const flaw = yield* checkEntry(work, prefix, name, found);
    if (flaw !== undefined) findings.push({ ...flaw, tree: 'work', path: ['index', name] });
  }
  return findings;
}

/** Bytes of a file handle's header; the name of an entry is a whole handle in hexadecimal digits. */
const HANDLE_HEADER = 21;

function* checkEntry(
  work: Layer,
  prefix: XattrPrefix,
  name: string,
  { node, attributes }: Found,
): Operation<Pick<Finding, 'kind' | 'what' | 'repair'> | undefined> {
  if (name.startsWith('#'))
    return { kind: 'leftover', what: 'an index entry in the making', repair: { kind: 'remove' } };
  const handle = /^(?:[0-9a-f]{2})+$/.test(name)
    ? Array.from(name.match(/../g) ?? [], (hex) => Number.parseInt(hex, 16))
    : [];
  if (handle.length <= HANDLE_HEADER || handle[1] !== 0xfb) {
    return { kind: 'malformed-index', what: 'an entry whose name is no file handle' };
  }
  if (isWhiteoutDevice(attributes)) return undefined; // for NFS handles of what was removed
  if (isDirectory(attributes.mode)) {
    if ((yield* wait(work.getxattr(node, `${prefix}upper`))) !== undefined) return undefined;
    return { kind: 'orphaned-index', what: 'a directory entry that names no upper directory' };
  }
  const origin = yield* wait(work.getxattr(node, `${prefix}origin`));
  if (origin === undefined || !handle.every((byte, i) => origin[i] === byte)) {
    // The data may be nowhere else: the upper's names are other links of it, if there are any.
    return { kind: 'malformed-index', what: 'an entry whose origin is not the one in its name' };
  }
  if (attributes.nlink > 1) return undefined;
  const nlink = yield* wait(work.getxattr(node, `${prefix}nlink`));
  if (unionLinks(nlink) !== 0) return undefined;
  return { kind: 'orphaned-index', what: 'an entry of a file whose names are all gone', repair: { kind: 'remove' } };
}

/**
 * The names of an index entry in the merged view, where the entry itself is its only real link: `U-1` counts that one out.
 * Undefined where it is counted from the lower file's links (`L`), which still has names then, or where nothing is recorded.
 */
function unionLinks(nlink: Uint8Array | undefined): number | undefined {
  const match = /^U([+-]\d{1,9})$/.exec(nlink === undefined ? '' : decodeName(nlink));
  return match === null ? undefined : 1 + Number(match[1]);
}

function* checkIncompatible(work: Layer, { node }: Found): Operation<Finding[]> {
  const names = (yield* wait(work.readdir(node))).map(({ name }) => name);
  return names.map((name): Finding => {
    const at = { tree: 'work', path: ['work', 'incompat', name] } as const;
    if (name === 'volatile') return { kind: 'dirty-volatile', ...at, what: 'the mark of a volatile mount' };
    return { kind: 'unknown-feature', ...at, what: 'the mark of a feature' };
  });
}
