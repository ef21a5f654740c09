/** From a path to an inode: "." and "..", symbolic links, trailing slashes, as POSIX's pathname resolution says. */
import { isDirectory, isSymlink } from '../attributes.js';
import { type ErrorCode, FsError } from '../errors.js';
import { knownAbsent, knownDirectory } from '../glance.js';
import type { Inode, Stack } from '../inode.js';
import type { Entry, Overlay } from '../overlay.js';
import type { Operation } from '../run.js';
import { type Context, named } from './context.js';
import { keepWarm } from './warm.js';

/** As in Linux: this many symbolic links in one path are ELOOP. */
const SYMLINKS_MAX = 40;
const PATH_MAX = 4096;

export interface Located {
  dir: Inode;
  name: string;
  entry: Entry | undefined;
  /** What the path ends in: a name that can be given and taken, or one that stands for a directory already there. */
  last: 'name' | 'dot' | 'dotdot' | 'root';
  /** Whether a "/" follows, which asks for a directory. */
  slash: boolean;
}

/** "new": the name is to be given; what is there already is in the way, whatever it is. */
export type FinalLink = 'follow' | 'nofollow' | 'new';

/** Walks a path. The root is its own directory under the name "". A missing last name is no error here. */
export function* locate(fs: Context, path: string, syscall: string, final: FinalLink): Operation<Located> {
  const { overlay } = fs;
  const fail = (code: ErrorCode): never => {
    throw new FsError(code, { syscall, path });
  };
  if (path === '') fail('ENOENT');
  if (path.length >= PATH_MAX) fail('ENAMETOOLONG');
  let rest = split(fs.absolute(path));
  const slash = path.endsWith('/');
  const trail: Inode[] = [overlay.root];
  let links = 0;
  let last: Located['last'] = path.endsWith('/.') || path === '.' ? 'dot' : 'root';
  for (let i = 0; i < rest.length; i++) {
    const name = rest[i] as string;
    const isLast = i + 1 === rest.length;
    if (name === '..') {
      if (trail.length > 1) trail.pop();
      if (isLast) last = 'dotdot';
      continue;
    }
    const dir = trail[trail.length - 1] as Inode;
    fs.hold(dir);
    const known = isLast ? undefined : overlay.ask(knownDirectory, dir, name);
    if (known !== undefined) {
      fs.hold(known);
      trail.push(known);
      continue;
    }
    if (isLast && dir !== fs.last) yield* overlay.perform(keepWarm, (fs.last = dir));
    const isAbsent = isLast && overlay.ask(knownAbsent, dir, name) === true;
    const entry = isAbsent ? undefined : yield* named(syscall, path, overlay.lookup(dir, name));
    if (entry !== undefined) fs.hold(entry.inode);
    const isFinal = isLast && last !== 'dot';
    if (entry === undefined) return isFinal ? { dir, name, entry, last: 'name', slash } : fail('ENOENT');
    const { mode } = entry.attributes;
    if (isSymlink(mode) && (!isLast || (slash && final !== 'new') || final === 'follow')) {
      if (++links > SYMLINKS_MAX) fail('ELOOP');
      const target = yield* overlay.readlink(entry.inode);
      if (target.startsWith('/')) trail.length = 1;
      rest = [...split(target), ...rest.slice(i + 1)];
      i = -1;
      continue;
    }
    if (isFinal) {
      if (slash && final !== 'new' && !isDirectory(mode)) fail('ENOTDIR');
      return { dir, name, entry, last: 'name', slash };
    }
    if (!isDirectory(mode)) fail('ENOTDIR');
    trail.push(entry.inode);
  }
  const inode = trail[trail.length - 1] as Inode;
  const attributes = yield* overlay.getattr(inode);
  const { dir, name } = overlay.dentryOf(inode) ?? { dir: inode, name: '' };
  return { dir, name, entry: { inode, attributes }, last, slash };
}

/**
 * What `question` (glance.ts) answers for what is at a path, where the face does not wait, every directory on the way is known and
 * the path is a plain one. Undefined says nothing, not even of errors: who asks again, and in full, gets them.
 */
export function glance<T>(
  { overlay, kind }: Context,
  path: string,
  question: (stack: Stack, dir: Inode, name: string) => T | undefined,
): T | undefined {
  if (kind !== 'sync' || !path.startsWith('/') || path.length >= PATH_MAX) return undefined;
  let dir: Inode | undefined = overlay.root;
  let start = 1;
  for (let end = path.indexOf('/', start); end >= 0; end = path.indexOf('/', start)) {
    dir = overlay.ask(knownDirectory, dir, path.slice(start, end)); // of "", "." and ".." nothing is known
    if (dir === undefined) return undefined;
    start = end + 1;
  }
  try {
    return overlay.ask(question, dir, path.slice(start));
  } catch {
    return undefined;
  }
}

/** The object at a path. Throws ENOENT where there is none. */
export function* existing(fs: Context, path: string, syscall: string, final: FinalLink = 'follow'): Operation<Entry> {
  const { entry } = yield* locate(fs, path, syscall, final);
  if (entry === undefined) throw new FsError('ENOENT', { syscall, path });
  return entry;
}

/** Where an object is now, from the root. Throws ENOENT for one without a name. */
export function pathOf(overlay: Overlay, dir: Inode, name: string): string {
  let path = name;
  for (let at = overlay.dentryOf(dir); at !== undefined; at = overlay.dentryOf(at.dir)) path = `${at.name}/${path}`;
  return `/${path}`;
}

function split(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}
