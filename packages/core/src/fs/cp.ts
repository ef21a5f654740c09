/** Copying files and whole trees: `cp`. The rules, and their order, are those of Node's lib/internal/fs/cp. */
import { isDirectory, isRegular, isSymlink, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFSOCK } from '../attributes.js';
import { FsError, isFsError } from '../errors.js';
import type { Entry } from '../overlay.js';
import { isThenable, type Operation } from '../run.js';
import { argumentError, wrongType } from './argument-error.js';
import { type PathLike, toBoolean, toFunction, toInteger, toPath } from './arguments.js';
import type { Context } from './context.js';
import { entriesOf } from './directories.js';
import { copyFile } from './files.js';
import { mkdir, readlink, symlink, unlink } from './names.js';
import { systemError } from './rm.js';
import { locate } from './walk.js';

/** What `cp` copies, and what becomes of what is there. */
export interface CpOptions {
  /** Copies what symbolic links lead to. Default false. */
  dereference?: boolean | undefined;
  /** With `force: false`, throws where the destination exists. Default false. */
  errorOnExist?: boolean | undefined;
  /** What is copied; everywhere but in the synchronous face it may answer with a promise. */
  filter?: ((source: string, destination: string) => boolean | PromiseLike<boolean>) | undefined;
  /** Overwrites. Default true. */
  force?: boolean | undefined;
  /** As `copyFile`'s. */
  mode?: number | undefined;
  preserveTimestamps?: boolean | undefined;
  recursive?: boolean | undefined;
  /** Leaves the targets of symbolic links as they are; otherwise relative ones become absolute. */
  verbatimSymlinks?: boolean | undefined;
}

const FLAGS = ['dereference', 'errorOnExist', 'force', 'preserveTimestamps', 'recursive', 'verbatimSymlinks'] as const;

/**
 * Copies a file, or with `recursive` a tree. It is no single step: a failure on the way leaves what was copied before.
 * Throws the errors of Node's own: ERR_FS_CP_EEXIST, ERR_FS_CP_EINVAL, ERR_FS_EISDIR and their like.
 */
export function* cp(fs: Context, source: PathLike, destination: PathLike, options?: CpOptions): Operation<void> {
  const chosen = checked(options);
  const src = toPath(source, 'src');
  const dest = toPath(destination, 'dest');
  if (!(yield* isWanted(fs, src, dest, chosen))) return;
  const { from, to } = yield* checkPaths(fs, src, dest, chosen);
  for (let at = parentOf(fs, dest); at !== '/'; at = parentOf(fs, at)) {
    const above = yield* look(fs, at, 'stat');
    if (above?.inode === from.inode) throw intoItself(src, dest);
  }
  yield* copy(fs, src, dest, to, chosen);
}

function checked(options: CpOptions | undefined): CpOptions {
  if (options === undefined) return {};
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw wrongType('options', 'of type object', options);
  }
  for (const flag of FLAGS) if (flag in options) toBoolean(options[flag], `options.${flag}`);
  toInteger(options.mode ?? 0, 'mode', 0, 7);
  if (options.dereference === true && options.verbatimSymlinks === true) {
    const message = 'Option "dereference" cannot be used in combination with option "verbatimSymlinks"';
    throw argumentError('ERR_INCOMPATIBLE_OPTION_PAIR', message);
  }
  if (options.filter !== undefined) toFunction(options.filter, 'options.filter');
  return options;
}

/** What the filter says, which is asked first: what it leaves out may be missing, or not fit. */
function* isWanted(fs: Context, src: string, dest: string, { filter }: CpOptions): Operation<boolean> {
  if (filter === undefined) return true;
  const answer = filter(src, dest);
  if (fs.kind === 'sync' && isThenable(answer)) {
    const message = 'Expected boolean to be returned from the "filter" function but got an instance of Promise.';
    throw argumentError('ERR_INVALID_RETURN_VALUE', message);
  }
  return Boolean(isThenable(answer) ? yield answer : answer);
}

/** Whether `src` may be copied to `dest`; answers what is at both. */
function* checkPaths(
  fs: Context,
  src: string,
  dest: string,
  options: CpOptions,
): Operation<{ from: Entry; to: Entry | undefined }> {
  const syscall = options.dereference === true ? 'stat' : 'lstat';
  const from = yield* must(fs, src, syscall);
  const to = yield* look(fs, dest, syscall);
  const isDir = isDirectory(from.attributes.mode);
  if (to !== undefined) {
    const overDir = isDirectory(to.attributes.mode);
    if (to.inode === from.inode) throw refused('EINVAL', 'src and dest cannot be the same', dest);
    if (isDir && !overDir) {
      throw refused('DIR_TO_NON_DIR', `cannot overwrite non-directory ${dest} with directory ${src}`, dest);
    }
    if (!isDir && overDir) {
      throw refused('NON_DIR_TO_DIR', `cannot overwrite directory ${dest} with non-directory ${src}`, dest);
    }
  }
  if (isDir && isBelow(fs, src, dest)) throw intoItself(src, dest);
  return { from, to };
}

function* copy(fs: Context, src: string, dest: string, to: Entry | undefined, options: CpOptions): Operation<void> {
  yield* mkdir(fs, parentOf(fs, dest), { recursive: true });
  const { attributes } = yield* must(fs, src, options.dereference === true ? 'stat' : 'lstat');
  const { mode } = attributes;
  const type = mode & S_IFMT;
  if (isDirectory(mode)) yield* copyDirectory(fs, src, dest, to, mode, options);
  else if (isSymlink(mode)) yield* copyLink(fs, src, dest, to, options);
  else if (isRegular(mode) || type === S_IFCHR || type === S_IFBLK) yield* copyRegular(fs, src, dest, to, options);
  else if (type === S_IFSOCK) throw refused('SOCKET', `cannot copy a socket file: ${dest}`, dest);
  else if (type === S_IFIFO) throw refused('FIFO_PIPE', `cannot copy a FIFO pipe: ${dest}`, dest);
  else throw refused('UNKNOWN', `cannot copy an unknown file type: ${dest}`, dest);
}

function* copyDirectory(
  fs: Context,
  src: string,
  dest: string,
  to: Entry | undefined,
  mode: number,
  options: CpOptions,
): Operation<void> {
  if (options.recursive !== true) {
    const message = `${src} is a directory (not copied)`;
    throw systemError('ERR_FS_EISDIR', 'Path is a directory', 'EISDIR', 22, message, 'cp', src);
  }
  if (to === undefined) yield* mkdir(fs, dest);
  const entries = yield* entriesOf(fs, src, 'opendir');
  for (const { name } of entries) {
    const [from, into] = [`${src}/${name}`, `${dest}/${name}`].map((path) => path.replace('//', '/')) as [
      string,
      string,
    ];
    if (!(yield* isWanted(fs, from, into, options))) continue;
    yield* copy(fs, from, into, (yield* checkPaths(fs, from, into, options)).to, options);
  }
  if (to === undefined) yield* setattr(fs, dest, { mode: mode & 0o7777 });
}

function* copyRegular(
  fs: Context,
  src: string,
  dest: string,
  to: Entry | undefined,
  options: CpOptions,
): Operation<void> {
  if (to !== undefined) {
    if (options.force === false) {
      if (options.errorOnExist === true) throw refused('EEXIST', `${dest} already exists`, dest);
      return;
    }
    yield* unlink(fs, dest);
  }
  yield* copyFile(fs, src, dest, options.mode);
  if (options.preserveTimestamps !== true) return;
  const { attributes } = yield* must(fs, src, 'stat');
  yield* setattr(fs, dest, {
    atime: { sec: attributes.atimeSec, nsec: attributes.atimeNsec },
    mtime: { sec: attributes.mtimeSec, nsec: attributes.mtimeNsec },
  });
}

function* copyLink(fs: Context, src: string, dest: string, to: Entry | undefined, options: CpOptions): Operation<void> {
  const resolved = (link: string, path: string): string =>
    link.startsWith('/') ? link : plain(fs, `${parentOf(fs, path)}/${link}`);
  const written = (yield* readlink(fs, src)) as string;
  const target = options.verbatimSymlinks === true ? written : resolved(written, src);
  if (to !== undefined) {
    if (isSymlink(to.attributes.mode)) {
      const there = resolved((yield* readlink(fs, dest)) as string, dest);
      if (isBelow(fs, target, there)) throw intoItself(target, there);
      // As in Node: ENOENT where this one leads nowhere.
      const beyond = yield* must(fs, fs.kind === 'sync' ? dest : src, 'stat');
      if (isDirectory(beyond.attributes.mode) && isBelow(fs, there, target)) {
        throw refused('SYMLINK_TO_SUBDIRECTORY', `cannot overwrite ${there} with ${target}`, dest);
      }
      yield* unlink(fs, dest);
    }
  }
  yield* symlink(fs, target, dest);
}

function* setattr(fs: Context, path: string, change: Parameters<Context['overlay']['setattr']>[1]): Operation<void> {
  yield* fs.overlay.setattr((yield* must(fs, path, 'stat')).inode, change);
}

function* must(fs: Context, path: string, syscall: 'stat' | 'lstat'): Operation<Entry> {
  const { entry } = yield* locate(fs, path, syscall, syscall === 'stat' ? 'follow' : 'nofollow');
  if (entry === undefined) throw new FsError('ENOENT', { syscall, path });
  return entry;
}

function* look(fs: Context, path: string, syscall: 'stat' | 'lstat'): Operation<Entry | undefined> {
  try {
    return yield* must(fs, path, syscall);
  } catch (error) {
    if (isFsError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function parentOf(fs: Context, path: string): string {
  return plain(fs, `${fs.absolute(path)}/..`);
}

/** Absolute, without "." and "..", by the text alone. */
function plain(fs: Context, path: string): string {
  const names: string[] = [];
  for (const name of fs.absolute(path).split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return `/${names.join('/')}`;
}

function isBelow(fs: Context, above: string, path: string): boolean {
  const [a, b] = [plain(fs, above), plain(fs, path)];
  return a === b || b.startsWith(a === '/' ? a : `${a}/`);
}

function intoItself(src: string, dest: string): Error {
  return refused('EINVAL', `cannot copy ${src} to a subdirectory of self ${dest}`, dest);
}

const refusals = {
  DIR_TO_NON_DIR: ['Cannot overwrite non-directory with directory', 'EISDIR', 21],
  EEXIST: ['Target already exists', 'EEXIST', 17],
  EINVAL: ['Invalid src or dest', 'EINVAL', 22],
  FIFO_PIPE: ['Cannot copy a FIFO pipe', 'EINVAL', 22],
  NON_DIR_TO_DIR: ['Cannot overwrite directory with non-directory', 'ENOTDIR', 20],
  SOCKET: ['Cannot copy a socket file', 'EINVAL', 22],
  SYMLINK_TO_SUBDIRECTORY: ['Cannot overwrite symlink in subdirectory of self', 'EINVAL', 22],
  UNKNOWN: ['Cannot copy an unknown file type', 'EINVAL', 22],
} as const;

function refused(kind: keyof typeof refusals, message: string, path: string): Error {
  const [title, code, errno] = refusals[kind];
  return systemError(`ERR_FS_CP_${kind}`, title, code, errno, message, 'cp', path);
}
