// The published suites, run on the memory layer: as it is, and answering later.
import { runSync } from '@ovl/core';
import {
  ALL_CAPABILITIES,
  asyncLayer,
  type LayerCapabilities,
  layerSuite,
  overlaySuite,
  populate,
  Scheduler,
  upperSuite,
} from '@ovl/core/testing';
import { memoryLayer } from '@ovl/core';
import { runner } from '../../../test/support/suite-runner.js';

const capabilities: LayerCapabilities = { ...ALL_CAPABILITIES, holes: 'the memory layer reports one run of data' };

for (const late of [false, true]) {
  const name = late ? 'memory, answering later' : 'memory';
  const wrap = <L extends ReturnType<typeof memoryLayer>>(layer: L): L =>
    late ? asyncLayer(layer, new Scheduler(7)) : layer;
  layerSuite({
    name,
    runner,
    capabilities,
    layer(tree) {
      const layer = memoryLayer();
      runSync(populate(layer, tree));
      return wrap(layer);
    },
  });
  overlaySuite({ name, runner, capabilities, layer: () => wrap(memoryLayer()) });
  upperSuite({ name, runner, capabilities, upper: () => wrap(memoryLayer()) });
}
