/** `@ovl/core/zip`: zip archives as layers, stored files read in place. */
export type { ArchiveLayer } from '../archive/layer.js';
export type { RandomAccess } from '../archive/source.js';
export { zipLayer, type ZipLayerOptions } from './zip.js';
