/** Opens the layers of a request as one overlay: what every server of a mount does first, whatever its transport. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  Overlay,
  type OwnerMap,
  Revalidation,
  S_IFDIR,
  deepCopyUp,
  inheritAcl,
  inodeIndex,
  metacopies,
  ownerMap,
  runSync,
  verity,
} from '@ovl/core';
import type { LazyCopyUps } from '@ovl/core/lazy';
import type { Beside } from './beside.js';
import type { CopyAhead } from './copy-ahead.js';
import { CoveredLayer } from './covered-layer.js';
import type { ServerOptions } from './fuse/server.js';
import { openHostLayer } from './host-layer.js';
import { type HostUpperOptions, hostUpper } from './host-upper.js';
import type { Leftovers } from './leftovers.js';
import type { LayerRequest } from './mount-request.js';
import { identifyUpper } from './overlay-uuid.js';
import { OverrideLayer, type OverrideWish, withOverride } from './override-layer.js';
import { type DirectoryLayer, IdmappedLayer } from './seen-layer.js';

export interface OpenedLayers {
  /** What is copied before it is asked for, if anything can be. */
  ahead: CopyAhead | undefined;
  /** What is to be emptied between requests. */
  leftovers: Leftovers | undefined;
  overlay: Overlay<'sync'>;
  /** Where overlay attributes are kept. */
  userxattr: boolean;
  /** Right before the mount, after which anything may be written. */
  begin(): void;
}

/** `later` is what copies up after the answer, where something can. Throws FsError. */
export function openLayers(request: LayerRequest, later: { lazy?: LazyCopyUps; beside?: Beside } = {}): OpenedLayers {
  const { userxattr, redirectDir, metacopy, index, uuid, fsync, acl, vanishes, owners } = request;
  const verityMode = request.verity ?? 'off';
  const map = owners === undefined ? undefined : ownerMap({ ...owners, overflow: overflowIds() });
  const lower = request.lower.map((_, number) => openLower(request, number, map));
  const dataOnly = lower.splice(lower.length - request.dataOnly);
  const options: Parameters<typeof Overlay.open<'sync'>>[0] = { lower, dataOnly, deepCopyUp };
  if (request.timeout !== undefined) options.revalidation = new Revalidation();
  const upper = upperOptions(request, lower);
  if (later.beside !== undefined && upper !== undefined) {
    upper.beside = later.beside;
    upper.copyAhead = mayCopyAhead(request) ? 'on' : 'off';
  }
  if (later.lazy !== undefined && request.lazyCopyUp !== 'off') options.lazy = later.lazy;
  const opened = upper === undefined ? undefined : hostUpper(upper);
  if (opened !== undefined) {
    options.upper = opened;
    if (uuid !== undefined) identifyUpper(uuid, opened, lower);
    options.index = inodeIndex(index ?? 'auto');
  }
  if (userxattr === true) options.xattrPrefix = 'user.overlay.';
  if (redirectDir !== undefined) options.redirectDir = redirectDir;
  options.metacopy = metacopies(metacopy === 'on' ? 'make' : metacopy === 'off' ? 'refuse' : 'follow');
  if (verityMode !== 'off') options.verity = verity(verityMode);
  if (fsync !== undefined) options.fsync = fsync;
  if (acl !== 'off') options.acl = inheritAcl;
  if (map !== undefined) options.owners = map;
  // Between requests there is time only where the client has another processor.
  const isBetween = later.beside !== undefined && availableParallelism() > 1;
  const prefix = options.upper?.xattrPrefix ?? options.xattrPrefix;
  return {
    ahead: opened?.ahead,
    leftovers: isBetween ? opened?.clearLater?.() : undefined,
    overlay: runSync(Overlay.open(options)),
    userxattr: prefix === 'user.overlay.',
    begin: () => {
      if (fsync === 'volatile' && !vanishes) opened?.markVolatile();
    },
  };
}

/** Where copy-up copies data, and waits for its order only; what changes from outside is looked at when it is asked for. */
function mayCopyAhead({ timeout, fsync, metacopy, lazyCopyUp }: LayerRequest): boolean {
  return timeout === undefined && (fsync ?? 'auto') === 'auto' && metacopy !== 'on' && lazyCopyUp !== 'off';
}

function openLower(request: LayerRequest, index: number, map: OwnerMap | undefined): DirectoryLayer {
  const { lower, covered, mountpoint, xattrPermissions, idmapped } = request;
  const path = lower[index] as string;
  const trust = xattrPermissions === undefined ? undefined : 'all';
  const changes = request.timeout === undefined ? 'none' : 'outside';
  const layer = covered.includes(index)
    ? withOverride(new CoveredLayer(path, mountpoint, changes), trust)
    : openHostLayer(path, trust, changes);
  return map !== undefined && idmapped.includes(index) ? new IdmappedLayer(layer, map) : layer;
}

function upperOptions(request: LayerRequest, lower: readonly DirectoryLayer[]): HostUpperOptions | undefined {
  const { upper, userxattr, xattrPermissions, owners } = request;
  if (upper === undefined) return undefined;
  const options: HostUpperOptions = { ...upper };
  if (userxattr !== undefined) options.userxattr = userxattr;
  if (xattrPermissions !== undefined) options.override = { xattrPermissions, root: rootStat(lower) };
  if (owners?.squash !== undefined) options.owners = 'attempted';
  return options;
}

/** As the first layer below that says so shows its root; without one, what fuse-overlayfs writes. */
function rootStat(lower: readonly DirectoryLayer[]): OverrideWish['root'] {
  const layer = lower.find((each) => each instanceof OverrideLayer);
  return layer?.getattr(layer.root) ?? { uid: 0, gid: 0, mode: S_IFDIR | 0o555, rdev: 0 };
}

function overflowIds(): { uid: number; gid: number } {
  const read = (name: string): number => Number(readFileSync(`/proc/sys/kernel/${name}`, 'latin1'));
  return { uid: read('overflowuid'), gid: read('overflowgid') };
}

/** How requests are to be answered. */
export function serverOptions({
  fsync,
  timeout,
  staticNlink,
  acl,
  xattrs,
  owner,
  passthrough,
  noOpen,
  nfsExport,
}: LayerRequest): ServerOptions {
  const options: ServerOptions = { volatile: fsync === 'volatile', staticNlink };
  if (timeout !== undefined) options.timeout = timeout;
  if (passthrough !== undefined) options.passthrough = passthrough;
  if (noOpen !== undefined) options.noOpen = noOpen;
  if (nfsExport) options.nfsExport = true;
  if (acl !== undefined) options.acl = acl;
  if (xattrs !== undefined) options.xattrs = xattrs;
  if (owner !== undefined) options.owner = owner;
  return options;
}
