// Redis as a key-value store, over a client of a few lines: as a Map would do; uppers in it; a server that goes away.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runAsync, S_IFREG } from '@ovl/core';
import { kvLayer, mapStore, type RedisCommand, redisStore, type Store, type StoreOperation } from '@ovl/core/kv';
import { ALL_CAPABILITIES, layerSuite, overlaySuite, populate, type TestRunner, upperSuite } from '@ovl/core/testing';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { seedOfRun } from '../../../test/support/seed.js';

const hasRedis = spawnSync('redis-server', ['--version']).status === 0;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Enough of a client: commands out, replies in, in order. */
class Client {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #pending: Buffer = Buffer.alloc(0);
  #failed: Error | undefined;

  constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.on('data', (data: Buffer) => {
      this.#pending = Buffer.concat([this.#pending, data]);
      for (let reply = parse(this.#pending, 0); reply !== undefined; reply = parse(this.#pending, 0)) {
        this.#pending = this.#pending.subarray(reply.end);
        const { resolve, reject } = this.#waiting.shift() as Waiting;
        if (reply.value instanceof Error) reject(reply.value);
        else resolve(reply.value);
      }
    });
    const fail = (error?: Error): void => {
      this.#failed = error ?? new Error('connection closed');
      for (const { reject } of this.#waiting.splice(0)) reject(this.#failed);
    };
    this.#socket.on('error', fail).on('close', () => fail());
  }

  readonly command: RedisCommand = async (args) => {
    if (this.#failed !== undefined) throw this.#failed;
    const parts = args.map((arg) => Buffer.from(arg as Uint8Array));
    const lines = parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n')]);
    this.#socket.write(Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...lines]));
    return await new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  };

  end(): void {
    this.#socket.destroy();
  }
}

function parse(data: Buffer, at: number): { value: unknown; end: number } | undefined {
  const line = data.indexOf('\r\n', at);
  if (line === -1) return undefined;
  const text = data.toString('utf8', at + 1, line);
  const length = Number(text);
  switch (data[at]) {
    case 0x2d: // -
      return { value: new Error(text), end: line + 2 };
    case 0x24: // $
      if (length === -1) return { value: null, end: line + 2 };
      if (data.length < line + 4 + length) return undefined;
      return { value: Uint8Array.from(data.subarray(line + 2, line + 2 + length)), end: line + 4 + length };
    case 0x2a: {
      const value: unknown[] = [];
      let end = line + 2;
      for (let i = 0; i < length; i++) {
        const item = parse(data, end);
        if (item === undefined) return undefined;
        value.push(item.value);
        ({ end } = item);
      }
      return { value, end };
    }
    default:
      return { value: text, end: line + 2 };
  }
}

let folder: string;
let server: ChildProcess | undefined;
let client: Client;
let stores = 0;

async function start(): Promise<Client> {
  const socket = join(folder, 'socket');
  rmSync(socket, { force: true });
  server = spawn(
    'redis-server',
    [
      '--port',
      '0',
      '--unixsocket',
      socket,
      '--dir',
      folder,
      '--save',
      '',
      '--appendonly',
      'yes',
      '--appendfsync',
      'always',
    ],
    { stdio: 'ignore' },
  );
  for (let i = 0; i < 200 && !existsSync(socket); i++) await sleep(50);
  const made = new Client(socket);
  // The socket is there before the data is loaded.
  for (let i = 0; i < 100; i++) {
    try {
      await made.command(['PING']);
      return made;
    } catch (error) {
      if (!String(error).includes('LOADING')) throw error;
      await sleep(50);
    }
  }
  throw new Error('redis-server does not begin');
}

async function stop(): Promise<void> {
  client.end();
  const gone = new Promise((resolve) => server?.once('exit', resolve));
  server?.kill('SIGKILL');
  await gone;
}

beforeAll(async () => {
  if (!hasRedis) return;
  folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ovl-redis-'));
  client = await start();
});
afterAll(async () => {
  if (!hasRedis) return;
  await stop();
  rmSync(folder, { recursive: true });
});

const store = (prefix = `test${stores++}:`): Store<'async'> => redisStore((args) => client.command(args), { prefix });
const runner: TestRunner = {
  describe,
  it: (name, body) =>
    it(name, async (context) => {
      requireOrSkip(context, hasRedis, 'redis-server');
      await body();
    }),
  skip: (name, reason) => it(name, (context) => context.skip(reason)),
};

const name = 'keys and values in Redis';
layerSuite({
  name,
  runner,
  capabilities: ALL_CAPABILITIES,
  async layer(tree) {
    const layer = await kvLayer(store());
    await runAsync(populate(layer, tree));
    return layer;
  },
});
upperSuite({ name, runner, capabilities: ALL_CAPABILITIES, upper: async () => await kvLayer(store()) });
overlaySuite({ name, runner, capabilities: ALL_CAPABILITIES, layer: async () => await kvLayer(store()) });

runner.describe('Redis as a store', () => {
  runner.it('holds what a Map holds', async () => {
    const key = fc.constantFrom('a', 'a/b', 'a/b/c', 'A', '%20', 'b~');
    const operation: fc.Arbitrary<StoreOperation> = fc.oneof(
      fc.record({ kind: fc.constant('put' as const), key, value: fc.uint8Array({ maxLength: 20 }) }),
      fc.record({ kind: fc.constant('delete' as const), key }),
    );
    const batches = fc.array(fc.uniqueArray(operation, { selector: (one) => one.key, maxLength: 4 }), { maxLength: 5 });
    const property = fc.asyncProperty(batches, async (list) => {
      const [redis, map] = [store(), mapStore()];
      for (const batch of list) {
        await redis.batch(batch);
        map.batch(batch);
      }
      for (const prefix of ['', 'a', 'a/', '%', 'zz']) {
        expect((await redis.list(prefix)).toSorted()).toEqual(map.list(prefix).toSorted());
      }
      for (const one of ['a', 'a/b', 'a/b/c', 'A', '%20', 'none']) {
        expect([...((await redis.get(one)) ?? [-1])]).toEqual([...(map.get(one) ?? [-1])]);
      }
    });
    await fc.assert(property, { seed: seedOfRun(), numRuns: 30 });
  });

  runner.it('stores with other prefixes do not see each other', async () => {
    const [one, two] = [store('one:'), store('two:')];
    await one.put('k', Uint8Array.of(1));
    expect([await two.get('k'), await two.list('')]).toEqual([undefined, []]);
    await one.delete('k');
    expect([await one.get('k'), await one.list('')]).toEqual([undefined, []]);
  });

  runner.it('an upper is there when the server was killed and comes back; in between, every call is EIO', async () => {
    const layer = await kvLayer(store('upper:'), { owner: 'me' });
    const file = { mode: S_IFREG | 0o644, uid: 0, gid: 0 };
    const { node } = await layer.create({ dir: layer.root, name: 'f' }, file);
    const opened = await layer.openWritable(node);
    await opened.write(new Uint8Array(200_000).fill(7), 0);
    await opened.close();
    await stop();
    const to = { dir: layer.root, name: 'g' };
    await expect(layer.create(to, file)).rejects.toMatchObject({ code: 'EIO' });
    client = await start();
    // The same layer goes on, and sees what is there.
    await layer.create(to, file);
    const again = await kvLayer(store('upper:'), { owner: 'me' });
    expect((await again.readdir(again.root)).map((entry) => entry.name).toSorted()).toEqual(['f', 'g']);
    const found = await again.lookup(again.root, 'f');
    const buffer = new Uint8Array(200_000);
    expect(await (await again.open(found?.node as object)).read(buffer, 0)).toBe(200_000);
    expect(buffer.every((byte) => byte === 7)).toBe(true);
  });

  runner.it('a client that replies with text is a clear error', async () => {
    const text = redisStore(async () => 'text');
    await expect(kvLayer(text)).rejects.toMatchObject({
      code: 'EIO',
      cause: { message: 'the Redis client must reply with bytes' },
    });
  });
});
