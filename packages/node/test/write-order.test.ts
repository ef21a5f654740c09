// Which file systems keep data and names in order: what they are asked in place of fsync at each copy-up.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { writeOrderOf } from '../src/write-order.js';

const base = mkdtempSync(join(tmpdir(), 'ovl-order-'));
const mounted: string[] = [];
afterAll(() => {
  for (const path of mounted) execFileSync('umount', [path]);
  rmSync(base, { recursive: true });
});

function mounting(name: string, type: string, ...mkfs: string[]): string {
  const path = join(base, name);
  mkdirSync(path);
  if (mkfs.length > 0) {
    execFileSync('truncate', ['-s', '16M', `${path}.image`]);
    execFileSync(mkfs[0] as string, [...mkfs.slice(1), `${path}.image`]);
  }
  execFileSync('mount', mkfs.length > 0 ? ['-o', 'loop', `${path}.image`, path] : ['-t', type, type, path]);
  mounted.push(path);
  return path;
}

function orderAt(path: string): string {
  const fd = openSync(path, 'r');
  try {
    return writeOrderOf(fd);
  } finally {
    closeSync(fd);
  }
}

test.for([
  ['ext4 with a journal', 'journal', ['ext4', 'mkfs.ext4', '-q', '-O', 'has_journal']],
  ['ext4 without', 'none', ['ext4', 'mkfs.ext4', '-q', '-O', '^has_journal']],
  ['what is not on a disk', 'none', ['tmpfs']],
] as const)('%s', ([name, order, [type, ...mkfs]], ctx) => {
  requireOrSkip(ctx, process.geteuid?.() === 0, 'root, who may mount');
  expect(orderAt(mounting(name, type, ...mkfs))).toBe(order);
});
