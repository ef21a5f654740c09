/** A world for each test: layers with trees, overlays over them, and scenarios that are played beside the flat model. */
import type { Layer, LayerNode, UpperLayer } from '../../layer.js';
import { metacopies } from '../../metacopy.js';
import { decodeName } from '../../names.js';
import type { OverlayOptions } from '../../options.js';
import { Overlay } from '../../overlay.js';
import { runAsync } from '../../run.js';
import type { LayerCapabilities } from '../capabilities.js';
import { OverlayDriver } from '../driver.js';
import { Model } from '../model.js';
import { apply, canonical, snapshot, type FileOperation } from '../operations.js';
import { equal, type Support, type TestRunner } from '../runner.js';
import { populate, type TreeSpec } from '../tree.js';

/** What {@link overlaySuite} needs of a kind of writable layer. */
export interface OverlayHarness {
  name: string;
  runner: TestRunner;
  capabilities: LayerCapabilities;
  /** An empty writable layer. Lower layers are made as upper ones and then only read. */
  layer(): Promise<UpperLayer> | UpperLayer;
  /** The same layer as a later mount finds it. Default: the same object. */
  reopen?(layer: UpperLayer): Promise<UpperLayer> | UpperLayer;
  /** Called with the layers of each test when it ends. */
  dispose?(layers: readonly UpperLayer[]): Promise<void> | void;
}

export interface Trees {
  /** Absent: an empty upper. */
  upper?: TreeSpec;
  lower: readonly TreeSpec[];
  /** Layers for data only, below these. */
  dataOnly?: readonly TreeSpec[];
  /** Puts in place what trees cannot say. */
  prepare?(lower: readonly UpperLayer[]): Promise<void>;
}

export type Options = Partial<
  Pick<OverlayOptions, 'redirectDir' | 'fsync' | 'index' | 'metacopy' | 'verity' | 'redirectMax' | 'deepCopyUp'>
>;

export class World {
  readonly upper: UpperLayer;
  readonly lower: readonly UpperLayer[];
  readonly dataOnly: readonly UpperLayer[];
  readonly #harness: OverlayHarness;
  readonly #options: Options;

  constructor(
    harness: OverlayHarness,
    { upper, lower, dataOnly }: { upper: UpperLayer; lower: UpperLayer[]; dataOnly: UpperLayer[] },
    options: Options,
  ) {
    this.#harness = harness;
    this.upper = upper;
    this.lower = lower;
    this.dataOnly = dataOnly;
    this.#options = options;
  }

  /** A new overlay over the same layers. */
  async open(without?: 'without-upper'): Promise<OverlayDriver> {
    const again = async (layer: UpperLayer): Promise<UpperLayer> => (await this.#harness.reopen?.(layer)) ?? layer;
    const lower: UpperLayer[] = [];
    for (const layer of this.lower) lower.push(await again(layer));
    const dataOnly: UpperLayer[] = [];
    for (const layer of this.dataOnly) dataOnly.push(await again(layer));
    const upper = without === undefined ? { upper: await again(this.upper) } : { xattrPrefix: this.upper.xattrPrefix };
    const overlay = await runAsync(
      Overlay.open({ ...upper, lower, dataOnly, metacopy: metacopies('follow'), ...this.#options }),
    );
    return new OverlayDriver(overlay, { mode: 'async', inodes: 'keep' });
  }
}

export async function inWorld(
  harness: OverlayHarness,
  trees: Trees,
  body: (world: World) => Promise<void>,
  options: Options = {},
): Promise<void> {
  const make = async (tree: TreeSpec): Promise<UpperLayer> => {
    const layer = await harness.layer();
    await runAsync(populate(layer, tree));
    return layer;
  };
  const upper = await make(trees.upper ?? {});
  const lower: UpperLayer[] = [];
  for (const tree of trees.lower) lower.push(await make(tree));
  const dataOnly: UpperLayer[] = [];
  for (const tree of trees.dataOnly ?? []) dataOnly.push(await make(tree));
  await trees.prepare?.(lower);
  const below = [...lower, ...dataOnly];
  const before = await Promise.all(below.map(rawTree));
  try {
    await body(new World(harness, { upper, lower, dataOnly }, options));
    equal(await Promise.all(below.map(rawTree)), before, 'the lower layers');
  } finally {
    await harness.dispose?.([upper, ...below]);
  }
}

/** Everything in a layer, as it is stored. */
export async function rawTree(layer: Layer): Promise<unknown> {
  const visit = async (node: LayerNode): Promise<unknown> => {
    const { mode, uid, gid, rdev, size, nlink, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec } = await layer.getattr(node);
    const attributes = { mode, uid, gid, rdev, nlink, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec };
    const xattrs: Record<string, unknown> = {};
    for (const name of await layer.listxattr(node)) xattrs[name] = await layer.getxattr(node, name);
    const entries: Record<string, unknown> = {};
    if (mode >>> 12 === 4) {
      for (const { name } of await layer.readdir(node)) {
        entries[name] = await visit(((await layer.lookup(node, name)) as { node: LayerNode }).node);
      }
    }
    const content = mode >>> 12 === 8 ? await read(layer, node, size) : undefined;
    return { attributes, xattrs, entries, content };
  };
  return await visit(layer.root);
}

async function read(layer: Layer, node: LayerNode, size: number): Promise<string> {
  const opened = await layer.open(node);
  const buffer = new Uint8Array(size);
  await opened.read(buffer, 0);
  await opened.close();
  return decodeName(buffer);
}

export async function sameTree(driver: OverlayDriver, model: Model, when: string): Promise<void> {
  equal(canonical(await snapshot(driver)), canonical(await snapshot(model)), `the tree ${when}`);
}

/** Performs operations and compares after each. `shows`: what the layers merge to, where the model cannot tell. */
export async function play(
  harness: OverlayHarness,
  trees: Trees & { shows?: TreeSpec },
  operations: readonly FileOperation[] = [],
  options: Options = {},
): Promise<void> {
  const { upper = {}, lower, shows } = trees;
  const body = async (world: World): Promise<void> => {
    const driver = await world.open();
    const model = new Model(shows === undefined ? [upper, ...lower] : [shows]);
    await sameTree(driver, model, 'before');
    for (const operation of operations) {
      const expected = await apply(model, operation);
      const when = `after ${JSON.stringify(operation)}`;
      equal(await apply(driver, operation), expected, `result ${when}`);
      await sameTree(driver, model, when);
      await sameTree(await world.open(), model, `reopened ${when}`);
    }
  };
  await inWorld(harness, trees, body, options);
}

/** Short forms of the operations that the scenarios are made of. */
export const op = {
  create: (path: string): FileOperation => ({ kind: 'create', path, mode: 0o644, uid: 0, gid: 0 }),
  mkdir: (path: string): FileOperation => ({ kind: 'mkdir', path, mode: 0o755, uid: 0, gid: 0 }),
  unlink: (path: string): FileOperation => ({ kind: 'unlink', path }),
  rmdir: (path: string): FileOperation => ({ kind: 'rmdir', path }),
  rename: (from: string, to: string, flag?: 'noreplace' | 'exchange'): FileOperation =>
    flag === undefined ? { kind: 'rename', from, to } : { kind: 'rename', from, to, flag },
  link: (from: string, to: string): FileOperation => ({ kind: 'link', from, to }),
  append: (path: string, text: string): FileOperation => ({ kind: 'append', path, text }),
  chmod: (path: string, mode: number): FileOperation => ({ kind: 'chmod', path, mode }),
  open: (slot: number, path: string, how: 'r' | 'r+' | 'w' | 'a' = 'r'): FileOperation => ({
    kind: 'open',
    slot,
    path,
    how,
  }),
  pread: (slot: number): FileOperation => ({ kind: 'pread', slot, position: 0, length: 50 }),
  pwrite: (slot: number, text: string, position = 0): FileOperation => ({ kind: 'pwrite', slot, position, text }),
  stat: (path: string): FileOperation => ({ kind: 'stat', path }),
  close: (slot: number): FileOperation => ({ kind: 'close', slot }),
} as const;

export interface Suite {
  harness: OverlayHarness;
  /** A test of a world. */
  test(name: string, trees: Trees, body: (world: World) => Promise<void>, options?: Options, support?: Support): void;
  /** A test that compares with the model. */
  scenario(
    name: string,
    trees: Trees & { shows?: TreeSpec },
    operations?: readonly FileOperation[],
    options?: Options,
  ): void;
}
