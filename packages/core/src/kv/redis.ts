/**
 * Redis, or what speaks its protocol, as a key-value store, over any client. A batch is one script, which the server runs alone and
 * writes to its append-only file as one transaction; a pipeline of MULTI … EXEC could be torn by a client that reconnects.
 */
import { decodeName } from '../names.js';
import type { Store, StoreOperation } from './store.js';

/**
 * Sends one command and gives its reply: bulk strings as bytes, an absent one as null or undefined, errors as rejections. With
 * ioredis: `([name, ...rest]) => client.callBuffer(name, ...rest)`.
 */
export type RedisCommand = (args: [string, ...(string | Uint8Array)[]]) => PromiseLike<unknown>;

/** Where in a database the keys are. */
export interface RedisStoreOptions {
  /** Before every key, so that a database can hold several stores; in a cluster, with a "{tag}". Default "ovl:". */
  prefix?: string;
}

/** KEYS: the index, then each key. ARGV: how many of them are put, their values; and every key as the index has it. */
const BATCH = `local puts = tonumber(ARGV[1])
for i = 2, #KEYS do
  local member = ARGV[puts + i]
  if i - 1 <= puts then
    redis.call('SET', KEYS[i], ARGV[i])
    redis.call('ZADD', KEYS[1], 0, member)
  else
    redis.call('DEL', KEYS[i])
    redis.call('ZREM', KEYS[1], member)
  end
end
return #KEYS - 1`;

/**
 * A store on a server. What is answered is as durable as the server is set up to make it: `appendonly yes` with `appendfsync always`
 * for what must survive its power loss. Keys are also members of a sorted set, because listing must not look at all of a
 * database's keys.
 */
export function redisStore(command: RedisCommand, options: RedisStoreOptions = {}): Store<'async'> {
  const { prefix = 'ovl:' } = options;
  const index = `${prefix}:index`;
  const batch = async (operations: readonly StoreOperation[]): Promise<void> => {
    const puts = operations.filter((operation) => operation.kind === 'put');
    const keys = [...puts, ...operations.filter(({ kind }) => kind === 'delete')].map(({ key }) => key);
    const values = puts.map(({ value }) => value);
    const all = keys.map((key) => prefix + key);
    const count = String(keys.length + 1);
    await command(['EVAL', BATCH, count, index, ...all, String(puts.length), ...values, ...keys]);
  };
  return {
    async get(key) {
      const value = await command(['GET', prefix + key]);
      if (value === null || value === undefined) return undefined;
      if (!(value instanceof Uint8Array)) throw new TypeError('the Redis client must reply with bytes');
      return value;
    },
    put: (key, value) => batch([{ kind: 'put', key, value }]),
    delete: (key) => batch([{ kind: 'delete', key }]),
    async list(start) {
      // "~" is the first character after all that keys may hold.
      const members = await command(['ZRANGEBYLEX', index, `[${start}`, `(${start}~`]);
      return (members as (string | Uint8Array)[]).map((key) => (typeof key === 'string' ? key : decodeName(key)));
    },
    batch,
  };
}
