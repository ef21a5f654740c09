// What a killed daemon leaves of a temporary upper goes with the next command, and nothing else does.
import { existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { MountRecord } from '../src/registry.js';
import {
  call,
  eventually,
  isAlive,
  mountAt,
  mountsUnder,
  place,
  requireFuse,
  shell,
  type User,
} from './mount-support.js';

const list = (user: User): MountRecord[] => call<MountRecord[]>('listMounts', [], user) as MountRecord[];

/** Mounts with a temporary upper, fills it, kills the daemon; returns the directory that it leaves. */
async function killed(user: User): Promise<{ temporary: string; base: string }> {
  const { base, lower, mountpoint } = place(user);
  const env = { TMPDIR: base };
  const { pid } = mountAt({ mountpoint, lower: [lower], tmp: true }, user, env);
  const { temporary } = list(user).find((record) => record.mountpoint === mountpoint) as { temporary: string };
  expect(temporary.startsWith(`${base}/ovl-upper-`)).toBe(true);
  const fill =
    'cd "$1"; mkdir -p a/b/c closed/x; echo x > a/b/c/f; ln -s /etc a/link; touch closed/x/f; chmod 0 closed/x closed';
  shell(fill, [mountpoint], user);
  process.kill(pid, 'SIGKILL');
  await eventually(() => !isAlive(pid) && mountsUnder(mountpoint).length === 0, 'the mount goes with its daemon');
  expect(existsSync(temporary)).toBe(true);
  return { temporary, base };
}

test.for(['root', 'nobody'] as const)('removed by the next command, as %s', async (user, ctx) => {
  requireFuse(ctx, user);
  const { temporary, base } = await killed(user);
  list(user);
  expect(existsSync(temporary)).toBe(false);
  expect(readdirSync(base).sort()).toEqual(['lower', 'merged', 'upper', 'work']);
});

test('removed by the next mount with a temporary upper', async (ctx) => {
  requireFuse(ctx, 'root');
  const { temporary } = await killed('root');
  const { base, lower, mountpoint } = place();
  mountAt({ mountpoint, lower: [lower], tmp: true }, 'root', { TMPDIR: base });
  expect(existsSync(temporary)).toBe(false);
});

test('kept while somebody holds it', async (ctx) => {
  requireFuse(ctx, 'root');
  const { temporary } = await killed('root');
  const holder = spawn('flock', [join(temporary, 'upper'), 'sh', '-c', 'echo held; exec sleep 30'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(() => void holder.kill('SIGKILL'));
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  list('root');
  expect(existsSync(join(temporary, 'upper/a/b/c/f'))).toBe(true);
  const free = new Promise((resolve) => holder.once('exit', resolve));
  shell('pkill -KILL -P "$1" || true; kill -KILL "$1"', [String(holder.pid)]);
  await free;
  list('root');
  expect(existsSync(temporary)).toBe(false);
});

test('what has taken its place is left alone', async (ctx) => {
  requireFuse(ctx, 'root');
  const { temporary, base } = await killed('root');
  renameSync(temporary, `${base}/kept`);
  mkdirSync(`${base}/precious/upper`, { recursive: true, mode: 0o700 });
  writeFileSync(`${base}/precious/upper/f`, '');
  symlinkSync(`${base}/precious`, temporary);
  list('root');
  expect(readdirSync(`${base}/precious/upper`)).toEqual(['f']);
  expect(existsSync(`${base}/kept/upper/a`)).toBe(true);
});
