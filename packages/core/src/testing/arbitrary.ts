/**
 * Random trees and operations for property tests. fast-check is the caller's: pass its module in. Names come from a
 * small alphabet, so that operations meet each other's results often; most paths are patterns such as "?file:3" (one of
 * the files there are when its turn comes), which {@link concrete} replaces, since random paths mostly lead nowhere.
 */
import { DT_DIR, DT_REG, S_IFBLK, S_IFCHR, S_IFIFO } from '../attributes.js';
import type { FileOperation } from './operations.js';
import type { ObjectSpec, OpaqueForm, TreeSpec } from './tree.js';

/** The part of fast-check's `Arbitrary` that is used here. */
export interface Arbitrary<T> {
  map<U>(mapper: (value: T) => U): Arbitrary<U>;
}

/** The part of fast-check that is used here. */
export interface FastCheck {
  constant<T>(value: T): Arbitrary<T>;
  constantFrom<T>(...values: T[]): Arbitrary<T>;
  integer(constraints: { min: number; max: number }): Arbitrary<number>;
  array<T>(arbitrary: Arbitrary<T>, constraints: ArrayConstraints): Arbitrary<T[]>;
  record<T>(model: { [K in keyof T]: Arbitrary<T[K]> }): Arbitrary<T>;
  oneof<T>(...choices: { weight: number; arbitrary: Arbitrary<T> }[]): Arbitrary<T>;
}

interface ArrayConstraints {
  minLength?: number;
  maxLength?: number;
  size?: 'max';
}

/** What random layers and operations are made of. */
export interface ArbitraryOptions {
  /** Names of entries. */
  names: readonly string[];
  /** Whether operations use open handles. */
  handles: boolean;
  /** Names of extended attributes that any object may have. */
  xattrs: readonly string[];
  /** Whether owners change: not every user may. */
  owners: boolean;
  /** Whether devices are made. */
  devices: boolean;
  /** Whether files of a layer may have several names. */
  links: boolean;
}

/** Few names, so that operations meet one another; owners, devices and open files, but no second names in layers. */
export const DEFAULT_OPTIONS: ArbitraryOptions = {
  names: ['a', 'b', 'c', 'd'],
  handles: true,
  xattrs: ['user.k', 'trusted.overlay.opaque', 'trusted.overlay.redirect'],
  owners: true,
  devices: true,
  links: false,
};

const MODES = [0o644, 0o600, 0o755, 0o4755, 0o000] as const;
const DIRECTORY_MODES = [0o755, 0o700, 0o2775] as const;
const TEXTS = ['', 'x', 'hello', 'lower bytes', 'é\u{1f600}'] as const;

/** One to four lower layers, topmost first. */
export function arbitraryLayers(fc: FastCheck, options: ArbitraryOptions = DEFAULT_OPTIONS): Arbitrary<TreeSpec[]> {
  return fc.array(arbitraryTree(fc, options, 3, false), { minLength: 1, maxLength: 4, size: 'max' });
}

/** A layer's tree without redirects. Xattr whiteouts stand only in directories that announce them. */
export function arbitraryTree(
  fc: FastCheck,
  options: ArbitraryOptions,
  depth: number,
  xattrWhiteouts: boolean,
): Arbitrary<TreeSpec> {
  const { names, owners, devices, links } = options;
  const owner = fc.constantFrom(...(owners ? [0, 0, 1000] : [0]));
  const xattrs = fc.oneof<Record<string, string>>(
    { weight: 4, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: fc.constant({ 'user.k': 'lower' }) },
  );
  const file = fc.record<ObjectSpec & { type: 'file' }>({
    type: fc.constant('file'),
    content: fc.constantFrom(...TEXTS),
    mode: fc.constantFrom(...MODES),
    uid: owner,
    gid: owner,
    xattrs,
  });
  const objects: { weight: number; arbitrary: Arbitrary<ObjectSpec> }[] = [
    { weight: 4, arbitrary: file },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constant('symlink' as const), target: fc.constantFrom('a', '/b/c') }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant('whiteout' as const),
        form: fc.constantFrom(
          'device' as const,
          xattrWhiteouts ? ('xattr' as const) : ('name' as const),
          'name' as const,
        ),
      }),
    },
  ];
  if (links) {
    const inode = fc.constantFrom(1, 1, 2);
    objects.push({ weight: 4, arbitrary: fc.record({ file, inode }).map(({ file, inode }) => ({ ...file, inode })) });
    const symlink = fc.record({ type: fc.constant('symlink' as const), target: fc.constant('a'), inode });
    objects.push({ weight: 1, arbitrary: symlink });
  }
  if (devices) {
    objects.push({
      weight: 1,
      arbitrary: fc.constantFrom<ObjectSpec>(
        { type: 'fifo' },
        { type: 'char', rdev: 0x103 },
        { type: 'block', rdev: 7 },
      ),
    });
  }
  if (depth > 1) {
    for (const opaque of [undefined, 'y', 'x', '.wh..wh..opq', 'fuse-overlayfs'] as (OpaqueForm | undefined)[]) {
      const directory = fc.record({
        type: fc.constant('directory' as const),
        entries: arbitraryTree(fc, options, depth - 1, opaque === 'x'),
        mode: fc.constantFrom(...DIRECTORY_MODES),
        uid: owner,
        gid: owner,
        xattrs,
      });
      objects.push({
        weight: opaque === undefined ? 6 : 1,
        arbitrary: directory.map((spec): ObjectSpec => (opaque === undefined ? spec : { ...spec, opaque })),
      });
    }
  }
  const entry = fc.record({ name: fc.constantFrom(...names), spec: fc.oneof(...objects) });
  return fc
    .array(entry, { minLength: 1, maxLength: 4, size: 'max' })
    .map((entries) => Object.fromEntries(entries.map(({ name, spec }) => [name, spec])));
}

/** A sequence of operations. */
export function arbitraryOperations(
  fc: FastCheck,
  length: { min: number; max: number },
  options: ArbitraryOptions = DEFAULT_OPTIONS,
): Arbitrary<FileOperation[]> {
  return fc.array(arbitraryOperation(fc, options), { minLength: length.min, maxLength: length.max, size: 'max' });
}

/** One operation. */
export function arbitraryOperation(
  fc: FastCheck,
  options: ArbitraryOptions = DEFAULT_OPTIONS,
): Arbitrary<FileOperation> {
  const choices = [...namespaceChoices(fc, options), ...objectChoices(fc, options)];
  if (options.handles) choices.push(...handleChoices(fc, options));
  return fc.oneof(...choices);
}

interface Choice {
  weight: number;
  arbitrary: Arbitrary<FileOperation>;
}

type Members<K extends FileOperation['kind']> = Omit<Extract<FileOperation, { kind: K }>, 'kind'>;

function choice<K extends FileOperation['kind']>(
  fc: FastCheck,
  weight: number,
  kind: K,
  members: { [P in keyof Members<K>]: Arbitrary<Members<K>[P]> },
): Choice {
  const arbitrary = fc.record<Members<K>>(members).map((rest) => ({ kind, ...rest }) as unknown as FileOperation);
  return { weight, arbitrary };
}

/** What a pattern chooses from: files, directories, empty directories, all but the root, a name in some directory. */
type Pattern = 'file' | 'dir' | 'empty' | 'any' | 'new';

/** Mostly what the pattern says, at times any path at all. */
function arbitraryPath(fc: FastCheck, { names }: ArbitraryOptions, ...patterns: Pattern[]): Arbitrary<string> {
  const name = fc.constantFrom(...names);
  const blind = (length: number): Arbitrary<string> =>
    fc.array(name, { minLength: length, maxLength: length }).map((parts) => `/${parts.join('/')}`);
  const index = fc.integer({ min: 0, max: 30 });
  const aimed = fc
    .record({ pattern: fc.constantFrom(...patterns), index, name })
    .map(({ pattern, index, name }) => `?${pattern}:${index}${pattern === 'new' ? `:${name}` : ''}`);
  return fc.oneof(
    { weight: 8, arbitrary: aimed },
    { weight: 1, arbitrary: blind(1) },
    { weight: 1, arbitrary: blind(2) },
    { weight: 1, arbitrary: blind(3) },
  );
}

/** The operation with its patterns replaced by paths of what is there now. Choose with the model before both perform. */
export function concrete(
  tree: readonly { path: string; type: number; empty: boolean }[],
  op: FileOperation,
): FileOperation {
  const out: Record<string, unknown> = { ...op };
  for (const key of ['path', 'from', 'to']) {
    const value = out[key];
    if (typeof value === 'string' && value.startsWith('?')) out[key] = choose(tree, value.slice(1));
  }
  return out as unknown as FileOperation;
}

function choose(tree: readonly { path: string; type: number; empty: boolean }[], pattern: string): string {
  const [kind, index, name] = pattern.split(':');
  const directories = tree.filter(({ type }) => type === DT_DIR);
  const candidates =
    kind === 'file'
      ? tree.filter(({ type }) => type === DT_REG)
      : kind === 'dir'
        ? directories.slice(1)
        : kind === 'empty'
          ? directories.slice(1).filter(({ empty }) => empty)
          : kind === 'new'
            ? directories
            : tree.slice(1);
  const path = candidates[Number(index) % (candidates.length || 1)]?.path ?? '/a';
  if (kind !== 'new') return path;
  return path === '/' ? `/${name}` : `${path}/${name}`;
}

function namespaceChoices(fc: FastCheck, options: ArbitraryOptions): Choice[] {
  const any = arbitraryPath(fc, options, 'any', 'any', 'dir', 'file');
  const fresh = arbitraryPath(fc, options, 'new');
  const owner = fc.constantFrom(...(options.owners ? [0, 1000] : [0]));
  const flag = fc.constantFrom(
    ...(['none', 'none', 'none', 'none', 'none', 'noreplace', 'exchange', 'whiteout', 'noreplace-whiteout'] as const),
  );
  const target = arbitraryPath(fc, options, 'new', 'new', 'new', 'any', 'empty', 'file');
  const rename = fc.record({ from: any, to: target, flag }).map(({ from, to, flag }): FileOperation => {
    return flag === 'none' ? { kind: 'rename', from, to } : { kind: 'rename', from, to, flag };
  });
  const choices: Choice[] = [
    choice(fc, 5, 'create', { path: fresh, mode: fc.constantFrom(...MODES), uid: owner, gid: owner }),
    choice(fc, 5, 'mkdir', { path: fresh, mode: fc.constantFrom(...DIRECTORY_MODES), uid: owner, gid: owner }),
    choice(fc, 1, 'symlink', { path: fresh, target: fc.constantFrom('a', '../b') }),
    choice(fc, 4, 'link', { from: arbitraryPath(fc, options, 'file', 'file', 'any'), to: fresh }),
    choice(fc, 10, 'unlink', { path: any }),
    choice(fc, 8, 'rmdir', { path: arbitraryPath(fc, options, 'empty', 'dir') }),
    { weight: 16, arbitrary: rename },
  ];
  if (options.devices) {
    const device = fc.constantFrom(
      { mode: S_IFIFO | 0o600, rdev: 0 },
      { mode: S_IFCHR | 0o600, rdev: 0x105 },
      { mode: S_IFCHR | 0o600, rdev: 0 },
      { mode: S_IFBLK | 0o600, rdev: 0x801 },
    );
    const arbitrary = fc
      .record({ path: fresh, device })
      .map(({ path, device }): FileOperation => ({ kind: 'mknod', path, ...device }));
    choices.push({ weight: 1, arbitrary });
  }
  return choices;
}

function objectChoices(fc: FastCheck, options: ArbitraryOptions): Choice[] {
  const any: { weight: number; arbitrary: Arbitrary<string> }[] = [
    { weight: 20, arbitrary: arbitraryPath(fc, options, 'any', 'file', 'dir') },
    { weight: 1, arbitrary: fc.constant('/') },
  ];
  if (options.handles) any.push({ weight: 2, arbitrary: fc.constantFrom('@0', '@0', '@1') });
  const path = fc.oneof(...any);
  const data = fc.oneof({ weight: 8, arbitrary: arbitraryPath(fc, options, 'file') }, { weight: 1, arbitrary: path });
  const text = fc.constantFrom(...TEXTS);
  const name = fc.constantFrom(...options.xattrs);
  const condition = fc.constantFrom<'none' | 'create' | 'replace'>('none', 'none', 'create', 'replace');
  const setxattr = fc.record({ path, name, value: text, condition }).map(({ path, name, value, condition }) => {
    const operation = { kind: 'setxattr' as const, path, name, value };
    return condition === 'none' ? operation : { ...operation, condition };
  });
  const choices: Choice[] = [
    choice(fc, 4, 'write', { path: data, position: fc.integer({ min: 0, max: 12 }), text }),
    choice(fc, 3, 'append', { path: data, text }),
    choice(fc, 2, 'truncate', { path: data, size: fc.integer({ min: 0, max: 12 }) }),
    choice(fc, 2, 'chmod', { path, mode: fc.constantFrom(...MODES, ...DIRECTORY_MODES) }),
    choice(fc, 1, 'utimes', { path, seconds: fc.integer({ min: 1, max: 9 }) }),
    choice(fc, 2, 'removexattr', { path, name }),
    choice(fc, 1, 'getxattr', { path, name }),
    choice(fc, 1, 'listxattr', { path }),
    choice(fc, 2, 'stat', { path }),
    choice(fc, 2, 'read', { path: data }),
    choice(fc, 1, 'readlink', { path }),
    choice(fc, 2, 'readdir', { path }),
    { weight: 2, arbitrary: setxattr },
  ];
  if (options.owners) {
    choices.push(choice(fc, 1, 'chown', { path, uid: fc.constantFrom(0, 1000), gid: fc.constantFrom(0, 1000) }));
  }
  return choices;
}

function handleChoices(fc: FastCheck, options: ArbitraryOptions): Choice[] {
  const slot = fc.constantFrom(0, 0, 0, 1);
  const position = fc.integer({ min: 0, max: 12 });
  const how = fc.constantFrom<'r' | 'r+' | 'w' | 'a'>('r', 'r', 'r+', 'w', 'a');
  return [
    choice(fc, 8, 'open', { slot, path: arbitraryPath(fc, options, 'file'), how }),
    choice(fc, 3, 'pread', { slot, position, length: fc.constant(20) }),
    choice(fc, 4, 'pwrite', { slot, position, text: fc.constantFrom(...TEXTS) }),
    choice(fc, 1, 'fsync', { slot }),
    choice(fc, 2, 'close', { slot }),
    {
      weight: 1,
      arbitrary: fc
        .record({ slot, to: arbitraryPath(fc, options, 'new') })
        .map(({ slot, to }): FileOperation => ({ kind: 'link', from: `@${slot}`, to })),
    },
  ];
}
