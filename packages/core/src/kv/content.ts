/**
 * The data of files: which chunks a read, a write, a truncation or a hole touches. Writes are kept in memory until there are
 * many, or somebody needs them in the store; then all of them go there at once, with size and times.
 */
import { FsError } from '../errors.js';
import type { AllocateMode } from '../layer.js';
import { type Operation, isThenable } from '../run.js';
import type { Chunk, Draft, Inode } from './inode.js';
import { touch } from './record.js';
import { addChunks, chunksIn, hasChunk, ranges, removeChunks } from './runs.js';

/** Reads a chunk from the store. */
export type ChunkReader = (node: Inode, index: number) => Uint8Array | undefined | PromiseLike<Uint8Array | undefined>;

const NOTHING = new Uint8Array(0);

/** The stored bytes of some chunks, fetched at the same time; a hole has none. */
function* fetch(read: ChunkReader, node: Inode, indexes: readonly number[]): Operation<Uint8Array[]> {
  const answers = indexes.map((index) => {
    const chunk = node.unsaved.get(index);
    if (chunk !== undefined) return chunk.bytes.subarray(0, chunk.length);
    if (node.unsaved.has(index) || !hasChunk(node.record.runs, index)) return NOTHING;
    return node.last?.index === index ? node.last.bytes : read(node, index);
  });
  const all = answers.some(isThenable) ? ((yield Promise.all(answers)) as typeof answers) : answers;
  return all.map((bytes, i) => {
    if (bytes === undefined) throw new FsError('EIO', { syscall: 'read', path: `chunk ${indexes[i]} of ${node.ino}` });
    return bytes as Uint8Array;
  });
}

export function* readAt(
  chunkSize: number,
  read: ChunkReader,
  node: Inode,
  buffer: Uint8Array,
  position: number,
): Operation<number> {
  const length = Math.max(0, Math.min(buffer.length, node.record.size - position));
  if (length === 0) return 0;
  const first = Math.floor(position / chunkSize);
  const last = Math.floor((position + length - 1) / chunkSize);
  const { version } = node;
  const indexes = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const chunks = yield* fetch(read, node, indexes);
  for (const [i, bytes] of chunks.entries()) {
    const start = Math.max(position, (first + i) * chunkSize);
    const end = Math.min(position + length, (first + i + 1) * chunkSize);
    const from = start - (first + i) * chunkSize;
    const there = bytes.subarray(from, from + end - start);
    buffer.set(there, start - position);
    buffer.fill(0, start - position + there.length, end - position);
  }
  const bytes = chunks.at(-1) as Uint8Array;
  if (version === node.version && bytes.length > 0 && !node.unsaved.has(last)) node.last = { index: last, bytes };
  return length;
}

export function* writeAt(
  chunkSize: number,
  read: ChunkReader,
  node: Inode,
  buffer: Uint8Array,
  position: number,
): Operation<void> {
  const end = position + buffer.length;
  if (!Number.isSafeInteger(end)) throw new FsError('EFBIG', { syscall: 'write' });
  const first = Math.floor(position / chunkSize);
  const last = Math.floor((end - 1) / chunkSize);
  // Fetched before anything changes: only the two at the ends can be written in part.
  const partial = [...new Set([first, last])].filter(
    (index) => position > index * chunkSize || end < Math.min((index + 1) * chunkSize, node.record.size),
  );
  const old = new Map((yield* fetch(read, node, partial)).map((bytes, i) => [partial[i] as number, bytes]));
  for (let index = first; index <= last; index++) {
    const base = index * chunkSize;
    const from = Math.max(position, base) - base;
    const to = Math.min(end, base + chunkSize) - base;
    const chunk = writable(node.unsaved.get(index), old.get(index) ?? NOTHING, to, chunkSize);
    chunk.bytes.set(buffer.subarray(base + from - position, base + to - position), from);
    node.unsaved.set(index, chunk);
  }
  const { record } = node;
  if (!covers(node, first, last)) record.runs = addChunks(record.runs, first, last + 1);
  record.size = Math.max(record.size, end);
  modified(node);
}

function covers({ record }: Inode, first: number, last: number): boolean {
  for (const [start, end] of ranges(record.runs)) if (first >= start && last < end) return true;
  return false;
}

/** The chunk to write into up to `to`. What the store knows is never changed: it may have kept it. */
function writable(unsaved: Chunk | undefined, old: Uint8Array, to: number, chunkSize: number): Chunk {
  if (unsaved !== undefined && to <= unsaved.bytes.length) {
    return { bytes: unsaved.bytes, length: Math.max(unsaved.length, to) };
  }
  const size = to === chunkSize ? to : Math.min(chunkSize, Math.max(to, old.length, 2 * (unsaved?.bytes.length ?? 0)));
  const bytes = new Uint8Array(size);
  bytes.set(old);
  return { bytes, length: Math.max(old.length, to) };
}

function modified(node: Inode): void {
  node.version++;
  node.last = undefined;
  node.isModified = true;
  touch(node.record, 'modified');
}

/** A new size, in a draft: what is cut off does not come back when the file grows again. */
export function* resize(
  chunkSize: number,
  read: ChunkReader,
  draft: Draft,
  node: Inode,
  size: number,
): Operation<void> {
  if (!Number.isSafeInteger(size) || size < 0) throw new FsError('EINVAL', { syscall: 'truncate' });
  const record = draft.edit(node);
  if (size < record.size)
    yield* cut(chunkSize, read, node, size, record.size, (index, chunk) => draft.setChunk(node, index, chunk));
  record.runs = removeChunks(record.runs, Math.ceil(size / chunkSize), Number.MAX_SAFE_INTEGER);
  record.size = size;
  touch(record, 'modified');
}

export function* allocateAt(
  chunkSize: number,
  read: ChunkReader,
  node: Inode,
  mode: AllocateMode,
  offset: number,
  length: number,
): Operation<void> {
  const { record } = node;
  const end = Math.min(offset + length, record.size);
  if ((mode.punchHole || mode.zeroRange) && offset < end) {
    const dropped: [number, Chunk | undefined][] = [];
    yield* cut(chunkSize, read, node, offset, end, (index, chunk) => dropped.push([index, chunk]));
    for (const [index, chunk] of dropped) node.unsaved.set(index, chunk);
    const until = end === record.size ? Math.ceil(end / chunkSize) : Math.floor(end / chunkSize);
    record.runs = removeChunks(record.runs, Math.ceil(offset / chunkSize), until);
  }
  if (!mode.keepSize && !mode.punchHole) record.size = Math.max(record.size, offset + length);
  modified(node);
}

/** Clears `[from, to)`, `to` at most the file's size: whole chunks are dropped, of others a cleared copy is made. */
function* cut(
  chunkSize: number,
  read: ChunkReader,
  node: Inode,
  from: number,
  to: number,
  set: (index: number, chunk: Chunk | undefined) => void,
): Operation<void> {
  const first = Math.floor(from / chunkSize);
  const last = Math.ceil(to / chunkSize);
  const whole = (index: number): boolean =>
    index * chunkSize >= from && ((index + 1) * chunkSize <= to || to === node.record.size);
  const indexes = [...chunksIn(node.record.runs, first, last)];
  const partial = indexes.filter((index) => !whole(index));
  const kept = yield* fetch(read, node, partial);
  for (const index of indexes) if (whole(index)) set(index, undefined);
  for (const [i, index] of partial.entries()) {
    const base = index * chunkSize;
    const bytes = (kept[i] as Uint8Array).slice();
    bytes.fill(0, Math.max(0, from - base), Math.min(bytes.length, to - base));
    set(index, { bytes, length: to === node.record.size ? Math.min(bytes.length, from - base) : bytes.length });
  }
}

/** The next data or hole, to the chunk. */
export function seekFrom(chunkSize: number, { record }: Inode, position: number, whence: 'data' | 'hole'): number {
  if (position >= record.size || position < 0) throw new FsError('ENXIO', { syscall: 'lseek' });
  for (const [start, end] of ranges(record.runs)) {
    if (position >= end * chunkSize) continue;
    if (position < start * chunkSize) return whence === 'hole' ? position : dataAt(start * chunkSize, record.size);
    return whence === 'data' ? position : Math.min(end * chunkSize, record.size);
  }
  if (whence === 'hole') return position;
  throw new FsError('ENXIO', { syscall: 'lseek' });
}

function dataAt(position: number, size: number): number {
  if (position >= size) throw new FsError('ENXIO', { syscall: 'lseek' });
  return position;
}
