/**
 * The tree that an archive's entries make, put together one entry at a time. Names that leave the tree, or go through what is no
 * directory, are refused; a name that comes again replaces what was there; directories that no entry names are made.
 */
import { type Attributes, isDirectory, S_IFDIR, type Time } from '../attributes.js';
import { FsError } from '../errors.js';
import { byteLength, checkName, PATH_MAX } from '../names.js';
import type { Content } from './content.js';

const BLOCK = 512;

/** What an entry says of its object. */
export interface EntryAttributes {
  /** Type and permission bits. */
  mode: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  /** Bytes that are stored, for `blocks`. */
  stored: number;
  mtime: Time;
  atime: Time;
  ctime: Time;
}

export class ArchiveNode {
  attributes: Attributes;
  readonly entries: Map<string, ArchiveNode> | undefined;
  target = '';
  content: Content | undefined;
  xattrs: ReadonlyMap<string, Uint8Array> | undefined;

  constructor(attributes: Attributes) {
    this.attributes = attributes;
    this.entries = isDirectory(attributes.mode) ? new Map() : undefined;
  }
}

const EPOCH: Time = { sec: 0, nsec: 0 };
const MADE: EntryAttributes = {
  mode: S_IFDIR | 0o755,
  uid: 0,
  gid: 0,
  rdev: 0,
  size: 0,
  stored: 0,
  mtime: EPOCH,
  atime: EPOCH,
  ctime: EPOCH,
};

export class ArchiveTree {
  readonly root: ArchiveNode;
  readonly #dev: number;
  #nextIno = 1;

  constructor(dev: number) {
    this.#dev = dev;
    this.root = this.#node(MADE);
    this.root.attributes.nlink = 2;
  }

  get count(): number {
    return this.#nextIno - 1;
  }

  /** An object at a name. A directory that is there already stays, with the new attributes. */
  add(path: string, attributes: EntryAttributes): ArchiveNode {
    const names = split(path);
    const name = names.pop();
    if (name === undefined) {
      if (!isDirectory(attributes.mode)) throw refused('names the root, and is no directory');
      return this.#redress(this.root, attributes);
    }
    const dir = this.#directory(names);
    const there = dir.entries?.get(name);
    if (there?.entries !== undefined && isDirectory(attributes.mode)) return this.#redress(there, attributes);
    const node = this.#node(attributes);
    this.#put(dir, name, node);
    return node;
  }

  /** A further name for the object at `target`. */
  link(path: string, target: string): void {
    const to = split(target);
    let node: ArchiveNode | undefined = this.root;
    for (const name of to) node = node?.entries?.get(name);
    if (node === undefined) throw refused(`is a link to '${target}', which does not come before it`);
    if (node.entries !== undefined) throw refused(`is a link to '${target}', which is a directory`);
    const names = split(path);
    const name = names.pop();
    if (name === undefined) throw refused('names the root, and is no directory');
    const dir = this.#directory(names);
    if (dir.entries?.get(name) !== node) this.#put(dir, name, node);
  }

  #directory(names: readonly string[]): ArchiveNode {
    let dir = this.root;
    for (const name of names) {
      let next = dir.entries?.get(name);
      if (next === undefined) {
        next = this.#node(MADE);
        this.#put(dir, name, next);
      }
      if (next.entries === undefined) throw refused(`goes through '${name}', which is no directory`);
      dir = next;
    }
    return dir;
  }

  #put(dir: ArchiveNode, name: string, node: ArchiveNode): void {
    const entries = dir.entries as Map<string, ArchiveNode>;
    const old = entries.get(name);
    if (old?.entries !== undefined) {
      dir.attributes.nlink--;
      unname(old);
    } else if (old !== undefined) old.attributes.nlink--;
    entries.set(name, node);
    if (node.entries === undefined) node.attributes.nlink++;
    else {
      node.attributes.nlink = 2;
      dir.attributes.nlink++;
    }
  }

  #node(attributes: EntryAttributes): ArchiveNode {
    return new ArchiveNode(this.#attributes(attributes, this.#nextIno++, 0));
  }

  #redress(node: ArchiveNode, attributes: EntryAttributes): ArchiveNode {
    node.attributes = this.#attributes(attributes, node.attributes.ino, node.attributes.nlink);
    node.xattrs = undefined;
    return node;
  }

  #attributes(attributes: EntryAttributes, ino: number, nlink: number): Attributes {
    const { mode, uid, gid, rdev, size, stored, mtime, atime, ctime } = attributes;
    return {
      dev: this.#dev,
      ino,
      mode,
      nlink,
      uid,
      gid,
      rdev,
      size,
      blocks: Math.ceil(stored / BLOCK),
      blksize: 4096,
      atimeSec: atime.sec,
      atimeNsec: atime.nsec,
      mtimeSec: mtime.sec,
      mtimeNsec: mtime.nsec,
      ctimeSec: ctime.sec,
      ctimeNsec: ctime.nsec,
    };
  }
}

/** Names below a directory that is replaced are gone: what has others counts them right. */
function unname(directory: ArchiveNode): void {
  const pending = [directory];
  for (let dir = pending.pop(); dir !== undefined; dir = pending.pop()) {
    for (const node of dir.entries?.values() ?? []) {
      if (node.entries === undefined) node.attributes.nlink--;
      else pending.push(node);
    }
  }
}

/** The names that a path consists of; "./" and slashes at the end say nothing. */
function split(path: string): string[] {
  if (path.startsWith('/')) throw refused('is absolute');
  if (byteLength(path) >= PATH_MAX) throw new FsError('ENAMETOOLONG');
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  for (const name of names) {
    if (name === '..') throw refused("has '..' in it");
    checkName(name);
  }
  return names;
}

/** Whoever reads the archive says which entry it is: see {@link entryError}. */
class Refusal extends Error {}

function refused(reason: string): Refusal {
  return new Refusal(reason);
}

/** What is wrong with an entry, as one line: its name and where it stands. Other errors keep their code. */
export function entryError(error: unknown, syscall: string, name: string, offset: number): FsError {
  const isOther = error instanceof FsError;
  const reason = error instanceof Refusal ? ` ${error.message}` : '';
  const path = `${name} (entry at byte ${offset})${reason}`;
  return new FsError(isOther ? error.code : 'EINVAL', { syscall, path, cause: error });
}

/** Refuses an entry. */
export function refuse(reason: string): never {
  throw refused(reason);
}
