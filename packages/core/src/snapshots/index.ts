/** `@ovl/core/snapshots`: an overlay whose state is kept, gone back to and branched from, and whose lower layers change, while it is in use. */
export { pop, push, type PushOptions } from './live-stack.js';
export type { Checkpoint, ForkOptions, SnapshotOptions } from './snapshot-overlay.js';
export { SnapshotOverlay, snapshotOverlay } from './snapshot-overlay.js';
