/** In what two objects of one type differ. */
import { type Attributes, isDirectory, isRegular, isSymlink, S_IFBLK, S_IFCHR, S_IFMT } from '../attributes.js';
import type { OpenHandle } from '../file.js';
import type { Inode } from '../inode.js';
import type { Entry, Overlay } from '../overlay.js';
import type { Operation } from '../run.js';
import type { Aspect } from './change.js';
import { xattrsOf } from './state.js';

const BUFFER_SIZE = 1 << 18;
const READ = { read: true, write: false, append: false, truncate: false };

/**
 * "bytes": content of equal length is read and compared. "times": it counts as equal where the time of the last
 * modification is, to the nanosecond, which spares the reading and misses a write that put the time back.
 */
export type ContentComparison = 'bytes' | 'times';

/** An object of one overlay. */
export interface Side extends Entry {
  overlay: Overlay;
}

/** All but "links", sorted. The times of directories are compared, too. */
export function* compare(now: Side, old: Side, content: ContentComparison): Operation<Aspect[]> {
  const [a, b] = [now.attributes, old.attributes];
  const differs: Aspect[] = [];
  if (isRegular(a.mode) && !(yield* sameContent(now, old, content))) differs.push('content');
  if (isDevice(a) && a.rdev !== b.rdev) differs.push('device');
  if (!isSymlink(a.mode) && a.mode !== b.mode) differs.push('mode');
  if (!sameTime(a, b)) differs.push('mtime');
  if (a.uid !== b.uid || a.gid !== b.gid) differs.push('owner');
  if (isSymlink(a.mode) && (yield* now.overlay.readlink(now.inode)) !== (yield* old.overlay.readlink(old.inode)))
    differs.push('target');
  if (!(yield* sameXattrs(now, old))) differs.push('xattrs');
  return differs.sort();
}

export function sameType(a: Attributes, b: Attributes): boolean {
  return (a.mode & S_IFMT) === (b.mode & S_IFMT);
}

function sameTime(a: Attributes, b: Attributes): boolean {
  return a.mtimeSec === b.mtimeSec && a.mtimeNsec === b.mtimeNsec;
}

function isDevice({ mode }: Attributes): boolean {
  return (mode & S_IFMT) === S_IFCHR || (mode & S_IFMT) === S_IFBLK;
}

function* sameXattrs(now: Side, old: Side): Operation<boolean> {
  if (isDirectory(now.attributes.mode) !== isDirectory(old.attributes.mode)) return false;
  const [a, b] = [yield* xattrsOf(now.overlay, now.inode), yield* xattrsOf(old.overlay, old.inode)];
  if (a.size !== b.size) return false;
  for (const [name, value] of a) {
    const other = b.get(name);
    if (other === undefined || !sameBytes(value, other)) return false;
  }
  return true;
}

function* sameContent(now: Side, old: Side, how: ContentComparison): Operation<boolean> {
  const { size } = now.attributes;
  if (size !== old.attributes.size) return false;
  if (size === 0 || (how === 'times' && sameTime(now.attributes, old.attributes))) return true;
  return yield* opened(now.overlay, now.inode, (a) =>
    opened(old.overlay, old.inode, (b) => sameData(now.overlay, a, old.overlay, b, Math.min(size, BUFFER_SIZE))),
  );
}

/** Runs `use` with the file open for reading. */
function* opened<T>(overlay: Overlay, inode: Inode, use: (handle: OpenHandle) => Operation<T>): Operation<T> {
  const handle = yield* overlay.open(inode, READ);
  try {
    return yield* use(handle);
  } finally {
    yield* overlay.release(handle);
  }
}

function* sameData(one: Overlay, a: OpenHandle, other: Overlay, b: OpenHandle, step: number): Operation<boolean> {
  if (a.node === b.node) return true; // one of them left its data below
  const [left, right] = [new Uint8Array(step), new Uint8Array(step)];
  for (let position = 0; ; position += step) {
    const length = yield* one.read(a, left, position);
    if (length !== (yield* other.read(b, right, position))) return false;
    if (!sameBytes(left.subarray(0, length), right.subarray(0, length))) return false;
    if (length < step) return true;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
