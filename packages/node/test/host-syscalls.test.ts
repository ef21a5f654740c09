// What only system calls show: names without loss, the older ways of older kernels, descriptors passed over sockets.
import { readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { addressOf, bind, cString, fixedBuffer } from '../src/libc.js';
import {
  AT_FDCWD,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  close,
  getxattr,
  listxattr,
  PollSet,
  open,
  openat,
  readInto,
  receiveFd,
  removexattr,
  setNonblocking,
  setxattr,
  socketpair,
  umask,
  writeFrom,
} from '../src/syscalls.js';
import { openFileLimit } from '../src/processes.js';
import { forgetAtCalls } from '../src/xattr-syscalls.js';
import { codeOf, temporary } from './host-support.js';

describe('names', () => {
  test('ordinary ones go as they are, others as their bytes with a zero', () => {
    expect(cString('ordinary')).toBe('ordinary');
    expect(cString('öä')).toBe('öä');
    expect(cString('\udcff')).toEqual(new Uint8Array([0xff, 0]));
    expect(cString('😀')).toEqual(new Uint8Array([...Buffer.from('😀'), 0]));
    expect(codeOf(() => cString('cut\0short'))).toBe('EINVAL');
    expect(codeOf(() => cString('\ud800'))).toBe('EILSEQ');
  });

  test('errors carry code, errno, call and path', () => {
    const attempt = (): number => openat(AT_FDCWD, '/none/such', O_RDONLY);
    expect(attempt).toThrow("ENOENT: no such file or directory, openat '/none/such'");
    expect(attempt).toThrow(
      expect.objectContaining({ code: 'ENOENT', errno: -2, syscall: 'openat', path: '/none/such' }),
    );
  });
});

test.each([['probe again'], ['forget']] as const)('extended attributes, the calls of Linux 6.13: %s', (how) => {
  const base = temporary();
  writeFileSync(`${base}/f`, '');
  symlinkSync('f', `${base}/l`);
  const dir = openat(AT_FDCWD, base, O_PATH | O_DIRECTORY);
  const file = openat(dir, 'f', O_PATH | O_NOFOLLOW);
  forgetAtCalls(how);
  try {
    setxattr(dir, 'f', 'user.a', Buffer.from('1'));
    setxattr(dir, '.', 'user.dir', Buffer.from('2'));
    setxattr(file, '', 'user.b', Buffer.alloc(2000, 'b'), 1);
    expect(codeOf(() => setxattr(dir, 'f', 'user.a', Buffer.from('1'), 1))).toBe('EEXIST');
    expect(getxattr(dir, 'f', 'user.a')).toEqual(new Uint8Array([0x31]));
    expect(getxattr(dir, 'f', 'user.b')?.length).toBe(2000);
    expect(getxattr(file, '', 'user.none')).toBeUndefined();
    expect(
      listxattr(dir, 'f')
        .filter((name) => name.startsWith('user.'))
        .sort(),
    ).toEqual(['user.a', 'user.b']);
    expect(listxattr(file, '')).toEqual(listxattr(dir, 'f'));
    expect(listxattr(dir, '.')).toContain('user.dir');
    expect(listxattr(dir, 'l')).toEqual([]);
    removexattr(dir, 'f', 'user.a');
    removexattr(file, '', 'user.b');
    expect(listxattr(dir, 'f').filter((name) => name.startsWith('user.'))).toEqual([]);
    expect(codeOf(() => getxattr(dir, 'none', 'user.a'))).toBe('ENOENT');
  } finally {
    forgetAtCalls('probe again');
    close(file);
    close(dir);
  }
});

describe('serving calls', () => {
  test('readInto and writeFrom answer with errnos', () => {
    const [a, b] = socketpair();
    const buffer = fixedBuffer(16);
    buffer.write('over the wire');
    expect(writeFrom(a, buffer, 4)).toBe(4);
    buffer.fill(0);
    expect(readInto(b, buffer, 16)).toBe(4);
    expect(buffer.toString('latin1', 0, 4)).toBe('over');
    close(a);
    close(b);
    expect(readInto(b, buffer, 16)).toBe(-9);
    expect(writeFrom(b, buffer, 16)).toBe(-9);
  });

  test('waiting for several at once', () => {
    const [a, b] = socketpair();
    const buffer = fixedBuffer(1);
    setNonblocking(a);
    expect(readInto(a, buffer, 1)).toBe(-11); // EAGAIN
    const poll = new PollSet([b, a]);
    poll.wait(0);
    expect([poll.isReady(0), poll.isReady(1)]).toEqual([false, false]);
    writeFrom(b, buffer, 1);
    poll.wait(Infinity);
    expect([poll.isReady(0), poll.isReady(1)]).toEqual([false, true]);
    expect(readInto(a, buffer, 1)).toBe(1);
    poll.wait(0);
    expect(poll.isReady(1)).toBe(false);
    close(b);
    const alone = new PollSet([a]);
    alone.wait(Infinity);
    expect(alone.isReady(0)).toBe(true);
    expect(readInto(a, buffer, 1)).toBe(0);
    close(a);
  });

  test('a descriptor over a socket, and a message without one', () => {
    const sendmsg = bind<(fd: number, message: ArrayBufferView, flags: number) => number>(
      'int64_t sendmsg(int, void *, int)',
    );
    const [a, b] = socketpair();
    const base = temporary();
    writeFileSync(`${base}/f`, 'sent');
    const file = open(`${base}/f`, O_RDONLY);
    const data = fixedBuffer(1);
    const control = fixedBuffer(24);
    control.writeBigUInt64LE(20n, 0);
    control.writeInt32LE(1, 8);
    control.writeInt32LE(1, 12);
    control.writeInt32LE(file, 16);
    const vector = new BigUint64Array([addressOf(data), 1n]);
    expect(sendmsg(a, new BigUint64Array([0n, 0n, addressOf(vector), 1n, addressOf(control), 24n, 0n]), 0)).toBe(1);
    const received = receiveFd(b) as number;
    expect(received).not.toBe(file);
    expect(readFileSync(received, 'utf8')).toBe('sent');
    expect(readFileSync(`/proc/self/fdinfo/${received}`, 'utf8')).toMatch(/^flags:\s+02\d{6}$/m); // closed on exec
    writeFrom(a, data, 1);
    expect(receiveFd(b)).toBeUndefined();
    for (const fd of [a, b, file, received]) close(fd);
  });
});

test('umask and the limit of open files', () => {
  const old = umask(0o27);
  expect(process.umask()).toBe(0o27);
  umask(old);
  expect(openFileLimit()).toBeGreaterThan(100);
});

test('nothing but libc.ts touches koffi', () => {
  const source = new URL('../src', import.meta.url).pathname;
  const users = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && readFileSync(`${source}/${file}`, 'utf8').includes("'koffi'"),
  );
  expect(users).toEqual(['libc.ts']);
});
