/** `@ovl/core/snapshots`: an overlay whose state is kept, gone back to and branched from while it is in use. */
export type { Checkpoint, ForkOptions, SnapshotOptions } from './snapshot-overlay.js';
export { SnapshotOverlay, snapshotOverlay } from './snapshot-overlay.js';
