// Options about who sees what: allow_root, noxattrs, static_nlink, SELinux labels.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { call, mountAt, place, requireFuse, run, shell, unmountAt } from './mount-support.js';

test('allow_root: the owner and root, nobody else, whatever the kernel has seen before', (ctx) => {
  requireFuse(ctx, 'root');
  const { base, lower, mountpoint } = place();
  shell('mkdir "$1/d"; echo x > "$1/d/f"; chmod 755 "$2"', [lower, base]);
  const readAs = (user: 'root' | 'nobody'): number | null => run('cat', [join(mountpoint, 'd/f')], user).status;
  mountAt({ mountpoint, lower: [lower], allow: 'other' });
  expect([readAs('root'), readAs('nobody')]).toEqual([0, 0]);
  unmountAt(mountpoint);
  mountAt({ mountpoint, lower: [lower], allow: 'root' });
  expect([readAs('root'), readAs('nobody'), readAs('root')]).toEqual([0, 1, 0]);
  for (const path of [mountpoint, join(mountpoint, 'd'), join(mountpoint, 'd/f')]) {
    const { status, stderr } = run('stat', [path], 'nobody');
    expect([status, stderr]).toEqual([1, expect.stringContaining('Permission denied')]);
  }
  expect(run('ls', [join(mountpoint, 'd')], 'nobody').status).not.toBe(0);
  unmountAt(mountpoint);
});

test('xattrs: off', (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, upper, work, mountpoint } = place();
  shell('echo x > "$1/f"; setfattr -n user.a -v b "$1/f"', [lower]);
  const options = { mountpoint, lower: [lower], upper, work };
  const read = 'cd "$1"; getfattr --only-values -n user.a f 2>&1 || true; setfattr -n user.b -v c f 2>&1 || true';
  mountAt(options);
  expect(shell(read, [mountpoint])).toBe('b');
  unmountAt(mountpoint);
  mountAt({ ...options, xattrs: 'off' });
  expect(shell(read, [mountpoint]).match(/Operation not supported/g)).toHaveLength(2);
  unmountAt(mountpoint);
});

test('static_nlink', (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, mountpoint } = place();
  shell('mkdir -p "$1/d/e"; echo x > "$1/f"; ln "$1/f" "$1/g"', [lower]);
  const counts = 'stat -c %h "$1" "$1/d" "$1/d/e" "$1/f" | tr "\\n" " "';
  mountAt({ mountpoint, lower: [lower], staticNlink: true });
  expect(shell(counts, [mountpoint])).toBe('1 1 1 2 ');
  unmountAt(mountpoint);
  mountAt({ mountpoint, lower: [lower] });
  expect(shell(counts, [mountpoint])).toBe('3 3 2 2 ');
  unmountAt(mountpoint);
});

test('SELinux labels are refused by name where there is no SELinux', (ctx) => {
  requireOrSkip(ctx, !existsSync('/sys/fs/selinux/enforce'), 'SELinux is active here');
  const { lower, mountpoint } = place();
  for (const name of ['context', 'fscontext', 'defcontext', 'rootcontext']) {
    const failure = call('mount', [{ mountpoint, lower: [lower], labels: { [name]: 'a:b:c:s0' } }]);
    expect(failure).toMatchObject({ exitCode: 2, message: expect.stringContaining(`option '${name}' cannot work`) });
  }
});

test('flags show in the mount table', (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, mountpoint } = place();
  const flags = { nosymfollow: true, sync: true, dirsync: true, suid: false, exec: false, atime: 'noatime' } as const;
  mountAt({ mountpoint, lower: [lower], ...flags, fsname: 'a,b c' });
  const line = shell('grep " $1 " /proc/self/mounts', [mountpoint]);
  expect(line.split(' ')[0]).toBe(String.raw`a,b\040c`);
  const shown = (line.split(' ')[3] as string).split(',');
  expect(shown).toEqual(
    expect.arrayContaining(['ro', 'nosuid', 'noexec', 'noatime', 'nosymfollow', 'sync', 'dirsync']),
  );
  unmountAt(mountpoint);
});
