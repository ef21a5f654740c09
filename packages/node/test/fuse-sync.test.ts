// fsync beside the serving thread: what goes there, how it is answered, and that a mount's files reach the disk by it.
import { closeSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type OpenHandle, runSync } from '@ovl/core';
import { describe, expect, test } from 'vitest';
import { Opcode } from '../src/fuse/protocol.js';
import { SyncsBeside, type SyncTask, carryOutSync } from '../src/fuse/sync-beside.js';
import { Client, join as bytes, text, words32, words64 } from './fuse-support.js';
import { freshUpper, temporary } from './host-support.js';
import { mountAt, place, requireFuse, shell, unmountAt, type User } from './mount-support.js';

const MIB = 1 << 20;
const small = (): number => MIB - 1;
const large = (): number => MIB;

describe('what is synced where', () => {
  const handle = {} as OpenHandle;
  const syncs = (): SyncsBeside => new SyncsBeside(() => {});

  test('a small file at once, a large one beside', () => {
    expect(syncs().choose(handle, small, 0)).toBe('at-once');
    expect(syncs().choose(handle, large, 0)).toBe('beside');
  });

  test('a large file at once while it is synced again and again', () => {
    const s = syncs();
    for (const now of [0, 49, 98]) {
      expect(s.choose(handle, large, now)).toBe(now === 0 ? 'beside' : 'at-once');
      s.began(handle, now);
    }
    expect(s.choose(handle, large, 148)).toBe('beside');
    expect(s.choose({} as OpenHandle, large, 149)).toBe('beside');
  });

  test('a large file beside, however often it was asked for while its copy was not complete', () => {
    const s = syncs();
    for (const now of [0, 1, 2, 3]) expect(s.choose(handle, large, now)).toBe('beside');
  });

  test('everything beside for a second after one took long', () => {
    const s = syncs();
    s.took(10, 100);
    expect(s.choose(handle, small, 100)).toBe('at-once');
    s.took(11, 200);
    expect(s.choose(handle, small, 1199)).toBe('beside');
    expect(s.choose(handle, small, 1200)).toBe('at-once');
  });
});

describe('the answer', () => {
  const answer = (fd: number, scope: 'data' | 'all'): Promise<Int32Array> => {
    const path = join(temporary(), 'device');
    const device = openSync(path, 'w');
    return new Promise((resolve) => {
      carryOutSync(device, { fd, scope, unique: [0xfffffffe, 7] }, () => {
        closeSync(device);
        resolve(new Int32Array(Uint8Array.from(readFileSync(path)).buffer));
      });
    });
  };

  test.each(['data', 'all'] as const)('of a file (%s): the header alone; its descriptor is closed', async (scope) => {
    const fd = openSync('/proc/self/exe', 'r');
    expect(await answer(fd, scope)).toEqual(Int32Array.of(16, 0, -2, 7));
    expect(() => closeSync(fd)).toThrow('EBADF');
  });

  test('of what cannot be synced: its errno', async () => {
    expect(await answer(openSync('/dev/null', 'w'), 'all')).toEqual(Int32Array.of(16, -22, -2, 7));
  });
});

describe('the request', () => {
  const synced = (client: Client, size: number): SyncTask[] => {
    const tasks: SyncTask[] = [];
    client.server.syncs = new SyncsBeside((task) => tasks.push(task));
    const created = client.content(Opcode.create, 1, bytes(words32(2, 0o100644, 0, 0), text('f')));
    const nodeid = Number(created.readBigUInt64LE(0));
    const fh = Number(created.readBigUInt64LE(128));
    client.write(nodeid, fh, size - 1, '!');
    const reply = client.request(Opcode.fsync, nodeid, bytes(words64(fh), words32(1, 0)));
    expect(reply.error).toBe(0);
    expect(reply.content === undefined).toBe(tasks.length > 0); // no reply yet, or an empty one
    client.request(Opcode.release, nodeid, bytes(words64(fh), words32(0, 0), words64(0)));
    runSync(client.overlay.close());
    return tasks;
  };

  test('large: handed over with a descriptor of its own, which the release leaves open', () => {
    const { upper, dir } = freshUpper();
    const [task, ...others] = synced(new Client({}, upper), MIB);
    expect(others).toEqual([]);
    expect(task).toMatchObject({ scope: 'data', unique: [0xeeeeeeee, 0xeeeeeeee] });
    expect(statSync(`/proc/self/fd/${task?.fd}`).ino).toBe(statSync(join(dir, 'f')).ino);
    closeSync(task?.fd as number);
  });

  test('large, by somebody who may only read: handed over too', () => {
    const tasks: SyncTask[] = [];
    const { upper, dir } = freshUpper();
    writeFileSync(join(dir, 'f'), Buffer.alloc(MIB));
    const client = new Client({}, upper);
    client.server.syncs = new SyncsBeside((task) => tasks.push(task));
    const nodeid = Number(client.content(Opcode.lookup, 1, text('f')).readBigUInt64LE(0));
    const fh = Number(client.content(Opcode.open, nodeid, words32(0, 0)).readBigUInt64LE(0));
    expect(client.request(Opcode.fsync, nodeid, bytes(words64(fh), words32(0, 0))).content).toBeUndefined();
    expect(tasks).toMatchObject([{ scope: 'all' }]);
    closeSync(tasks[0]?.fd as number);
    client.request(Opcode.release, nodeid, bytes(words64(fh), words32(0, 0), words64(0)));
    runSync(client.overlay.close());
  });

  test('small, or without a descriptor: answered at once', () => {
    expect(synced(new Client({}, freshUpper().upper), 1)).toEqual([]);
    expect(synced(new Client({}), MIB)).toEqual([]);
  });
});

const users: User[] = ['root', 'nobody'];

test.for(users)('a mount (as %s) whose large files are synced together', (user, ctx) => {
  requireFuse(ctx, user);
  const { lower, upper, work, mountpoint } = place(user);
  mountAt({ mountpoint, lower: [lower], upper, work }, user);
  const script = `for i in 1 2 3 4; do dd if=/dev/zero of="$1/$i" bs=1M count=4 conv=fsync status=none & done
    for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of="$1/small" bs=1k count=1 conv=fdatasync status=none; done; wait`;
  shell(script, [mountpoint], user);
  unmountAt(mountpoint, user);
  for (const i of [1, 2, 3, 4]) expect(statSync(join(upper, `${i}`)).size).toBe(4 * MIB);
});
