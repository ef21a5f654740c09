/**
 * What the clients of a mount do while its daemon is killed, and what they may then find: small trees, on which everything
 * happens, and large files, whose copy-up is what is cut off.
 */
import { isDeepStrictEqual } from 'node:util';
import { DT_LNK } from '@ovl/core';
import {
  apply,
  type Arbitrary,
  arbitraryLayers,
  arbitraryOperations,
  canonical,
  concrete,
  DEFAULT_OPTIONS,
  type FileOperation,
  Model,
  type ObjectSpec,
  type Result,
  snapshot,
  type TreeSpec,
} from '@ovl/core/testing';
import * as fc from 'fast-check';
import type { Driver } from '../differential/child.js';
import type { MountedWith } from '../differential/operations.js';
import { LargeModel } from './large.js';
import type { LargeFile, Place, Requests } from './protocol.js';

/** What a crash takes with it: the daemon alone, or all that had not reached the disk. */
export type Loss = 'kill' | 'power';

/** A sequence of operations on what is there now. */
export interface Attempt {
  operations: FileOperation[];
  /** What each must answer. */
  results: Result[];
  /** The view after the first `count` of them, as {@link Workload.view} gives it. */
  expected(count: number): Promise<unknown>;
  /** After how many of them the view may be what was found, when so many had been answered. Goes on from there. */
  settle(answered: number, found: unknown): Promise<number | undefined>;
  /** The longest that one operation may take, roughly. */
  stepUs: number;
}

export interface Workload {
  /** Makes the lower directories `root/0`, `root/1` …, topmost first; returns how many. */
  layers: number;
  /** What the mount is mounted with. */
  readonly mount: MountedWith;
  build(client: Driver<Requests>, roots: readonly string[]): Promise<void>;
  attempt(index: number): Promise<Attempt>;
  view(client: Driver<Requests>, place: Place, by: 'ovl' | 'kernel'): Promise<unknown>;
}

/** No devices: a write through one would reach the machine's own. */
const OPTIONS = { ...DEFAULT_OPTIONS, devices: false };

function given<T>(arbitrary: Arbitrary<T>): fc.Arbitrary<T> {
  return arbitrary as fc.Arbitrary<T>;
}

function sample<T>(arbitrary: fc.Arbitrary<T>, seed: number): T {
  return fc.sample(arbitrary, { seed, numRuns: 1 })[0] as T;
}

/** Only marks that the kernel knows too. */
function kernelForm(tree: TreeSpec): TreeSpec {
  const convert = (spec: ObjectSpec): ObjectSpec => {
    if (spec.type === 'whiteout') return { ...spec, form: 'device' };
    if (spec.type !== 'directory') return spec;
    const { opaque, ...rest } = spec;
    const directory = { ...rest, entries: kernelForm(spec.entries) };
    return opaque === undefined || opaque === 'x' ? directory : { ...directory, opaque: 'y' };
  };
  return Object.fromEntries(Object.entries(tree).map(([name, spec]) => [name, convert(spec)]));
}

/** What one system call can do: between two there would be a view that is neither old nor new. */
function oneCall(op: FileOperation): FileOperation {
  if (op.kind === 'create') return { ...op, uid: 0, gid: 0 };
  return op.kind === 'mkdir' ? { ...op, uid: 0, gid: 0, mode: op.mode & 0o777 } : op;
}

const isOnHandle = (op: FileOperation): boolean =>
  ('path' in op && op.path.startsWith('@')) || ('from' in op && op.from.startsWith('@'));

/** The system follows symbolic links, perhaps out of the mount; the model follows none. */
function followsLink(model: Model, op: FileOperation): boolean {
  const links = model.paths().filter(({ type }) => type === DT_LNK);
  const paths = Object.values(op).filter((value) => typeof value === 'string' && value.startsWith('/')) as string[];
  const alsoLast = op.kind === 'truncate' || op.kind.endsWith('xattr'); // user.* attributes are not for links
  return links.some(({ path }) => paths.some((at) => at.startsWith(`${path}/`) || (alsoLast && at === path)));
}

const LOOKING = new Set(['stat', 'read', 'readdir', 'readlink', 'getxattr', 'listxattr', 'pread']);

type View = Record<string, { content?: string } | undefined>;

/** Of all that is opened in between, nothing else uses it. */
const SYNC_SLOT = 9;

/** Of a file by its path. */
function fsyncOf(path: string): FileOperation[] {
  return [
    { kind: 'open', slot: SYNC_SLOT, path, how: 'r' },
    { kind: 'fsync', slot: SYNC_SLOT },
    { kind: 'close', slot: SYNC_SLOT },
  ];
}

function unsynced(model: Model): string[] {
  return model.paths().flatMap(({ path }) => ((model.mayHold(path)?.length ?? 1) > 1 ? [path] : []));
}

/**
 * After how many operations everything before was on the disk: an fsync that had something to write ends a transaction of
 * ext4's journal, in which all earlier changes of names and attributes are.
 */
function durable(answered: readonly FileOperation[], models: readonly Model[]): number {
  const had = (i: number): number => unsynced(models[i] as Model).length;
  return answered.findLastIndex(({ kind }, i) => kind === 'fsync' && had(i + 1) < had(i)) + 1;
}

/**
 * Lets `model` have what was found as the contents that were at stake from then on: data may reach the disk before the
 * change of names that came earlier. `since` are the models from this one on.
 */
function forgetUnsynced(model: Model, since: readonly Model[], found: View): void {
  const idAt = (at: Model, path: string): number => (at.perform({ kind: 'stat', path }) as { id: number }).id;
  const dirty = new Set(since.flatMap((at) => unsynced(at).map((path) => idAt(at, path))));
  for (const { path } of model.paths()) {
    const content = found[path]?.content;
    const own = model.mayHold(path)?.at(-1);
    if (own !== undefined) model.settle(path, dirty.has(idAt(model, path)) ? (content ?? own) : own);
  }
}

const ATTRIBUTES: ReadonlySet<string> = new Set<FileOperation['kind']>(['chmod', 'chown', 'utimes']);

/**
 * Random operations on small random trees. Where changes of attributes may be answered from memory, each is synced: nothing else
 * happens while it may still be lost.
 */
export class TreeWorkload implements Workload {
  readonly mount: MountedWith;
  readonly #seed: number;
  readonly #trees: TreeSpec[];
  #model: Model;

  readonly #loss: Loss;

  constructor(seed: number, loss: Loss, mount: MountedWith) {
    this.mount = mount;
    this.#seed = seed;
    this.#loss = loss;
    this.#trees = sample(given(arbitraryLayers(fc, OPTIONS)), seed).map(kernelForm);
    this.#model = new Model(this.#trees);
  }

  get layers(): number {
    return this.#trees.length;
  }

  async build(client: Driver<Requests>, roots: readonly string[]): Promise<void> {
    for (const [i, root] of roots.entries()) await client.ask('build', { root, tree: this.#trees[i] as TreeSpec });
  }

  async attempt(index: number): Promise<Attempt> {
    const patterns = sample(given(arbitraryOperations(fc, { min: 80, max: 160 }, OPTIONS)), this.#seed + index * 7919);
    const models = [this.#model.clone()];
    const operations: FileOperation[] = [];
    const results: Result[] = [];
    for (const pattern of patterns.filter((op) => !isOnHandle(op) && !LOOKING.has(op.kind)).map(oneCall)) {
      const next = (models.at(-1) as Model).clone();
      const operation = concrete(next.paths(), pattern);
      if (followsLink(next, operation)) continue;
      const result = await apply(next, operation);
      if ('error' in result && results.length % 4 > 0) continue; // what fails may leave no trace, but it is not the subject
      operations.push(operation);
      results.push(result);
      models.push(next);
      if (!('path' in operation)) continue;
      const mayWait = this.mount.lazyCopyUp === 'all' && ATTRIBUTES.has(operation.kind);
      if (!mayWait && (this.#loss === 'kill' || operations.length % 3 > 0)) continue;
      for (const step of fsyncOf(operation.path)) {
        const synced = (models.at(-1) as Model).clone();
        const answer = await apply(synced, step);
        if ('error' in answer) break; // no regular file
        operations.push(step);
        results.push(answer);
        models.push(synced);
      }
    }
    const after = (count: number): Model => {
      const model = (models[count] as Model).clone();
      model.closeAll();
      return model;
    };
    return {
      operations,
      results,
      expected: async (count) => canonical(await snapshot(after(count))),
      settle: async (answered, found) => {
        const last = Math.min(answered + 1, operations.length);
        const first =
          this.#loss === 'kill'
            ? answered - this.#mayBeLost(operations, answered)
            : durable(operations.slice(0, answered), models);
        for (let count = last; count >= first; count--) {
          const model = after(count);
          if (this.#loss === 'power') forgetUnsynced(model, models.slice(count, last + 1), found as View);
          if (!isDeepStrictEqual(canonical(await snapshot(model)), found)) continue;
          this.#model = model;
          return count;
        }
        return undefined;
      },
      stepUs: this.#loss === 'kill' ? 400 : 3000,
    };
  }

  /** How many of the last ones: a change of attributes that is answered from memory may be, until it is synced. */
  #mayBeLost(operations: readonly FileOperation[], answered: number): number {
    if (this.mount.lazyCopyUp !== 'all') return 0;
    const isUnsynced = (back: number): boolean => {
      const [change, next] = [operations[answered - back], operations[answered - back + 1]];
      return change !== undefined && ATTRIBUTES.has(change.kind) && next?.kind === 'open' && next.slot === SYNC_SLOT;
    };
    return [1, 2].find(isUnsynced) ?? 0;
  }

  async view(client: Driver<Requests>, place: Place, by: 'ovl' | 'kernel'): Promise<unknown> {
    return canonical(await client.ask('view', { place, by }));
  }
}

const LARGE_BYTES = 24 << 20;

/**
 * Changes of large files: the first one of each copies it up, before it is answered ("off") or after. In the latter case a file whose
 * changes nobody has synced, and whose name is the old one, may be as it was below.
 */
export class LargeWorkload implements Workload {
  readonly layers = 1;
  readonly mount: MountedWith;
  readonly #seed: number;
  readonly #loss: Loss;
  readonly #files: LargeFile[];
  #model: LargeModel;

  constructor(seed: number, loss: Loss, mount: MountedWith) {
    this.mount = mount;
    this.#seed = seed;
    this.#loss = loss;
    this.#files = [1, 2, 3, 4, 5].map((n) => ({ name: `large${n}`, bytes: LARGE_BYTES + n * 1000, seed: seed + n }));
    this.#model = new LargeModel(this.#files);
  }

  async build(client: Driver<Requests>, [root]: readonly string[]): Promise<void> {
    await client.ask('buildLarge', { root: root as string, files: this.#files });
  }

  /** Two changes of a file that has had none. */
  attempt(index: number): Promise<Attempt> {
    const { name } = this.#files[index % this.#files.length] as LargeFile;
    const path = fc.constant(`/${name}`);
    const at = fc.integer({ min: 0, max: LARGE_BYTES - 10 });
    const change = fc.oneof<fc.Arbitrary<FileOperation>[]>(
      fc.record({ kind: fc.constant('write'), path, position: at, text: fc.constant('written') }),
      fc.record({ kind: fc.constant('append'), path, text: fc.constant('appended') }),
      fc.record({ kind: fc.constant('truncate'), path, size: at }),
      fc.record({ kind: fc.constant('chmod'), path, mode: fc.constantFrom(0o600, 0o444, 0o4755) }),
    );
    const move = fc.record({ kind: fc.constant('rename'), from: path, to: fc.constant(`/${name}+`) });
    // What is written into the copy and not synced may be lost, or not; here it is the copy itself that counts.
    const alone = fc.oneof(
      change.filter(({ kind }) => kind === 'truncate' || kind === 'chmod'),
      move,
    );
    const two = fc.oneof(fc.tuple(change, change), fc.tuple(change, move), fc.tuple(move));
    // Then the journal is made to reach the disk: a copy whose data had not would now be there, and be empty.
    const synced: FileOperation[] = [
      { kind: 'create', path: `/sync${index}`, mode: 0o644, uid: 0, gid: 0 },
      ...fsyncOf(`/sync${index}`),
    ];
    const after = (op: FileOperation): FileOperation[] =>
      this.mount.lazyCopyUp === 'off' ? synced : fsyncOf(op.kind === 'rename' ? op.to : `/${name}`);
    const arbitrary: fc.Arbitrary<FileOperation[]> =
      this.#loss === 'power' ? alone.map((op) => [op, ...after(op)]) : two;
    const operations = sample(arbitrary, this.#seed + index * 7919);
    const models = [this.#model];
    for (const operation of operations) {
      const next = (models.at(-1) as LargeModel).clone();
      next.perform(operation);
      models.push(next);
    }
    const results = operations.map(({ kind }, i): Result => {
      const op = operations[i];
      const length = op !== undefined && 'text' in op ? op.text.length : undefined;
      return { ok: kind === 'write' || kind === 'append' ? length : undefined };
    });
    return Promise.resolve({
      operations,
      results,
      expected: (count) => Promise.resolve((models[count] as LargeModel).view()),
      settle: (answered, found) => {
        const done = operations.slice(0, answered);
        const synced = done.findLastIndex(({ kind }) => kind === 'fsync') + 1;
        const first = this.#loss === 'kill' ? answered : synced;
        const counts: number[] = [];
        for (let count = Math.min(answered + 1, operations.length); count >= first; count--) counts.push(count);
        const isSettled = this.mount.lazyCopyUp === 'off' || synced > 0 || done.some(({ kind }) => kind === 'rename');
        if (!isSettled && first > 0) counts.push(0); // all of it or nothing
        for (const count of counts) {
          if (!isDeepStrictEqual((models[count] as LargeModel).view(), found)) continue;
          this.#model = models[count] as LargeModel;
          return Promise.resolve(count);
        }
        return Promise.resolve(undefined);
      },
      stepUs: 60_000,
    });
  }

  view(client: Driver<Requests>, place: Place, by: 'ovl' | 'kernel'): Promise<unknown> {
    return client.ask('largeView', { place, by });
  }
}
