// Where a benchmark works. On an ext4 without journal (the root disk of many virtual machines) whoever creates files steps
// over every inode that was deleted in the last minutes, one by one: up to 0.6 ms a file, whatever is mounted above. So root
// gets a fresh ext4 with a journal on a loop device; others get the directory, and are told what it lies on.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

/**
 * @typedef {object} Disk
 * @property {string} dir An empty directory.
 * @property {string} note What it lies on, for whoever reads the figures.
 * @property {boolean} forgetsDeleted Whether deleting files leaves what is created afterwards as fast as before.
 * @property {() => void} release Takes away everything: mounts below it, the directory, the file system. At once, so that it
 *   also serves an abrupt end; idempotent.
 */

/**
 * A fresh file system of this size; throws where that cannot be had. Its image has no name from the moment it is mounted:
 * the unmount frees loop device and space, whoever does it.
 * @param {string} parent
 * @param {{ bytes: number, inodes: number }} size
 * @returns {Disk}
 */
export function imageDisk(parent, { bytes, inodes }) {
  const free = statfsSync(parent);
  if (free.bavail * free.bsize < bytes)
    throw new Error(`${parent} has ${gigabytes(free.bavail * free.bsize)} free of ${gigabytes(bytes)}`);
  const outer = mkdtempSync(join(parent, 'ovl-bench-'));
  const image = join(outer, 'image');
  const dir = join(outer, 'disk');
  try {
    chmodSync(outer, 0o755); // the disk may become another user's
    mkdirSync(dir);
    writeFileSync(image, '');
    truncateSync(image, bytes);
    // Nothing of its set-up is left to a thread of the kernel that would work beside the first rows.
    const setUp = ['-E', 'lazy_itable_init=0,lazy_journal_init=0'];
    run('mkfs.ext4', '-q', '-F', '-N', String(inodes), '-m', '0', ...setUp, image);
    run('mount', '-o', 'loop', image, dir);
    rmSync(image);
  } catch (error) {
    remove(outer);
    throw error;
  }
  const note = `on a fresh ext4 of ${gigabytes(bytes)} with a journal, on a loop device`;
  return { dir, note, forgetsDeleted: true, release: once(() => remove(outer)) };
}

/**
 * A directory in one that is there.
 * @param {string} parent
 * @returns {Disk}
 */
export function directoryDisk(parent) {
  const dir = mkdtempSync(join(parent, 'ovl-bench-'));
  const { type, device } = fileSystemOf(dir);
  const slow = type === 'ext4' && !hasJournal(device);
  const what = slow
    ? 'an ext4 without journal: it steps over recently deleted inodes one by one, so rows that create files measure it rather than what is mounted above'
    : type === 'ext4'
      ? 'an ext4 with a journal'
      : type;
  return {
    dir,
    note: `in a directory of ${parent}, on ${what}`,
    forgetsDeleted: !slow,
    release: once(() => remove(dir)),
  };
}

function remove(/** @type {string} */ dir) {
  detachBelow(dir);
  if (!mounts().some(({ point }) => point.startsWith(`${dir}/`)))
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}

/**
 * Takes away the mounts here and below, newest first, and lazily where it has to be: one that hangs must not keep the others.
 * The disk itself is waited for, since a server that has just lost its mount still holds it.
 */
export function detachBelow(/** @type {string} */ dir) {
  const isRoot = process.getuid?.() === 0;
  const below = mounts().filter(({ point }) => point === dir || point.startsWith(`${dir}/`));
  for (const { point, type } of below.reverse()) {
    if (!isRoot) attempt('fusermount3', '-uz', point);
    else if (type.startsWith('fuse')) attempt('umount', '-l', point);
    else {
      const deadline = Date.now() + leaveMs;
      while (!attempt('umount', point) && Date.now() < deadline) Atomics.wait(pause, 0, 0, 50);
      if (mounts().some((mount) => mount.point === point)) attempt('umount', '-l', point);
    }
  }
}

const leaveMs = 5_000;
const pause = new Int32Array(new SharedArrayBuffer(4));
const attempt = (/** @type {string} */ program, /** @type {string[]} */ ...args) =>
  spawnSync(program, args, { timeout: 20_000 }).status === 0;

function mounts() {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const point = (before.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      );
      return {
        point,
        device: before.split(' ')[2] ?? '',
        type: after.split(' ')[0] ?? '',
        source: after.split(' ')[1] ?? '',
      };
    });
}

function fileSystemOf(/** @type {string} */ path) {
  const { dev } = statSync(path);
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  const found = mounts().find(({ device }) => device === `${(dev >> 8) & 0xfff}:${minor}`);
  return { type: found?.type ?? 'an unknown file system', device: basename(found?.source ?? '') };
}

/** Its journal is a directory there, named after the device and an inode. */
function hasJournal(/** @type {string} */ device) {
  try {
    return readdirSync('/proc/fs/jbd2').some((name) => name.startsWith(`${device}-`));
  } catch {
    return false; // no journal in the whole kernel
  }
}

function run(/** @type {string} */ program, /** @type {string[]} */ ...args) {
  const { status, error, stderr } = spawnSync(program, args, { timeout: 120_000, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program}: ${error?.message ?? stderr.trim()}`);
}

function once(/** @type {() => void} */ act) {
  let done = false;
  return () => {
    if (!done) act();
    done = true;
  };
}

const gigabytes = (/** @type {number} */ bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
