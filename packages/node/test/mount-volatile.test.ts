// Volatile mounts: the mark that they leave, in interchange with the kernel, and what fsync says once data is lost.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import type { MountOptions } from '../src/options.js';
import { call, type Failure, mountAt, type Place, place, requireFuse, run, shell, unmountAt } from './mount-support.js';

const markOf = ({ work }: Place): string => join(work, 'work/incompat/volatile');

/** Mounts the kernel's overlayfs on the same directories; its exit status. */
function kernelMount({ lower, upper, work, mountpoint }: Place, more = ''): number | null {
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}${more}`;
  return run('mount', ['-t', 'overlay', 'overlay', '-o', options, mountpoint]).status;
}

describe.each(['root', 'nobody'] as const)('the mark, as %s', (user) => {
  test('stays after the unmount and refuses the next mount, whatever its options, until it is removed', (ctx) => {
    requireFuse(ctx, user);
    const at = place(user);
    const { lower, upper, work, mountpoint } = at;
    const options = { mountpoint, lower: [lower], upper, work };
    mountAt({ ...options, fsync: 'volatile' }, user);
    expect(shell('test -f "$1/dirty" && echo there', [markOf(at)])).toBe('there\n');
    shell('echo x > "$1/f"; sync "$1/f"', [mountpoint], user);
    unmountAt(mountpoint, user);
    for (const fsync of ['volatile', 'auto'] as const) {
      const failure = call('mount', [{ ...options, fsync }], user) as Failure;
      expect(failure).toMatchObject({
        exitCode: 3,
        message: expect.stringMatching(/work\/incompat\/volatile.*discard/),
      });
      expect(failure.message).not.toContain('\n');
    }
    shell('rm -r "$1"', [markOf(at)], user);
    mountAt(options, user);
    expect(shell('cat "$1/f"', [mountpoint], user)).toBe('x\n');
    expect(existsSync(markOf(at))).toBe(false);
    unmountAt(mountpoint, user);
  });
});

test('the kernel refuses what we marked, and we what the kernel marked', (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const { lower, upper, work, mountpoint } = at;
  mountAt({ mountpoint, lower: [lower], upper, work, fsync: 'volatile' });
  unmountAt(mountpoint);
  expect(kernelMount(at)).not.toBe(0);
  expect(existsSync(join(markOf(at), 'dirty'))).toBe(true);
  rmSync(markOf(at), { recursive: true });
  expect(kernelMount(at, ',volatile')).toBe(0);
  shell('umount "$1"', [mountpoint]);
  const failure = call('mount', [{ mountpoint, lower: [lower], upper, work }]);
  expect(failure).toMatchObject({ exitCode: 3, message: expect.stringContaining(markOf(at)) });
  expect(existsSync(join(markOf(at), 'dirty'))).toBe(true);
  rmSync(markOf(at), { recursive: true });
  mountAt({ mountpoint, lower: [lower], upper, work });
  unmountAt(mountpoint);
});

test('a mount that comes to nothing leaves no mark, nor does an upper that vanishes', (ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const { base, lower, upper, work, mountpoint } = at;
  const options = { lower: [lower], fsync: 'volatile' as const };
  expect(call('mount', [{ ...options, upper, work, mountpoint: join(base, 'none') }])).toMatchObject({ exitCode: 3 });
  const nobody = place('nobody'); // the mountpoint of somebody else: refused by fusermount3, after the layers are open
  const { message } = call('mount', [{ ...options, ...pick(nobody), mountpoint }], 'nobody') as Failure;
  expect(message).toContain('fusermount');
  expect(existsSync(markOf(at)) || existsSync(markOf(nobody))).toBe(false);
  mkdirSync(join(base, 'tmp'));
  mountAt({ ...options, mountpoint, tmp: true }, 'root', { TMPDIR: join(base, 'tmp') });
  unmountAt(mountpoint);
  expect(shell('ls "$1"', [join(base, 'tmp')])).toBe('');
});

const pick = ({ lower, upper, work }: Place): Pick<MountOptions, 'lower' | 'upper' | 'work'> => ({
  lower: [lower],
  upper,
  work,
});

test.for(['ovl', 'the kernel'] as const)('once data is lost every fsync fails: %s', (system, ctx) => {
  requireFuse(ctx, 'root');
  const at = place();
  const { base, lower, mountpoint } = at;
  // A file system on a device whose own file is on a full one: what is written to it cannot be written back.
  const small = join(base, 'small');
  const disk = join(base, 'disk');
  shell('mkdir "$1" "$2"; mount -t tmpfs -o size=12m none "$1"; truncate -s 64m "$1/image"', [small, disk]);
  requireOrSkip(ctx, run('mkfs.ext4', ['-q', '-O', '^has_journal', join(small, 'image')]).status === 0, 'mkfs.ext4');
  requireOrSkip(ctx, run('mount', ['-o', 'loop', join(small, 'image'), disk]).status === 0, 'a loop device');
  const onDisk = { ...at, upper: join(disk, 'upper'), work: join(disk, 'work') };
  shell('mkdir "$1" "$2"', [onDisk.upper, onDisk.work]);
  if (system === 'ovl') mountAt({ ...pick(onDisk), mountpoint, fsync: 'volatile' });
  else expect(kernelMount(onDisk, ',volatile')).toBe(0);
  const lose = `
    exec 3> "$1/big" 4> "$1/other" 5> "$3"
    echo x >&4; sync "$1/other" && echo early
    dd if=/dev/zero of="$1/big" bs=1M count=24 conv=notrunc status=none
    sync -f "$2" 2>&5 || true
    for name in big other .; do sync "$1/$name" 2>&5 || echo "$name"; done`;
  expect(shell(lose, [mountpoint, onDisk.upper, join(lower, 'said')])).toBe('early\nbig\nother\n.\n');
  expect(readFileSync(join(lower, 'said'), 'utf8')).toContain('Input/output error');
  shell('umount "$1"', [mountpoint]);
});
