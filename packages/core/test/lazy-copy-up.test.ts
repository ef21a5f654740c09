// Copy-up after the answer: what is seen, what waits, what a failure leaves. The upper copies beside in as many looks as told.
import {
  allocate,
  type Found,
  FsError,
  type Inode,
  type MemoryLayer,
  memoryLayer,
  type OpenHandle,
  type Operation,
  Overlay,
  runSync,
  seek,
  setxattr,
  exchange,
} from '@ovl/core';
import { LazyCopyUps, type LazyOptions, Unsettled } from '@ovl/core/lazy';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { type Copier, copyingBeside } from './copying-beside.js';

const SIZE = (8 << 20) + 1000; // two chunks
const READ_WRITE = { read: true, write: true, append: false, truncate: false };
const READ = { ...READ_WRITE, write: false };

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 11)) & 0xff);
}
const original = pattern(SIZE);

let copier: Copier;
let upper: MemoryLayer;
let lazy: LazyCopyUps;
let overlay: Overlay<'sync'>;

function openOver(options: Partial<LazyOptions> = {}): void {
  copier = { looks: 3, failure: undefined, log: [] };
  upper = copyingBeside(memoryLayer(), copier);
  lazy = new LazyCopyUps({ unsettled: 'suspend', attributes: 'later', ...options });
  const lower = memoryLayer({ from: { d: { big: original, small: 'small', other: 'other' } } });
  overlay = runSync(Overlay.open<'sync'>({ lower: [lower], upper, lazy }));
}
beforeEach(() => openOver());

const work = (): void => runSync(overlay.perform((stack) => lazy.work(stack)));

/** As a server: again after each piece of work, until it can be answered. Returns the answer and the number of attempts. */
function patiently<T>(operation: () => Operation<T>): { answer: T; attempts: number } {
  for (let attempts = 1; ; attempts++) {
    try {
      return { answer: runSync(operation()), attempts };
    } catch (error) {
      if (!(error instanceof Unsettled)) throw error;
      if (attempts > 100) throw new Error('never settled', { cause: error });
      work();
    }
  }
}

function at(path: string): Inode | undefined {
  let inode: Inode | undefined = overlay.root;
  for (const name of path.split('/')) inode = inode && runSync(overlay.lookup(inode, name))?.inode;
  return inode;
}
const found = (path: string): Inode => at(path) as Inode;
const opened = (path: string, flags = READ_WRITE): OpenHandle => runSync(overlay.open(found(path), flags));

function content(handle: OpenHandle): Uint8Array {
  const buffer = new Uint8Array(SIZE + 5000);
  return buffer.subarray(0, runSync(overlay.read(handle, buffer, 0)));
}

/** What the upper's own tree has under /d. */
function inUpper(name: string): { size: number; mode: number } | undefined {
  const dir = upper.lookup(upper.root, 'd');
  const entry = dir && upper.lookup(dir.node, name);
  return entry && { size: entry.attributes.size, mode: entry.attributes.mode & 0o7777 };
}

function patched(...changes: [at: number, text: string][]): Uint8Array {
  const bytes = Uint8Array.from(original);
  for (const [position, text] of changes) bytes.set(new TextEncoder().encode(text), position);
  return bytes;
}
const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

function write(handle: OpenHandle, text: string, position: number): void {
  patiently(() => overlay.write(handle, new TextEncoder().encode(text), position));
}

describe('a large file', () => {
  test('is written before it is copied, and has no name in the upper until it is whole', () => {
    const handle = opened('d/big');
    expect(copier.log).toEqual([]);
    write(handle, 'first', 100);
    write(handle, 'second', SIZE - 3);
    const expected = new Uint8Array(SIZE + 3);
    expected.set(patched([100, 'first']));
    expected.set(new TextEncoder().encode('second'), SIZE - 3);
    let looks = 0;
    for (; inUpper('big') === undefined; looks++) {
      expect(equal(content(handle), expected)).toBe(true);
      work();
    }
    expect(looks).toBeGreaterThan(8);
    expect(inUpper('big')).toEqual({ size: SIZE + 3, mode: 0o644 });
    expect(copier.log.at(-1)).toBe('sync order');
    expect(equal(content(handle), expected)).toBe(true);
    expect(lazy.isEmpty).toBe(true);
  });

  test('who writes into the chunk that is being copied waits for it, and is not overwritten', () => {
    const handle = opened('d/big');
    work();
    expect(copier.log).toEqual(['copy 0']);
    expect(() => runSync(overlay.write(handle, new Uint8Array([1]), 5))).toThrow(Unsettled);
    runSync(overlay.write(handle, new Uint8Array([1]), SIZE - 1)); // elsewhere: at once
    write(handle, 'mine', 5);
    patiently(() => overlay.fsync(handle, 'all'));
    const expected = patched([5, 'mine']);
    expected[SIZE - 1] = 1;
    expect(equal(content(handle), expected)).toBe(true);
  });

  test('fsync answers when the copy has its name', () => {
    const handle = opened('d/big');
    expect(() => runSync(overlay.fsync(handle, 'data'))).toThrow(Unsettled);
    expect(patiently(() => overlay.fsync(handle, 'data')).attempts).toBeGreaterThan(3);
    expect(inUpper('big')?.size).toBe(SIZE);
  });

  test('its times are what its users made them, not the copying', () => {
    const before = runSync(overlay.getattr(found('d/big')));
    opened('d/big');
    work();
    expect(runSync(overlay.getattr(found('d/big')))).toMatchObject({ mtimeSec: before.mtimeSec, ino: before.ino });
    patiently(() => overlay.setattr(found('d/big'), { mtime: { sec: 1234, nsec: 5 }, mode: 0o600 }));
    while (!lazy.isEmpty) work();
    expect(runSync(overlay.getattr(found('d/big')))).toMatchObject({ mtimeSec: 1234, mtimeNsec: 5, ino: before.ino });
    expect(inUpper('big')?.mode).toBe(0o600);
  });

  test.each([
    ['shorter', SIZE - 5000],
    ['empty', 0],
    ['longer', SIZE + 4000],
  ])('is made %s in between', (_, size) => {
    const handle = opened('d/big');
    work();
    patiently(() => overlay.setattr(found('d/big'), { size }));
    patiently(() => overlay.setattr(found('d/big'), { size: SIZE + 4500 }));
    const expected = new Uint8Array(SIZE + 4500);
    expected.set(original.subarray(0, Math.min(size, SIZE)));
    expect(equal(content(handle), expected)).toBe(true);
    patiently(() => overlay.fsync(handle, 'all'));
    expect(equal(content(handle), expected)).toBe(true);
  });

  test('times that are set stay, though the copying goes on as they are set', () => {
    const handle = opened('d/big');
    const setattr = upper.setattr.bind(upper);
    upper.setattr = (node, change) => {
      setattr(node, change);
      if (change.mtime !== undefined && !lazy.isEmpty) setattr(node, { mtime: { sec: 99, nsec: 0 } });
    };
    write(handle, 'x', 100);
    const { mtimeSec, mtimeNsec } = runSync(overlay.setattr(handle.inode, { mtime: { sec: 7, nsec: 8 } }));
    expect([mtimeSec, mtimeNsec]).toEqual([7, 8]);
    upper.setattr = setattr;
    patiently(() => overlay.fsync(handle, 'all'));
    expect(runSync(overlay.getattr(found('d/big')))).toMatchObject({ mtimeSec: 7, mtimeNsec: 8 });
  });

  test('holes that are punched stay, data is found where it is', () => {
    const handle = opened('d/big');
    work();
    const punch = { keepSize: true, punchHole: true, zeroRange: false };
    patiently(() => overlay.perform(allocate, handle, punch, 4096, 8192));
    const expected = patched();
    expected.fill(0, 4096, 12288);
    expect(equal(content(handle), expected)).toBe(true);
    expect(runSync(overlay.perform(seek, handle, 0, 'data'))).toBe(0);
    expect(runSync(overlay.perform(seek, handle, SIZE - 1, 'hole'))).toBe(SIZE);
    expect(() => runSync(overlay.perform(seek, handle, SIZE, 'data'))).toThrow('ENXIO');
    patiently(() => overlay.fsync(handle, 'all'));
    expect(equal(content(handle), expected)).toBe(true);
  });

  test('is renamed, linked and exchanged once it is there', () => {
    opened('d/big');
    expect(patiently(() => overlay.rename(found('d'), 'big', overlay.root, 'moved')).attempts).toBeGreaterThan(3);
    expect(at('d/big')).toBeUndefined();
    expect(upper.lookup(upper.root, 'moved')?.attributes.size).toBe(SIZE);
    openOver();
    opened('d/big');
    patiently(() => overlay.link(found('d/big'), overlay.root, 'second'));
    expect(upper.lookup(upper.root, 'second')?.attributes).toMatchObject({ size: SIZE, nlink: 2 });
    openOver();
    opened('d/big');
    patiently(() => overlay.perform(exchange, found('d'), 'big', found('d'), 'other'));
    expect(inUpper('other')?.size).toBe(SIZE);
  });

  test('is removed or replaced without being copied, and stays readable where it is open', () => {
    const handle = opened('d/big');
    write(handle, 'kept', 10);
    work();
    runSync(overlay.unlink(found('d'), 'big'));
    expect(at('d/big')).toBeUndefined();
    expect(equal(content(handle), patched([10, 'kept']))).toBe(true);
    expect(runSync(overlay.getattr(handle.inode)).nlink).toBe(0);
    write(handle, 'more', 20);
    patiently(() => overlay.fsync(handle, 'all'));
    expect(equal(content(handle), patched([10, 'kept'], [20, 'more']))).toBe(true);
    runSync(overlay.release(handle));
    for (let i = 0; i < 10; i++) work();
    expect(copier.log).toEqual(['copy 0']);
    expect(lazy.isEmpty).toBe(true);
    expect(upper.lookup(upper.lookup(upper.root, 'd')?.node as object, 'big')?.attributes.rdev).toBe(0); // a whiteout
    openOver();
    const replaced = opened('d/big');
    patiently(() => overlay.rename(found('d'), 'small', found('d'), 'big'));
    expect(equal(content(replaced), original)).toBe(true);
    expect(inUpper('big')?.size).toBe(5);
  });

  test('a directory can be moved around it', () => {
    const handle = opened('d/big');
    write(handle, 'x', 0);
    patiently(() => overlay.rename(overlay.root, 'd', overlay.root, 'e'));
    while (!lazy.isEmpty) work();
    expect(equal(content(handle), patched([0, 'x']))).toBe(true);
    const dir = upper.lookup(upper.root, 'e');
    expect(upper.lookup(dir?.node as object, 'big')?.attributes.size).toBe(SIZE);
  });

  test('what failed is told once to who asks, is tried again, and the lower file stays', () => {
    const handle = opened('d/big');
    write(handle, 'new', 0);
    copier.failure = new FsError('ENOSPC', { syscall: 'write' });
    for (let i = 0; i < 10; i++) work();
    expect(() => runSync(overlay.fsync(handle, 'all'))).toThrow('ENOSPC');
    expect(inUpper('big')).toBeUndefined();
    expect(equal(content(handle), patched([0, 'new']))).toBe(true);
    copier.failure = undefined;
    patiently(() => overlay.fsync(handle, 'all'));
    expect(inUpper('big')?.size).toBe(SIZE);
    expect(equal(content(handle), patched([0, 'new']))).toBe(true);
  });

  test('the end of the overlay completes it, or says what is lost', () => {
    write(opened('d/big'), 'late', 7);
    runSync(overlay.close());
    expect(inUpper('big')?.size).toBe(SIZE);
    const told: string[] = [];
    openOver({ log: (line) => told.push(line) });
    write(opened('d/big'), 'late', 7);
    copier.failure = new FsError('EIO', { syscall: 'read' });
    runSync(overlay.close());
    expect(inUpper('big')).toBeUndefined();
    expect(told).toEqual([expect.stringMatching(/changes of big are lost: EIO/)]);
  });

  test('who may wait waits', () => {
    openOver({ unsettled: 'wait' });
    const handle = opened('d/big');
    runSync(overlay.fsync(handle, 'all'));
    expect(inUpper('big')?.size).toBe(SIZE);
  });
});

describe('changes of attributes alone', () => {
  const chmod = (path: string, mode: number): number => runSync(overlay.setattr(found(path), { mode })).mode & 0o7777;

  test('show at once, and are made when there is time', () => {
    expect(chmod('d/small', 0o600)).toBe(0o600);
    expect(runSync(overlay.setattr(found('d/small'), { mtime: { sec: 99, nsec: 1 } })).mtimeSec).toBe(99);
    expect(inUpper('small')).toBeUndefined();
    expect(runSync(overlay.lookup(found('d'), 'small'))?.attributes).toMatchObject({ mode: 0o100600, mtimeSec: 99 });
    work();
    expect(inUpper('small')).toEqual({ size: 5, mode: 0o600 });
    expect(runSync(overlay.getattr(found('d/small')))).toMatchObject({ mode: 0o100600, mtimeSec: 99 });
    expect(lazy.isEmpty).toBe(true);
  });

  test.each<[string, () => Operation<unknown>]>([
    ['a write', () => overlay.open(found('d/small'), READ_WRITE)],
    ['fsync', () => overlay.fsync(opened('d/small', READ), 'all')],
    ['fsync of its directory', () => overlay.fsyncdir(found('d'))],
    ['fsync of the root', () => overlay.fsyncdir(overlay.root)],
    ['sync', () => overlay.sync()],
    ['an attribute of its user', () => overlay.perform(setxattr, found('d/small'), 'user.a', new Uint8Array(1))],
    ['a change of mode that it cannot wait with', () => overlay.setattr(found('d/small'), { mode: 0o4600 })],
    ['the end', () => overlay.close()],
  ])('%s makes them first', (_, operation) => {
    chmod('d/small', 0o600);
    patiently(operation);
    expect(inUpper('small')).toMatchObject({
      size: 5,
      mode: expect.toSatisfy((mode: number) => (mode & 0o777) === 0o600),
    });
  });

  test('of a file that is removed are not made', () => {
    chmod('d/small', 0o600);
    const handle = opened('d/small', READ);
    runSync(overlay.unlink(found('d'), 'small'));
    expect(runSync(overlay.getattr(handle.inode)).mode & 0o7777).toBe(0o600);
    work();
    expect(lazy.isEmpty).toBe(true);
    runSync(overlay.release(handle));
  });

  test('go along when it is renamed', () => {
    chmod('d/small', 0o640);
    patiently(() => overlay.rename(found('d'), 'small', overlay.root, 'moved'));
    expect(upper.lookup(upper.root, 'moved')?.attributes.mode).toBe(0o100640);
  });

  test('stay in view where they cannot be made', () => {
    chmod('d/small', 0o600);
    const { stage } = upper;
    upper.stage = () => {
      throw new FsError('ENOSPC', { syscall: 'openat' });
    };
    work();
    expect(runSync(overlay.getattr(found('d/small'))).mode & 0o7777).toBe(0o600);
    expect(() => runSync(overlay.fsyncdir(found('d')))).toThrow('ENOSPC');
    upper.stage = stage;
    runSync(overlay.fsyncdir(found('d')));
    expect(inUpper('small')?.mode).toBe(0o600);
  });

  test('are kept where a large copy fails before it has begun', () => {
    runSync(overlay.setattr(found('d/big'), { uid: 1000 }));
    const failing = vi.spyOn(upper, 'setxattr').mockImplementation(() => {
      throw new FsError('ENOSPC');
    });
    work();
    expect(failing).toHaveBeenCalled();
    failing.mockRestore();
    expect(runSync(overlay.getattr(found('d/big'))).uid).toBe(1000);
    patiently(() => overlay.sync());
    expect(upper.lookup((upper.lookup(upper.root, 'd') as Found).node, 'big')?.attributes.uid).toBe(1000);
  });

  test('are made at once unless asked for', () => {
    openOver({ attributes: 'now' });
    chmod('d/small', 0o600);
    expect(inUpper('small')?.mode).toBe(0o600);
  });
});
