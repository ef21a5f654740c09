// The published suites, run on directories of the host: the layer, the upper, and overlays over them.
import { runSync } from '@ovl/core';
import {
  ALL_CAPABILITIES,
  type LayerCapabilities,
  layerSuite,
  overlaySuite,
  populate,
  type TestRunner,
  upperSuite,
} from '@ovl/core/testing';
import { describe, it } from 'vitest';
import { hostLayer } from '../src/host-layer.js';
import { freshUpper, isRoot } from './host-support.js';

const runner: TestRunner = {
  describe,
  it,
  skip: (name, reason) => it(name, (context) => context.skip(reason)),
};
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
overlaySuite({ name: 'host directories', runner, capabilities, layer: () => freshUpper().upper });
