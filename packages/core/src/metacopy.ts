/**
 * Metacopies: files of which only the metadata was copied up, while the data stayed in a file below of the same name, or of
 * the one that a redirect tells ("Metadata only copy up", "Data-only lower layers"). An app that meets none goes without
 * this file.
 */
import { isDirectory, isRegular, S_IFDIR } from './attributes.js';
import { copyBytes, dataOf, setMark, times } from './copy-up.js';
import { FsError } from './errors.js';
import { decodeMetacopy, parseRedirect, REDIRECT_MAX } from './format.js';
import type { Inode, Real, Stack } from './inode.js';
import type { Found, LayerNode, VerityDigest } from './layer.js';
import { search, type Trail } from './lookup.js';
import { byteLength, decodeName } from './names.js';
import type { Metacopies } from './options.js';
import { lowerPath } from './redirect.js';
import { type Operation, wait } from './run.js';

/**
 * "make": changes of attributes alone make metacopies, with attributes under "trusted.overlay." and `redirectDir` "on".
 * "follow": those that are there are read. "refuse": they are EPERM, but for lower ones that lead into data-only layers,
 * which whoever names such layers wants. With attributes under "user.overlay.", which anybody can write, and with
 * `redirectDir` "nofollow", everything is as with "refuse".
 */
export type MetacopyMode = 'make' | 'follow' | 'refuse';

/** To be passed to `Overlay.open`. */
export function metacopies(wanted: MetacopyMode): Metacopies {
  return {
    *find(stack, inode, own, mark) {
      const found = yield* findData(stack, modeOf(stack, wanted), inode, own, mark, decodeMetacopy);
      return yield* keepData(stack, inode, own, found);
    },
    complete,
    *mark(stack, data) {
      if (modeOf(stack, wanted) !== 'make') return undefined;
      return stack.options.verity === undefined ? new Uint8Array(0) : yield* stack.options.verity.mark(stack, data);
    },
    canRecordPlace(stack, inode) {
      if (isRecorded(inode)) return true;
      return (
        modeOf(stack, wanted) === 'make' &&
        inode.dentry !== undefined &&
        byteLength(lowerPath(inode)) <= (stack.options.redirectMax ?? REDIRECT_MAX)
      );
    },
    recordPlace,
  };
}

/** What of {@link MetacopyMode} the layers allow. */
export function modeOf(stack: Stack, wanted: MetacopyMode): MetacopyMode {
  if (stack.prefix !== 'trusted.overlay.' || stack.redirectDir === 'nofollow') return 'refuse';
  return wanted === 'make' && stack.redirectDir !== 'on' ? 'follow' : wanted;
}

function isRecorded(inode: Inode): boolean {
  return inode.redirect?.startsWith('/') === true;
}

/** By path: that holds for all names of a file. */
function* recordPlace(stack: Stack, inode: Inode): Operation<void> {
  if (isRecorded(inode)) return;
  const redirect = lowerPath(inode);
  yield* setMark(stack, inode.upper as LayerNode, 'redirect', redirect);
  inode.redirect = redirect;
}

/** Records what was found, unless the file was copied up or completed meanwhile: then that is not its data any more. */
export function* keepData(stack: Stack, inode: Inode, own: Real, found: Real): Operation<Real> {
  if (inode.whole === own.node || stack.real(inode).node !== own.node) return yield* dataOf(stack, inode);
  inode.data ??= found;
  return inode.data;
}

/** The file that ends the chain of metacopies; `digestOf` is told each mark on the way, and the object that has it. */
export function* findData(
  stack: Stack,
  mode: MetacopyMode,
  inode: Inode,
  own: Real,
  ownMark: Uint8Array,
  digestOf: (mark: Uint8Array, at: Real) => VerityDigest | undefined,
): Operation<Real> {
  const { dentry } = inode;
  let trail: Trail = dentry === undefined ? { base: [], path: [] } : { base: dentry.dir.lower, path: [dentry.name] };
  let at = own;
  let mark: Uint8Array | undefined = ownMark;
  const digests: (VerityDigest | undefined)[] = [];
  while (mark !== undefined) {
    digests.push(digestOf(mark, at));
    const recorded = yield* wait(stack.layer(at.layer).getxattr(at.node, `${stack.prefix}redirect`));
    const redirect = recorded === undefined ? undefined : decodeName(recorded);
    if (at === own && inode.upper !== undefined) inode.redirect = redirect;
    const next = yield* below(stack, mode, at, trail, redirect);
    at = next.real;
    trail = next.trail;
    mark = yield* wait(stack.layer(at.layer).getxattr(at.node, `${stack.prefix}metacopy`));
  }
  if (stack.options.verity !== undefined) yield* stack.options.verity.check(stack, digests, at);
  return at;
}

/** One step from a metacopy towards its data. */
function* below(
  stack: Stack,
  mode: MetacopyMode,
  from: Real,
  trail: Trail,
  redirect: string | undefined,
): Operation<{ real: Real; trail: Trail }> {
  let next = trail;
  let absolute = false;
  if (redirect !== undefined) {
    const parsed = parseRedirect(redirect);
    ({ absolute } = parsed);
    next = absolute
      ? { base: stack.root.lower, path: parsed.components }
      : { base: trail.base, path: [...trail.path.slice(0, -1), ...parsed.components] };
  }
  const found: Real[] = [];
  if (mode !== 'refuse') {
    const reached = yield* search(stack, next, from.layer, 'file', found);
    const real = found[0];
    if (real !== undefined) return { real, trail: reached };
  }
  // From a lower layer into those for data only, which whoever named them wants followed in any case.
  const data = absolute && from.layer >= stack.firstLower ? yield* inDataLayers(stack, next.path) : undefined;
  if (data !== undefined) return { real: data, trail: { base: [], path: [] } };
  throw new FsError(mode === 'refuse' ? 'EPERM' : 'EIO', { syscall: 'metacopy' });
}

/** The first data-only layer that has the file. Whiteouts and marks mean nothing there. */
function* inDataLayers(stack: Stack, path: readonly string[]): Operation<Real | undefined> {
  for (let index = stack.firstData; index < stack.first + stack.layers.length; index++) {
    const layer = stack.layer(index);
    let at = { node: layer.root, mode: S_IFDIR };
    for (const name of path) {
      const found: Found | undefined = isDirectory(at.mode) ? yield* wait(layer.lookup(at.node, name)) : undefined;
      at = found === undefined ? { node: layer.root, mode: 0 } : { node: found.node, mode: found.attributes.mode };
    }
    if (isRegular(at.mode)) return { layer: index, node: at.node };
  }
  return undefined;
}

const CAPABILITY = 'security.capability';

/** Until the mark is removed, a crash leaves the old view. */
function* complete(stack: Stack, inode: Inode): Operation<void> {
  const upper = stack.writable();
  const node = inode.upper as LayerNode;
  const { data } = inode;
  if (data === undefined) return; // somebody was faster
  const before = yield* wait(upper.getattr(node));
  const capability = yield* wait(upper.getxattr(node, CAPABILITY));
  yield* copyBytes(stack, data, node, before.size);
  if (capability !== undefined) yield* wait(upper.setxattr(node, CAPABILITY, capability)); // cleared by the write
  yield* wait(upper.setattr(node, { mode: before.mode & 0o7777, ...times(before) }));
  yield* wait(upper.removexattr(node, `${stack.prefix}metacopy`));
  inode.data = undefined;
  inode.whole = node;
}
