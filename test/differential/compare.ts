/**
 * One experiment: two sides get the same layers and the same operations; every answer and every tree must be equal. Then
 * each goes on with the directories that the other has written, at the last just to look.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { bundleDriver, Driver, sweep } from './child.js';
import {
  canonical,
  hasLowerLinks,
  lastComparable,
  reconcileLinks,
  reconcileTimes,
  withoutLinkIdentity,
} from './differences.js';
import type { Case, Operation, Result, Seen } from './operations.js';
import type { Flavour, Place, SideKind } from './sides.js';

export class Difference extends Error {}

/** How often each operation was carried out, and how often without an error: to see that the sequences are worth it. */
export type Tally = Map<string, { done: number; succeeded: number }>;

export class Comparison {
  readonly tally: Tally = new Map();
  readonly #base: string;
  readonly #kinds: readonly [SideKind, SideKind];
  readonly #flavours: readonly [Flavour, Flavour];
  readonly #bundle: { file: string; remove(): void };
  #drivers: [Driver, Driver];
  /** Serve the mounts of ours. */
  #servers: [Driver | undefined, Driver | undefined];
  #running: Promise<void> = Promise.resolve();

  private constructor(
    base: string,
    kinds: readonly [SideKind, SideKind],
    flavours: readonly [Flavour, Flavour],
    bundle: { file: string; remove(): void },
  ) {
    this.#base = base;
    this.#kinds = kinds;
    this.#flavours = flavours;
    this.#bundle = bundle;
    this.#drivers = [new Driver(bundle.file), new Driver(bundle.file)];
    this.#servers = this.#newServers();
  }

  #newServers(): [Driver | undefined, Driver | undefined] {
    const server = (side: 0 | 1): Driver | undefined =>
      this.#kinds[side] === 'ovl' ? new Driver(this.#bundle.file) : undefined;
    return [server(0), server(1)];
  }

  /** `base`: a directory on the file system that shall hold the layers. */
  static async start(
    base: string,
    kinds: readonly [SideKind, SideKind],
    flavours: readonly [Flavour, Flavour],
  ): Promise<Comparison> {
    return new Comparison(base, kinds, flavours, await bundleDriver());
  }

  async end(): Promise<void> {
    await this.#running; // fast-check does not wait for the case that it interrupts
    await this.#kill(this.#base);
    await sweep(this.#base);
    this.#bundle.remove();
  }

  /** Throws {@link Difference}. */
  run(test: Case): Promise<void> {
    const running = this.#runCase(test);
    this.#running = running.catch(() => undefined);
    return running;
  }

  async #runCase(test: Case): Promise<void> {
    const folder = mkdtempSync(join(this.#base, 'case-'));
    try {
      await this.#run(test, folder);
    } catch (error) {
      if (error instanceof Difference) await this.#both((_, side) => this.#close(side));
      else await this.#restart(folder);
      throw error;
    } finally {
      await sweep(folder);
      rmSync(folder, { recursive: true, force: true });
    }
  }

  async #restart(folder: string): Promise<void> {
    await this.#kill(folder);
    this.#drivers = [new Driver(this.#bundle.file), new Driver(this.#bundle.file)];
    this.#servers = this.#newServers();
  }

  async #kill(folder: string): Promise<void> {
    await Promise.all([...this.#drivers, ...this.#servers].map((driver) => driver?.kill([folder])));
  }

  async #open(side: 0 | 1, place: Place, { mount = {} }: Case): Promise<void> {
    const flavour = { ...this.#flavours[side], mount };
    await this.#servers[side]?.ask('serve', { place, flavour });
    await this.#drivers[side].ask('open', { kind: this.#kinds[side], place, flavour });
  }

  async #close(side: 0 | 1): Promise<void> {
    await this.#drivers[side].ask('close', {});
    await this.#servers[side]?.ask('unserve', {});
  }

  async #run(test: Case, folder: string): Promise<void> {
    const [a, b] = await this.#both((driver, side) =>
      this.#prepare(driver, join(folder, side === 0 ? 'a' : 'b'), test),
    );
    const places: readonly [Place, Place] = [a, b];
    const lowersBefore = await this.#lowers(places);
    const [flavour] = this.#flavours;
    const lowerLinks = hasLowerLinks(test, flavour);
    const exactly = { lowerLinks: false, flavour: { userxattr: false, redirectDir: false } };
    equalTrees(lowersBefore, this.#kinds, 'lower layers before', exactly);

    const phases = [...test.phases, []];
    for (const [i, operations] of phases.entries()) {
      const placeOf = (side: number): Place => places[((side + i) % 2) as 0 | 1];
      const where = `phase ${i + 1}${i % 2 === 1 ? ', with swapped directories' : ''}`;
      await this.#both((_, side) => this.#open(side, placeOf(side), test));
      const results = await this.#both((driver) => driver.ask('run', { operations, umask: test.umask }));
      this.#count(operations, results[0]);
      const last = lastComparable(results[0], flavour);
      const compared = operations.slice(0, (last ?? operations.length) + 1);
      equalResults(compared, results, this.#kinds, where, { lowerLinks, flavour, last });
      const trees = await this.#both((driver) => driver.ask('snapshot', {}));
      await this.#both((_, side) => this.#close(side));
      if (last !== undefined) break;
      equalTrees(trees, this.#kinds, `tree after ${where}`, { lowerLinks, flavour });
    }

    const lowersAfter = await this.#lowers(places);
    equalTrees(
      [lowersBefore[0], lowersAfter[0]],
      ['before', 'after'],
      `lower layers, written first by ${this.#kinds[0]}`,
      exactly,
    );
    equalTrees(
      [lowersBefore[1], lowersAfter[1]],
      ['before', 'after'],
      `lower layers, written first by ${this.#kinds[1]}`,
      exactly,
    );
  }

  async #both<T>(action: (driver: Driver, side: 0 | 1) => Promise<T>): Promise<[T, T]> {
    // Both are awaited before either's failure is thrown, so that nothing goes on behind the clean-up.
    const [a, b] = await Promise.allSettled([action(this.#drivers[0], 0), action(this.#drivers[1], 1)]);
    if (a.status === 'rejected') throw new Error(`${this.#kinds[0]}: ${String(a.reason)}`, { cause: a.reason });
    if (b.status === 'rejected') throw new Error(`${this.#kinds[1]}: ${String(b.reason)}`, { cause: b.reason });
    return [a.value, b.value];
  }

  /** Makes the directories of one side, the layers in them, and what history added. */
  async #prepare(driver: Driver, root: string, { layers, history }: Case): Promise<Place> {
    const prefix = this.#flavours[0].userxattr ? 'user.overlay.' : 'trusted.overlay.';
    const place: Place = { lower: [], upper: join(root, 'u'), work: join(root, 'w'), merged: join(root, 'm') };
    for (const path of [place.upper, place.work, place.merged]) mkdirSync(path, { recursive: true });
    for (const [i, entries] of layers.entries()) {
      const lower = join(root, `l${i}`);
      mkdirSync(lower);
      await driver.ask('build', { root: lower, entries, prefix });
      place.lower.push(lower);
    }
    if (history.length === 0) return place;
    const top: Place = { ...place, upper: join(root, 'h'), work: join(root, 'hw') };
    mkdirSync(top.upper);
    mkdirSync(top.work);
    await driver.ask('open', { kind: 'kernel', place: top, flavour: this.#flavours[0] });
    await driver.ask('run', { operations: history, umask: 0 });
    await driver.ask('close', {});
    return { ...place, lower: [top.upper, ...place.lower] };
  }

  async #lowers(places: readonly [Place, Place]): Promise<[Seen[], Seen[]]> {
    return await this.#both(async (driver, side) => {
      const seen: Seen[] = [];
      for (const root of places[side].lower) seen.push(...(await driver.ask('look', { root })).map(withoutIdentity));
      return seen;
    });
  }

  #count(operations: readonly Operation[], results: readonly Result[]): void {
    for (const [i, { op }] of operations.entries()) {
      const counts = this.tally.get(op) ?? { done: 0, succeeded: 0 };
      counts.done++;
      if ('value' in (results[i] as Result)) counts.succeeded++;
      this.tally.set(op, counts);
    }
  }
}

/** Attributes that name one mount or one object: they differ between equal layers. */
function withoutIdentity(seen: Seen): Seen {
  if (typeof seen.xattrs === 'string') return seen;
  const kept = Object.entries(seen.xattrs).filter(([name]) => !/^(trusted|user)\.overlay\.(uuid|origin)$/.test(name));
  return { ...seen, xattrs: Object.fromEntries(kept) };
}

/** Where a redirect would be too long: ours moves it all the same, or says first that the target is not empty. */
const ours: readonly Result[] = [{ value: null }, { errno: 'ENOTEMPTY' }];

function equalResults(
  operations: readonly Operation[],
  [a, b]: readonly [Result[], Result[]],
  names: readonly [string, string],
  where: string,
  { lowerLinks, flavour, last }: { lowerLinks: boolean; flavour: Flavour; last: number | undefined },
): void {
  const at = operations.findIndex((operation, i) => {
    if (i === last && ours.some((result) => isDeepStrictEqual(b[i], result))) return false;
    const [inA, inB] = [canonical(operation, a[i] as Result), canonical(operation, b[i] as Result)];
    if ('value' in inA && 'value' in inB) {
      reconcileLinks(inA.value, inB.value, lowerLinks);
      reconcileTimes(inA.value, inB.value, flavour);
    }
    return !isDeepStrictEqual(inA, inB);
  });
  if (at < 0) return;
  throw new Difference(
    [
      `${where}, operation ${at}: ${JSON.stringify(operations[at])}`,
      `  ${names[0]}: ${JSON.stringify(a[at])}`,
      `  ${names[1]}: ${JSON.stringify(b[at])}`,
    ].join('\n'),
  );
}

function equalTrees(
  [a, b]: readonly [Seen[], Seen[]],
  names: readonly [string, string],
  where: string,
  { lowerLinks, flavour }: { lowerLinks: boolean; flavour: Flavour },
): void {
  const inB = new Map(b.map((object) => [object.path, object]));
  for (const { path, stat } of a) {
    reconcileLinks(stat, inB.get(path)?.stat, lowerLinks);
    reconcileTimes(stat, inB.get(path)?.stat, flavour);
  }
  if (lowerLinks) for (const object of [...a, ...b]) withoutLinkIdentity(object);
  if (isDeepStrictEqual(a, b)) return;
  const lines = [where];
  const paths = new Set([...a, ...b].map(({ path }) => path));
  for (const path of paths) {
    const [left, right] = [a, b].map((tree) => tree.filter((object) => object.path === path));
    if (isDeepStrictEqual(left, right)) continue;
    lines.push(`  ${names[0]}: ${JSON.stringify(left)}`, `  ${names[1]}: ${JSON.stringify(right)}`);
    if (lines.length > 12) break;
  }
  throw new Difference(lines.join('\n'));
}
