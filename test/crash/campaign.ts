/**
 * kill -9 of a mount's daemon at random moments of a random workload, again and again. After each kill the same upper and
 * work directory are mounted again, and what is there must be the view before or after the one operation that was in
 * flight: everything answered is there, nothing is partial. Then the work directory must be empty, `ovl fsck` content,
 * and the kernel's overlayfs must show the same.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { bundleDriver, Driver, sweep } from '../differential/child.js';
import type { MountedWith } from '../differential/operations.js';
import { isGone } from '../support/mounts.mjs';
import { Disk } from './disk.js';
import type { Place, Requests } from './protocol.js';
import { LargeWorkload, TreeWorkload, type Attempt, type Loss, type Workload } from './workloads.js';

type OvlNode = Pick<typeof import('@ovl/node'), 'mount' | 'listMounts' | 'fsck'>;
// As built: the daemon is started from there.
const built: string = new URL('../../packages/node/dist/index.js', import.meta.url).href;

export interface CampaignOptions {
  /** How many times the daemon is killed. */
  kills: number;
  seed: number;
  /** "power": on an ext4 of its own, which loses what had not reached the disk. */
  loss: Loss;
  /** Only the world of this number: what a failure names. */
  only?: number;
  /** No world is begun after so many milliseconds. */
  limitMs?: number;
  /** Ends it in the middle, with nothing left behind. */
  signal?: AbortSignal;
  /** Gets lines about the progress. */
  log(line: string): void;
}

export interface Tally {
  kills: number;
  /** Of these, with an operation cut off: the view was that before it, or that after it. */
  old: number;
  new: number;
  /** Kills that left something staged in the work directory. */
  leftovers: number;
  operations: number;
}

/** Kills on one upper, before it is another world's turn. */
const KILLS_A_WORLD = 5;
/** Every so many worlds one has large files. */
const LARGE_EVERY = 4;

/** By turns: the defaults, and the options that answer most from memory, and least. */
const MOUNTS: readonly MountedWith[] = [
  {},
  { lazyCopyUp: 'all', noOpen: true },
  { lazyCopyUp: 'off', passthrough: 'off', noOpen: false },
];

function mountedWith(turn: number): MountedWith {
  return MOUNTS[turn % MOUNTS.length] as MountedWith;
}

export class CrashFailure extends Error {}

/** Throws {@link CrashFailure}, which says how to repeat it as nearly as the moment of a kill can be repeated. */
export async function campaign({ kills, seed, loss, only, limitMs, signal, log }: CampaignOptions): Promise<Tally> {
  const base = mkdtempSync(join(tmpdir(), 'ovl-crash-'));
  const disk = loss === 'power' ? new Disk(base) : undefined;
  const bundle = await bundleDriver(new URL('./client.ts', import.meta.url));
  const client = new Driver<Requests>(bundle.file);
  signal?.addEventListener('abort', () => void client.kill([base]));
  const tally: Tally = { kills: 0, old: 0, new: 0, leftovers: 0, operations: 0 };
  const end = Date.now() + (limitMs ?? Infinity);
  try {
    for (let world = only ?? 0; tally.kills < kills && Date.now() < end; world += only === undefined ? 1 : 0) {
      const folder = join(disk?.path ?? base, String(world));
      const number = Math.min(KILLS_A_WORLD, kills - tally.kills);
      const worldSeed = seed + world * 104_729;
      const workload =
        world % LARGE_EVERY === LARGE_EVERY - 1
          ? new LargeWorkload(worldSeed, loss, mountedWith(Math.floor(world / LARGE_EVERY)))
          : new TreeWorkload(worldSeed, loss, mountedWith(world - Math.floor(world / LARGE_EVERY)));
      try {
        await new World({ client, folder, workload, seed: worldSeed, tally, disk }).run(number);
      } catch (error) {
        if (!(error instanceof CrashFailure)) throw error;
        throw new CrashFailure(`seed ${seed}, world ${world}, ${error.message}`, { cause: error });
      } finally {
        await sweep(folder);
        if (disk === undefined) rmSync(folder, { recursive: true, force: true });
        else disk.clear(folder);
      }
      log(summary(tally));
    }
    return tally;
  } finally {
    await client.kill([base]);
    bundle.remove();
    disk?.remove();
    rmSync(base, { recursive: true, force: true });
  }
}

export function summary({ kills, operations, old, new: after, leftovers }: Tally): string {
  return `${kills} kills, ${operations} operations; in flight: ${old} undone, ${after} done; ${leftovers} left something staged`;
}

/** One set of layers, whose daemon is killed several times. */
interface WorldOptions {
  client: Driver<Requests>;
  folder: string;
  workload: Workload;
  seed: number;
  tally: Tally;
  disk: Disk | undefined;
}

class World {
  readonly #options: WorldOptions;
  readonly #place: Place;
  readonly #kernelMerged: string;

  constructor(options: WorldOptions) {
    const { folder, workload } = options;
    const lower = Array.from({ length: workload.layers }, (_, i) => join(folder, `lower${i}`));
    const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    this.#place = { lower, upper, work, merged };
    this.#kernelMerged = join(folder, 'kernel');
    this.#options = options;
    for (const path of [...lower, upper, work, merged, this.#kernelMerged]) mkdirSync(path, { recursive: true });
  }

  async run(kills: number): Promise<void> {
    const { lower } = this.#place;
    await this.#options.workload.build(this.#options.client, lower);
    this.#options.disk?.sync();
    const before = await this.#digests();
    for (let i = 0; i < kills; i++) {
      try {
        await this.#crash(i);
      } catch (error) {
        if (!(error instanceof CrashFailure)) throw error;
        throw new CrashFailure(`kill ${i} of this world: ${error.message}`);
      }
    }
    if (!isDeepStrictEqual(await this.#digests(), before)) throw new CrashFailure('a lower layer was written');
  }

  #digests(): Promise<string[]> {
    return Promise.all(this.#place.lower.map((root) => this.#options.client.ask('digest', { root })));
  }

  async #crash(index: number): Promise<void> {
    const attempt = await this.#options.workload.attempt(index);
    const { operations, results } = attempt;
    const moment = fc.record({
      at: fc.integer({ min: 0, max: operations.length - 1 }),
      afterUs: fc.integer({ min: 0, max: attempt.stepUs }),
    });
    const [kill] = fc.sample(moment, { seed: this.#options.seed + index, numRuns: 1 }) as [
      { at: number; afterUs: number },
    ];
    const pid = await this.#mount();
    const { disk } = this.#options;
    const how = disk === undefined ? { ...kill, pid } : { ...kill, pid, disk: disk.path };
    const answered = await this.#options.client.ask('run', { merged: this.#place.merged, operations, kill: how });
    for (const [i, result] of answered.entries()) {
      const [is, should] = [result, results[i]].map((value) => JSON.stringify(value)); // as it came, without "undefined"
      if (is === should) continue;
      throw new CrashFailure(`${JSON.stringify(operations[i])} answered ${is}, not ${should}`);
    }
    if (!(await isGone(this.#place.merged, 10_000))) throw new CrashFailure('the mount outlived its daemon');
    await disk?.restart();
    this.#options.tally.kills++;
    this.#options.tally.operations += answered.length;
    if (this.#staged().length > 0) this.#options.tally.leftovers++;
    await this.#check(attempt, answered.length, `killed ${kill.afterUs} µs after the start of operation ${kill.at}`);
  }

  /** What lies in the work directory, but for the one that all whiteouts are links of. */
  #staged(): string[] {
    const directory = join(this.#place.work, 'work');
    if (!existsSync(directory)) return []; // a power failure may take it along
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => !entry.isCharacterDevice()).map(({ name }) => name);
  }

  /** Returns the daemon's process, as `ovl ps` lists it. */
  async #mount(): Promise<number> {
    const { mount, listMounts } = (await import(/* @vite-ignore */ built)) as OvlNode;
    const { lower, upper, work, merged } = this.#place;
    await mount({ lower, upper, work, mountpoint: merged, ownDaemon: true, ...this.#options.workload.mount });
    const record = listMounts().find(({ mountpoint }) => mountpoint === merged);
    if (record === undefined) throw new CrashFailure('the mount is not listed');
    return record.pid;
  }

  async #check(attempt: Attempt, answered: number, when: string): Promise<void> {
    const { lower, upper, work, merged } = this.#place;
    const { mount, fsck } = (await import(/* @vite-ignore */ built)) as OvlNode;
    const mounted = await mount({ lower, upper, work, mountpoint: merged, ownDaemon: true });
    const found = await this.#options.workload.view(this.#options.client, this.#place, 'ovl');
    // A mount namespace that somebody makes meanwhile keeps the daemon for as long as it lasts.
    await mounted.unmount({ timeoutMs: 60_000 });

    const inFlight = attempt.operations[answered];
    const settled = await attempt.settle(answered, found);
    const story = `${when}, with ${answered} answered; in flight: ${JSON.stringify(inFlight)}`;
    if (settled === undefined) throw new CrashFailure(await explain(attempt, answered, found, story));
    if (inFlight !== undefined) this.#options.tally[settled > answered ? 'new' : 'old']++;

    const left = this.#staged();
    if (left.length > 0) throw new CrashFailure(`${story}: left in the work directory: ${left.join(', ')}`);
    // Whiteouts that hide nothing are RENAME_WHITEOUT's; and a directory that takes a whiteout's place is exchanged with it.
    const findings = fsck({ upper, work, lower, repair: 'safe' });
    const wrong = findings.filter(({ kind, repaired }) => kind !== 'dangling-whiteout' || !repaired);
    if (wrong.length > 0) throw new CrashFailure(`${story}: ${JSON.stringify(findings)}`);
    const kernel = await this.#options.workload.view(
      this.#options.client,
      { ...this.#place, merged: this.#kernelMerged },
      'kernel',
    );
    if (!isDeepStrictEqual(kernel, found))
      throw new CrashFailure(`${story}: in the kernel: ${different(found, kernel)}`);
  }
}

async function explain(attempt: Attempt, answered: number, found: unknown, story: string): Promise<string> {
  const last = attempt.operations.slice(Math.max(0, answered - 3), answered).map((op) => JSON.stringify(op));
  return [
    `${story}, after ${last.join(', ')}`,
    `the old view is different: ${different(await attempt.expected(answered), found)}`,
    ...(answered < attempt.operations.length
      ? [`and so is the new one: ${different(await attempt.expected(answered + 1), found)}`]
      : []),
  ].join('\n');
}

/** The entries in which two views differ. */
function different(expected: unknown, found: unknown): string {
  const [a, b] = [expected, found].map((view) => new Map(Object.entries(view as Record<string, unknown>)));
  const lines: string[] = [];
  for (const key of new Set([...(a?.keys() ?? []), ...(b?.keys() ?? [])])) {
    const [left, right] = [a?.get(key), b?.get(key)];
    if (!isDeepStrictEqual(left, right)) lines.push(`  ${key}: ${JSON.stringify(left)} → ${JSON.stringify(right)}`);
  }
  return `\n${lines.slice(0, 8).join('\n')}`;
}
