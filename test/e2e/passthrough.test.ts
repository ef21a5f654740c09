// Files that the kernel reads and writes by itself: that it does so, and that every reader sees what was written last,
// however the file was open before. Root's mounts only.
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { detach, execute } from '../support/mounts.mjs';
import { requireOrSkip } from '../support/require.js';
import { ovl } from './command.mjs';
import { mountBelow } from './mount-below.js';

const deadline = 20_000;
const MiB = 1 << 20;
let root: string;
const at = (name: string) => join(root, name);
const content = (seed: number, length = MiB) => Buffer.alloc(length, `content ${seed} `);

beforeEach((ctx) => {
  requireOrSkip(ctx, existsSync(ovl[1]), 'the built command: `pnpm build`');
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse');
  requireOrSkip(ctx, process.getuid?.() === 0, 'root');
  root = mkdtempSync(join(tmpdir(), 'ovl-passthrough-'));
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(at(name));
  writeFileSync(at('lower/large'), content(0));
  writeFileSync(at('lower/small'), 'small\n');
});

afterEach(async () => {
  if (!root) return;
  await detach(at('merged'));
  rmSync(root, { recursive: true, force: true });
});

const mount = (...options: string[]): Promise<void> => mountBelow(root, ...options);

/** How often the kernel asked for file data so far, and sent some. */
async function dataRequests(): Promise<{ read: number; write: number }> {
  const { stdout } = await execute([...ovl, 'ps', '--stats', '--json'], { timeout: deadline });
  const found = JSON.parse(stdout).find(({ mountpoint }: { mountpoint: string }) => mountpoint === at('merged'));
  const count = (name: string): number =>
    found.requests.find(({ request }: { request: string }) => request === name)?.count ?? 0;
  return { read: count('read'), write: count('write') };
}

/** All that an open file holds. */
function readAll(fd: number): Buffer {
  const buffer = Buffer.alloc(fstatSync(fd).size);
  let at = 0;
  for (let n = -1; n !== 0; at += n) n = readSync(fd, buffer, at, buffer.length - at, at);
  return buffer;
}

/** Not by `toEqual`, which takes seconds for a megabyte. */
function expectSame(actual: Buffer, expected: Buffer): void {
  expect(actual.length).toBe(expected.length);
  expect(actual.equals(expected)).toBe(true);
}

test('what is in the upper is read and written without requests', async () => {
  await mount();
  writeFileSync(at('merged/new'), content(1));
  writeFileSync(at('merged/new'), content(2), { flag: 'a' });
  expectSame(readFileSync(at('merged/new')), Buffer.concat([content(1), content(2)]));
  expect(await dataRequests()).toEqual({ read: 0, write: 0 });
  expectSame(readFileSync(at('upper/new')), readFileSync(at('merged/new')));
  expect(statSync(at('merged/new'))).toMatchObject({ size: 2 * MiB, mtimeMs: statSync(at('upper/new')).mtimeMs });
});

test('a lower file that may still be copied up is read by requests, and its readers see the copy', async () => {
  await mount();
  const reader = openSync(at('merged/large'), 'r');
  expectSame(readAll(reader), content(0));
  expect((await dataRequests()).read).toBeGreaterThan(0);
  const writer = openSync(at('merged/large'), 'r+');
  writeSync(writer, 'changed', 0);
  expect(readAll(reader).subarray(0, 12).toString()).toBe('changed 0 co');
  closeSync(writer);
  closeSync(reader);
  const { read } = await dataRequests();
  expect(readFileSync(at('merged/large')).subarray(0, 7).toString()).toBe('changed');
  expect((await dataRequests()).read).toBe(read); // it lies in the upper now
  expectSame(readFileSync(at('lower/large')), content(0));
});

test('without an upper every large file is', async () => {
  const done = await execute([...ovl, 'mount', '-o', `lowerdir=${at('lower')}`, at('merged')], { timeout: deadline });
  expect(done.code).toBe(0);
  expectSame(readFileSync(at('merged/large')), content(0));
  expect((await dataRequests()).read).toBe(0);
  expect(readFileSync(at('merged/small'), 'utf8')).toBe('small\n');
  expect((await dataRequests()).read).toBe(1); // to open a backing file would cost more
});

test('pages from before are not shown after the kernel wrote by itself, nor the other way round', async () => {
  await mount();
  writeFileSync(at('merged/file'), 'first'); // small, so that from the second open on it goes through the cache
  expect(readFileSync(at('merged/file'), 'utf8')).toBe('first');
  writeFileSync(at('merged/file'), 'second'); // O_TRUNC: without requests again
  expect(readFileSync(at('merged/file'), 'utf8')).toBe('second');
  const cached = openSync(at('merged/file'), 'r+');
  writeSync(cached, content(3), 0, MiB, 0); // grows beyond the limit, through the cache
  expectSame(readFileSync(at('merged/file')), content(3));
  closeSync(cached);
  const large = openSync(at('merged/file'), 'r+');
  writeSync(large, 'third', 0);
  closeSync(large);
  truncateSync(at('merged/file'), 7);
  expect(readFileSync(at('merged/file'), 'utf8')).toBe('thirdnt');
});

test('several handles, of which one came by another way', async () => {
  await mount();
  writeFileSync(at('merged/file'), content(4));
  const [first, second] = [openSync(at('merged/file'), 'r+'), openSync(at('merged/file'), 'r')];
  writeSync(first, 'one', 0);
  truncateSync(at('merged/file'), 6);
  expect(readAll(second).toString()).toBe('onetent 4 '.slice(0, 6));
  rmSync(at('merged/file'));
  writeSync(first, 'two', 3);
  expect(readAll(second).toString()).toBe('onetwo');
  for (const fd of [first, second]) closeSync(fd);
});

test('a write by others takes set-id bits away, also through what root opened for them', async () => {
  const write = 'setpriv --reuid=1000 --regid=1000 --clear-groups sh -c "echo x >&3"';
  for (const [options, by, mode] of [
    ['passthrough=on', 'echo x >&3', '6755'],
    ['passthrough=on', write, '755'],
    ['passthrough=off,no_open=off', write, '755'],
    ['no_open', write, '755'],
  ] as const) {
    await mount(options);
    const done = await execute(['sh', '-euc', `exec 3>f; chmod 6755 f; ${by}; stat -c %a f`], {
      timeout: deadline,
      cwd: at('merged'),
    });
    expect(done).toMatchObject({ code: 0, stdout: `${mode}\n` });
    await detach(at('merged'));
  }
});

test('passthrough=off asks for everything', async () => {
  await mount('passthrough=off');
  writeFileSync(at('merged/new'), content(5));
  expectSame(readFileSync(at('merged/new')), content(5));
  const { write } = await dataRequests();
  expect(write).toBeGreaterThan(0);
});
