// A mount's life, for root and for an ordinary user: live when mount() returns, gone after unmount(), a signal or a kill.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { TransportName } from '../src/options.js';
import type { MountRecord } from '../src/registry.js';
import {
  call,
  eventually,
  isAlive,
  isFailure,
  mountAt,
  mountsUnder,
  place,
  processesWith,
  requireFuse,
  run,
  shell,
  unmountAt,
  type User,
} from './mount-support.js';

const users: User[] = ['root', 'nobody'];
const transports: TransportName[] = ['direct', 'libfuse'];
const each = users.flatMap((user) => transports.map((transport) => ({ user, transport })));

describe.each(each)('as $user, $transport', ({ user, transport }) => {
  test('merged, writable, live when mount() returns; the daemon leaves at unmount', (ctx) => {
    requireFuse(ctx, user);
    const { lower, upper, work, mountpoint } = place(user);
    shell('echo lower > "$1/f"', [lower], user);
    const { pid } = mountAt({ transport, mountpoint, lower: [lower], upper, work }, user);
    expect(mountsUnder(mountpoint)).toEqual([{ mountpoint, fstype: 'fuse.ovl' }]);
    expect(shell('stat -f -c %t "$1"', [mountpoint], user).trim()).toBe('65735546');
    shell('echo upper >> "$1/f"; mkdir "$1/d"; echo new > "$1/d/g"; mv "$1/d" "$1/e"', [mountpoint], user);
    expect(shell('cat "$1/f" "$1/e/g"', [mountpoint], user)).toBe('lower\nupper\nnew\n');
    unmountAt(mountpoint, user);
    expect(isAlive(pid)).toBe(false);
    expect(mountsUnder(mountpoint)).toEqual([]);
    expect(readFileSync(join(lower, 'f'), 'utf8')).toBe('lower\n');
    expect(readFileSync(join(upper, 'f'), 'utf8')).toBe('lower\nupper\n');
    expect(readFileSync(join(upper, 'e/g'), 'utf8')).toBe('new\n');
  });

  test('a file that its owner may not write is written by who just made it', (ctx) => {
    requireFuse(ctx, user);
    const { lower, upper, work, mountpoint } = place(user);
    mountAt({ transport, mountpoint, lower: [lower], upper, work }, user);
    shell('umask 0333; echo secret > "$1/f"', [mountpoint], user);
    unmountAt(mountpoint, user);
    expect(readFileSync(join(upper, 'f'), 'utf8')).toBe('secret\n');
    expect(statSync(join(upper, 'f')).mode & 0o777).toBe(0o444);
  });

  test('is listed while it is live', (ctx) => {
    requireFuse(ctx, user);
    const { lower, mountpoint } = place(user);
    const mounted = mountAt({ transport, mountpoint, lower: [lower] }, user);
    const find = (): MountRecord | undefined =>
      (call<MountRecord[]>('listMounts', [], user) as MountRecord[]).find((record) => record.mountpoint === mountpoint);
    expect(find()).toMatchObject({ pid: mounted.pid, lower: [lower], transport });
    unmountAt(mountpoint, user);
    expect(find()).toBeUndefined();
  });

  test('SIGTERM unmounts', async (ctx) => {
    requireFuse(ctx, user);
    const { lower, mountpoint } = place(user);
    const { pid } = mountAt({ transport, mountpoint, lower: [lower] }, user);
    process.kill(pid, 'SIGTERM');
    await eventually(() => !isAlive(pid), 'the daemon leaves');
    expect(mountsUnder(mountpoint)).toEqual([]);
    await eventually(() => processesWith(mountpoint).length === 0, 'the watchdog leaves');
  });

  test('SIGTERM unmounts what is in use', async (ctx) => {
    requireFuse(ctx, user);
    const { lower, mountpoint } = place(user);
    writeFileSync(join(lower, 'f'), 'x');
    const { pid } = mountAt({ transport, mountpoint, lower: [lower] }, user);
    const holder = spawn(
      '/bin/sh',
      ['-c', 'cd "$1" && exec sleep 30', 'sh', mountpoint],
      user === 'nobody' ? { uid: 65534, gid: 65534 } : {},
    );
    onTestFinished(() => void holder.kill('SIGKILL'));
    await eventually(() => inside(holder.pid as number, mountpoint), 'somebody is in the mount');
    const refused = call<undefined>('unmount', [mountpoint], user);
    expect(refused).toMatchObject({ exitCode: 4, message: expect.stringContaining('is in use') });
    process.kill(pid, 'SIGTERM');
    await eventually(() => !isAlive(pid), 'the daemon leaves');
    expect(mountsUnder(mountpoint)).toEqual([]);
  });

  test('a killed daemon leaves no mount behind', async (ctx) => {
    requireFuse(ctx, user);
    const { lower, mountpoint } = place(user);
    const { pid } = mountAt({ transport, mountpoint, lower: [lower] }, user);
    process.kill(pid, 'SIGKILL');
    await eventually(() => mountsUnder(mountpoint).length === 0, 'the mount goes');
    await eventually(() => processesWith(mountpoint).length === 0, 'the watchdog goes');
    const records = call<MountRecord[]>('listMounts', [], user) as MountRecord[];
    expect(records.map((record) => record.mountpoint)).not.toContain(mountpoint);
  });

  test('a temporary upper vanishes, with directories of any mode', (ctx) => {
    requireFuse(ctx, user);
    const { base, lower, mountpoint } = place(user);
    const { upper } = mountAt({ transport, mountpoint, lower: [lower], tmp: true }, user, { TMPDIR: base });
    expect(upper?.startsWith(`${base}/ovl-upper-`)).toBe(true);
    shell('mkdir -p "$1/a/b/c"; echo x > "$1/a/b/c/f"; chmod 0 "$1/a/b/c" "$1/a/b" "$1/a"', [mountpoint], user);
    expect(existsSync(upper as string)).toBe(true);
    unmountAt(mountpoint, user);
    expect(readdirSync(base).filter((name) => name.startsWith('ovl-upper-'))).toEqual([]);
  });

  test('four processes at once', (ctx) => {
    requireFuse(ctx, user);
    const { lower, upper, work, mountpoint } = place(user);
    mountAt({ transport, mountpoint, lower: [lower], upper, work }, user);
    const script = `
      for p in 1 2 3 4; do
        ( mkdir "$1/$p"; for i in $(seq 100); do echo "$p $i" > "$1/$p/$i"; echo "$p $i" >> "$1/shared"; done
          mv "$1/$p" "$1/done$p"; cat "$1/done$p"/* | wc -l ) &
      done; wait; wc -l < "$1/shared"; ls "$1"`;
    expect(shell(script, [mountpoint], user).split('\n').slice(0, -1)).toEqual([
      ...Array.from({ length: 4 }, () => '100'),
      '400',
      'done1',
      'done2',
      'done3',
      'done4',
      'shared',
    ]);
    unmountAt(mountpoint, user);
  });
});

function inside(pid: number, directory: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === directory;
  } catch {
    return false;
  }
}

test('the daemon holds none of its starter’s streams, works from /, and survives its starter', (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, mountpoint } = place();
  const { pid } = mountAt({ mountpoint, lower: [lower] }); // whose process has ended by now
  expect(readlinkSync(`/proc/${pid}/cwd`)).toBe('/');
  expect([0, 1, 2].map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))).toEqual(Array(3).fill('/dev/null'));
  expect(shell('ls "$1"', [mountpoint])).toBe('');
  unmountAt(mountpoint);
});

test('without an upper the view is read-only', (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, mountpoint } = place();
  mountAt({ mountpoint, lower: [lower] });
  expect(run('touch', [`${mountpoint}/x`]).stderr).toContain('Read-only file system');
  unmountAt(mountpoint);
});

test('a work directory is made beside the upper', (ctx) => {
  requireFuse(ctx, 'root');
  const { base, lower, upper, mountpoint } = place();
  const { work } = mountAt({ mountpoint, lower: [lower], upper });
  expect(work).toBe(join(base, '.upper.work'));
  unmountAt(mountpoint);
});

describe.each(transports)('%s', (transport) => {
  test('in the foreground the mount ends with a signal, and the process with it', async (ctx) => {
    requireFuse(ctx, 'root');
    const { lower, mountpoint } = place();
    const dist = new URL('../dist/index.js', import.meta.url);
    const code = `
    const { mount } = await import(${JSON.stringify(dist.href)});
    const { ended } = await mount({ mountpoint: process.argv[1], lower: [process.argv[2]], transport: process.argv[3], foreground: true });
    console.log('live');
    process.exitCode = await ended;`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code, mountpoint, lower, transport]);
    onTestFinished(() => void child.kill('SIGKILL'));
    const exit = new Promise((resolve) => child.once('exit', (status, signal) => resolve(signal ?? status)));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    expect(mountsUnder(mountpoint)).toHaveLength(1);
    child.kill('SIGINT');
    expect(await exit).toBe(0);
    expect(mountsUnder(mountpoint)).toEqual([]);
  });

  test('a lazy unmount lets those inside finish', async (ctx) => {
    requireFuse(ctx, 'root');
    const { lower, upper, work, mountpoint } = place();
    const { pid } = mountAt({ transport, mountpoint, lower: [lower], upper, work });
    const script = 'exec 3> "$1/f"; echo ready; read -r _; echo late >&3';
    const writer = spawn('/bin/sh', ['-c', script, 'sh', mountpoint]);
    onTestFinished(() => void writer.kill('SIGKILL'));
    await new Promise((resolve) => writer.stdout.once('data', resolve));
    expect(isFailure(call('unmount', [mountpoint, { lazy: true }]))).toBe(false);
    expect(mountsUnder(mountpoint)).toEqual([]);
    expect(isAlive(pid)).toBe(true);
    writer.stdin.end('\n');
    await eventually(() => !isAlive(pid), 'the daemon leaves with its last user');
    expect(readFileSync(join(upper, 'f'), 'utf8')).toBe('late\n');
  });
});

test('a later mount at the place of a killed one is left alone, and the dead one below can be cleared', async (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, mountpoint } = place();
  const { pid } = mountAt({ mountpoint, lower: [lower] });
  shell('mount -t tmpfs none "$1"', [mountpoint]);
  process.kill(pid, 'SIGKILL');
  await eventually(() => processesWith(mountpoint).length === 0, 'the watchdog goes');
  expect(mountsUnder(mountpoint).map(({ fstype }) => fstype)).toEqual(['tmpfs', 'fuse.ovl']);
  shell('umount "$1"', [mountpoint]);
  expect(call('mount', [{ mountpoint, lower: [lower] }])).toMatchObject({ exitCode: 4 });
  unmountAt(mountpoint);
  expect(mountsUnder(mountpoint)).toEqual([]);
});

test('unmounting twice, or what is not ours, is refused', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, base } = place();
  expect(call('unmount', [mountpoint])).toMatchObject({
    exitCode: 3,
    message: expect.stringContaining('not an ovl mount'),
  });
  expect(call('unmount', ['/proc'])).toMatchObject({ exitCode: 3 });
  expect(call('unmount', [join(base, 'none/none')])).toMatchObject({ exitCode: 3 });
});

describe.each(each)('a mountpoint inside a layer, as $user, $transport', ({ user, transport }) => {
  test('shows what lay there, and never hangs', (ctx) => {
    requireFuse(ctx, user);
    const { lower, upper, work } = place(user);
    const mountpoint = join(lower, 'sub/merged');
    shell('mkdir -p "$1"; echo below > "$1/f"', [mountpoint], user);
    mountAt({ transport, mountpoint, lower: [lower], upper, work }, user);
    const list =
      'cd "$1"; find . | LC_ALL=C sort; cat sub/merged/f; echo more >> sub/merged/f; mv sub other; cat other/merged/f';
    expect(shell(list, [mountpoint], user)).toBe('.\n./sub\n./sub/merged\n./sub/merged/f\nbelow\nbelow\nmore\n');
    unmountAt(mountpoint, user);
    expect(readFileSync(join(mountpoint, 'f'), 'utf8')).toBe('below\n');
  });

  test('may be the layer itself', (ctx) => {
    requireFuse(ctx, user);
    const { lower, upper, work } = place(user);
    shell('echo x > "$1/f"', [lower], user);
    mountAt({ transport, mountpoint: lower, lower: [lower], upper, work }, user);
    shell('echo y > "$1/g"; rm "$1/f"', [lower], user);
    expect(shell('ls "$1"', [lower], user)).toBe('g\n');
    unmountAt(lower, user);
    expect(readdirSync(lower)).toEqual(['f']);
  });
});

test('a bind mount that shows the mountpoint a second time does not mislead', (ctx) => {
  requireFuse(ctx, 'root');
  const { base, lower, upper, work } = place();
  const bind = join(base, 'bind');
  mkdirSync(bind);
  const mountpoint = join(lower, 'merged');
  mkdirSync(mountpoint);
  shell('mount --bind "$1" "$1"; mount --make-shared "$1"; mount --bind "$1" "$2"', [lower, bind]);
  // Mounted through one of the two, it appears in both.
  mountAt({ mountpoint: join(bind, 'merged'), lower: [lower], upper, work });
  expect(mountsUnder(base).filter(({ fstype }) => fstype === 'fuse.ovl')).toHaveLength(2);
  expect(shell('ls -R "$1" | wc -l', [mountpoint])).not.toBe('');
});
