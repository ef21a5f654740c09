/** `@ovl/core/changes`: what differs between two states of a tree, and making those changes to another tree. */
export {
  type Applied,
  apply,
  type ApplyOptions,
  carryOut,
  clear,
  ConflictError,
  prepare,
  RollbackError,
  takeBack,
} from './apply.js';
export { type Aspect, type Change, type ChangeKind, type Summary, summarize, type Version } from './change.js';
export type { ContentComparison } from './compare.js';
export type { Conflict, ConflictReason } from './conflicts.js';
export { changes, diff, type DiffOptions } from './diff.js';
export type { Plan } from './plan.js';
export type { Dress, Step } from './steps.js';
export { collect, iterateAsync, iterateSync, type Stream } from './stream.js';
