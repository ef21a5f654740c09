// Several mounts in one daemon: who shares one, and that each mount's life is its own.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { MountOptions } from '../src/options.js';
import type { MountRecord } from '../src/registry.js';
import {
  call,
  eventually,
  isAlive,
  isFailure,
  mountAt,
  mountsUnder,
  NOBODY,
  type Place,
  place,
  processesWith,
  requireFuse,
  run,
  shell,
  unmountAt,
  type User,
} from './mount-support.js';

const dist = new URL('../dist/index.js', import.meta.url);

/** More mountpoints in a place. */
function mountpoints({ base }: Place, count: number, user: User = 'root'): string[] {
  const paths = Array.from({ length: count }, (_, i) => join(base, `merged${i}`));
  shell('for d; do mkdir "$d"; done', paths, user);
  return paths;
}

const pidOf = (options: MountOptions, user: User = 'root', env?: NodeJS.ProcessEnv): number =>
  mountAt(options, user, env).pid;

/** A program that mounts, for shells: options as JSON. */
const mounter = [
  '--input-type=module',
  '-e',
  `await (await import("${dist.href}")).mount(JSON.parse(process.argv[1]));`,
];

test.for(['root', 'nobody'] as const)('the second mount joins the first, and each ends alone, as %s', (user, ctx) => {
  requireFuse(ctx, user);
  const at = place(user);
  const { lower, upper, work } = at;
  const [a, b, c] = mountpoints(at, 3, user) as [string, string, string];
  shell('echo lower > "$1/f"', [lower], user);
  const pid = pidOf({ mountpoint: a, lower: [lower], upper, work }, user);
  expect(pidOf({ mountpoint: b, lower: [lower] }, user)).toBe(pid);
  expect(pidOf({ mountpoint: c, lower: [lower], tmp: true }, user, { TMPDIR: at.base })).toBe(pid);
  shell('echo a >> "$1/f"; echo c >> "$3/f"', [a, b, c], user);
  expect(shell('cat "$1/f" "$2/f" "$3/f"', [a, b, c], user)).toBe('lower\na\nlower\nlower\nc\n');
  unmountAt(a, user);
  expect(shell('cat "$1/f" "$2/f"', [b, c], user)).toBe('lower\nlower\nc\n');
  expect(readFileSync(join(upper, 'f'), 'utf8')).toBe('lower\na\n');
  expect(isFailure(call('mount', [{ mountpoint: a, lower: [lower], upper, work }], user))).toBe(false); // the upper is free
  for (const mountpoint of [c, b, a]) unmountAt(mountpoint, user);
  expect(isAlive(pid)).toBe(false);
  expect(readdirSync(at.base).filter((name) => name.startsWith('ovl-upper-'))).toEqual([]);
});

test('who asks for it, is another user, or runs with other limits has a daemon of its own', (ctx) => {
  requireFuse(ctx, 'root');
  requireFuse(ctx, 'nobody');
  const at = place();
  const nobodys = place('nobody');
  const [a, b, c, d, e] = mountpoints(at, 5) as [string, string, string, string, string];
  const lower = [at.lower];
  const pids = [pidOf({ mountpoint: a, lower }), pidOf({ mountpoint: b, lower, ownDaemon: true })];
  pids.push(pidOf({ mountpoint: nobodys.mountpoint, lower: [nobodys.lower] }, 'nobody'));
  const others: [string, string[]][] = [
    [c, ['nice', '-n', '3']],
    [d, ['prlimit', '--fsize=1000000000']],
    [e, ['setpriv', '--bounding-set', '-sys_time']],
  ];
  for (const [mountpoint, [command, ...args]] of others) {
    const done = run(command as string, [...args, process.execPath, ...mounter, JSON.stringify({ mountpoint, lower })]);
    expect(done).toMatchObject({ status: 0, stderr: '' });
    pids.push(
      (call<MountRecord[]>('listMounts', []) as MountRecord[]).find((m) => m.mountpoint === mountpoint)?.pid ?? 0,
    );
  }
  expect(new Set(pids).size).toBe(6);
});

test('another mount namespace has another daemon', (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const [a, b] = mountpoints(at, 2) as [string, string];
  const pid = pidOf({ mountpoint: a, lower: [at.lower] });
  const options = JSON.stringify({ mountpoint: b, lower: [at.lower] });
  // The namespace, and with it the mount, ends with the shell: so does the daemon.
  const script = '"$@" && awk -v at="$B" \'$5 == at\' /proc/self/mountinfo | wc -l && umount "$B"';
  const inside = spawnSync(
    'unshare',
    ['-m', '--propagation', 'private', 'sh', '-c', script, 'sh', process.execPath, ...mounter, options],
    {
      encoding: 'utf8',
      env: { ...process.env, B: b },
      timeout: 20_000,
    },
  );
  expect(inside).toMatchObject({ status: 0, stdout: '1\n' });
  expect(mountsUnder(b)).toEqual([]);
  expect(shell('ls "$1"', [a])).toBe('');
  unmountAt(a);
  expect(isAlive(pid)).toBe(false);
});

test('a mount on top of another, or inside its layer, has a daemon of its own and answers', (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const { base, lower, upper, work } = at;
  const [a, b, c, kernel] = mountpoints(at, 4) as [string, string, string, string];
  mkdirSync(join(lower, 'sub/inside'), { recursive: true });
  writeFileSync(join(lower, 'sub/f'), 'below\n');
  const first = pidOf({ mountpoint: a, lower: [lower], upper, work });
  const onTop = pidOf({ mountpoint: b, lower: [join(a, 'sub')] });
  const inside = pidOf({ mountpoint: join(lower, 'sub/inside'), lower: [base] });
  shell('mkdir "$3"; mount -t overlay overlay -o lowerdir="$1/sub:$3" "$2"', [a, kernel, join(base, 'empty')]);
  const onKernel = pidOf({ mountpoint: c, lower: [kernel] });
  expect(onTop).not.toBe(first);
  expect(inside).not.toBe(first);
  expect(onKernel).not.toBe(first);
  expect(shell('cat "$1/f" "$2/f"; ls "$3/sub/inside/lower/sub"', [b, c, a])).toBe('below\nbelow\nf\ninside\n');
  for (const mountpoint of [c, kernel]) shell('umount "$1"', [mountpoint]);
  for (const mountpoint of [b, a, join(lower, 'sub/inside')]) unmountAt(mountpoint);
});

test('a mount that is refused is told so, and the others go on', (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const { lower, upper, work } = at;
  const [a, b] = mountpoints(at, 2) as [string, string];
  const pid = pidOf({ mountpoint: a, lower: [lower], upper, work });
  const refused = call('mount', [{ mountpoint: b, lower: [lower], upper, work }]);
  expect(refused).toMatchObject({ exitCode: 4, message: expect.stringContaining('another overlay is using') });
  expect(mountsUnder(b)).toEqual([]);
  expect(isAlive(pid)).toBe(true);
  shell('echo x > "$1/x"', [a]);
  unmountAt(a);
  expect(isAlive(pid)).toBe(false);
});

test('requests are counted for each mount', (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const [a, b] = mountpoints(at, 2) as [string, string];
  for (let i = 0; i < 20; i++) writeFileSync(join(at.lower, String(i)), '');
  const busy = mountAt({ mountpoint: a, lower: [at.lower] });
  const idle = mountAt({ mountpoint: b, lower: [at.lower] });
  shell('cat "$1"/*', [a]);
  const opened = (record: MountRecord): number =>
    (
      call<{ request: string; count: number }[]>('requestCounts', [record]) as { request: string; count: number }[]
    ).find(({ request }) => request === 'open')?.count ?? 0;
  expect(opened(busy)).toBe(20);
  expect(opened(idle)).toBe(0);
});

test('two busy mounts are both served to the end', (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const [a, b] = mountpoints(at, 2) as [string, string];
  const pid = pidOf({ mountpoint: a, lower: [at.lower], tmp: true });
  expect(pidOf({ mountpoint: b, lower: [at.lower], tmp: true })).toBe(pid);
  const script = 'for d; do (for i in $(seq 300); do echo $i > "$d/$i"; cat "$d/$i"; done | wc -l) & done; wait';
  expect(shell(script, [a, b])).toBe('300\n300\n');
  for (const mountpoint of [a, b]) unmountAt(mountpoint);
});

test('a kill takes all mounts of the daemon, and leaves none that hangs', async (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const paths = mountpoints(at, 3);
  const [pid, ...more] = paths.map((mountpoint) => pidOf({ mountpoint, lower: [at.lower] })) as [
    number,
    number,
    number,
  ];
  expect(more).toEqual([pid, pid]);
  process.kill(pid, 'SIGKILL');
  await eventually(() => paths.every((path) => mountsUnder(path).length === 0), 'the mounts go');
  await eventually(() => processesWith(at.base).length === 0, 'the watchdogs go');
  const again = pidOf({ mountpoint: paths[0] as string, lower: [at.lower] });
  expect(again).not.toBe(pid);
  unmountAt(paths[0] as string);
});

test('SIGTERM unmounts all', async (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const paths = mountpoints(at, 3);
  const pids = paths.map((mountpoint) => pidOf({ mountpoint, lower: [at.lower] }));
  process.kill(pids[0] as number, 'SIGTERM');
  await eventually(() => pids.every((pid) => !isAlive(pid)), 'the daemon leaves');
  expect(paths.flatMap(mountsUnder)).toEqual([]);
});

test('a daemon that was stopped keeps nobody from mounting', (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const [a, b, c] = mountpoints(at, 3) as [string, string, string];
  const stopped = pidOf({ mountpoint: a, lower: [at.lower] });
  process.kill(stopped, 'SIGSTOP');
  onTestFinished(() => {
    if (isAlive(stopped)) process.kill(stopped, 'SIGKILL');
  });
  const second = pidOf({ mountpoint: b, lower: [at.lower] });
  expect(second).not.toBe(stopped);
  expect(pidOf({ mountpoint: c, lower: [at.lower] })).toBe(second);
  process.kill(stopped, 'SIGCONT');
  expect(shell('ls "$1"', [a])).toBe('');
  for (const mountpoint of [a, b, c]) unmountAt(mountpoint);
  expect([stopped, second].filter(isAlive)).toEqual([]);
});

/** Starts mounts at the same moment, each by a program of its own; what they said, once all have ended. */
function mountTogether(at: Place, paths: readonly string[], user: User): string {
  const options = paths.map((mountpoint) => JSON.stringify({ mountpoint, lower: [at.lower], tmp: true }));
  const script = `node=$1; shift; export XDG_RUNTIME_DIR= TMPDIR="${at.base}"
    for o; do "$node" --input-type=module -e '${mounter[2]}' "$o" 2>&1 & done; wait`;
  return shell(script, [process.execPath, ...options], user);
}

/** Whether a process was started by one that was told to mount below `base`. */
function isStartedFor(pid: number, base: string): boolean {
  try {
    const parent = /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return readFileSync(`/proc/${parent}/cmdline`, 'utf8').includes(base);
  } catch {
    return false;
  }
}

const recordsOf = (paths: readonly string[], user: User): MountRecord[] =>
  (call<MountRecord[]>('listMounts', [], user) as MountRecord[]).filter((m) => paths.includes(m.mountpoint));

/** The processes that are about to start a daemon, as their locks have them. */
function starters(user: User): string[] {
  const directory = user === 'root' ? '/run/ovl' : `/tmp/ovl-${NOBODY}`;
  const locks = readdirSync(directory).filter((name) => name.includes('.start'));
  return locks.flatMap((name) => {
    const path = join(directory, name);
    return existsSync(path) ? readFileSync(path, 'latin1').split(' ').slice(0, 1) : [];
  });
}

test.for(['root', 'nobody'] as const)('ten at once, from nothing, start one daemon, as %s', (user, ctx) => {
  requireFuse(ctx, user);
  const at = place(user);
  const paths = mountpoints(at, 10, user);
  writeFileSync(join(at.lower, 'f'), 'x\n');
  expect(mountTogether(at, paths, user)).toBe('');
  expect(shell('cd "$1"; cat merged?/f | wc -l', [at.base], user)).toBe('10\n');
  const records = recordsOf(paths, user);
  expect(records).toHaveLength(10);
  expect(new Set(records.map(({ pid }) => pid)).size).toBe(1);
  expect(starters(user).filter((pid) => !isAlive(Number(pid)))).toEqual([]);
  for (const mountpoint of paths) unmountAt(mountpoint, user);
  expect(records.filter(({ pid }) => isAlive(pid))).toEqual([]);
});

test('ten at once whose daemon dies: each is mounted or says so, and the next mount is served', async (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const paths = mountpoints(at, 10);
  const script = `node=$1; shift; for o; do "$node" --input-type=module -e '${mounter[2]}' "$o" & done; wait`;
  const options = paths.map((mountpoint) => JSON.stringify({ mountpoint, lower: [at.lower] }));
  const child = spawn('/bin/sh', ['-c', script, 'sh', process.execPath, ...options], { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.on('close', resolve));
  // As soon as the first can be asked, and so while others ask it.
  let daemon: number | undefined;
  await eventually(() => {
    const pids = readdirSync('/run/ovl').map((name) => Number(/-(\d+)\.sock$/.exec(name)?.[1]));
    daemon = pids.find((pid) => isStartedFor(pid, at.base));
    return daemon !== undefined;
  }, 'a daemon listens');
  process.kill(daemon as number, 'SIGKILL');
  await ended;
  await eventually(
    () => processesWith(at.base).length <= recordsOf(paths, 'root').length,
    'the watchdogs of the dead go',
  );
  expect(starters('root').filter((pid) => !isAlive(Number(pid)))).toEqual([]);
  for (const { mountpoint } of mountsUnder(at.base)) expect(shell('ls "$1"', [mountpoint])).toBe('');
  for (const { mountpoint } of recordsOf(paths, 'root')) unmountAt(mountpoint);
  expect(mountsUnder(at.base)).toEqual([]);
  pidOf({ mountpoint: paths[0] as string, lower: [at.lower] });
  unmountAt(paths[0] as string);
});

test('a start lock whose holder died keeps nobody waiting', (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const [a] = mountpoints(at, 1) as [string];
  const killed = `
    const { DaemonApproach } = await import("${new URL('../dist/start/index.js', import.meta.url).href}");
    console.log(process.pid);
    new DaemonApproach();
    process.kill(process.pid, 'SIGKILL');`;
  const holder = run(process.execPath, ['--input-type=module', '-e', killed]).stdout.trim();
  expect(starters('root')).toContain(holder);
  pidOf({ mountpoint: a, lower: [at.lower] });
  expect(starters('root')).not.toContain(holder);
  unmountAt(a);
});

test('a mount that comes while the last one leaves is served', (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const [a, b] = mountpoints(at, 2) as [string, string];
  pidOf({ mountpoint: a, lower: [at.lower] });
  let [mounted, next] = [a, b];
  for (const delay of ['0.02', '0.04', '0.06', '0.08', '0.1', '0.12', '0.15', '0.2']) {
    const options = JSON.stringify({ mountpoint: next, lower: [at.lower] });
    const before = mounted;
    // The program takes a while to start, so the unmount is what has to wait.
    const script = `(sleep ${delay}; umount "$3") & "$1" --input-type=module -e '${mounter[2]}' "$2"; wait`;
    shell(script, [process.execPath, options, before]);
    expect(mountsUnder(before)).toEqual([]);
    expect(shell('ls "$1"', [next])).toBe('');
    [mounted, next] = [next, before];
  }
  unmountAt(mounted);
});

test('a socket that another user could reach is never made', (ctx) => {
  requireFuse(ctx, 'nobody');
  const at = place('nobody');
  const runtime = join(at.base, 'runtime');
  shell('mkdir -p "$1/ovl"; chmod 755 "$1" "$1/ovl"', [runtime], 'nobody');
  const [a, b] = mountpoints(at, 2, 'nobody') as [string, string];
  const env = { XDG_RUNTIME_DIR: runtime };
  const first = pidOf({ mountpoint: a, lower: [at.lower] }, 'nobody', env);
  expect(readdirSync(join(runtime, 'ovl')).filter((name) => name.endsWith('.sock'))).toEqual([]);
  expect(pidOf({ mountpoint: b, lower: [at.lower] }, 'nobody', env)).not.toBe(first);
  expect(existsSync(join(runtime, 'ovl'))).toBe(true);
  for (const mountpoint of [a, b]) call('unmount', [mountpoint], 'nobody', env);
});
