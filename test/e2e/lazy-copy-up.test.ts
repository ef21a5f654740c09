// Copy-up after the answer, on a mount: whatever happens right after the first write, the upper has the old file or the whole
// new one, and nobody takes it for complete before it is.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
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
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { detach, execute, isGone, mountAt } from '../support/mounts.mjs';
import { requireOrSkip } from '../support/require.js';
import { ovl } from './command.mjs';
import { mountBelow } from './mount-below.js';

const deadline = 30_000;
const MiB = 1 << 20;
const SIZE = 24 * MiB + 123;
const FILES = ['a', 'b', 'c', 'd'];
let root: string;
let disk: string | undefined;
const at = (name: string) => join(root, name);
const original = (name: string) => Buffer.alloc(SIZE, `content of ${name} `);

beforeEach((ctx) => {
  requireOrSkip(ctx, existsSync(ovl[1]), 'the built command: `pnpm build`');
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse');
  requireOrSkip(ctx, process.getuid?.() === 0, 'root');
  root = mkdtempSync(join(tmpdir(), 'ovl-lazy-'));
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(at(name));
  for (const name of FILES) writeFileSync(at(`lower/${name}`), original(name));
});

afterEach(async () => {
  if (!root) return;
  await detach(at('merged'));
  if (disk !== undefined) execFileSync('umount', [disk]);
  disk = undefined;
  rmSync(root, { recursive: true, force: true });
});

const mount = (...options: string[]): Promise<void> => mountBelow(root, ...options);

const unmount = () => execute([...ovl, 'umount', at('merged')], { timeout: deadline });

async function daemon(): Promise<number> {
  const { stdout } = await execute([...ovl, 'ps', '--json'], { timeout: deadline });
  return JSON.parse(stdout).find(({ mountpoint }: { mountpoint: string }) => mountpoint === at('merged')).pid;
}

function writeAt(path: string, text: string, position: number): void {
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, text, position);
  } finally {
    closeSync(fd);
  }
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function changed(name: string, text: string, position: number): Buffer {
  const bytes = original(name);
  bytes.write(text, position);
  return bytes;
}

const isSame = (path: string, expected: Buffer) => readFileSync(path).equals(expected);

test('is read as written at once; fsync makes it the upper’s', { timeout: deadline }, async () => {
  await mount();
  for (const name of FILES) writeAt(at(`merged/${name}`), name.toUpperCase(), 12 * MiB);
  for (const name of FILES) {
    expect(isSame(at(`merged/${name}`), changed(name, name.toUpperCase(), 12 * MiB))).toBe(true);
  }
  const { mtimeMs } = statSync(at('merged/a'));
  sync(at('merged/a'));
  expect(statSync(at('merged/a')).mtimeMs).toBe(mtimeMs);
  expect(isSame(at('upper/a'), changed('a', 'A', 12 * MiB))).toBe(true);
  sync(at('merged')); // and of the root: everything
  for (const name of FILES) expect(isSame(at(`upper/${name}`), changed(name, name.toUpperCase(), 12 * MiB))).toBe(true);
  expect(readdirSync(at('work/work')).filter((name) => !statSync(at(`work/work/${name}`)).isCharacterDevice())).toEqual(
    [],
  );
});

test('is changed in other ways meanwhile', { timeout: deadline }, async () => {
  await mount();
  for (const name of FILES) writeAt(at(`merged/${name}`), 'new', 0);
  truncateSync(at('merged/a'), 5 * MiB);
  chmodSync(at('merged/a'), 0o600);
  renameSync(at('merged/b'), at('merged/moved'));
  unlinkSync(at('merged/c'));
  const fd = openSync(at('merged/d'), 'r');
  unlinkSync(at('merged/d'));
  expect(readFileSync(fd).equals(changed('d', 'new', 0))).toBe(true);
  closeSync(fd);
  expect(await unmount()).toMatchObject({ code: 0, stderr: '' });
  expect(isSame(at('upper/a'), changed('a', 'new', 0).subarray(0, 5 * MiB))).toBe(true);
  expect(statSync(at('upper/a')).mode & 0o777).toBe(0o600);
  expect(isSame(at('upper/moved'), changed('b', 'new', 0))).toBe(true);
  for (const name of ['b', 'c', 'd']) expect(statSync(at(`upper/${name}`)).isCharacterDevice()).toBe(true);
  for (const name of FILES) expect(isSame(at(`lower/${name}`), original(name))).toBe(true);
});

test('whoever finds it unmounted finds the upper complete', { timeout: deadline }, async () => {
  await mount();
  for (const name of FILES) writeAt(at(`merged/${name}`), 'new', 100);
  for (;;) {
    const { code, stderr } = await execute(['umount', at('merged')], { timeout: deadline });
    if (code === 0) break;
    expect(stderr).toMatch(/busy/);
    await sleep(5);
  }
  for (const name of FILES) expect(isSame(at(`upper/${name}`), changed(name, 'new', 100))).toBe(true);
});

test.each(['ovl umount', 'SIGTERM'])('%s waits for it', { timeout: deadline }, async (how) => {
  await mount();
  const pid = await daemon();
  writeAt(at('merged/a'), 'new', 100);
  if (how === 'SIGTERM') process.kill(pid, how);
  else expect(await unmount()).toMatchObject({ code: 0, stderr: '' });
  expect(await isGone(at('merged'), deadline)).toBe(true);
  expect(isSame(at('upper/a'), changed('a', 'new', 100))).toBe(true);
});

test('a killed daemon leaves the old file or the new one', { timeout: deadline }, async () => {
  for (const delay of [0, 5, 20, 60]) {
    await mount();
    const pid = await daemon();
    writeAt(at('merged/a'), 'new', 100);
    writeAt(at('merged/b'), 'new', 100);
    sync(at('merged/b'));
    await sleep(delay);
    process.kill(pid, 'SIGKILL');
    expect(await isGone(at('merged'), deadline)).toBe(true);
    await mount();
    const found = readFileSync(at('merged/a'));
    expect(found.equals(changed('a', 'new', 100)) || found.equals(original('a'))).toBe(true);
    expect(isSame(at('merged/b'), changed('b', 'new', 100))).toBe(true);
    expect(await unmount()).toMatchObject({ code: 0 });
    for (const name of ['a', 'b']) rmSync(at(`upper/${name}`), { force: true });
  }
});

test('room is asked for before the answer', { timeout: deadline }, async () => {
  disk = at('small');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16M', 'tmpfs', disk]);
  for (const name of ['upper', 'work']) {
    mkdirSync(join(disk, name));
    rmSync(at(name), { recursive: true });
    execFileSync('ln', ['-s', join(disk, name), at(name)]);
  }
  await mount();
  expect(() => writeAt(at('merged/a'), 'new', 0)).toThrow('ENOSPC');
  expect(isSame(at('merged/a'), original('a'))).toBe(true);
  expect(await unmount()).toMatchObject({ code: 0 });
  expect(readdirSync(join(disk, 'upper'))).toEqual([]);
});

test('ovl diff has it', { timeout: deadline }, async () => {
  await mount();
  for (const name of FILES) writeAt(at(`merged/${name}`), 'new', 100);
  const { stdout } = await execute([...ovl, 'diff', at('merged')], { timeout: deadline });
  expect(stdout.split('\n').map((line) => line.slice(0, 4))).toEqual(['C /a', 'C /b', 'C /c', 'C /d', '']);
});

test('lazy_copy_up=off: the upper has it with the answer', { timeout: deadline }, async () => {
  await mount('lazy_copy_up=off');
  writeAt(at('merged/a'), 'new', 100);
  expect(isSame(at('upper/a'), changed('a', 'new', 100))).toBe(true);
});

test('lazy_copy_up=all: attributes change at once, and are in the upper after the unmount', {
  timeout: deadline,
}, async () => {
  mkdirSync(at('lower/tree'));
  for (let i = 0; i < 200; i++) writeFileSync(at(`lower/tree/${i}`), `file ${i}`);
  await mount('lazy_copy_up=all');
  for (let i = 0; i < 200; i++) chmodSync(at(`merged/tree/${i}`), 0o600);
  for (let i = 0; i < 200; i++) expect(statSync(at(`merged/tree/${i}`)).mode & 0o777).toBe(0o600);
  expect(await unmount()).toMatchObject({ code: 0, stderr: '' });
  expect(mountAt(at('merged'))).toBeUndefined();
  for (let i = 0; i < 200; i++) {
    expect(readFileSync(at(`upper/tree/${i}`), 'utf8')).toBe(`file ${i}`);
    expect(statSync(at(`upper/tree/${i}`)).mode & 0o777).toBe(0o600);
  }
});

test.for(['data', 'all'])(
  'lazy_copy_up=%s: what can never get its name is given up when the mount is gone',
  {
    timeout: deadline,
  },
  async (lazy) => {
    const options = `lowerdir=${at('lower')},upperdir=${at('upper')},workdir=${at('work')},lazy_copy_up=${lazy}`;
    const server = spawn(ovl[0], [ovl[1], 'mount', '-d', '-o', options, at('merged')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    server.stderr.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
    const exited = once(server, 'exit');
    try {
      while (mountAt(at('merged')) === undefined && server.exitCode === null) await sleep(20);
      rmSync(at('upper'), { recursive: true });
      writeAt(at('merged/a'), 'new', 100);
      // In the mount table, it is held: somebody may still put things right, or ask.
      await sleep(1500);
      const busy = await execute(['umount', at('merged')], { timeout: deadline });
      expect(busy.stderr).toMatch(/busy/);
      expect(readFileSync(at('merged/a')).equals(changed('a', 'new', 100))).toBe(true);
      execFileSync('umount', ['-l', at('merged')]);
      expect(await exited).toEqual([0, null]);
      expect(said.match(/^ovl: changes of a are lost: .*$/gm)).toHaveLength(1);
    } finally {
      server.kill('SIGKILL');
    }
  },
);
