/** `@ovl/core/fsck`: checks an upper, and the work directory beside it, that nobody has mounted. */
export { type Finding, type FindingKind, MEANINGS, type Repair } from './finding.js';
export { checkUpper, type UpperCheck } from './upper.js';
export { checkWork } from './work.js';
