/** Opens the layers of a request as one overlay: what every server of a mount does first, whatever its transport. */
import { Overlay, deepCopyUp, inheritAcl, inodeIndex, metacopies, runSync, verity } from '@ovl/core';
import { CoveredLayer } from './covered-layer.js';
import type { ServerOptions } from './fuse/server.js';
import { type HostLayer, openHostLayer } from './host-layer.js';
import { hostUpper } from './host-upper.js';
import type { LayerRequest } from './mount-request.js';
import { identifyUpper } from './overlay-uuid.js';

export interface OpenedLayers {
  overlay: Overlay<'sync'>;
  /** Where overlay attributes are kept. */
  userxattr: boolean;
  /** Right before the mount, after which anything may be written. */
  begin(): void;
}

/** Throws FsError. */
export function openLayers(request: LayerRequest): OpenedLayers {
  const { lower, covered, mountpoint, upper, userxattr, redirectDir, index, uuid, fsync, acl, vanishes } = request;
  const { metacopy } = request;
  const verityMode = request.verity ?? 'off';
  const layers: HostLayer[] = lower.map((path, number) =>
    covered.includes(number) ? new CoveredLayer(path, mountpoint) : openHostLayer(path),
  );
  const dataOnly = layers.splice(layers.length - request.dataOnly);
  const options: Parameters<typeof Overlay.open<'sync'>>[0] = { lower: layers, dataOnly, deepCopyUp };
  const opened = upper === undefined ? undefined : hostUpper(userxattr === undefined ? upper : { ...upper, userxattr });
  if (opened !== undefined) {
    options.upper = opened;
    if (uuid !== undefined) identifyUpper(uuid, opened, layers);
    options.index = inodeIndex(index ?? 'auto');
  }
  if (userxattr === true) options.xattrPrefix = 'user.overlay.';
  if (redirectDir !== undefined) options.redirectDir = redirectDir;
  options.metacopy = metacopies(metacopy === 'on' ? 'make' : metacopy === 'off' ? 'refuse' : 'follow');
  if (verityMode !== 'off') options.verity = verity(verityMode);
  if (fsync !== undefined) options.fsync = fsync;
  if (acl !== 'off') options.acl = inheritAcl;
  const prefix = options.upper?.xattrPrefix ?? options.xattrPrefix;
  return {
    overlay: runSync(Overlay.open(options)),
    userxattr: prefix === 'user.overlay.',
    begin: () => {
      if (fsync === 'volatile' && !vanishes) opened?.markVolatile();
    },
  };
}

/** How requests are to be answered. */
export function serverOptions({ fsync, timeout, staticNlink, acl, xattrs, owner }: LayerRequest): ServerOptions {
  const options: ServerOptions = { volatile: fsync === 'volatile', staticNlink };
  if (timeout !== undefined) options.timeout = timeout;
  if (acl !== undefined) options.acl = acl;
  if (xattrs !== undefined) options.xattrs = xattrs;
  if (owner !== undefined) options.owner = owner;
  return options;
}
