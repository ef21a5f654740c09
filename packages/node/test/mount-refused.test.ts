// Bad input: one clear line each, its exit code, and nothing mounted or left behind.
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { withoutForeignMounts } from '../../../test/support/namespace.js';
import type { MountOptions } from '../src/options.js';
import {
  call,
  type Failure,
  mountAt,
  mountsUnder,
  type Place,
  place,
  requireFuse,
  run,
  shell,
  unmountAt,
} from './mount-support.js';

type Case = [what: string, exitCode: number, message: string, options: (at: Place) => MountOptions];

const cases: Case[] = [
  ['no lower directory', 2, 'no lower directory', ({ mountpoint }) => ({ mountpoint, lower: [] })],
  ['no mountpoint', 2, 'no mountpoint', ({ lower }) => ({ mountpoint: '', lower: [lower] })],
  ['work without upper', 2, 'needs an upper', ({ lower, work, mountpoint }) => ({ mountpoint, lower: [lower], work })],
  [
    'two uppers',
    2,
    'exclude each other',
    ({ lower, upper, mountpoint }) => ({ mountpoint, lower: [lower], upper, tmp: true }),
  ],
  [
    'a lower directory that is missing',
    3,
    "lower directory '/nowhere/none' does not exist",
    ({ mountpoint }) => ({ mountpoint, lower: ['/nowhere/none'] }),
  ],
  [
    'a lower directory that is none',
    3,
    'is not a directory',
    ({ base, mountpoint }) => {
      writeFileSync(join(base, 'file'), '');
      return { mountpoint, lower: [join(base, 'file')] };
    },
  ],
  [
    'an upper that is missing',
    3,
    'upper directory',
    ({ base, lower, work, mountpoint }) => ({ mountpoint, lower: [lower], upper: join(base, 'none'), work }),
  ],
  [
    'a work directory that is missing',
    3,
    'work directory',
    ({ base, lower, upper, mountpoint }) => ({ mountpoint, lower: [lower], upper, work: join(base, 'none') }),
  ],
  [
    'an upper inside a lower',
    3,
    'lies inside lower directory',
    ({ lower, work, mountpoint }) => {
      mkdirSync(join(lower, 'upper'));
      return { mountpoint, lower: [lower], upper: join(lower, 'upper'), work };
    },
  ],
  [
    'an upper inside a lower, by a symbolic link',
    3,
    'lies inside lower directory',
    ({ base, lower, work, mountpoint }) => {
      mkdirSync(join(lower, 'upper'));
      symlinkSync(join(lower, 'upper'), join(base, 'link'));
      return { mountpoint, lower: [lower], upper: join(base, 'link'), work };
    },
  ],
  [
    'an upper inside a lower, by a bind mount',
    3,
    'lies inside lower directory',
    ({ base, lower, mountpoint }) => {
      mkdirSync(join(lower, 'a/upper'), { recursive: true });
      mkdirSync(join(lower, 'a/work'), { recursive: true });
      mkdirSync(join(base, 'bind'));
      shell('mount --bind "$1" "$2"', [join(lower, 'a'), join(base, 'bind')]);
      return { mountpoint, lower: [lower], upper: join(base, 'bind/upper'), work: join(base, 'bind/work') };
    },
  ],
  [
    'a lower inside the upper',
    3,
    'lies inside upper directory',
    ({ upper, work, mountpoint }) => {
      mkdirSync(join(upper, 'lower'));
      return { mountpoint, lower: [join(upper, 'lower')], upper, work };
    },
  ],
  [
    'upper and lower the same',
    3,
    'is the same as',
    ({ lower, work, mountpoint }) => ({ mountpoint, lower: [lower], upper: lower, work }),
  ],
  [
    'upper and work the same',
    3,
    'is the same as',
    ({ lower, upper, mountpoint }) => ({ mountpoint, lower: [lower], upper, work: upper }),
  ],
  [
    'upper and work on different file systems',
    3,
    'different file systems',
    ({ lower, upper, base, mountpoint }) => {
      mkdirSync(join(base, 'tmpfs'));
      shell('mount -t tmpfs none "$1"', [join(base, 'tmpfs')]);
      return { mountpoint, lower: [lower], upper, work: join(base, 'tmpfs') };
    },
  ],
  [
    'upper and work on different mounts of one file system',
    3,
    'different mounts',
    ({ lower, upper, work, base, mountpoint }) => {
      mkdirSync(join(base, 'bind'));
      shell('mount --bind "$1" "$2"', [work, join(base, 'bind')]);
      return { mountpoint, lower: [lower], upper, work: join(base, 'bind') };
    },
  ],
  [
    'a mountpoint that is missing',
    3,
    'mountpoint',
    ({ base, lower }) => ({ mountpoint: join(base, 'none'), lower: [lower] }),
  ],
  [
    'a mountpoint that is no directory',
    3,
    'is not a directory',
    ({ base, lower }) => {
      writeFileSync(join(base, 'file'), '');
      return { mountpoint: join(base, 'file'), lower: [lower] };
    },
  ],
  [
    'a mountpoint inside the upper',
    3,
    'lies inside upper directory',
    ({ lower, upper, work }) => {
      mkdirSync(join(upper, 'merged'));
      return { mountpoint: join(upper, 'merged'), lower: [lower], upper, work };
    },
  ],
];

function oneLine({ message }: Failure): boolean {
  return message !== '' && !message.includes('\n');
}

test.each(cases)('%s', (what, exitCode, message, options) => {
  const at = place();
  const failure = call('mount', [options(at)]) as Failure;
  expect(failure).toMatchObject({ name: 'MountError', exitCode, message: expect.stringContaining(message) });
  expect(oneLine(failure), what).toBe(true);
  expect(mountsUnder(at.base).filter(({ fstype }) => fstype.startsWith('fuse'))).toEqual([]);
  expect(readdirSync(at.base).filter((name) => name.startsWith('.'))).toEqual([]);
});

test('a mountpoint that is a mount of ours already', (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, mountpoint } = place();
  mountAt({ mountpoint, lower: [lower] });
  const failure = call('mount', [{ mountpoint, lower: [lower] }]);
  expect(failure).toMatchObject({ exitCode: 4, message: expect.stringContaining('is an ovl mount already') });
  expect(mountsUnder(mountpoint)).toHaveLength(1);
  unmountAt(mountpoint);
});

test('an upper or work directory that a live mount has', (ctx) => {
  requireFuse(ctx, 'root');
  const { base, lower, upper, work, mountpoint } = place();
  for (const name of ['merged2', 'upper2', 'work2']) mkdirSync(join(base, name));
  const second = { mountpoint: join(base, 'merged2'), lower: [lower] };
  mountAt({ mountpoint, lower: [lower], upper, work });
  for (const directories of [
    { upper, work: join(base, 'work2') },
    { upper: join(base, 'upper2'), work },
  ]) {
    const failure = call('mount', [{ ...second, ...directories }]) as Failure;
    expect(failure).toMatchObject({ exitCode: 4, message: expect.stringContaining('another overlay is using') });
    expect(oneLine(failure)).toBe(true);
  }
  expect(mountsUnder(base)).toHaveLength(1);
  unmountAt(mountpoint);
  mountAt({ ...second, upper, work });
  unmountAt(second.mountpoint);
});

test('a work directory that was made for a mount that failed goes again', (ctx) => {
  requireFuse(ctx, 'root');
  const { base, lower, upper } = place();
  const failure = call('mount', [{ mountpoint: join(base, 'none'), lower: [lower], upper }]);
  expect(failure).toMatchObject({ exitCode: 3 });
  expect(readdirSync(base)).not.toContain('.upper.work');
});

test("another user's work directory", (ctx) => {
  requireFuse(ctx, 'nobody');
  const { lower, upper, work, mountpoint } = place('nobody');
  mkdirSync(join(work, 'work'));
  const failure = call('mount', [{ mountpoint, lower: [lower], upper, work }], 'nobody') as Failure;
  expect(failure).toMatchObject({ exitCode: 3, message: expect.stringContaining(`'${work}/work'`) });
  expect(failure.message).toContain('belongs to another user (uid 0)');
  expect(oneLine(failure)).toBe(true);
});

test('fusermount3 that is absent', (ctx) => {
  requireFuse(ctx, 'nobody');
  const { lower, mountpoint } = place('nobody');
  const failure = call('mount', [{ mountpoint, lower: [lower] }], 'nobody', { PATH: '/nowhere' });
  expect(failure).toMatchObject({ exitCode: 5, message: expect.stringContaining('fusermount3 is not in PATH') });
});

test('what fusermount3 says is passed on in one line', (ctx) => {
  requireFuse(ctx, 'nobody');
  const { lower, mountpoint } = place();
  const failure = call('mount', [{ mountpoint, lower: [lower] }], 'nobody') as Failure; // the mountpoint is root's
  expect(failure.message).toContain('fusermount');
  expect(oneLine(failure)).toBe(true);
});

/** In a mount namespace of its own, with something else in the place of /dev/fuse. */
function withDevice(prepare: string, options: MountOptions): string {
  const dist = new URL('../dist/index.js', import.meta.url).href;
  const code = `
    const { mount } = await import(${JSON.stringify(dist)});
    await mount(JSON.parse(process.argv[1])).catch(({ exitCode, message }) => console.log(exitCode, message));`;
  const script = `${withoutForeignMounts}${prepare}; exec "$1" --input-type=module -e "$2" "$3"`;
  const args = [
    '-m',
    '--propagation',
    'private',
    '/bin/sh',
    '-euc',
    script,
    'sh',
    process.execPath,
    code,
    JSON.stringify(options),
  ];
  return run('unshare', args).stdout.trim();
}

test('/dev/fuse that is absent', (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, mountpoint } = place();
  const said = withDevice('mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3', { mountpoint, lower: [lower] });
  expect(said).toMatch(/^5 \/dev\/fuse is missing: .*modprobe fuse/);
});

test('/dev/fuse that may not be opened', (ctx) => {
  requireFuse(ctx, 'root');
  const { base, lower, mountpoint } = place();
  const nodev = `mount -t tmpfs -o nodev none ${base}/work; mknod ${base}/work/fuse c 10 229; mount --bind ${base}/work/fuse /dev/fuse`;
  expect(withDevice(nodev, { mountpoint, lower: [lower] })).toMatch(/^5 no permission to open \/dev\/fuse: /);
});
