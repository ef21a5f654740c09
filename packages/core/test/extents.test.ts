// Copy-up of what is written and no more: whatever is done to a file, it looks as if all of it had been copied, at once and
// when the layers are opened again with further uppers above; and the upper stores what was written.
import {
  allocate,
  copyRange,
  type Layer,
  memoryLayer,
  type MemoryLayer,
  metacopies,
  type OpenHandle,
  Overlay,
  runAsync,
  runSync,
  seek,
  type UpperLayer,
} from '@ovl/core';
import { extents, sparseMemoryLayer } from '@ovl/core/extents';
import { ALL_CAPABILITIES, asyncLayer, Scheduler, upperSuite } from '@ovl/core/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parameters, TIMEOUT } from './worlds.js';

upperSuite({
  name: 'sparse memory',
  runner: { describe, it, skip: (name, reason) => it(name, (context) => context.skip(reason)) },
  capabilities: ALL_CAPABILITIES,
  upper: () => sparseMemoryLayer(),
});

const CHUNK = 1 << 16;
const READ_WRITE = { read: true, write: true, append: false, truncate: false };
const READ = { ...READ_WRITE, write: false };

function open(upper: UpperLayer<'sync'>, lower: readonly Layer<'sync'>[], chunk = CHUNK): Overlay<'sync'> {
  return runSync(Overlay.open({ upper, lower, metacopy: extents({ chunk }) }));
}

function found(overlay: Overlay, name: string): NonNullable<ReturnType<typeof find>> {
  return find(overlay, name) as NonNullable<ReturnType<typeof find>>;
}

function find(overlay: Overlay, name: string): { inode: Overlay['root']; size: number; blocks: number } | undefined {
  const entry = runSync(overlay.lookup(overlay.root, name));
  return entry && { inode: entry.inode, size: entry.attributes.size, blocks: entry.attributes.blocks };
}

function contentOf(overlay: Overlay, name: string): Uint8Array {
  const { inode, size } = found(overlay, name);
  const handle = runSync(overlay.open(inode, READ));
  const content = new Uint8Array(size + 8);
  const length = runSync(overlay.read(handle, content, 0));
  runSync(overlay.release(handle));
  return content.subarray(0, length);
}

/** -1 where they are the same. */
function differsAt(a: Uint8Array, b: Uint8Array): number {
  return a.length === b.length ? a.findIndex((byte, i) => byte !== b[i]) : Math.min(a.length, b.length);
}

function storedIn(layer: MemoryLayer, name: string): number {
  return (layer.lookup(layer.root, name)?.attributes.blocks ?? 0) * 512;
}

function big(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = (i >>> 8) ^ i ^ 0x55 || 1;
  return bytes;
}

describe('the first byte into a large lower file', () => {
  const SIZE = 64 * CHUNK;

  it('stores one chunk, and the lower layer is as it was', () => {
    const bytes = big(SIZE);
    const lower = memoryLayer({ from: { f: bytes } });
    const upper = sparseMemoryLayer();
    const overlay = open(upper, [lower]);
    const handle = runSync(overlay.open(found(overlay, 'f').inode, READ_WRITE));
    expect(storedIn(upper, 'f')).toBe(0);
    runSync(overlay.write(handle, Uint8Array.of(1), 40 * CHUNK + 7));
    expect(storedIn(upper, 'f')).toBe(CHUNK);
    expect(differsAt(contentOf(open(sparseMemoryLayer(), [lower]), 'f'), bytes)).toBe(-1);
    bytes[40 * CHUNK + 7] = 1;
    expect(differsAt(contentOf(overlay, 'f'), bytes)).toBe(-1);
    expect(differsAt(contentOf(open(upper, [lower]), 'f'), bytes)).toBe(-1);
  });

  it('that is opened and not written stores nothing; written as a whole, it is an ordinary file', () => {
    const upper = sparseMemoryLayer();
    const overlay = open(upper, [memoryLayer({ from: { f: big(SIZE) } })]);
    const handle = runSync(overlay.open(found(overlay, 'f').inode, READ_WRITE));
    expect(storedIn(upper, 'f')).toBe(0);
    for (let at = 0; at < SIZE; at += CHUNK / 2) runSync(overlay.write(handle, big(CHUNK / 2), at));
    const own = upper.lookup(upper.root, 'f');
    expect(upper.listxattr(own?.node as object)).not.toContain('trusted.overlay.metacopy');
    expect(contentOf(runSync(Overlay.open({ lower: [upper] })), 'f').length).toBe(SIZE);
  });

  it('is copied whole where the upper says nothing of extents', () => {
    const upper = memoryLayer();
    const overlay = open(upper, [memoryLayer({ from: { f: big(SIZE) } })]);
    const handle = runSync(overlay.open(found(overlay, 'f').inode, READ_WRITE));
    runSync(overlay.write(handle, Uint8Array.of(1), 0));
    expect(storedIn(upper, 'f')).toBe(SIZE);
    expect(contentOf(runSync(Overlay.open({ lower: [upper] })), 'f').length).toBe(SIZE);
  });

  it('is refused, never misread, by who does not know of it', () => {
    const upper = sparseMemoryLayer();
    const lower = memoryLayer({ from: { f: big(SIZE) } });
    const overlay = open(upper, [lower]);
    runSync(overlay.write(runSync(overlay.open(found(overlay, 'f').inode, READ_WRITE)), Uint8Array.of(1), 0));
    for (const [metacopy, code] of [
      [metacopies('make'), 'EIO'],
      [undefined, 'EPERM'],
    ] as const) {
      const other = runSync(Overlay.open({ lower: [upper, lower], ...(metacopy && { metacopy }) }));
      expect(() => contentOf(other, 'f')).toThrow(code);
    }
  });

  it('keeps its data under another name, and below a further upper that adds its own', () => {
    const bytes = big(SIZE);
    const lower = memoryLayer({ from: { f: bytes } });
    const layers: MemoryLayer[] = [lower];
    let name = 'f';
    for (const next of ['g', 'h', 'i']) {
      const upper = sparseMemoryLayer();
      const overlay = open(upper, layers);
      const handle = runSync(overlay.open(found(overlay, name).inode, READ_WRITE));
      const at = next.charCodeAt(0) * 1000;
      runSync(overlay.write(handle, Uint8Array.of(7), at));
      bytes[at] = 7;
      runSync(overlay.rename(overlay.root, name, overlay.root, next));
      runSync(overlay.write(handle, Uint8Array.of(8), at + CHUNK));
      bytes[at + CHUNK] = 8;
      runSync(overlay.release(handle));
      name = next;
      layers.unshift(upper);
      expect(storedIn(upper, name)).toBe(2 * CHUNK);
      expect(differsAt(contentOf(overlay, name), bytes)).toBe(-1);
      expect(differsAt(contentOf(open(sparseMemoryLayer(), layers), name), bytes)).toBe(-1);
    }
  });

  it('EINVAL for a chunk that is no power of two', () => {
    expect(() => extents({ chunk: 3 })).toThrow('EINVAL');
  });
});

type Step =
  | { kind: 'write'; position: number; length: number }
  | { kind: 'truncate'; size: number }
  | { kind: 'allocate'; mode: number; position: number; length: number }
  | { kind: 'seek'; position: number }
  | { kind: 'copy'; from: number; position: number; length: number }
  | { kind: 'reopen' | 'seal' | 'rename' | 'link' | 'chmod' };

const MODES = [
  { keepSize: true, punchHole: true, zeroRange: false },
  { keepSize: false, punchHole: false, zeroRange: true },
  { keepSize: true, punchHole: false, zeroRange: true },
  { keepSize: false, punchHole: false, zeroRange: false },
];
const position = fc.integer({ min: 0, max: 60 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('write' as const), position, length: fc.integer({ min: 0, max: 20 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('truncate' as const), size: position }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('allocate' as const),
      mode: fc.nat(3),
      position,
      length: fc.integer({ min: 1, max: 20 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('seek' as const), position }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('copy' as const),
      from: position,
      position,
      length: fc.integer({ min: 1, max: 20 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('reopen' as const, 'seal', 'rename', 'link', 'chmod') }) },
);

/** A file of 40 bytes below, in chunks of 4, over and in several layers. */
class FileUnderTest {
  readonly #late: Scheduler | undefined;
  readonly #other = big(64);
  readonly #layers: MemoryLayer[];
  #upper = sparseMemoryLayer();
  #overlay!: Overlay;
  #handle!: OpenHandle;
  #reader!: OpenHandle;
  #name = 'f';
  #content = big(40);
  #names = 0;

  constructor(seed: number | undefined) {
    this.#late = seed === undefined ? undefined : new Scheduler(seed);
    this.#layers = [memoryLayer({ from: { f: this.#content, other: this.#other } })];
  }

  #seen<L extends Layer>(layer: L): L {
    return this.#late === undefined ? layer : asyncLayer(layer, this.#late);
  }

  async open(): Promise<void> {
    const lower = this.#layers.map((layer) => this.#seen<Layer>(layer));
    this.#overlay = await runAsync(
      Overlay.open({ upper: this.#seen<UpperLayer>(this.#upper), lower, metacopy: extents({ chunk: 4 }) }),
    );
    const entry = await runAsync(this.#overlay.lookup(this.#overlay.root, this.#name));
    this.#reader = await runAsync(this.#overlay.open((entry as { inode: Overlay['root'] }).inode, READ));
    this.#handle = await runAsync(this.#overlay.open(this.#reader.inode, READ_WRITE));
  }

  async #close(): Promise<void> {
    await runAsync(this.#overlay.release(this.#handle));
    await runAsync(this.#overlay.release(this.#reader));
  }

  async do(step: Step): Promise<void> {
    const overlay = this.#overlay;
    const { root } = overlay;
    switch (step.kind) {
      case 'write': {
        const bytes = big(step.length).map((byte) => byte ^ 0x80);
        expect(await runAsync(overlay.write(this.#handle, bytes, step.position))).toBe(step.length);
        if (step.length > 0) this.#put(bytes, step.position);
        return;
      }
      case 'copy': {
        const from = await runAsync(overlay.lookup(root, 'other'));
        const source = await runAsync(overlay.open((from as { inode: Overlay['root'] }).inode, READ));
        const { length } = this.#other.subarray(step.from, step.from + step.length);
        const copied = await runAsync(
          overlay.perform(copyRange, source, step.from, this.#handle, step.position, step.length),
        );
        expect(copied).toBe(length);
        if (length > 0) this.#put(this.#other.subarray(step.from, step.from + length), step.position);
        return runAsync(overlay.release(source));
      }
      case 'truncate': {
        await runAsync(overlay.setattr(this.#handle.inode, { size: step.size }));
        return this.#resize(step.size);
      }
      case 'allocate': {
        const mode = MODES[step.mode] as (typeof MODES)[number];
        await runAsync(overlay.perform(allocate, this.#handle, mode, step.position, step.length));
        const end = step.position + step.length;
        if (!mode.keepSize && end > this.#content.length) this.#resize(end);
        if (mode.punchHole || mode.zeroRange) this.#content.fill(0, step.position, end);
        return;
      }
      case 'seek':
        return this.#seek(step.position);
      case 'reopen':
        await this.#close();
        return this.open();
      case 'seal':
        await this.#close();
        this.#layers.unshift(this.#upper);
        this.#upper = sparseMemoryLayer();
        return this.open();
      case 'rename': {
        const name = `n${this.#names++}`;
        await runAsync(overlay.rename(root, this.#name, root, name));
        this.#name = name;
        return;
      }
      case 'link': {
        const name = `n${this.#names++}`;
        await runAsync(overlay.link(this.#handle.inode, root, name));
        await runAsync(overlay.unlink(root, this.#name));
        this.#name = name;
        return;
      }
      case 'chmod':
        await runAsync(overlay.setattr(this.#handle.inode, { mode: 0o600 }));
    }
  }

  #resize(size: number): void {
    const content = new Uint8Array(size);
    content.set(this.#content.subarray(0, size));
    this.#content = content;
  }

  #put(bytes: Uint8Array, position: number): void {
    if (position + bytes.length > this.#content.length) this.#resize(position + bytes.length);
    this.#content.set(bytes, position);
  }

  /** Whatever is called a hole reads as zeros, and what is no zero is found as data. */
  async #seek(position: number): Promise<void> {
    const ask = (whence: 'data' | 'hole'): Promise<number | undefined> =>
      runAsync(this.#overlay.perform(seek, this.#reader, position, whence)).catch((error: Error) => {
        expect(error.message).toContain('ENXIO');
        return undefined;
      });
    const [data, hole] = [await ask('data'), await ask('hole')];
    const { length } = this.#content;
    expect(hole === undefined).toBe(position >= length);
    const isZero = this.#content.subarray(position, data ?? length).every((byte) => byte === 0);
    expect({ position, data, hole, isZero }).toEqual({ position, data, hole, isZero: true });
    if (hole !== undefined && data === position) expect(hole).toBeGreaterThan(position);
  }

  async check(): Promise<void> {
    const { size } = await runAsync(this.#overlay.getattr(this.#handle.inode));
    expect(size).toBe(this.#content.length);
    for (const handle of [this.#reader, this.#handle]) {
      const content = new Uint8Array(size + 4);
      const length = await runAsync(this.#overlay.read(handle, content, 0));
      expect([...content.subarray(0, length)]).toEqual([...this.#content]);
    }
  }
}

describe('a file in chunks of four bytes is as one that was copied', () => {
  for (const late of [false, true]) {
    it(`after any steps${late ? ', over layers that answer later' : ''}`, TIMEOUT, async () => {
      const property = fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 20 }),
        fc.nat(),
        async (steps, seed) => {
          const file = new FileUnderTest(late ? seed : undefined);
          await file.open();
          for (const one of steps) {
            await file.do(one);
            await file.check();
          }
          await file.do({ kind: 'seal' });
          await file.check();
        },
      );
      await fc.assert(property, parameters(late ? 60 : 300));
    });
  }
});
