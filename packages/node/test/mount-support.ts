// Real mounts, made by the built package in processes of their own, so that nothing here can hang on one.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, onTestFinished } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import type { MountOptions } from '../src/options.js';
import type { MountRecord } from '../src/registry.js';

const dist = new URL('../dist/index.js', import.meta.url);
export const NOBODY = 65534;

/** Who runs a process. */
export type User = 'root' | 'nobody';

export function requireFuse(ctx: Pick<TestContext, 'skip'>, user: User): void {
  requireOrSkip(ctx, existsSync(dist), 'packages/node/dist: build first');
  requireOrSkip(ctx, process.getuid?.() === 0, 'root');
  requireOrSkip(ctx, isUsable('/dev/fuse'), '/dev/fuse');
  if (user === 'nobody') requireOrSkip(ctx, spawnSync('fusermount3', ['--version']).status === 0, 'fusermount3');
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a command with a time limit; `status` is null if it was exceeded. */
export function run(command: string, args: readonly string[], user: User = 'root', env: NodeJS.ProcessEnv = {}): Ran {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: 20_000,
    killSignal: 'SIGKILL',
    env: { ...process.env, ...env },
    ...(user === 'nobody' ? { uid: NOBODY, gid: NOBODY } : {}),
  });
  return { status, stdout, stderr };
}

/** Runs a shell script with `$1`, `$2` …; returns what it printed. Throws if it fails. */
export function shell(script: string, args: readonly string[], user: User = 'root'): string {
  const { status, stdout, stderr } = run('/bin/sh', ['-euc', script, 'sh', ...args], user);
  if (status !== 0) throw new Error(`status ${status}: ${stderr}`);
  return stdout;
}

export interface Failure {
  name: string;
  message: string;
  exitCode: number | undefined;
}

/** Calls an exported function of the built package in another process: its result, or its failure. */
export function call<T>(
  name: string,
  argument: unknown,
  user: User = 'root',
  env: NodeJS.ProcessEnv = {},
): T | Failure {
  const code = `
    const { ${name} } = await import(${JSON.stringify(dist.href)});
    try { console.log(JSON.stringify({ value: await ${name}(...JSON.parse(process.argv[1])) })); }
    catch ({ name, message, exitCode }) { console.log(JSON.stringify({ failure: { name, message, exitCode } })); }`;
  const args = ['--input-type=module', '-e', code, JSON.stringify(argument)];
  const { stdout, stderr, status } = run(process.execPath, args, user, { XDG_RUNTIME_DIR: '', ...env });
  if (stdout === '') throw new Error(`${name} did not answer (status ${status}): ${stderr}`);
  const { value, failure } = JSON.parse(stdout) as { value: T; failure: Failure | undefined };
  return failure ?? value;
}

export function isFailure(value: object | undefined): value is Failure {
  return value !== undefined && 'exitCode' in value && 'message' in value;
}

/** Directories for a mount, owned by the user; what is mounted there goes after the test, whatever happened. */
export interface Place {
  base: string;
  lower: string;
  upper: string;
  work: string;
  mountpoint: string;
}

export function place(user: User = 'root'): Place {
  const base = mkdtempSync(join(tmpdir(), 'ovl-mount-'));
  const own = (path: string): string => {
    if (path !== base) mkdirSync(path);
    chmodSync(path, 0o755);
    if (user === 'nobody') chownSync(path, NOBODY, NOBODY);
    return path;
  };
  own(base);
  onTestFinished(() => {
    for (const { mountpoint } of mountsUnder(base)) run('umount', ['-l', mountpoint]);
    run('rm', ['-rf', base]);
  });
  return {
    base,
    lower: own(join(base, 'lower')),
    upper: own(join(base, 'upper')),
    work: own(join(base, 'work')),
    mountpoint: own(join(base, 'merged')),
  };
}

/** Mounts in a daemon. Throws if it fails. */
export function mountAt(options: MountOptions, user: User = 'root', env?: NodeJS.ProcessEnv): MountRecord {
  const mounted = call<MountRecord>('mount', [options], user, env);
  if (isFailure(mounted)) throw new Error(mounted.message);
  return mounted;
}

export function unmountAt(mountpoint: string, user: User = 'root'): void {
  const failure = call<undefined>('unmount', [mountpoint], user);
  if (isFailure(failure)) throw new Error(failure.message);
}

/** What is mounted at or below a path. */
export function mountsUnder(path: string): { mountpoint: string; fstype: string }[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({
      mountpoint: line.split(' ')[4] as string,
      fstype: line.split(' - ')[1]?.split(' ')[0] as string,
    }))
    .filter(({ mountpoint }) => mountpoint === path || mountpoint.startsWith(`${path}/`))
    .toReversed();
}

export function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.[0] !== 'Z';
  } catch {
    return false;
  }
}

/** The processes whose command line contains `text`. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return isAlive(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text);
      } catch {
        return false;
      }
    });
}

export async function eventually(condition: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
