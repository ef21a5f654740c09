/** `@ovl/core/testing`: what a new layer or a new face is tested with. Brings no test runner and no generator of its own. */
export {
  type Arbitrary,
  type ArbitraryOptions,
  arbitraryLayers,
  arbitraryOperation,
  arbitraryOperations,
  arbitraryTree,
  concrete,
  DEFAULT_OPTIONS,
  type FastCheck,
} from './arbitrary.js';
export { OverlayDriver, type OverlayDriverOptions, statOf } from './driver.js';
export { Model } from './model.js';
export {
  apply,
  canonical,
  type Driver,
  type FileOperation,
  type Result,
  type Seen,
  type Snapshot,
  snapshot,
  type Stat,
  type Value,
} from './operations.js';
export {
  dir,
  file,
  modeOf,
  type ObjectSpec,
  type OpaqueForm,
  populate,
  symlink,
  type TreeSpec,
  whiteout,
  type WhiteoutForm,
} from './tree.js';
export { asyncLayer, Scheduler } from './async.js';
export { type CrashLayer, crashLayer } from './crash.js';
export { type FaultLayer, faultLayer } from './fault.js';
export { intercept, type Interceptor, type LayerCall } from './intercept.js';
export { ALL_CAPABILITIES, type LayerCapabilities } from './capabilities.js';
export { type LayerHarness, layerSuite } from './layer-suite.js';
export { check, equal, fails, itIf, type Support, type TestRunner } from './runner.js';
export { type OverlayHarness, overlaySuite } from './overlay-suite.js';
export { type UpperHarness, upperSuite } from './upper-suite.js';
