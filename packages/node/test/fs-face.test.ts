// What differential tests cannot compare: types, streams, watchers, descriptors shared between faces, names that are no UTF-8.
import type * as host from 'node:fs';
import { statSync } from 'node:fs';
import { on, once } from 'node:events';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { memoryLayer, type Overlay, overlay } from '@ovl/core';
import * as core from '@ovl/core/fs';
import { createFs, type NodeFs } from '@ovl/node';
import { describe, expect, test } from 'vitest';

function open(): Overlay<'sync'> {
  const lower = memoryLayer({ from: { 'a.txt': 'one', dir: { b: 'two', sub: { c: 'three' } } } });
  return overlay({ lower: [lower], upper: memoryLayer() });
}

/** The functions of node:fs that answer with no Buffer: the core's faces are theirs as they are. */
type Claimed =
  | 'access'
  | 'chmod'
  | 'chown'
  | 'close'
  | 'copyFile'
  | 'fchmod'
  | 'fchown'
  | 'fdatasync'
  | 'fsync'
  | 'ftruncate'
  | 'futimes'
  | 'lchown'
  | 'link'
  | 'lutimes'
  | 'open'
  | 'rename'
  | 'rm'
  | 'symlink'
  | 'unlink'
  | 'utimes';

test('the core faces are what node:fs is, by their types', async () => {
  const fs = core.createFs(open());
  const sync: Pick<typeof host, `${Claimed}Sync` | 'existsSync'> = fs;
  const promises: Pick<typeof host.promises, Exclude<Claimed, 'close' | 'open' | `f${string}`>> = fs.promises;
  const all: Omit<typeof host, 'lchmod' | 'lchmodSync'> = createFs(open());
  expect([sync.existsSync('/a.txt'), all.existsSync('/nope')]).toEqual([true, false]);
  await expect(promises.access('/a.txt')).resolves.toBe(undefined);
  // @ts-expect-error: a face that does not wait takes no overlay whose layers may have to
  expect(() => core.syncFs(open() as Overlay<'async'>, {}, core.pathFunctions)).not.toThrow();
});

test('Stats list their members in the order of node:fs', () => {
  const fs = core.createFs(open());
  // Where the dates are depends on Node's version.
  const members = (stats: object): string[] => Object.keys(stats).filter((key) => !key.endsWith('time'));
  expect(members(fs.statSync('/a.txt'))).toEqual(members(statSync('.')));
  expect(members(fs.statSync('/a.txt', { bigint: true }))).toEqual(members(statSync('.', { bigint: true })));
});

describe('createFs of @ovl/node', () => {
  test('answers Buffers in every encoding', () => {
    const fs = createFs(open());
    expect(fs.readFileSync('/a.txt')).toEqual(Buffer.from('one'));
    expect(fs.readFileSync('/a.txt', 'base64')).toBe('b25l');
    fs.writeFileSync('/new', '6f6e65', 'hex');
    expect(fs.readFileSync(pathToFileURL('/new'), 'utf8')).toBe('one');
    expect(fs.readdirSync('/dir', 'buffer')).toEqual([Buffer.from('b'), Buffer.from('sub')]);
  });

  test('keeps names that are no UTF-8', async () => {
    const fs = createFs(open());
    const name = Buffer.from([0x2f, 0xff, 0x66]);
    fs.writeFileSync(name, 'bytes');
    const [found] = fs.readdirSync('/').filter((each) => !/^(a\.txt|dir)$/.test(each)) as [string];
    expect(fs.readFileSync(`/${found}`, 'utf8')).toBe('bytes');
    expect((await fs.promises.readdir('/', 'buffer')).some((each) => each.equals(name.subarray(1)))).toBe(true);
  });

  test('streams both ways, also of a handle', async () => {
    const fs = createFs(open());
    expect(await text(fs.createReadStream('/dir/b', { start: 1 }))).toBe('wo');
    const out = fs.createWriteStream('/dir/out', { flags: 'wx' });
    out.write('first ');
    out.end('second');
    await once(out, 'close');
    const handle = await fs.promises.open('/dir/out');
    const lines = [];
    for await (const line of handle.readLines()) lines.push(line);
    expect(lines).toEqual(['first second']);
    const failed = fs.createReadStream('/nope');
    await expect(once(failed, 'open')).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open', path: '/nope' });
  });

  test('shares descriptors between the faces of an overlay', async () => {
    const fs = createFs(open());
    const fd = fs.openSync('/a.txt', 'r+');
    const { bytesRead, buffer } = await promisify(fs.read)(fd, Buffer.alloc(2), 0, 2, null);
    expect([bytesRead, buffer.toString()]).toEqual([2, 'on']);
    const handle = await fs.promises.open('/dir/b');
    expect(handle.fd).not.toBe(fd);
    await handle.close();
    fs.closeSync(fd);
    expect(() => fs.fstatSync(fd)).toThrow('EBADF: bad file descriptor, fstat');
  });

  test('throws what is wrong with a call, and calls back with the rest', async () => {
    const fs = createFs(open());
    const call = fs.readFile as unknown as (...args: unknown[]) => void;
    expect(() => call(5.5, () => undefined)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
    expect(() => call('/a.txt')).toThrow('The "cb" argument must be of type function. Received undefined');
    expect(() => fs.unlinkSync({} as never)).toThrow(
      'The "path" argument must be of type string or an instance of Buffer or URL. Received an instance of Object',
    );
    const unlink = fs.unlink as unknown as (path: string) => void;
    expect(() => unlink('/a.txt')).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
    expect(fs.existsSync('/a.txt')).toBe(true); // nothing was done without a callback
    const truncate = fs.truncate as unknown as (path: string, length: number) => void;
    expect(() => truncate('/a.txt', 1.5)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  });

  test('an exclusive copy goes over no link, whatever it leads to', () => {
    const fs = createFs(open());
    fs.symlinkSync('nowhere', '/dangling');
    fs.symlinkSync('loop', '/loop');
    for (const taken of ['/dangling', '/loop', '/dir/b', '/a.txt']) {
      const copy = () => fs.copyFileSync('/a.txt', taken, fs.constants.COPYFILE_EXCL);
      expect(copy).toThrow(`EEXIST: file already exists, copyfile '/a.txt' -> '${taken}'`);
    }
    expect(fs.existsSync('/nowhere')).toBe(false);
  });

  test('rm names the call that met a file where a directory should be', async () => {
    const fs = createFs(open());
    const options = { recursive: true, force: true };
    expect(() => fs.rmSync('/a.txt/x', options)).toThrow("ENOTDIR: not a directory, unlink '/a.txt/x'");
    expect(() => fs.rmSync('/a.txt/x', { recursive: true })).toThrow("ENOTDIR: not a directory, lstat '/a.txt/x'");
    await expect(fs.promises.rm('/a.txt/x', options)).rejects.toThrow("ENOTDIR: not a directory, lstat '/a.txt/x'");
  });

  test('rm removes an empty directory that the lower has below another', () => {
    const lower = memoryLayer({ from: { dir: { empty: {} } } });
    const fs = createFs(overlay({ lower: [lower], upper: memoryLayer() }), { cwd: '/' });
    fs.rmSync('/dir/empty', { recursive: true });
    expect(fs.existsSync('/dir/empty')).toBe(false);
  });

  test('takes a null offset for options that say nothing, as Node does', () => {
    const fs = createFs(open());
    const fd = fs.openSync('/new', 'w+');
    expect(fs.writeSync(fd, Buffer.from('bytes!'), null, 9, null)).toBe(6);
    fs.closeSync(fd);
    expect(fs.readFileSync('/new', 'utf8')).toBe('bytes!');
  });

  test('stays where it is when nothing is appended', () => {
    const fs = createFs(open());
    const fd = fs.openSync('/a.txt', 'a+');
    const buffer = Buffer.alloc(3);
    expect(fs.writeSync(fd, new Uint8Array(0))).toBe(0);
    expect(fs.readSync(fd, buffer)).toBe(3);
    expect(buffer.toString()).toBe('one');
    fs.closeSync(fd);
  });

  test('appends nothing to what is not open for writing: an error of the callback function, as in Node', async () => {
    const fs = createFs(open());
    await expect(promisify(fs.appendFile)('/a.txt', '', { flag: 'r' })).rejects.toMatchObject({ code: 'EBADF' });
    expect(fs.appendFileSync('/a.txt', '', { flag: 'r' })).toBeUndefined();
  });

  test('watches what happens, by name', async () => {
    const fs = createFs(open());
    const watcher = fs.watch('/dir', { recursive: true });
    const events = on(watcher, 'change', { close: ['close'] });
    fs.writeFileSync('/dir/sub/new', 'x');
    fs.renameSync('/dir/b', '/moved');
    fs.writeFileSync('/a.txt', 'outside');
    const told: unknown[] = [];
    for await (const event of events) if (told.push(event) === 3) watcher.close();
    expect(told).toEqual([
      ['rename', 'sub/new'],
      ['change', 'sub/new'],
      ['rename', 'b'],
    ]);
    expect(() => fs.watch('/nope')).toThrow("ENOENT: no such file or directory, watch '/nope'");
  });

  test('tells of a file that is made and changed', async () => {
    const fs = createFs(open());
    const seen: [now: number, before: number][] = [];
    const done = new Promise<void>((resolve) => {
      fs.watchFile('/later', {}, (now, before) => {
        if (seen.push([now.size, before.size]) === 3) resolve();
        else fs.writeFileSync('/later', 'x'.repeat(seen.length * 2));
      });
    });
    await done;
    fs.unwatchFile('/later');
    expect(seen).toEqual([
      [0, 0],
      [2, 0],
      [4, 2],
    ]);
  });

  test('ends at a signal', async () => {
    const fs = createFs(open());
    const abort = new AbortController();
    const reading = fs.promises.readFile('/a.txt', { signal: abort.signal });
    const watching = fs.promises.watch('/dir', { signal: abort.signal })[Symbol.asyncIterator]().next();
    abort.abort(new Error('why'));
    const [read, watched] = await Promise.allSettled([reading, watching]);
    const reason = { name: 'AbortError', code: 'ABORT_ERR', cause: new Error('why') };
    expect(read).toMatchObject({ status: 'rejected', reason });
    expect(watched).toMatchObject({ status: 'rejected', reason });
  });

  test('is a relative path from the given directory on', () => {
    const fs: NodeFs = createFs(open(), { cwd: '/dir', umask: 0o077, uid: 7, gid: 8 });
    fs.writeFileSync('mine', '');
    const { mode, uid, gid } = fs.statSync('/dir/mine');
    expect([mode, uid, gid]).toEqual([0o100600, 7, 8]);
    expect(fs.realpathSync('sub/..')).toBe('/dir');
  });
});
