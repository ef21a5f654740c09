/**
 * A process that works on a mount whose daemon it kills meanwhile: from a second thread, so that the moment can lie in the
 * middle of an operation. It also looks at trees, so that whatever hangs, hangs here.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { runSync } from '@ovl/core';
import { apply, type FileOperation, populate, type Result, type Snapshot, snapshot } from '@ovl/core/testing';
import { hostUpper } from '../../packages/node/src/host-upper.js';
import { ioctlOrErrno, mount, umount2 } from '../../packages/node/src/mount-syscalls.js';
import { KernelCalls } from '../differential/kernel-calls.js';
import { respond } from '../differential/respond.js';
import { randomBytes, seenOf } from './large.js';
import { MountDriver } from './mount-driver.js';
import type { Kill, LargeView, Place, Requests } from './protocol.js';

/** Cells that the two threads share. */
const ARMED = 0;
const BEGUN = 1;
const PID = 2;
const AT = 3;
const AFTER_US = 4;
const DISK = 5;
const cells = isMainThread ? new Int32Array(new SharedArrayBuffer(24)) : (workerData as Int32Array);

/** Errors by which a client learns that the daemon is gone, or the disk. */
const GONE = new Set(['ENOTCONN', 'ECONNABORTED']);
const LOST = new Set(['EIO', 'EROFS', ...GONE]);

const EXT4_IOC_SHUTDOWN = 0x8004587d;
const NOLOGFLUSH = new Uint32Array([2]);

async function run(merged: string, operations: readonly FileOperation[], kill: Kill): Promise<Result[]> {
  const driver = new MountDriver(merged);
  const results: Result[] = [];
  const disk = kill.disk === undefined ? -1 : openSync(kill.disk, 'r');
  const gone = disk < 0 ? GONE : LOST;
  Atomics.store(cells, DISK, disk);
  Atomics.store(cells, BEGUN, -1);
  Atomics.store(cells, PID, kill.pid);
  Atomics.store(cells, AT, kill.at);
  Atomics.store(cells, AFTER_US, kill.afterUs);
  Atomics.store(cells, ARMED, 1);
  Atomics.notify(cells, ARMED);
  try {
    for (const [i, operation] of operations.entries()) {
      Atomics.store(cells, BEGUN, i);
      Atomics.notify(cells, BEGUN);
      const result = await apply(driver, operation);
      if ('error' in result && gone.has(result.error)) break;
      results.push(result);
    }
    if (Atomics.load(cells, BEGUN) < kill.at) throw new Error('the daemon was gone before it was killed');
    while (Atomics.load(cells, ARMED) === 1) Atomics.wait(cells, ARMED, 1);
    return results;
  } finally {
    driver.end();
    if (disk >= 0) closeSync(disk);
  }
}

/** The second thread's life. */
function killer(): never {
  for (;;) {
    while (Atomics.load(cells, ARMED) === 0) Atomics.wait(cells, ARMED, 0);
    for (let begun = Atomics.load(cells, BEGUN); begun < Atomics.load(cells, AT); begun = Atomics.load(cells, BEGUN)) {
      Atomics.wait(cells, BEGUN, begun, 1000);
    }
    const end = performance.now() + Atomics.load(cells, AFTER_US) / 1000;
    while (performance.now() < end);
    const disk = Atomics.load(cells, DISK);
    if (disk >= 0 && ioctlOrErrno(disk, EXT4_IOC_SHUTDOWN, NOLOGFLUSH) < 0) throw new Error('no ext4 to shut down');
    process.kill(Atomics.load(cells, PID), 'SIGKILL');
    Atomics.store(cells, ARMED, 0);
    Atomics.notify(cells, ARMED);
  }
}

async function view(root: string, by: 'ovl' | 'kernel'): Promise<Snapshot> {
  const driver = new MountDriver(root, by);
  try {
    return await snapshot(driver);
  } finally {
    driver.end();
  }
}

function largeView(root: string): LargeView {
  return readdirSync(root)
    .sort()
    .map((name) => {
      const path = join(root, name);
      return seenOf(name, lstatSync(path).mode, readFileSync(path));
    });
}

/** What `look` sees of the kernel's overlayfs on the same directories. */
async function inKernel<T>({ lower, upper, work, merged }: Place, look: (root: string) => T | Promise<T>): Promise<T> {
  const options = `lowerdir=${lower.join(':')},upperdir=${upper},workdir=${work},redirect_dir=on,xino=off`;
  mount('overlay', merged, 'overlay', 0, options);
  try {
    return await look(merged);
  } finally {
    umount2(merged, 0);
  }
}

function digest(root: string): string {
  const hash = createHash('sha256');
  const calls = new KernelCalls(root);
  const flags = { write: false, create: false, exclusive: false, truncate: false, append: false, directory: false };
  const visit = (path: string): void => {
    const { ino, mode, nlink, uid, gid, size, rdev, mtimeSec, mtimeNsec } = calls.stat(undefined, path);
    hash.update(JSON.stringify([path, ino, mode, nlink, uid, gid, size, rdev, mtimeSec, mtimeNsec]));
    for (const name of calls.listxattr(undefined, path).sort()) {
      hash.update(name).update(calls.getxattr(undefined, path, name));
    }
    const type = mode >>> 12;
    if (type !== 4 && type !== 8) return;
    const fd = calls.open(undefined, path, { ...flags, read: true, directory: type === 4 }, 0);
    if (type === 4) {
      const names = calls.freaddir(fd).map(({ name }) => name);
      calls.close(fd);
      for (const name of names.sort()) visit(path === '' ? name : `${path}/${name}`);
      return;
    }
    for (let at = 0, part: Uint8Array; (part = calls.pread(fd, 1 << 18, at)).length > 0; at += part.length) {
      hash.update(part);
    }
    calls.close(fd);
  };
  visit('');
  calls.end();
  return hash.digest('hex');
}

function main(): void {
  new Worker(new URL(import.meta.url), { workerData: cells }).unref();
  respond<Requests>({
    build({ root, tree }) {
      const work = `${root}.work`;
      mkdirSync(work);
      process.umask(0);
      const layer = hostUpper({ upper: root, work });
      runSync(populate(layer, tree));
      layer.close?.();
      rmSync(work, { recursive: true });
    },
    buildLarge({ root, files }) {
      for (const { name, bytes, seed } of files) {
        writeFileSync(join(root, name), randomBytes(seed, bytes));
        chmodSync(join(root, name), 0o644);
      }
    },
    run: ({ merged, operations, kill }) => run(merged, operations, kill),
    view: ({ place, by }) => (by === 'kernel' ? inKernel(place, (root) => view(root, by)) : view(place.merged, by)),
    largeView: ({ place, by }) => (by === 'kernel' ? inKernel(place, largeView) : largeView(place.merged)),
    digest: ({ root }) => digest(root),
  });
}

if (isMainThread) main();
else killer();
