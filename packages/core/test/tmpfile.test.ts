// Files without a name, and the name that they may get.
import {
  createTmpfile,
  type Entry,
  type Inode,
  type LayerNode,
  MemoryLayer,
  memoryLayer,
  type OpenHandle,
  Overlay,
  runSync,
} from '@ovl/core';
import { describe, expect, it } from 'vitest';

/** Counts what is staged and not yet linked or given up. */
class CountingLayer extends MemoryLayer {
  readonly given: LayerNode[] = [];
  override discard(node?: LayerNode): void {
    if (node !== undefined) this.given.push(node);
  }
  release(node: LayerNode): void {
    this.given.push(node);
  }
}

class World {
  readonly upper = new CountingLayer();
  readonly lower: MemoryLayer = memoryLayer({ from: { d: { gone: 'lower', there: '' } } });
  readonly overlay: Overlay<'sync'> = runSync(Overlay.open<'sync'>({ lower: [this.lower], upper: this.upper }));
  readonly dir: Inode = this.find('d', this.overlay.root) as Inode;

  find(name: string, dir: Inode = this.dir): Inode | undefined {
    return runSync(this.overlay.lookup(dir, name))?.inode;
  }

  make(): Entry & { handle: OpenHandle } {
    const entry = runSync(this.overlay.perform(createTmpfile, this.dir, { mode: 0o100640, uid: 3, gid: 4 }));
    const flags = { read: true, write: true, append: false, truncate: false };
    const handle = runSync(this.overlay.open(entry.inode, flags));
    runSync(this.overlay.write(handle, new Uint8Array([1, 2, 3]), 0));
    return { ...entry, handle };
  }

  names(): string[] {
    return runSync(this.overlay.readdir(this.dir)).map(({ name }) => name);
  }
}

describe('a file without a name', () => {
  it('has a link count of 0 and is in no directory', () => {
    const world = new World();
    const before = world.overlay.inodeCount;
    const { inode, attributes } = world.make();
    expect(attributes).toMatchObject({ mode: 0o100640, uid: 3, gid: 4, nlink: 0, ino: inode.ino });
    expect(runSync(world.overlay.getattr(inode))).toMatchObject({ nlink: 0, size: 3 });
    expect(world.names()).toEqual(['gone', 'there']);
    expect(world.overlay.inodeCount).toBe(before);
  });

  it('is given up with its last handle', () => {
    const world = new World();
    const { handle, inode } = world.make();
    runSync(world.overlay.release(handle));
    expect(world.upper.given).toEqual([inode.upper]);
  });

  it('is given up with the last reference, where somebody holds one', () => {
    const world = new World();
    const { handle, inode } = world.make();
    world.overlay.retain(inode);
    runSync(world.overlay.release(handle));
    expect(world.upper.given).toEqual([]);
    expect(runSync(world.overlay.getattr(inode)).size).toBe(3);
    world.overlay.forget(inode);
    expect(world.upper.given).toEqual([inode.upper]);
  });

  it.each(['new', 'gone'])('gets a name by link: %s', (name) => {
    const world = new World();
    if (name === 'gone') runSync(world.overlay.unlink(world.dir, name));
    const { handle, inode } = world.make();
    const linked = runSync(world.overlay.link(inode, world.dir, name));
    expect(linked).toMatchObject({ inode, attributes: { nlink: 1, ino: inode.ino } });
    expect(world.find(name)).toBe(inode);
    runSync(world.overlay.release(handle));
    expect(world.upper.given).toEqual([]);
    expect(runSync(world.overlay.getattr(world.find(name) as Inode))).toMatchObject({ nlink: 1, size: 3 });
  });

  it('gets several', () => {
    const world = new World();
    const { inode } = world.make();
    runSync(world.overlay.link(inode, world.dir, 'one'));
    runSync(world.overlay.link(inode, world.dir, 'two'));
    expect(runSync(world.overlay.getattr(inode)).nlink).toBe(2);
    expect(world.names().toSorted()).toEqual(['gone', 'one', 'there', 'two']);
  });

  it('gets no name that is taken, and none again once the last is gone', () => {
    const world = new World();
    const { inode } = world.make();
    const link = (name: string) => () => runSync(world.overlay.link(inode, world.dir, name));
    expect(link('there')).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    link('new')();
    runSync(world.overlay.unlink(world.dir, 'new'));
    expect(link('again')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });

  it('is refused without an upper, and in a directory that is gone', () => {
    const world = new World();
    const readOnly = runSync(Overlay.open<'sync'>({ lower: [world.lower] }));
    const file = { mode: 0o100640, uid: 0, gid: 0 };
    expect(() => runSync(readOnly.perform(createTmpfile, readOnly.root, file))).toThrow(
      expect.objectContaining({ code: 'EROFS' }),
    );
    for (const name of world.names()) runSync(world.overlay.unlink(world.dir, name));
    runSync(world.overlay.rmdir(world.overlay.root, 'd'));
    expect(() => world.make()).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });
});
