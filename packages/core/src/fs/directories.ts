/** Listing directories: readdir, also of whole trees. */
import { DT_DIR, DT_UNKNOWN, isDirectory, S_IFMT } from '../attributes.js';
import { FsError } from '../errors.js';
import type { Operation } from '../run.js';
import { type OptionsLike, type PathLike, toBoolean, toOptions, toPath } from './arguments.js';
import { type Context, named } from './context.js';
import { Dirent } from './dirent.js';
import { type EncodingOption, spelled } from './names.js';
import { existing } from './walk.js';

/** What `readdir` lists, and how. */
export interface ReaddirOptions extends EncodingOption {
  withFileTypes?: boolean | undefined;
  /** Also what lies below, as paths from the directory on. */
  recursive?: boolean | undefined;
}

/** In the order of their code units; with `recursive`, a directory's entries after those of its parent. */
export function* readdir(
  fs: Context,
  path: PathLike,
  options?: OptionsLike<ReaddirOptions>,
): Operation<(string | Uint8Array | Dirent<string | Uint8Array>)[]> {
  const { encoding, withFileTypes, recursive } = toOptions<ReaddirOptions>(options, fs.codec);
  const at = toPath(path);
  if (recursive !== undefined && recursive !== null) toBoolean(recursive, 'options.recursive');
  const found: (string | Uint8Array | Dirent<string | Uint8Array>)[] = [];
  const directories = [''];
  for (const directory of directories) {
    const full = directory === '' ? at : `${at.replace(/(?<=.)\/+$/, '')}/${directory}`;
    const entries = yield* entriesOf(fs, full, 'scandir');
    for (const { name, type } of entries) {
      const inside = directory === '' ? name : `${directory}/${name}`;
      if (withFileTypes === true) found.push(new Dirent(spelled(fs, name, encoding), full, type));
      else found.push(spelled(fs, inside, encoding));
      if (recursive === true && type === DT_DIR) directories.push(inside);
    }
  }
  return found;
}

export function* entriesOf(fs: Context, path: string, syscall: string): Operation<{ name: string; type: number }[]> {
  const { inode, attributes } = yield* existing(fs, path, syscall);
  if (!isDirectory(attributes.mode)) throw new FsError('ENOTDIR', { syscall, path });
  const entries: { name: string; type: number }[] = [];
  const listed = yield* named(syscall, path, fs.overlay.readdir(inode));
  for (const { name, type } of listed) {
    let known = type;
    if (type === DT_UNKNOWN) {
      const found = yield* named(syscall, path, fs.overlay.lookup(inode, name));
      if (found !== undefined) known = (found.attributes.mode & S_IFMT) >>> 12;
    }
    entries.push({ name, type: known });
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}
