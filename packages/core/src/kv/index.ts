/** `@ovl/core/kv`: a writable layer in any store of keys and values. */
export type { KeyValueLayer } from './layer.js';
export { kvLayer, type KeyValueLayerOptions } from './open.js';
export { type RedisCommand, redisStore, type RedisStoreOptions } from './redis.js';
export { mapStore, type Store, type StoreOperation } from './store.js';
