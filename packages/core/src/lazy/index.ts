/** `@ovl/core/lazy`: copy-up after the answer, over an upper layer that copies beside its caller. */
export { LazyCopyUps, type LazyOptions } from './copy-ups.js';
export { Unsettled } from './pending-copy.js';
