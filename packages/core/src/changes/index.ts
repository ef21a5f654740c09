/**
 * `@ovl/core/changes`: what differs between two states of a tree, making those changes to another tree, an upper as a layer of
 * its own, and why a path looks as it does.
 */
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
export { commit } from './commit.js';
export type { ContentComparison } from './compare.js';
export type { Conflict, ConflictReason } from './conflicts.js';
export { changes, diff, type DiffOptions } from './diff.js';
export { type Cause, explain, type ExplainOptions, type Explanation, type LayerView } from './explain.js';
export type { Plan } from './plan.js';
export { type Place, type Provenance, provenance, type ProvenanceOptions, provenances } from './provenance.js';
export type { Dress, Step } from './steps.js';
export { collect, iterateAsync, iterateSync, type Stream } from '../stream.js';
