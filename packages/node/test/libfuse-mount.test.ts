// Through libfuse, on real mounts: what its paths, its hidden files and its addon make harder than the protocol does, and
// what cannot be done through it. The life of a mount is in mount-live.test.ts, for both transports.
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { MountOptions } from '../src/options.js';
import {
  call,
  eventually,
  isAlive,
  mountAt,
  mountsUnder,
  type Place,
  place,
  processesWith,
  requireFuse,
  run,
  shell,
  unmountAt,
} from './mount-support.js';

/** A writable mount over a lower layer that the script made. */
function mounted(script = ''): Place & { pid: number } {
  const where = place();
  const { lower, upper, work, mountpoint } = where;
  shell(`cd "$1"; ${script}`, [lower]);
  const { pid } = mountAt({ mountpoint, lower: [lower], upper, work, transport: 'libfuse' });
  return { ...where, pid };
}

const inMount = (mountpoint: string, script: string): string => shell(`cd "$1"; ${script}`, [mountpoint]);

test('a write shows at once by every name of the file', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint } = mounted('echo one > f; mkdir d');
  const script =
    'ln f d/g; cat d/g; echo two >> f; cat d/g; wc -c < f; stat -c %h f; rm f; stat -c %h d/g; chmod 600 d/g';
  expect(inMount(mountpoint, script)).toBe('one\none\ntwo\n8\n2\n1\n');
  unmountAt(mountpoint);
});

test('a file that is removed or replaced while it is open keeps its content, and leaves nothing behind', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, upper } = mounted('mkdir d; echo old > d/f; echo first > g');
  const script = `
    exec 5<>d/f; read -r line <&5; rm d/f; ! rmdir d 2> /dev/null; mv d e; echo more >&5; cat /proc/self/fd/5; stat -L -c %h /proc/self/fd/5
    exec 6<g; echo second > new; mv new g; cat g; cat <&6; ls -A e .; exec 5>&-; exec 6<&-; rmdir e; ls -A`;
  expect(inMount(mountpoint, script)).toBe('old\nmore\n0\nsecond\nfirst\n.:\ne\ng\n\ne:\ng\n');
  unmountAt(mountpoint);
  expect(readdirSync(upper).sort()).toEqual(['d', 'g']); // a whiteout and the new file
});

test('both times are set, each to its own, to the millisecond', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, upper } = mounted('echo x > f');
  const code = 'require("fs").utimesSync("f", 1234567890.125, 987654321.25)';
  inMount(mountpoint, `'${process.execPath}' -e '${code}'`);
  expect(inMount(mountpoint, 'stat -c "%.X %.Y" f')).toBe('1234567890.125000000 987654321.250000000\n');
  unmountAt(mountpoint);
  const { atimeMs, mtimeMs } = statSync(join(upper, 'f'));
  expect([atimeMs, mtimeMs]).toEqual([1234567890125, 987654321250]);
});

test('objects of every type, extended attributes, a file of more than 4 GiB', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint } = mounted('echo x > f; mkdir d');
  const script = `
    mkfifo fifo; mknod null c 1 3; ln -s target link; stat -c '%F %t,%T %a' fifo null; readlink link
    setfattr -n user.colour -v blue f; getfattr --only-values -n user.colour f; echo; setfattr -x user.colour f
    getfattr -d f; truncate -s 5G big; printf end | dd of=big bs=1 seek=5368709117 conv=notrunc status=none
    stat -c %s big; tail -c 4 big | od -An -c; chown 7:8 d; chmod 2751 d; stat -c '%u:%g %a' d; sync d; df . | wc -l`;
  expect(inMount(mountpoint, `umask 022; ${script}`)).toBe(
    'fifo 0,0 644\ncharacter special file 1,3 644\ntarget\nblue\n5368709120\n  \\0   e   n   d\n7:8 2751\n2\n',
  );
  unmountAt(mountpoint);
});

test('a directory of 5,000 entries is read whole', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint } = mounted('mkdir d; cd d; seq 5000 | xargs touch');
  expect(inMount(mountpoint, 'ls d | wc -l; rm d/1*; ls d | wc -l; find d -type f | wc -l')).toBe('5000\n3889\n3889\n');
  unmountAt(mountpoint);
});

test('entries have the inode numbers of their objects', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint } = mounted('echo x > f; mkdir d; echo y > d/g');
  const code = `const fs = require("fs"); const { execFileSync } = require("child_process");
    const listed = execFileSync("ls", ["-iU1", "."], { encoding: "utf8" }).trim().split("\\n").map((l) => l.trim().split(" "));
    process.stdout.write(String(listed.every(([ino, name]) => Number(ino) === fs.lstatSync(name).ino)));`;
  expect(inMount(mountpoint, `ln f h; '${process.execPath}' -e '${code}'`)).toBe('true');
  unmountAt(mountpoint);
});

describe('what cannot be done through libfuse2 is refused, not done otherwise', () => {
  test('names and link targets that are no UTF-8, to make and to read', (ctx) => {
    requireFuse(ctx, 'root');
    const { mountpoint } = mounted(`ln -s "$(printf 't\\377')" link; echo x > f`);
    const name = `"$(printf 'n\\377')"`;
    expect(inMount(mountpoint, `! touch ${name} 2> /dev/null; ! mv f ${name} 2> /dev/null; ls`)).toBe('f\nlink\n');
    expect(run('/bin/sh', ['-c', 'LC_ALL=C readlink -v "$1/link"', 'sh', mountpoint]).stderr).toMatch(
      /Invalid or incomplete/,
    );
    unmountAt(mountpoint);
  });

  test('fallocate', (ctx) => {
    requireFuse(ctx, 'root');
    const { mountpoint } = mounted('echo x > f; echo y > g');
    expect(run('fallocate', ['-l', '4096', `${mountpoint}/f`]).stderr).toMatch(/not supported|unsupported/);
    expect(run('fallocate', ['-p', '-l', '1', `${mountpoint}/f`]).stderr).toMatch(/not supported|unsupported/);
    expect(inMount(mountpoint, 'cat f g')).toBe('x\ny\n');
    unmountAt(mountpoint);
  });

  test('other users in a writable mount', (ctx) => {
    requireFuse(ctx, 'root');
    const { lower, upper, work, mountpoint } = place();
    const options: MountOptions = { mountpoint, lower: [lower], upper, work, transport: 'libfuse' };
    expect(call('mount', [{ ...options, allow: 'other' }])).toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('no allow_other'),
    });
    expect(mountsUnder(mountpoint)).toEqual([]);
    mountAt(options);
    expect(run('ls', [mountpoint], 'nobody').stderr).toContain('Permission denied');
    unmountAt(mountpoint);
    writeFileSync(join(lower, 'f'), 'x');
    mountAt({ mountpoint, lower: [lower], transport: 'libfuse' });
    expect(run('ls', [mountpoint], 'nobody').stdout).toBe('f\n');
    unmountAt(mountpoint);
  });
});

/** The process that serves, of the daemon `pid`. */
const serverOf = (pid: number): number => Number(shell('pgrep -P "$1" -f libfuse/serve.js', [String(pid)]));

test('many clients at once make no threads, whose remains would slow all that comes after', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, pid } = mounted('seq 200 | xargs touch');
  const threads = (): number => readdirSync(`/proc/${serverOf(pid)}/task`).length;
  inMount(mountpoint, 'ls -l > /dev/null; echo x > f; cat f');
  const before = threads();
  const script = 'for i in $(seq 40); do (ls -l > /dev/null; echo $i > n$i; cat n$i) & done; wait; ls n* | wc -l';
  expect(inMount(mountpoint, script).trim().split('\n').at(-1)).toBe('40');
  expect(threads()).toBe(before);
  unmountAt(mountpoint);
});

test('a killed serving process takes its mount and its daemon with it', async (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, pid, upper } = mounted('echo x > f');
  inMount(mountpoint, 'echo y > g');
  process.kill(serverOf(pid), 'SIGKILL');
  await eventually(() => !isAlive(pid), 'the daemon leaves');
  expect(mountsUnder(mountpoint)).toEqual([]);
  await eventually(() => processesWith(mountpoint).length === 0, 'the watchdog leaves');
  expect(readFileSync(join(upper, 'g'), 'utf8')).toBe('y\n');
});

test('the daemon’s death takes the serving process with it', async (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, pid } = mounted();
  const server = serverOf(pid);
  process.kill(pid, 'SIGKILL');
  await eventually(() => !isAlive(server), 'the serving process leaves');
  await eventually(() => mountsUnder(mountpoint).length === 0, 'the mount goes');
});

test('a mount that fails says why in one line, and leaves what is mounted there', (ctx) => {
  requireFuse(ctx, 'nobody');
  const { lower, upper, work, mountpoint } = place('nobody');
  mkdirSync(join(mountpoint, 'below'));
  shell('mount -t tmpfs none "$1"', [mountpoint]);
  const options = { mountpoint, lower: [lower], upper, work, transport: 'libfuse' };
  const failure = call<undefined>('mount', [options], 'nobody'); // root's file system: not for an ordinary user to cover
  expect(failure).toMatchObject({ exitCode: 1, message: expect.stringMatching(/^cannot mount on [^\n]+$/) });
  expect(mountsUnder(mountpoint).map(({ fstype }) => fstype)).toEqual(['tmpfs']);
});

test('on top of another mount', (ctx) => {
  requireFuse(ctx, 'root');
  const { lower, mountpoint } = place();
  writeFileSync(join(lower, 'f'), 'x');
  shell('mount -t tmpfs none "$1"', [mountpoint]);
  mountAt({ mountpoint, lower: [lower], transport: 'libfuse' });
  expect(readdirSync(lower)).toEqual(shell('ls "$1"', [mountpoint]).trim().split('\n'));
  unmountAt(mountpoint);
  expect(mountsUnder(mountpoint).map(({ fstype }) => fstype)).toEqual(['tmpfs']);
});
