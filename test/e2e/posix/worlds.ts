// One tree on several file systems: a plain directory, the kernel's overlayfs and mounts of ours with the options that decide how
// files are opened, read and copied up, over equal lower layers; used by root, or mounted and used by an ordinary user.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import {
  NOBODY,
  type User,
  call,
  isFailure,
  mountsUnder,
  requireFuse,
  run,
} from '../../../packages/node/test/mount-support.js';
import type { MountOptions } from '../../../packages/node/src/options.js';
import { requireKernel } from '../../differential/requirements.js';
import { requireOrSkip } from '../../support/require.js';

/** "plain" is a directory without any overlay; "kernel" the kernel's overlayfs, which root has mounted; the others are ours. */
export type World = 'plain' | 'kernel' | OurWorld;
/** With the defaults, and with others. */
export type OurWorld = 'ovl' | 'no-open' | 'all';

/** What differs from the defaults: so that each value of each option is met, as root and as an ordinary user, whose defaults are others. */
const OURS: Record<User, Partial<Record<OurWorld, Partial<MountOptions>>>> = {
  root: {
    ovl: {},
    'no-open': { noOpen: true, lazyCopyUp: 'off' },
    all: { passthrough: 'all', lazyCopyUp: 'all' },
  },
  nobody: {
    ovl: {},
    all: { noOpen: false, lazyCopyUp: 'all' },
  },
};

function ourWorlds(user: User): readonly OurWorld[] {
  return Object.keys(OURS[user]) as OurWorld[];
}

const source = new URL('./calls.c', import.meta.url).pathname;

export interface WorldOptions {
  mount?: Partial<MountOptions>;
  /** Further lower layers, below: made when they are needed. */
  below?: () => readonly string[];
  /** Where everything lies: a file system of its own, in memory, for what makes many files. */
  on?: 'tmpfs';
  /** Who mounts ours, and makes all calls. */
  user?: User;
}

export class Worlds {
  readonly base: string = mkdtempSync(join(tmpdir(), 'ovl-posix-'));
  readonly #calls: string = join(this.base, 'calls');
  readonly #options: WorldOptions;
  readonly #user: User;
  /** Ours. */
  readonly ours: readonly OurWorld[];
  #mounted = false;

  /** Mounts nothing yet. Throws if the program that makes the calls cannot be compiled. */
  constructor(options: WorldOptions = {}) {
    this.#options = options;
    this.#user = options.user ?? 'root';
    this.ours = ourWorlds(this.#user);
    if (options.on === 'tmpfs') run('mount', ['-t', 'tmpfs', 'tmpfs', this.base]);
    chmodSync(this.base, 0o755);
    for (const path of ['plain', ...['kernel', ...this.ours].flatMap((world) => this.#parts(world))]) {
      mkdirSync(join(this.base, path), { recursive: true });
      this.own(join(this.base, path));
    }
    const compiled = run('gcc', ['-D_FILE_OFFSET_BITS=64', '-o', this.#calls, source]);
    if (compiled.status !== 0) throw new Error(compiled.stderr);
  }

  get all(): readonly World[] {
    return ['plain', 'kernel', ...this.ours];
  }

  /** Gives it to the user. */
  own(path: string): void {
    if (this.#user === 'nobody') chownSync(path, NOBODY, NOBODY);
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
    // Only its owner enters a user's mount, not root on the way to becoming that user.
    const { status, stdout, stderr, error } = spawnSync('/bin/sh', ['-c', 'cd "$1" && exec "$CALLS"', 'sh', cwd], {
      input: script,
      encoding: 'latin1',
      timeout: 50_000,
      killSignal: 'SIGKILL',
      maxBuffer: 1 << 26,
      env: { ...process.env, CALLS: this.#calls },
      ...(this.#user === 'nobody' ? { uid: NOBODY, gid: NOBODY } : {}),
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
    for (const world of this.ours) {
      const layers = { lower: lower(world), upper: at(world, 'upper'), work: at(world, 'work') };
      const options = { ...OURS[this.#user][world], ...this.#options.mount };
      const ours = call<object>('mount', [{ ...layers, mountpoint: at(world, 'merged'), ...options }], this.#user);
      if (isFailure(ours)) throw new Error(ours.message);
    }
    this.#mounted = true;
  }

  unmount(): void {
    if (!this.#mounted) return;
    const kernel = run('umount', [join(this.base, 'kernel/merged')]);
    if (kernel.status !== 0) throw new Error(kernel.stderr);
    for (const world of this.ours) {
      const ours = call<undefined>('unmount', [join(this.base, world, 'merged')], this.#user);
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

export function requireWorlds(ctx: Pick<TestContext, 'skip'>, user: User): void {
  requireFuse(ctx, user);
  requireKernel(ctx);
  for (const command of ['gcc', 'setfacl']) {
    requireOrSkip(ctx, spawnSync(command, ['--version']).status === 0, command);
  }
}
