/**
 * The tests' end of a driver: started from a bundle of the sources, every request under a timeout. A driver that does not
 * answer is killed, after the FUSE connection that holds it has been aborted.
 */
import { type ChildProcess, execFile, fork } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import type { Reply, Requests } from './protocol.js';

const packages = new URL('../../packages', import.meta.url).pathname;
const REQUEST_MS = 60_000;
const run = promisify(execFile);

/** A driver as one file; returns its path. Lies in a directory of its own, which the caller removes. */
export async function bundleDriver(
  entry: URL = new URL('./driver.ts', import.meta.url),
): Promise<{ file: string; remove(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'ovl-driver-'));
  const file = join(folder, 'driver.mjs');
  const koffi = createRequire(join(packages, 'node/src/libc.ts')).resolve('koffi');
  await build({
    entryPoints: [entry.pathname],
    outfile: file,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'es2023',
    sourcemap: 'inline',
    alias: {
      '@ovl/core/testing': join(packages, 'core/src/testing/index.ts'),
      '@ovl/core': join(packages, 'core/src/index.ts'),
      koffi,
    },
    external: [koffi],
    logLevel: 'error',
  });
  return { file, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** `R`: what it can be asked, name → [argument, answer]. */
export class Driver<R extends { [K in keyof R]: [unknown, unknown] } = Requests> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  readonly #timeoutMs: number;
  #nextId = 1;
  #dead = false;

  /** `timeoutMs`: how long an answer may take. */
  constructor(file: string, timeoutMs: number = REQUEST_MS) {
    this.#timeoutMs = timeoutMs;
    this.#child = fork(file, [], {
      execArgv: ['--enable-source-maps'],
      env: { ...process.env, OVL_BUILT_NODE: join(packages, 'node/dist/index.js') },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ('error' in reply) waiting?.reject(new Error(reply.error));
      else waiting?.resolve(reply.value);
    });
    this.#child.on('exit', (code, signal) => {
      this.#dead = true;
      for (const { reject } of this.#waiting.values()) reject(new Error(`the driver died: ${code ?? signal}`));
    });
  }

  /** Its process goes on only when it is killed. */
  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  async ask<K extends keyof R & string>(method: K, argument: R[K][0]): Promise<R[K][1]> {
    if (this.#dead) throw new Error(`"${method}" asked of a driver that is dead`);
    const id = this.#nextId++;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<R[K][1]>((resolve, reject) => {
        this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
        const tooLate = (): void => reject(new Error(`no answer to "${method}" in ${this.#timeoutMs} ms`));
        timer = setTimeout(tooLate, this.#timeoutMs);
        this.#child.send({ id, method, argument });
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** Ends the process; `mountpoints` are released first, so that it can end. */
  async kill(mountpoints: readonly string[] = []): Promise<void> {
    for (const mountpoint of mountpoints) abortConnection(mountpoint);
    if (this.#dead) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }
}

/** Mounts at `path` or below it, from mountinfo: asking the mount itself might hang. */
export function mountsBelow(path: string): { mountpoint: string; device: string; type: string }[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const type = fields[fields.indexOf('-') + 1] as string;
      return { mountpoint: fields[4] as string, device: fields[2] as string, type };
    })
    .filter(({ mountpoint }) => mountpoint === path || mountpoint.startsWith(`${path}/`));
}

/** Fails every request to a FUSE mount, waiting ones included. */
function abortConnection(path: string): void {
  for (const { device, type } of mountsBelow(path)) {
    const file = `/sys/fs/fuse/connections/${device.split(':')[1]}/abort`;
    if (type.startsWith('fuse') && existsSync(file)) writeFileSync(file, '1');
  }
}

/** Unmounts whatever is still mounted below `path`, innermost first. */
export async function sweep(path: string): Promise<void> {
  abortConnection(path);
  for (const { mountpoint } of mountsBelow(path).reverse()) {
    try {
      await run('umount', ['-l', mountpoint]);
    } catch (error) {
      // A daemon whose connection was aborted unmounts by itself.
      if (mountsBelow(path).some((mount) => mount.mountpoint === mountpoint)) throw error;
    }
  }
}
