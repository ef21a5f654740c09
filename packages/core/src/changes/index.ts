/** `@ovl/core/changes`: what differs between two states of a tree. */
export { type Aspect, type Change, type ChangeKind, type Summary, summarize, type Version } from './change.js';
export type { ContentComparison } from './compare.js';
export { changes, diff, type DiffOptions } from './diff.js';
export { collect, iterateAsync, iterateSync, type Stream } from './stream.js';
