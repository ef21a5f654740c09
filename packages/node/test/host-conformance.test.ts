// The published suites, run on directories of the host: the layer, the upper, and overlays over them.
import { runSync, S_IFDIR, type UpperLayer } from '@ovl/core';
import { quota } from '@ovl/core/quota';
import {
  ALL_CAPABILITIES,
  type LayerCapabilities,
  layerSuite,
  overlaySuite,
  populate,
  upperSuite,
} from '@ovl/core/testing';
import { hostLayer } from '../src/host-layer.js';
import { freshUpper, isRoot } from './host-support.js';
import { runner } from '../../../test/support/suite-runner.js';

const privileged = isRoot || 'only root may';
const capabilities: LayerCapabilities = {
  ...ALL_CAPABILITIES,
  trustedXattrs: privileged,
  xattrsOnAll: privileged,
  devices: privileged,
  owner: privileged,
};

layerSuite({
  name: 'host directory',
  runner,
  capabilities,
  layer(tree) {
    const { upper, dir } = freshUpper();
    runSync(populate(upper, tree));
    return hostLayer(dir);
  },
});
upperSuite({ name: 'host directory', runner, capabilities, upper: () => freshUpper().upper });
const limited = (): UpperLayer<'sync'> => quota(freshUpper().upper, { bytes: 2 ** 30, inodes: 100_000 });
upperSuite({ name: 'host directory with a quota', runner, capabilities, upper: limited });
overlaySuite({ name: 'host directories with a quota', runner, capabilities, layer: limited });
overlaySuite({ name: 'host directories', runner, capabilities, layer: () => freshUpper().upper });

// Everything on disk belongs to this process and is a file, a directory or a symbolic link; devices and owners are attributes.
const overridden: LayerCapabilities = {
  ...capabilities,
  devices: true,
  owner: true,
  xattrsOnAll: 'on disk only files and directories have attributes of users',
};
const withOverride = () =>
  freshUpper(undefined, {
    override: { xattrPermissions: 2, root: { uid: 0, gid: 0, mode: S_IFDIR | 0o755, rdev: 0 } },
  });

upperSuite({
  name: 'host directory with override_stat',
  runner,
  capabilities: overridden,
  upper: () => withOverride().upper,
});
