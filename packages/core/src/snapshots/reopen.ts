/** Open files when the upper is another than when they were opened. */
import { copyUp, dataOf } from '../copy-up.js';
import { FsError } from '../errors.js';
import type { OpenHandle } from '../file.js';
import type { Stack } from '../inode.js';
import type { LayerNode } from '../layer.js';
import { type Operation, wait } from '../run.js';
import { GONE } from './layers-gone.js';

/** A file that was open before a checkpoint or a rollback goes on with the object that has its data now. */
export function* reopen(stack: Stack, handle: OpenHandle, use: 'read' | 'write'): Operation<void> {
  const { inode, flags } = handle;
  if (handle.stretch === stack.stretch) return; // somebody was faster
  const { stretch } = stack;
  const source = yield* dataOf(stack, inode);
  if (stack.layer(source.layer) === GONE) throw new FsError('ESTALE', { syscall: use });
  if (flags.write && (use === 'write' || inode.upper !== undefined)) {
    const node = yield* copyUp(stack, inode);
    const file = yield* wait(stack.writable().openWritable(node));
    handle.writable = file;
    handle.stretch = stretch;
    yield* replace(handle, file, node);
    return;
  }
  if (source.node !== handle.node) {
    const file = yield* wait(stack.layer(source.layer).open(source.node));
    yield* replace(handle, file, source.node);
    handle.writable = undefined;
  }
  if (!flags.write) handle.stretch = stretch;
}

function* replace(handle: OpenHandle, file: OpenHandle['file'], node: LayerNode): Operation<void> {
  const before = handle.file;
  handle.file = file;
  handle.node = node;
  yield* wait(before.close());
}
