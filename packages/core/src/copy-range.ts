/** Copying between two open files (`copy_file_range`): within the upper's host where it can, otherwise through a buffer. */
import { current, type OpenHandle, read, write } from './file.js';
import type { Stack } from './inode.js';
import { type Operation, wait } from './run.js';

const BUFFER_SIZE = 1 << 20;

/** Returns the bytes copied, fewer at the end of the source. Throws EBADF where one may not be read or written. */
export function* copyRange(
  stack: Stack,
  from: OpenHandle,
  fromPosition: number,
  to: OpenHandle,
  toPosition: number,
  length: number,
): Operation<number> {
  const within = yield* to.inode.lock.hold(copyWithin(stack, from, fromPosition, to, toPosition, length));
  if (within !== undefined) return within;
  const buffer = new Uint8Array(Math.min(length, BUFFER_SIZE));
  for (let done = 0; ; ) {
    const wanted = Math.min(buffer.length, length - done);
    const got = yield* read(stack, from, buffer.subarray(0, wanted), fromPosition + done);
    if (got === 0) return done;
    const put = yield* write(stack, to, buffer.subarray(0, got), toPosition + done);
    done += put;
    if (put < got) return done;
  }
}

/** Without passing the bytes through here; undefined where the upper cannot. */
function* copyWithin(
  stack: Stack,
  from: OpenHandle,
  fromPosition: number,
  to: OpenHandle,
  toPosition: number,
  length: number,
): Operation<number | undefined> {
  const { upper } = stack;
  if (upper?.copyRange === undefined || to.writable === undefined || to.flags.append) return undefined;
  const target = to.inode.pending ?? to.writable;
  return yield* wait(upper.copyRange(yield* current(stack, from), fromPosition, target, toPosition, length));
}
