/** Copy-up of what is written and no more (`@ovl/core/extents`). */
export { extents, type ExtentsOptions } from './option.js';
export { sparseMemoryLayer } from './sparse-memory.js';
