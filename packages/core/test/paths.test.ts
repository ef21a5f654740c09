import { deepCopyUp, memoryLayer, type OverlayOptions, Overlay, promisesFs, runSync, syncFs } from '@ovl/core';
import { describe, expect, it } from 'vitest';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function open() {
  const lower = memoryLayer({ from: { 'a.txt': 'one', dir: { b: 'two', sub: { c: 'three' } } } });
  const overlay = runSync(Overlay.open<'sync'>({ lower: [lower], upper: memoryLayer() }));
  return { lower, fs: syncFs(overlay), promises: promisesFs(overlay) };
}

describe('path faces', () => {
  it('read, write, append and list through both faces', async () => {
    const { fs, promises, lower } = open();
    expect(text(fs.readFileSync('/a.txt'))).toBe('one');
    fs.appendFileSync('/a.txt', '+');
    await promises.appendFile('/a.txt', 'more');
    expect(text(await promises.readFile('/a.txt'))).toBe('one+more');
    await promises.writeFile('/dir/new', 'x'.repeat(3_000_000));
    expect(fs.statSync('/dir/new').size).toBe(3_000_000);
    expect(fs.readdirSync('/dir')).toEqual(['b', 'new', 'sub']);
    expect(lower.readdir(lower.root).length).toBe(2);
  });

  it('follow symbolic links, and stop at a loop', () => {
    const { fs } = open();
    fs.symlinkSync('/dir/sub', '/link');
    fs.symlinkSync('../a.txt', '/dir/up');
    expect(text(fs.readFileSync('/link/c'))).toBe('three');
    expect(text(fs.readFileSync('/dir/up'))).toBe('one');
    expect(text(fs.readFileSync('/link/../b'))).toBe('two');
    expect(fs.lstatSync('/link').isSymbolicLink()).toBe(true);
    fs.symlinkSync('/loop', '/loop');
    expect(() => fs.statSync('/loop')).toThrow(expect.objectContaining({ code: 'ELOOP' }));
  });

  it('fail as Node does', async () => {
    const { fs, promises } = open();
    expect(() => fs.readFileSync('/nope')).toThrow("ENOENT: no such file or directory, open '/nope'");
    await expect(promises.rmdir('/dir')).rejects.toThrow("ENOTEMPTY: directory not empty, rmdir '/dir'");
    expect(() => fs.mkdirSync('/dir')).toThrow(
      expect.objectContaining({ code: 'EEXIST', errno: -17, syscall: 'mkdir' }),
    );
    expect(() => fs.renameSync('/dir', '/dir/sub/x')).toThrow(
      "EINVAL: invalid argument, rename '/dir' -> '/dir/sub/x'",
    );
    expect(() => fs.mkdirSync('/')).toThrow(expect.objectContaining({ code: 'EEXIST' }));
  });

  it('move a directory with what only the lower layer holds', () => {
    const { fs } = open();
    fs.mkdirSync('/p/q', { recursive: true });
    fs.renameSync('/dir', '/p/q/moved');
    expect(text(fs.readFileSync('/p/q/moved/sub/c'))).toBe('three');
    expect(fs.existsSync('/dir/b')).toBe(false);
  });

  it('move it where the kernel would find no record only with a deep copy-up', () => {
    const lower = memoryLayer({ from: { dir: { b: 'two' } } });
    const open = (options: Pick<OverlayOptions, 'deepCopyUp'>) => {
      const upper = memoryLayer({ xattrPrefix: 'user.overlay.' });
      return syncFs(runSync(Overlay.open<'sync'>({ lower: [lower], upper, ...options })));
    };
    expect(() => open({}).renameSync('/dir', '/moved')).toThrow(expect.objectContaining({ code: 'EXDEV' }));
    const able = open({ deepCopyUp });
    able.renameSync('/dir', '/moved');
    expect(text(able.readFileSync('/moved/b'))).toBe('two');
  });
});
