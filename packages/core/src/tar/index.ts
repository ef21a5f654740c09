/** `@ovl/core/tar`: tar archives as layers, read in place. */
export type { ArchiveLayer } from '../archive/layer.js';
export type { RandomAccess } from '../archive/source.js';
export { tarLayer, type TarLayerOptions } from './tar.js';
