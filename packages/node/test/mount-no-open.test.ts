// Mounts whose kernel opens files without asking: who gets one, what it asks, and where failures come out.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { RequestCount } from '../src/fuse/request-counts.js';
import type { MountRecord } from '../src/registry.js';
import { type User, call, mountAt, place, requireFuse, run, shell, unmountAt } from './mount-support.js';

/** What the kernel has asked so far, by the requests' names. */
function asked(record: MountRecord, user: User): Set<string> {
  const counts = call<RequestCount[]>('requestCounts', [record], user) as RequestCount[];
  return new Set(counts.filter(({ count }) => count > 0).map(({ request }) => request));
}

test.for<[user: User, noOpen: boolean | undefined, opens: boolean]>([
  ['root', undefined, true],
  ['root', true, false],
  ['nobody', undefined, false],
  ['nobody', false, true],
])('%s, no_open %s', ([user, noOpen, opens], ctx) => {
  requireFuse(ctx, user);
  const { lower, upper, work, mountpoint } = place(user);
  shell('echo one > "$1/one"; echo two > "$1/two"; echo three > "$1/three"', [lower], user);
  const record = mountAt(
    { mountpoint, lower: [lower], upper, work, ...(noOpen === undefined ? {} : { noOpen }) },
    user,
  );
  const script = 'cd "$1"; cat one two; exec 3<>three; echo new > new; echo newer > newer; cat newer';
  expect(shell(script, [mountpoint], user)).toBe('one\ntwo\nnewer\n');
  // One OPEN and one CREATE tell whether there will be more.
  const requests = asked(record, user);
  expect([requests.has('release'), requests.has('mknod')]).toEqual([opens, !opens]);
  expect(readdirSync(upper).toSorted()).toEqual(opens ? ['new', 'newer', 'three'] : ['new', 'newer']);
  unmountAt(mountpoint, user);
});

test('modes bind the users of the mount, not what was opened before', (ctx) => {
  requireFuse(ctx, 'nobody');
  const { lower, upper, work, mountpoint } = place('nobody');
  shell('echo lower > "$1/lower"', [lower], 'nobody');
  mountAt({ mountpoint, lower: [lower], upper, work }, 'nobody');
  const script = `cd "$1"
    umask 377; exec 3> made; umask 22; echo made >&3
    exec 4<>lower; chmod 0 lower; echo LOWER >&4
    for i in 1 2 3; do echo $i > other$i; done
    echo again >&3; echo AGAIN >&4
    rm -f made; echo gone >&3; cat /proc/self/fd/4 2>/dev/null || echo refused
    stat -c %a lower; chmod 600 lower; cat lower; ls`;
  expect(shell(script, [mountpoint], 'nobody')).toBe('refused\n0\nLOWER\nAGAIN\nlower\nother1\nother2\nother3\n');
  unmountAt(mountpoint, 'nobody');
});

test.for<User>(['root', 'nobody'])('names gone while open, and much else read meanwhile, as %s', (user, ctx) => {
  requireFuse(ctx, user);
  const { lower, upper, work, mountpoint } = place(user);
  // More files than stay open, whatever the limit on them.
  shell('cd "$1"; echo lower > lower; echo linked > a; ln a b; mkdir d; cd d; seq 1100 | xargs touch', [lower], user);
  mountAt({ mountpoint, lower: [lower], upper, work, noOpen: true }, user);
  const script = `cd "$1"; busy() { find d -type f | xargs cat; }
    for i in $(seq 1100); do echo $i > d/$i; done
    echo upper > upper; echo replaced > replaced; echo new > new
    exec 3<>upper 4<>lower 5<>a 6<replaced
    busy > /dev/null
    rm upper lower b; mv new replaced; rm a
    cat <&6; echo UPPER >&3; echo LOWER >&4; echo LINKED >&5
    busy > /dev/null
    for i in 3 4 5; do cat /proc/self/fd/$i; echo more >&$i; done
    ls`;
  expect(shell(script, [mountpoint], user)).toBe('replaced\nUPPER\nLOWER\nLINKED\nd\nreplaced\n');
  unmountAt(mountpoint, user);
  expect(readdirSync(join(work, 'work'))).toEqual([]);
});

test('a copy-up that finds no room: the write fails, the file stays what it was, and another can be written', (ctx) => {
  requireFuse(ctx, 'root');
  const { base, lower, mountpoint } = place();
  writeFileSync(join(lower, 'large'), Buffer.alloc(2 << 20, 'x'));
  shell('mkdir "$1/small"; mount -t tmpfs -o size=1m tmpfs "$1/small"; mkdir "$1/small/u" "$1/small/w"', [base]);
  const layers = { lower: [lower], upper: join(base, 'small/u'), work: join(base, 'small/w') };
  mountAt({ mountpoint, ...layers, noOpen: true });
  const script = 'cd "$1"; exec 3<>large; echo opened; printf y | dd of=/proc/self/fd/3 conv=notrunc';
  const { stdout, stderr, status } = run('/bin/sh', ['-c', script, 'sh', mountpoint]);
  expect([stdout, status !== 0]).toEqual(['opened\n', true]);
  expect(stderr).toContain('No space left');
  expect(readFileSync(join(mountpoint, 'large')).equals(readFileSync(join(lower, 'large')))).toBe(true);
  writeFileSync(join(mountpoint, 'other'), 'fits');
  expect(readFileSync(join(layers.upper, 'other'), 'utf8')).toBe('fits');
  unmountAt(mountpoint);
});

test('without an upper, opening for writing is refused', (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, mountpoint } = place();
  shell('echo x > "$1/f"', [lower]);
  mountAt({ mountpoint, lower: [lower], noOpen: true });
  const { status, stderr } = run('/bin/sh', ['-c', 'cat "$1/f"; exec 3<>"$1/f"', 'sh', mountpoint]);
  expect(status).not.toBe(0);
  expect(stderr).toContain('Read-only file system');
  unmountAt(mountpoint);
});

test('a program that runs is not written, and one that is written does not run', (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, upper, work, mountpoint } = place();
  shell('cp /bin/sleep "$1/program"', [lower]);
  mountAt({ mountpoint, lower: [lower], upper, work, noOpen: true });
  const script = `cd "$1"
    ./program 20 & while [ "$(readlink /proc/$!/exe)" != "$PWD/program" ]; do :; done
    (exec 3<>program) 2>&1 | grep -o 'Text file busy' || true
    kill $!; wait $! 2>/dev/null || true
    exec 3<>program; ./program 0 2>&1 | grep -o 'Text file busy'; exec 3>&-
    ./program 0 && echo runs`;
  expect(shell(script, [mountpoint])).toBe('Text file busy\nText file busy\nruns\n');
  unmountAt(mountpoint);
});

test.for([{ timeout: 1 }, { allow: 'root' as const }])('not together with %o', (other, ctx) => {
  requireFuse(ctx, 'root');
  const { lower, mountpoint } = place();
  const failure = call('mount', [{ mountpoint, lower: [lower], noOpen: true, ...other }]);
  expect(failure).toMatchObject({ exitCode: 2, message: expect.stringContaining('exclude each other') });
});
