// One tree on four file systems: a plain directory, the kernel's overlayfs and two mounts of ours, over equal lower layers.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { call, isFailure, mountsUnder, requireFuse, run } from '../../../packages/node/test/mount-support.js';
import type { MountOptions } from '../../../packages/node/src/options.js';
import { requireKernel } from '../../differential/requirements.js';
import { requireOrSkip } from '../../support/require.js';

/** "plain" is a directory without any overlay; "kernel" the kernel's overlayfs; "ovl" a mount of ours, "no-open" one with that option. */
export type World = 'plain' | 'kernel' | OurWorld;
type OurWorld = 'ovl' | 'no-open';
export const OURS: readonly OurWorld[] = ['ovl', 'no-open'];
export const WORLDS: readonly World[] = ['plain', 'kernel', ...OURS];

const source = new URL('./calls.c', import.meta.url).pathname;

export interface WorldOptions {
  mount?: Partial<MountOptions>;
  /** Further lower layers, below: made when they are needed. */
  below?: () => readonly string[];
  /** Where everything lies: a file system of its own, in memory, for what makes many files. */
  on?: 'tmpfs';
}

export class Worlds {
  readonly base: string = mkdtempSync(join(tmpdir(), 'ovl-posix-'));
  readonly #calls: string = join(this.base, 'calls');
  readonly #options: WorldOptions;
  #mounted = false;

  /** Mounts nothing yet. Throws if the program that makes the calls cannot be compiled. */
  constructor(options: WorldOptions = {}) {
    this.#options = options;
    if (options.on === 'tmpfs') run('mount', ['-t', 'tmpfs', 'tmpfs', this.base]);
    chmodSync(this.base, 0o755);
    for (const path of ['plain', ...['kernel', ...OURS].flatMap((world) => this.#parts(world))]) {
      mkdirSync(join(this.base, path), { recursive: true });
    }
    const compiled = run('gcc', ['-D_FILE_OFFSET_BITS=64', '-o', this.#calls, source]);
    if (compiled.status !== 0) throw new Error(compiled.stderr);
  }

  #parts(world: string): string[] {
    return ['lower', 'upper', 'work', 'merged'].map((part) => `${world}/${part}`);
  }

  /** Where a world's tree is seen; before the mount, where it is built. */
  root(world: World, part: 'lower' | 'merged'): string {
    return world === 'plain' ? join(this.base, 'plain') : join(this.base, world, part);
  }

  upper(world: OurWorld): string {
    return join(this.base, world, 'upper');
  }

  /** Answers, a line a call. Throws for a script that is wrong, or takes longer than a test may. */
  perform(script: string, cwd: string): string[] {
    const { status, stdout, stderr, error } = spawnSync(this.#calls, [], {
      cwd,
      input: script,
      encoding: 'latin1',
      timeout: 50_000,
      killSignal: 'SIGKILL',
      maxBuffer: 1 << 26,
      env: { ...process.env, CALLS: this.#calls },
    });
    if (status !== 0) throw new Error(`the script ended with ${status}: ${stderr}${error?.message ?? ''}`);
    return stdout.split('\n').slice(0, -1);
  }

  mount(): void {
    if (this.#mounted) return;
    const below = this.#options.below?.() ?? [];
    const at = (world: string, part: string): string => join(this.base, world, part);
    const lower = (world: string): string[] => [at(world, 'lower'), ...below];
    const options = `lowerdir=${lower('kernel').join(':')},upperdir=${at('kernel', 'upper')},workdir=${at('kernel', 'work')}`;
    const features = 'redirect_dir=on,metacopy=off,xino=auto';
    const kernel = run('mount', ['-t', 'overlay', 'overlay', '-o', `${options},${features}`, at('kernel', 'merged')]);
    if (kernel.status !== 0) throw new Error(`the kernel's overlayfs: ${kernel.stderr}`);
    for (const world of OURS) {
      const ours = call<object>('mount', [
        {
          lower: lower(world),
          upper: at(world, 'upper'),
          work: at(world, 'work'),
          mountpoint: at(world, 'merged'),
          noOpen: world === 'no-open',
          ...this.#options.mount,
        },
      ]);
      if (isFailure(ours)) throw new Error(ours.message);
    }
    this.#mounted = true;
  }

  unmount(): void {
    if (!this.#mounted) return;
    const kernel = run('umount', [join(this.base, 'kernel/merged')]);
    if (kernel.status !== 0) throw new Error(kernel.stderr);
    for (const world of OURS) {
      const ours = call<undefined>('unmount', [join(this.base, world, 'merged')]);
      if (isFailure(ours)) throw new Error(ours.message);
    }
    this.#mounted = false;
  }

  /** Takes everything away, whatever happened. */
  end(): void {
    for (const { mountpoint } of mountsUnder(this.base)) {
      if (mountpoint !== this.base) run('umount', ['-l', mountpoint]);
    }
    if (this.#options.on === 'tmpfs') run('umount', ['-l', this.base]);
    run('rm', ['-rf', this.base]); // which, unlike Node's own, is at home below paths of any length
  }
}

export function requireWorlds(ctx: Pick<TestContext, 'skip'>): void {
  requireFuse(ctx, 'root');
  requireKernel(ctx);
  for (const command of ['gcc', 'setfacl']) {
    requireOrSkip(ctx, spawnSync(command, ['--version']).status === 0, command);
  }
}
