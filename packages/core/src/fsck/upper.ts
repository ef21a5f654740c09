/**
 * The walk through an upper: every object's attributes, every whiteout, every redirect. It reads the upper as it lies there
 * and asks the overlay's own lookup only where something depends on the layers below, so that it gets through an upper that
 * a mount would choke on. Directories wait in a list: trees are deeper than the stack allows.
 */
import { type Attributes, isDirectory, isRegular } from '../attributes.js';
import { type FsError, isFsError } from '../errors.js';
import {
  directoryMarks,
  isForeignMark,
  isWhiteoutDevice,
  markXattrs,
  mayBeXattrWhiteout,
  meaningOfName,
  parseRedirect,
  whiteoutXattr,
  type XattrPrefix,
} from '../format.js';
import { OVERRIDE_XATTRS } from '../override.js';
import { type Inode, Stack } from '../inode.js';
import type { Found, Layer, LayerNode, UpperLayer } from '../layer.js';
import { dataOf } from '../copy-up.js';
import { list, lookup } from '../lookup.js';
import { metacopies } from '../metacopy.js';
import { type Operation, wait } from '../run.js';
import { openRoot } from '../super.js';
import { checkXattrs } from './attributes.js';
import type { Finding } from './finding.js';

/** What is checked, and with what below it. */
export interface UpperCheck {
  upper: Layer;
  /** The layers below, topmost first. Without them only what they cannot change is judged. */
  lower: readonly Layer[] | undefined;
  /** Layers below these that only lend data. */
  dataOnly?: readonly Layer[];
  prefix: XattrPrefix;
}

interface Directory {
  node: LayerNode;
  path: readonly string[];
  /** As the overlay sees it, where it can. */
  inode: Inode | undefined;
  /** Nothing of the layers below shows in it, whatever they hold. */
  closed: boolean;
  /** It, or one that it is in, is opaque by another writer's mark only: what it hides depends on who looks. */
  disputed: boolean;
}

interface Walk extends UpperCheck {
  /** Of the upper's file system: what is mounted inside is no part of it. */
  dev: number;
  stack: Stack;
  findings: Finding[];
  /** Markers by name (`.wh.`), and whether there are whiteouts in the kernel's form, too. */
  markers: Finding[];
  hasKernelMarks: boolean;
}

/** What is found, parents before what is in them. Throws what the layers throw. */
export function* checkUpper(options: UpperCheck): Operation<Finding[]> {
  const { upper, lower, dataOnly = [], prefix } = options;
  const metacopy = metacopies('follow');
  const stack = new Stack({
    lower: lower ?? [],
    dataOnly,
    upper: upper as UpperLayer, // which is only read here
    xattrPrefix: prefix,
    redirectDir: 'follow',
    metacopy,
  });
  const top: Found = { node: upper.root, attributes: yield* wait(upper.getattr(upper.root)) };
  const { dev } = top.attributes;
  const walk: Walk = { ...options, dev, stack, findings: [], markers: [], hasKernelMarks: false };
  const xattrs = yield* overlayXattrs(walk, top.node);
  report(walk, [], top.attributes, xattrs, 'top');
  const inode = yield* unlessBroken(openRoot(stack));
  const pending: Directory[] = [{ node: top.node, path: [], inode, closed: false, disputed: false }];
  for (let dir = pending.pop(); dir !== undefined; dir = pending.pop()) {
    const below = yield* checkDirectory(walk, dir);
    pending.push(...below.reverse());
  }
  if (walk.hasKernelMarks) walk.findings.push(...walk.markers);
  return walk.findings;
}

/** Checks the entries of a directory; returns the directories among them. */
function* checkDirectory(walk: Walk, dir: Directory): Operation<Directory[]> {
  const { upper, prefix, stack } = walk;
  const below: Directory[] = [];
  const entries = yield* wait(upper.readdir(dir.node));
  if (!dir.closed && entries.some(({ name }) => meaningOfName(name).kind === 'opaque')) dir.disputed = true;
  for (const { name } of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const found = yield* wait(upper.lookup(dir.node, name));
    if (found === undefined || found.attributes.dev !== walk.dev) continue;
    const path = [...dir.path, name];
    const { attributes } = found;
    const xattrs = yield* overlayXattrs(walk, found.node);
    const meaning = meaningOfName(name);
    if (meaning.kind !== 'entry') {
      const what = meaning.kind === 'opaque' ? 'an opaque mark by name' : 'a whiteout by name';
      const finding: Finding = {
        kind: 'mixed-whiteouts',
        tree: 'upper',
        path,
        what: `${what}, beside whiteouts by device`,
      };
      // Of an opaque mark only where it says something that the directory's attribute does not.
      if (meaning.kind === 'whiteout' || (meaning.kind === 'opaque' && !dir.closed)) walk.markers.push(finding);
    } else if (isWhiteoutDevice(attributes) || (mayBeXattrWhiteout(attributes) && xattrs.has(whiteoutXattr(prefix)))) {
      walk.hasKernelMarks = true;
      yield* checkWhiteout(walk, dir, name);
    } else {
      report(walk, path, attributes, xattrs, 'below');
      if (isDirectory(attributes.mode)) below.push(yield* enter(walk, dir, name, found, xattrs));
      else if (isRegular(attributes.mode) && xattrs.has(`${prefix}metacopy`)) yield* checkData(walk, dir, name);
    }
  }
  // What was looked up on the way is not needed any more.
  for (const child of dir.inode?.children?.values() ?? [])
    if (!below.some(({ inode }) => inode === child)) stack.drop(child);
  return below;
}

function report(
  { findings, prefix }: Walk,
  path: readonly string[],
  attributes: Attributes,
  xattrs: ReadonlyMap<string, Uint8Array>,
  where: 'top' | 'below',
): void {
  for (const flaw of checkXattrs(attributes, xattrs, prefix, where)) findings.push({ ...flaw, tree: 'upper', path });
}

function* overlayXattrs({ upper, prefix }: Walk, node: LayerNode): Operation<Map<string, Uint8Array>> {
  const values = new Map<string, Uint8Array>();
  const names = yield* wait(upper.listxattr(node));
  for (const name of names) {
    if (!name.startsWith(prefix) && !isForeignMark(name) && !(OVERRIDE_XATTRS as readonly string[]).includes(name))
      continue;
    const value = yield* wait(upper.getxattr(node, name));
    if (value !== undefined) values.set(name, value);
  }
  return values;
}

function* checkWhiteout(walk: Walk, dir: Directory, name: string): Operation<void> {
  const covers = dir.closed ? false : yield* coversBelow(walk, dir, name);
  if (covers !== false) return;
  const what = dir.closed
    ? 'a whiteout in a directory where nothing below shows'
    : 'a whiteout of a name that nothing below has';
  walk.findings.push({
    kind: 'dangling-whiteout',
    tree: 'upper',
    path: [...dir.path, name],
    what,
    repair: { kind: 'remove' },
  });
}

/** Whether the layers below show something under the name; undefined if that is not known. */
function* coversBelow({ stack, lower }: Walk, dir: Directory, name: string): Operation<boolean | undefined> {
  const { inode, disputed } = dir;
  if (lower === undefined || inode === undefined || disputed) return undefined;
  const listing = yield* unlessBroken(list(stack, inode));
  if (listing === undefined) return undefined;
  const listed = listing.get(name); // an xattr whiteout is still listed as a file
  return listed === undefined ? inode.whiteouts?.get(name)?.covers : listed.covers;
}

function* enter(
  walk: Walk,
  dir: Directory,
  name: string,
  { node }: Found,
  xattrs: ReadonlyMap<string, Uint8Array>,
): Operation<Directory> {
  const { prefix, lower, stack, findings } = walk;
  const path = [...dir.path, name];
  const marks = directoryMarks(
    new Map(markXattrs([...xattrs.keys()], prefix).map((key) => [key, xattrs.get(key) as Uint8Array])),
    prefix,
  );
  if (marks.opaque !== undefined) walk.hasKernelMarks = true;
  const redirect = marks.redirect === undefined ? undefined : wellFormed(marks.redirect);
  const entry = dir.inode === undefined ? undefined : yield* unlessBroken(lookup(stack, dir.inode, name));
  const inode = entry?.inode;
  const opaque = isYes(xattrs.get(`${prefix}opaque`));
  if (lower !== undefined && redirect !== undefined && !opaque && inode?.lower.length === 0) {
    findings.push({ kind: 'missing-redirect', tree: 'upper', path, what: `a redirect to "${marks.redirect}"` });
  }
  // An absolute redirect leads out of what an ancestor closes; a malformed one leads nobody knows where.
  const leadsOut = marks.redirect !== undefined && (redirect === undefined || redirect.absolute);
  const closed = opaque || (dir.closed && !leadsOut);
  return { node, path, inode, closed, disputed: !closed && (dir.disputed || marks.opaque === 'y') };
}

/** As the kernel reads it. */
function isYes(value: Uint8Array | undefined): boolean {
  return value?.length === 1 && value[0] === 0x79;
}

function* checkData({ stack, findings, lower }: Walk, dir: Directory, name: string): Operation<void> {
  if (lower === undefined || dir.inode === undefined) return;
  const path = [...dir.path, name];
  if (findings.at(-1)?.kind === 'malformed-metacopy' && findings.at(-1)?.path.join('/') === path.join('/')) return;
  try {
    const entry = yield* lookup(stack, dir.inode, name);
    if (entry !== undefined) yield* dataOf(stack, entry.inode);
  } catch (error) {
    if (isFsError(error, 'EPERM')) return; // none is followed there, whether or not there is data
    if (!isBroken(error)) throw error;
    findings.push({ kind: 'missing-data', tree: 'upper', path, what: 'a file of metadata only' });
  }
}

function wellFormed(redirect: string): ReturnType<typeof parseRedirect> | undefined {
  try {
    return parseRedirect(redirect);
  } catch (error) {
    if (isBroken(error)) return undefined;
    throw error;
  }
}

/** What lookup throws at a malformed attribute, or at a layer that it refuses. */
function isBroken(error: unknown): error is FsError {
  return isFsError(error, 'EIO', 'EOPNOTSUPP');
}

/** The result, or undefined where a malformed attribute, which is a finding of its own, stands in the way. */
function* unlessBroken<T>(operation: Operation<T>): Operation<T | undefined> {
  try {
    return yield* operation;
  } catch (error) {
    if (isBroken(error)) return undefined;
    throw error;
  }
}
