// Small files copied before they are asked for, by the two threads of a real mount, on a file system with a journal.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually, mountAt, place, requireFuse, shell, unmountAt } from './mount-support.js';

const FILES = 200;

/** An ext4 with a journal; it goes with the other mounts of its place. */
function journaled(path: string): string {
  const disk = `${path}.disk`;
  mkdirSync(disk);
  execFileSync('truncate', ['-s', '256M', `${path}.image`]);
  execFileSync('mkfs.ext4', ['-q', '-O', 'has_journal', `${path}.image`]);
  execFileSync('mount', ['-o', 'loop', `${path}.image`, disk]);
  return disk;
}

test('chmod -R of small files: what it changed, and nothing left', { timeout: 30_000 }, async (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, upper: base, mountpoint } = place();
  const disk = journaled(base);
  const [upper, work] = ['upper', 'work'].map((name) => join(disk, name)) as [string, string];
  for (const path of [upper, work]) mkdirSync(path);
  const make = 'mkdir "$1/d" "$1/e"; for d in d e; do for i in $(seq "$2"); do echo "$d $i" > "$1/$d/$i"; done; done';
  shell(`${make}; touch -d @1000 "$1"/?/*; touch -d @2000 "$1/d" "$1/e"`, [lower, `${FILES}`]);
  mountAt({ mountpoint, lower: [lower], upper, work });
  const idle = readdirSync(join(work, 'work')).length;
  shell('chmod -R 640 "$1/d"', [mountpoint]);
  shell('ls -U "$1/e" | head -20 | while read f; do chmod 640 "$1/e/$f"; done', [mountpoint]);
  await eventually(() => readdirSync(join(work, 'work')).length === idle, 'what nobody asks for is gone');
  shell('ls -U "$1/e" | tail -n +21 | head -20 | while read f; do chmod 640 "$1/e/$f"; done', [mountpoint]);
  unmountAt(mountpoint);
  await eventually(() => readdirSync(join(work, 'work')).length === 0, 'the work directory is empty');
  expect(shell('diff -r "$1/d" "$2/d"; ls "$2/e" | wc -l', [lower, upper])).toBe('40\n');
  const odd =
    'find "$1" -type f \\( ! -perm 640 -o ! -newermt @999 -o -newermt @1000 \\) -o -type d -newermt @2000 ! -path "$1"';
  expect(shell(odd, [upper])).toBe('');
});
