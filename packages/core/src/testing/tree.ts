/**
 * Trees as data: what a test puts into a layer, in a form that prints well when a property fails. `populate` writes one
 * through the layer interface, so that the same tree can be put into any kind of layer.
 */
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from '../attributes.js';
import type { LayerNode, NewObject, UpperLayer } from '../layer.js';
import { encodeName } from '../names.js';
import { type Operation, wait } from '../run.js';

interface Dress {
  /** Permission bits. Default 0644, directories 0755. */
  mode?: number;
  uid?: number;
  gid?: number;
  xattrs?: Record<string, string>;
  /** Seconds. */
  mtime?: number;
  /** Not directories: those of one layer with the same number are names of one object, which is as the first of them says. */
  inode?: number;
}

/** How a directory is marked opaque; "x" hides nothing and only announces xattr whiteouts. */
export type OpaqueForm = 'y' | 'x' | '.wh..wh..opq' | 'fuse-overlayfs';
/** How a whiteout is spelt. */
export type WhiteoutForm = 'device' | 'xattr' | 'name';

/** An object of a tree to be made. */
export type ObjectSpec =
  /** With `metacopy` the content is below and only its length is here; `redirect` then says where. */
  | ({ type: 'file'; content: string; metacopy?: number; redirect?: string } & Dress)
  | ({ type: 'directory'; entries: TreeSpec; opaque?: OpaqueForm; redirect?: string } & Dress)
  | ({ type: 'symlink'; target: string } & Omit<Dress, 'mode'>)
  | ({ type: 'fifo' | 'socket' } & Dress)
  | ({ type: 'char' | 'block'; rdev: number } & Dress)
  | { type: 'whiteout'; form: WhiteoutForm };

/** The entries of a directory. */
export type TreeSpec = { [name: string]: ObjectSpec };

/** A file of a tree to be made. */
export function file(content: string, options: Dress & { metacopy?: number; redirect?: string } = {}): ObjectSpec {
  return { type: 'file', content, ...options };
}

/** A directory of a tree to be made. */
export function dir(
  entries: TreeSpec = {},
  options: Dress & { opaque?: OpaqueForm; redirect?: string } = {},
): ObjectSpec {
  return { type: 'directory', entries, ...options };
}

/** A symbolic link of a tree to be made. */
export function symlink(target: string): ObjectSpec {
  return { type: 'symlink', target };
}

/** A whiteout of a tree to be made. */
export function whiteout(form: WhiteoutForm = 'device'): ObjectSpec {
  return { type: 'whiteout', form };
}

const TYPES = {
  file: S_IFREG,
  directory: S_IFDIR,
  symlink: S_IFLNK,
  fifo: S_IFIFO,
  socket: S_IFSOCK,
  char: S_IFCHR,
  block: S_IFBLK,
} as const;

/** The type and permission bits that an object is made with. */
export function modeOf(spec: Exclude<ObjectSpec, { type: 'whiteout' }>): number {
  const usual = spec.type === 'directory' ? 0o755 : spec.type === 'symlink' ? 0o777 : 0o644;
  return TYPES[spec.type] | ('mode' in spec && spec.mode !== undefined ? spec.mode : usual);
}

/** Writes a tree into the root of a layer. */
export function populate(layer: UpperLayer, tree: TreeSpec): Operation<void> {
  return populateDirectory(layer, tree, layer.root, new Map());
}

/** `made`: the objects that may get further names. */
function* populateDirectory(
  layer: UpperLayer,
  tree: TreeSpec,
  at: LayerNode,
  made: Map<number, LayerNode>,
): Operation<void> {
  for (const [name, spec] of Object.entries(tree)) {
    if (spec.type === 'whiteout') yield* populateWhiteout(layer, at, name, spec.form);
    else {
      const node = spec.inode === undefined ? undefined : made.get(spec.inode);
      if (node === undefined) yield* populateObject(layer, at, name, spec, made);
      else yield* wait(layer.commit({ kind: 'link', node, to: { dir: at, name }, over: 'nothing' }));
    }
  }
}

/** The object that each name of a layer's tree stands for, where it has several names: the first of them, and how many. */
export function sharedObjects(tree: TreeSpec): Map<ObjectSpec, { first: ObjectSpec; names: number }> {
  const found = new Map<ObjectSpec, { first: ObjectSpec; names: number }>();
  const groups = new Map<number, { first: ObjectSpec; names: number }>();
  const visit = (entries: TreeSpec): void => {
    for (const spec of Object.values(entries)) {
      if (spec.type === 'directory') visit(spec.entries);
      else if ('inode' in spec && spec.inode !== undefined) {
        const group = groups.get(spec.inode) ?? { first: spec, names: 0 };
        group.names++;
        groups.set(spec.inode, group);
        found.set(spec, group);
      }
    }
  };
  visit(tree);
  return found;
}

function* populateWhiteout(layer: UpperLayer, dir: LayerNode, name: string, form: WhiteoutForm): Operation<void> {
  const object: NewObject = { mode: form === 'device' ? S_IFCHR : S_IFREG, uid: 0, gid: 0, rdev: 0 };
  const { node } = yield* wait(layer.create({ dir, name: form === 'name' ? `.wh.${name}` : name }, object));
  if (form === 'xattr') yield* wait(layer.setxattr(node, `${layer.xattrPrefix}whiteout`, encodeName('y')));
}

function* populateObject(
  layer: UpperLayer,
  dir: LayerNode,
  name: string,
  spec: Exclude<ObjectSpec, { type: 'whiteout' }>,
  made: Map<number, LayerNode>,
): Operation<void> {
  const { uid = 0, gid = 0, xattrs = {}, mtime } = spec;
  const object: NewObject = { mode: modeOf(spec), uid, gid };
  if ('rdev' in spec) object.rdev = spec.rdev;
  if (spec.type === 'symlink') object.target = spec.target;
  const { node } = yield* wait(layer.create({ dir, name }, object));
  if (spec.type !== 'directory' && spec.inode !== undefined) made.set(spec.inode, node);
  if (spec.type === 'file' && spec.content !== '') {
    const opened = yield* wait(layer.openWritable(node));
    yield* wait(opened.write(encodeName(spec.content), 0));
    yield* wait(opened.close());
  }
  if (spec.type === 'file' && spec.metacopy !== undefined) {
    yield* wait(layer.setattr(node, { size: spec.metacopy }));
    yield* wait(layer.setxattr(node, `${layer.xattrPrefix}metacopy`, new Uint8Array(0)));
    if (spec.redirect !== undefined) {
      yield* wait(layer.setxattr(node, `${layer.xattrPrefix}redirect`, encodeName(spec.redirect)));
    }
  }
  if (spec.type === 'directory') {
    yield* populateDirectory(layer, spec.entries, node, made);
    yield* markDirectory(layer, node, spec.opaque, spec.redirect);
  }
  for (const [attribute, value] of Object.entries(xattrs)) {
    yield* wait(layer.setxattr(node, attribute, encodeName(value)));
  }
  if (mtime !== undefined) {
    yield* wait(layer.setattr(node, { atime: { sec: mtime, nsec: 1 }, mtime: { sec: mtime, nsec: 2 } }));
  }
}

function* markDirectory(
  layer: UpperLayer,
  node: LayerNode,
  opaque: OpaqueForm | undefined,
  redirect: string | undefined,
): Operation<void> {
  const set = (name: string, value: string): Operation<void> => wait(layer.setxattr(node, name, encodeName(value)));
  if (opaque === 'y' || opaque === 'x') yield* set(`${layer.xattrPrefix}opaque`, opaque);
  else if (opaque === 'fuse-overlayfs') yield* set('user.fuseoverlayfs.opaque', 'y');
  else if (opaque !== undefined) {
    yield* wait(layer.create({ dir: node, name: opaque }, { mode: S_IFREG, uid: 0, gid: 0 }));
  }
  if (redirect !== undefined) yield* set(`${layer.xattrPrefix}redirect`, redirect);
}
