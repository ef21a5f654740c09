// `passthrough=all`: large lower files are read by the kernel itself although they may still be copied up. Their readers keep what
// they opened; whoever opens the name after a change sees the change, whatever the way there. Root's mounts only.
import {
  chmodSync,
  closeSync,
  existsSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { detach, execute } from '../support/mounts.mjs';
import { requireOrSkip } from '../support/require.js';
import { ovl } from './command.mjs';
import { completeCopies, mountBelow } from './mount-below.js';

const deadline = 20_000;
const SIZE = 1 << 20;
/** For which Node has no name. */
const ESTALE = expect.objectContaining({ errno: -116 });
let root: string;
let reader: number;
const at = (name: string) => join(root, name);
const merged = (name: string) => join(root, 'merged', name);

beforeEach(async (ctx) => {
  requireOrSkip(ctx, existsSync(ovl[1]), 'the built command: `pnpm build`');
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse');
  requireOrSkip(ctx, process.getuid?.() === 0, 'root');
  root = mkdtempSync(join(tmpdir(), 'ovl-passthrough-all-'));
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(at(name));
  writeFileSync(at('lower/large'), Buffer.alloc(SIZE, 'lower '));
  writeFileSync(at('lower/twice'), Buffer.alloc(SIZE, 'lower '));
  linkSync(at('lower/twice'), at('lower/again'));
  const program = Buffer.concat([readFileSync('/bin/sleep'), Buffer.alloc(SIZE)]);
  writeFileSync(at('lower/program'), program, { mode: 0o755 });
  await mountBelow(root, 'passthrough=all');
  reader = openSync(merged('large'), 'r');
});

afterEach(async () => {
  if (!root) return;
  closeSync(reader);
  expect(readFileSync(at('lower/large')).equals(Buffer.alloc(SIZE, 'lower '))).toBe(true);
  await detach(at('merged'));
  rmSync(root, { recursive: true, force: true });
});

/** How often the kernel has asked for file data. */
async function reads(): Promise<number> {
  const { stdout } = await execute([...ovl, 'ps', '--stats', '--json'], { timeout: deadline });
  const found = JSON.parse(stdout).find(({ mountpoint }: { mountpoint: string }) => mountpoint === at('merged'));
  return found.requests.find(({ request }: { request: string }) => request === 'read')?.count ?? 0;
}

function start(fd: number): string {
  const buffer = Buffer.alloc(6);
  return buffer.toString('latin1', 0, readSync(fd, buffer, 0, 6, 0));
}

/** What somebody who opens the file now reads and sees. */
function opened(name: string): { text: string; size: number; ino: number } {
  const fd = openSync(merged(name), 'r');
  try {
    const { size, ino } = fstatSync(fd);
    expect(statSync(merged(name))).toMatchObject({ size, ino });
    return { text: start(fd), size, ino };
  } finally {
    closeSync(fd);
  }
}

test('read without a request, by several', async () => {
  expect(readFileSync(merged('large')).equals(Buffer.alloc(SIZE, 'lower '))).toBe(true);
  expect(start(reader)).toBe('lower ');
  expect(await reads()).toBe(0);
});

test('written while it is read: the reader keeps what it opened, all others see the change', () => {
  const { ino } = opened('large');
  const writer = openSync(merged('large'), 'r+');
  writeSync(writer, 'UPPER!', 0);
  expect(start(reader)).toBe('lower ');
  expect(opened('large')).toEqual({ text: 'UPPER!', size: SIZE, ino });
  writeSync(writer, 'again', SIZE);
  expect(opened('large')).toEqual({ text: 'UPPER!', size: SIZE + 5, ino });
  ftruncateSync(writer, 3);
  expect(opened('large')).toEqual({ text: 'UPP', size: 3, ino });
  closeSync(writer);
  expect(opened('large')).toEqual({ text: 'UPP', size: 3, ino });
  expect(start(reader)).toBe('lower ');
  expect(readFileSync(at('upper/large'), 'latin1')).toBe('UPP');
});

test.each<[string, () => void, string]>([
  ['O_TRUNC', () => writeFileSync(merged('large'), 'new'), 'new'],
  ['truncate', () => truncateSync(merged('large'), 4), 'lowe'],
  ['O_APPEND', () => writeFileSync(merged('large'), 'end', { flag: 'a' }), 'lower '],
])('changed by %s', (_, change, text) => {
  change();
  expect(opened('large').text).toBe(text);
  completeCopies(at('merged'));
  expect(readFileSync(merged('large')).equals(readFileSync(at('upper/large')))).toBe(true);
  expect(start(reader)).toBe('lower ');
});

test('a change of attributes shows under the name, and through the old reader is refused once there is another node', () => {
  chmodSync(merged('large'), 0o600); // copies up
  expect(statSync(merged('large')).mode & 0o777).toBe(0o600);
  fchmodSync(reader, 0o640);
  expect(statSync(merged('large')).mode & 0o777).toBe(0o640);
  writeFileSync(merged('large'), 'new', { flag: 'r+' });
  expect(() => fchmodSync(reader, 0o644)).toThrow(ESTALE);
  chmodSync(merged('large'), 0o604);
  expect(statSync(merged('large')).mode & 0o777).toBe(0o604);
});

test('renamed, linked, removed and replaced while it is read', () => {
  renameSync(merged('large'), merged('moved'));
  writeFileSync(merged('moved'), 'MOVED!', { flag: 'r+' });
  expect(opened('moved').text).toBe('MOVED!');
  linkSync(merged('moved'), merged('linked'));
  writeFileSync(merged('linked'), 'LINKED', { flag: 'r+' });
  expect([opened('moved'), opened('linked')].map(({ text }) => text)).toEqual(['LINKED', 'LINKED']);
  unlinkSync(merged('moved'));
  writeFileSync(merged('moved'), 'other');
  expect([opened('moved'), opened('linked')].map(({ text }) => text)).toEqual(['other', 'LINKED']);
  expect(start(reader)).toBe('lower ');
});

test('linked while it is read: both names are one file', () => {
  linkSync(merged('large'), merged('linked'));
  for (const [name, text] of [
    ['large', 'first!'],
    ['linked', 'second'],
  ] as const) {
    writeFileSync(merged(name), text, { flag: 'r+' });
    truncateSync(merged(name), SIZE - text.charCodeAt(0));
    expect(opened('large')).toEqual(opened('linked'));
    expect(opened('large').text).toBe(text);
  }
});

test('a file with several names is read by requests, and its readers see what is written', () => {
  const fd = openSync(merged('twice'), 'r');
  writeFileSync(merged('again'), 'UPPER!', { flag: 'r+' });
  expect(start(fd)).toBe('UPPER!');
  expect([opened('twice').text, opened('again').text]).toEqual(['UPPER!', 'UPPER!']);
  closeSync(fd);
});

test('opened again by the descriptor: for reading until the file has changed, never for writing', () => {
  const again = `/proc/self/fd/${reader}`;
  expect(readFileSync(again).length).toBe(SIZE);
  expect(() => openSync(again, 'r+')).toThrow(ESTALE);
  expect(() => readFileSync(again)).toThrow(ESTALE);
  expect(opened('large').text).toBe('lower ');
});

test('what runs is not written, and a map keeps what it showed', async () => {
  const script = `cd "$0/merged"
    ./program 20 & while [ "$(readlink /proc/$!/exe)" != "$PWD/program" ]; do :; done
    (exec 3<>program) 2>&1 | grep -o 'Text file busy'
    kill $!; wait $! 2>/dev/null || true
    printf x >> program; ./program 0 && echo runs`;
  const done = await execute(['/bin/bash', '-uc', script, root], { timeout: deadline });
  expect(done).toMatchObject({ code: 0, stdout: 'Text file busy\nruns\n' });
});
