/** `@ovl/core/serial`: a layer as a stream of bytes, and those bytes as a layer again. */
export type { RandomAccess } from '../archive/source.js';
export { type SerializedLayer, serializedLayer, type SerializedLayerOptions } from './layer.js';
export {
  serialize,
  type Serialized,
  type SerializeOptions,
  type SerializeProgress,
  serializeUpper,
} from './serialize.js';
