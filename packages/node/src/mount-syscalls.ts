/**
 * The system calls of mounting and of serving a mount. `readInto` and `writeFrom` are the two that every FUSE request
 * passes, so they throw nothing and allocate nothing.
 */
import { type CString, addressOf, bind, cString, checked, errno, fixedBuffer } from './libc.js';

type FdCall = (fd: number, ...rest: number[]) => number;
type BufferCall = (fd: number, buffer: Uint8Array, length: number) => number;

const c = {
  mount: bind<(source: CString, target: CString, type: CString, flags: number, data: CString | null) => number>(
    'int mount(const char *, const char *, const char *, uint64_t, const char *)',
  ),
  umount2: bind<(target: CString, flags: number) => number>('int umount2(const char *, int)'),
  open: bind<(path: CString, flags: number, mode: number) => number>('int open(const char *, int, uint)'),
  read: bind<BufferCall>('int64_t read(int, void *, uint64_t)'),
  write: bind<BufferCall>('int64_t write(int, void *, uint64_t)'),
  ioctl: bind<(fd: number, request: number, buffer: ArrayBufferView) => number>('int ioctl(int, uint64_t, void *)'),
  ioctlValue: bind<FdCall>('int ioctl(int, uint64_t, int64_t)'),
  socketpair: bind<(domain: number, type: number, protocol: number, pair: Int32Array) => number>(
    'int socketpair(int, int, int, void *)',
  ),
  recvmsg: bind<(fd: number, message: ArrayBufferView, flags: number) => number>('int64_t recvmsg(int, void *, int)'),
  fcntl: bind<FdCall>('int fcntl(int, int, int64_t)'),
  getsockopt: bind<(fd: number, level: number, name: number, value: Int32Array, length: Uint32Array) => number>(
    'int getsockopt(int, int, int, void *, void *)',
  ),
  exit: bind<(status: number) => void>('void _exit(int)'),
  pipe2: bind<(pair: Int32Array, flags: number) => number>('int pipe2(void *, int)'),
  splice: bind<(from: number, at: BigInt64Array | null, to: number, toAt: null, n: number, flags: number) => number>(
    'int64_t splice(int, void *, int, void *, uint64_t, uint)',
  ),
  poll: bind<(fds: Int32Array, count: number, timeout: number) => number>('int poll(void *, uint64_t, int)'),
};

export function mount(source: string, target: string, fstype: string, flags: number, data: string): void {
  checked(c.mount(cString(source), cString(target), cString(fstype), flags, cString(data)), 'mount', target);
}

export function umount2(target: string, flags: number): void {
  checked(c.umount2(cString(target), flags), 'umount2', target);
}

/** Follows symbolic links, as `open` does: for paths that the user gave, never for what lies in a layer. */
export function open(path: string, flags: number, mode = 0): number {
  return checked(c.open(cString(path), flags, mode), 'open', path);
}

/** Reads up to `length` bytes into the start of `buffer`. Returns the bytes read, or the negative errno. */
export function readInto(fd: number, buffer: Uint8Array, length: number): number {
  const n = c.read(fd, buffer, length);
  return n < 0 ? -errno() : n;
}

/** Writes `length` bytes from the start of `buffer`. Returns the bytes written, or the negative errno. */
export function writeFrom(fd: number, buffer: Uint8Array, length: number): number {
  const n = c.write(fd, buffer, length);
  return n < 0 ? -errno() : n;
}

export function ioctlOrErrno(fd: number, request: number, buffer: ArrayBufferView): number {
  const result = c.ioctl(fd, request, buffer);
  return result < 0 ? -errno() : result;
}

/** An ioctl whose argument is a number. Returns the negative errno when it fails: most are probes. */
export function ioctlValue(fd: number, request: number, value: number): number {
  const result = c.ioctlValue(fd, request, value);
  return result < 0 ? -errno() : result;
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** Two connected Unix sockets, closed on exec (a child gets one through its `stdio`). */
export function socketpair(): [number, number] {
  const pair = new Int32Array(2);
  checked(c.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 'socketpair');
  return [pair[0] as number, pair[1] as number];
}

/** Waits for one message on the socket. The descriptor it carries (closed on exec), or undefined if it has none. */
export function receiveFd(socketFd: number): number | undefined {
  const data = fixedBuffer(8);
  const control = fixedBuffer(64);
  const vector = new BigUint64Array([addressOf(data), 8n]);
  // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags, each in 8 bytes
  const message = new BigUint64Array([0n, 0n, addressOf(vector), 1n, addressOf(control), 64n, 0n]);
  const n = checked(c.recvmsg(socketFd, message, MSG_CMSG_CLOEXEC), 'recvmsg');
  // struct cmsghdr: length in 8 bytes, level, type, then the descriptors
  const carriesFd = n > 0 && (message[5] as bigint) >= 20n;
  if (!carriesFd || control.readInt32LE(8) !== SOL_SOCKET || control.readInt32LE(12) !== SCM_RIGHTS) return undefined;
  return control.readInt32LE(16);
}

const F_DUPFD_CLOEXEC = 1030;

/** Another descriptor of the same open file, closed on exec. */
export function duplicate(fd: number): number {
  return checked(c.fcntl(fd, F_DUPFD_CLOEXEC, 0), 'fcntl');
}

const SO_PEERCRED = 17;

/** The process that connected to the Unix socket, or undefined if it is not seen from here. */
export function peerOf(fd: number): number | undefined {
  const credentials = new Int32Array(3); // struct ucred { pid, uid, gid }
  checked(c.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, new Uint32Array([12])), 'getsockopt');
  return credentials[0] === 0 ? undefined : credentials[0];
}

const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const POLLIN = 1;

/** From now on a call that would have to wait for the device or socket fails with EAGAIN. */
export function setNonblocking(fd: number): void {
  checked(c.fcntl(fd, F_SETFL, O_NONBLOCK), 'fcntl');
}

const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;

/** A pipe, closed on exec, of which no end blocks: where to read, where to write. */
export function pipe(): [number, number] {
  const pair = new Int32Array(2);
  checked(c.pipe2(pair, O_CLOEXEC | O_NONBLOCK), 'pipe2');
  return [pair[0] as number, pair[1] as number];
}

/** Returns the bytes that the pipe holds from now on, or the negative errno: not everybody may have as many. */
export function setPipeBytes(fd: number, bytes: number): number {
  const result = c.fcntl(fd, F_SETPIPE_SZ, bytes);
  return result < 0 ? -errno() : result;
}

const position64 = new BigInt64Array(1);

/** Moves up to `length` bytes at `position` of a file into a pipe. Returns their number, or the negative errno. */
export function spliceFrom(fd: number, position: number, pipeFd: number, length: number): number {
  position64[0] = BigInt(position);
  const n = c.splice(fd, position64, pipeFd, null, length, 0);
  return n < 0 ? -errno() : n;
}

/** Moves the first `length` bytes of a pipe to where it takes them at once. Returns their number, or the negative errno. */
export function spliceAll(pipeFd: number, fd: number, length: number): number {
  const n = c.splice(pipeFd, null, fd, null, length, 0);
  return n < 0 ? -errno() : n;
}

/** Descriptors to wait for. */
export class PollSet {
  // struct pollfd { int fd; short events; short revents }, the two halves of a word
  readonly #fds: Int32Array;
  readonly #count: number;

  constructor(fds: readonly number[]) {
    this.#fds = Int32Array.from(fds.flatMap((fd) => [fd, POLLIN]));
    this.#count = fds.length;
  }

  /**
   * Waits until one has something to read, or an error to see by reading, or `ms` have passed: then false. A signal may end it
   * earlier.
   */
  wait(ms: number): boolean {
    for (let i = 0; i < this.#count; i++) this.#fds[2 * i + 1] = POLLIN;
    const ready = c.poll(this.#fds, this.#count, ms === Infinity ? -1 : Math.ceil(ms));
    if (ready < 0) for (let i = 0; i < this.#count; i++) this.#fds[2 * i + 1] = POLLIN; // interrupted: none is ready
    return ready !== 0;
  }

  /** Whether the last wait found something for the descriptor at this place. */
  isReady(index: number): boolean {
    return (this.#fds[2 * index + 1] as number) >>> 16 !== 0;
  }
}

/** Ends this process without waiting for threads that are blocked in a system call. */
export function exitNow(code: number): never {
  c.exit(code);
  throw new Error('unreachable');
}
