// A mount takes memory for what the kernel knows of it, and gives it back.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually, mountAt, place, requireFuse, run, shell, unmountAt } from './mount-support.js';

const FILES = 60_000;

/** Proportional set size in bytes. */
function memoryOf(pid: number): number {
  const kib = /^Pss: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}

test('after a walk through many files, memory comes back once the kernel has forgotten them', async (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, upper, work, mountpoint } = place();
  run('mount', ['-t', 'tmpfs', 'many-files', lower]);
  shell('mkdir "$1/d"; cd "$1/d"; seq "$2" | xargs touch', [lower, String(FILES)]);
  const { pid } = mountAt({ lower: [lower], upper, work, mountpoint });
  expect(Number(shell('ls -l "$1" | wc -l', [join(mountpoint, 'd')]))).toBe(FILES + 1);
  const walked = memoryOf(pid);
  await eventually(() => {
    writeFileSync('/proc/sys/vm/drop_caches', '2'); // names and inodes that nobody uses
    return memoryOf(pid) < walked - FILES * 250;
  }, 'memory given back');
  unmountAt(mountpoint);
});
