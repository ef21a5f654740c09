/** Random layers and random operations. The alphabet of names is small, so that operations meet each other's results. */
import fc from 'fast-check';
import {
  type Case,
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
  type Layers,
  type MountedWith,
  type OpenMode,
  type Operation,
  type Path,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  type TimeSpec,
  type TreeEntry,
} from './operations.js';
import { type CaseSketch, completed, type Kind, type Pick, type Sketch } from './pool.js';

/** What a mount cannot do, and the sequences therefore must not ask for. */
export interface Limits {
  /** The attribute prefix: with "user." there are no trusted attributes and no xattrs on what is no file or directory. */
  prefix: 'trusted.overlay.' | 'user.overlay.';
  /** Whether ordinary users call, too. */
  users: boolean;
  /** Whether the lowest layer begins with files of several names. */
  links: boolean;
  /** Whether the mount's options are drawn, too. */
  mounts: boolean;
  /** The longest sequence: long ones where a mount takes long. */
  length: number;
}

/** Enough for a copy after the answer. */
const LARGE_BYTES = 1_200_000;

/** Defaults first: a difference that is there with all of them is shrunk to them. */
const mountedWith: fc.Arbitrary<MountedWith> = fc.constantFrom(
  {},
  { lazyCopyUp: 'all' },
  { noOpen: true },
  { noOpen: true, lazyCopyUp: 'all' },
  { noOpen: false, passthrough: 'off', lazyCopyUp: 'off' },
  { noOpen: false, passthrough: 'off', lazyCopyUp: 'all' },
);

const LONGEST = 'n'.repeat(255);
/** Bytes that are no UTF-8, in core's encoding. */
const NOT_UTF8 = '\udcff\udcfe!';

const name = fc.oneof(
  { arbitrary: fc.constantFrom('a', 'b', 'c'), weight: 40 },
  { arbitrary: fc.constantFrom('d', 'é', NOT_UTF8, LONGEST), weight: 6 },
);
const wildName = fc.oneof({ arbitrary: name, weight: 60 }, { arbitrary: fc.constant(`${LONGEST}n`), weight: 1 });

const joined = (part: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .oneof(
      { arbitrary: fc.tuple(part), weight: 4 },
      { arbitrary: fc.tuple(part, part), weight: 4 },
      { arbitrary: fc.tuple(part, part, part), weight: 2 },
    )
    .map((parts) => parts.join('/'));

const slot = fc.nat(2);
const anyPath: fc.Arbitrary<Path> = fc.oneof(
  { arbitrary: joined(wildName).map((text) => ({ path: text })), weight: 12 },
  { arbitrary: fc.record({ at: slot, path: joined(wildName) }), weight: 3 },
);
const pick = fc.nat(999);
const existing = (of: Kind): fc.Arbitrary<Path | Pick> =>
  fc.oneof(
    { arbitrary: fc.record({ pick, of: fc.constant(of) }), weight: 7 },
    { arbitrary: fc.record({ pick, of: fc.constant('any' as const) }), weight: 1 },
    { arbitrary: anyPath, weight: 3 },
  );
const path = existing('any');
const file = existing('file');
const directory = existing('directory');
const marked = existing('marked');
/** A name in something that probably is a directory: free, or not. */
const newPath: fc.Arbitrary<Path | Pick> = fc.oneof(
  { arbitrary: fc.record({ pick, of: fc.constant('directory' as const), name: wildName }), weight: 5 },
  { arbitrary: anyPath, weight: 3 },
  { arbitrary: existing('any'), weight: 1 },
);
/** Downward only, so that no link leads out of the mount; some dangle, some go round. */
const target = fc.oneof(joined(name), fc.constantFrom('nowhere', './a', 'x'.repeat(1000)));
const commonModes = [0o644, 0o755, 0o700, 0o600, 0o000, 0o4755, 0o2755, 0o1777, 0o7777, 0o444];
/**
 * Who writes a file that is set-group-id but not group-executable, and is not in its group, takes the bit away; the FUSE
 * protocol leaves it alone (FUSE_HANDLE_KILLPRIV_V2), and a server cannot know the caller's groups.
 */
const modes = ({ users }: Limits): fc.Arbitrary<number> => fc.constantFrom(...commonModes, ...(users ? [] : [0o2644]));
const owner = fc.constantFrom(0, 1, 1000, 65534);
const length = fc.constantFrom(0, 1, 5, 100, 4096, 5000, 12_288);
const offset = fc.constantFrom(0, 1, 10, 4095, 4096, 8192, 20_000, 65_536);
const fill = fc.integer({ min: 1, max: 255 });
const setTime: fc.Arbitrary<[number, number]> = fc.tuple(
  fc.constantFrom(-1, 0, 1, 978_307_200, 1_500_000_000),
  fc.constantFrom(0, 1, 123_456_789, 999_999_999),
);
const time: fc.Arbitrary<TimeSpec> = fc.oneof(
  { arbitrary: setTime, weight: 4 },
  { arbitrary: fc.constantFrom<TimeSpec>('now', 'omit'), weight: 1 },
);
const rdev = fc.constantFrom(0x105, 0x103, 0xfff, 5, 0);

const xattrName = ({ prefix }: Limits): fc.Arbitrary<string> =>
  prefix === 'trusted.overlay.'
    ? fc.constantFrom(
        'user.x',
        'user.x',
        'user.x',
        'user.y',
        'trusted.t',
        'trusted.t',
        'security.s',
        'trusted.overlay.opaque',
        'trusted.overlay.mine',
        'trusted.overlay.overlay.deep',
        'user.overlay.mine',
        'unknown.x',
      )
    : fc.constantFrom(
        'user.x',
        'user.x',
        'user.y',
        'user.overlay.mine',
        'user.overlay.opaque',
        'trusted.t',
        'unknown.x',
      );
const xattrValue = fc.constantFrom('', 'y', 'value', 'v'.repeat(300));
const xattrFlags = fc.constantFrom(0, 0, 0, 1, 2);

const openMode: fc.Arbitrary<OpenMode> = fc.oneof(
  fc.constantFrom<OpenMode>({ access: 'r' }, { access: 'rw' }, { access: 'w' }),
  fc.constantFrom<OpenMode>(
    { access: 'rw', append: true },
    { access: 'rw', truncate: true },
    { access: 'w', append: true, truncate: true },
    { access: 'rw', create: 'if-absent' },
    { access: 'rw', create: 'if-absent', append: true },
    { access: 'w', create: 'if-absent', truncate: true },
    { access: 'rw', create: 'exclusive' },
    { access: 'r', create: 'if-absent' },
  ),
);

/** Bounds keep 255 bytes of a name out of the way of PATH_MAX, and data out of the way of time. */
function operation(limits: Limits): fc.Arbitrary<Sketch> {
  const mode = modes(limits);
  const both = RENAME_EXCHANGE | RENAME_NOREPLACE;
  const renameFlags = [0, 0, 0, 0, 0, 0, RENAME_NOREPLACE, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE, both];
  // tmpfs refuses it, and overlayfs has taken set-id bits away by then, if an ordinary user asked.
  const zeroRange = limits.users ? [] : [FALLOC_ZERO_RANGE, FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE];
  const kinds: { [K in Operation['op']]: [weight: number, fields: unknown] } = {
    open: [7, { slot, path: fc.oneof(file, newPath), open: openMode, mode }],
    opendir: [4, { slot, path: directory }],
    close: [2, { slot }],
    pread: [3, { slot, offset, length }],
    pwrite: [4, { slot, offset, length, fill }],
    ftruncate: [2, { slot, size: fc.oneof(length, offset) }],
    fallocate: [
      3,
      {
        slot,
        mode: fc.constantFrom(
          0,
          FALLOC_KEEP_SIZE,
          FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE,
          FALLOC_PUNCH_HOLE,
          ...zeroRange,
        ),
        offset,
        length,
      },
    ],
    lseek: [2, { slot, offset, whence: fc.constantFrom('data', 'hole') }],
    fsync: [1, { slot }],
    fstat: [3, { slot }],
    fchmod: [1, { slot, mode }],
    fchown: [1, { slot, uid: owner, gid: owner }],
    futimens: [1, { slot, atime: time, mtime: time }],
    fsetxattr: [1, { slot, name: xattrName(limits), value: xattrValue, flags: xattrFlags }],
    flistxattr: [1, { slot }],
    freaddir: [2, { slot }],
    copy: [1, { from: slot, fromOffset: offset, to: slot, toOffset: offset, length }],
    create: [5, { path: newPath, mode }],
    write: [5, { path: file, offset, length, fill }],
    append: [4, { path: file, length, fill }],
    overwrite: [2, { path: fc.oneof(file, newPath), length, fill }],
    read: [3, { path: file }],
    truncate: [3, { path: file, size: fc.oneof(length, offset) }],
    mkdir: [8, { path: newPath, mode }],
    mknod: [3, { path: newPath, type: fc.constantFrom('file', 'fifo', 'char', 'block', 'socket'), mode, rdev }],
    symlink: [3, { target, path: newPath }],
    link: [6, { from: file, to: newPath }],
    unlink: [8, { path: file }],
    rmdir: [8, { path: directory }],
    rename: [18, { from: path, to: fc.oneof(newPath, path), flags: fc.constantFrom(...renameFlags) }],
    chmod: [3, { path, mode }],
    chown: [3, { path, uid: fc.oneof(owner, fc.constant(-1)), gid: fc.oneof(owner, fc.constant(-1)) }],
    utimens: [3, { path, atime: time, mtime: time }],
    setxattr: [4, { path, name: xattrName(limits), value: xattrValue, flags: xattrFlags }],
    getxattr: [2, { path: marked, name: xattrName(limits) }],
    removexattr: [3, { path: marked, name: xattrName(limits) }],
    listxattr: [1, { path }],
    readlink: [1, { path: existing('symlink') }],
    readdir: [4, { path: directory }],
    stat: [4, { path }],
  };
  const anyAction = fc.oneof(
    ...Object.entries(kinds).map(([op, [weight, fields]]) => ({
      weight,
      arbitrary: fc.record({
        op: fc.constant(op),
        ...(fields as Record<string, fc.Arbitrary<unknown>>),
      }) as unknown as fc.Arbitrary<Sketch>,
    })),
  );
  if (!limits.users) return anyAction;
  const asUser = fc.tuple(anyAction, fc.constantFrom(1, 1000)).map(([action, as]) => ({ ...action, as }));
  return fc.oneof({ arbitrary: anyAction, weight: 1 }, { arbitrary: asUser, weight: 1 });
}

/** One file, and others under the commonest names that are the same. */
function linkedFiles(): fc.Arbitrary<TreeEntry[]> {
  const entry = (path: string, node: TreeEntry['node'], mode: number): TreeEntry => ({
    path,
    node,
    uid: 0,
    gid: 0,
    mtime: [1, mode],
    xattrs: {},
  });
  return fc
    .record({
      mode: fc.constantFrom(0o644, 0o444, 0o4755),
      type: fc.constantFrom('file', 'file', 'file', 'symlink', 'fifo'),
      names: fc.shuffledSubarray(['a', 'b', 'c', 'a/a', 'b/a', 'b/b', 'c/c', 'd'], { minLength: 3, maxLength: 6 }),
    })
    .map(({ mode, type, names }) => {
      const first = names[0] as string;
      const chunks = [{ offset: 0, length: 100, fill: 7 }];
      const node: TreeEntry['node'] =
        type === 'file'
          ? { type, mode, chunks, size: 0 }
          : type === 'fifo'
            ? { type, mode }
            : { type: 'symlink', target: 'a' };
      return [
        entry(first, node, mode),
        ...names.slice(1).map((path) => entry(path, { type: 'link', to: first }, mode)),
      ];
    });
}

function treeEntry(limits: Limits, position: 'bottom' | 'above'): fc.Arbitrary<TreeEntry> {
  const mode = modes(limits);
  const chunk = fc.record({ offset, length, fill });
  const nodes: fc.OneOfConstraints | fc.WeightedArbitrary<TreeEntry['node']>[] = [
    {
      weight: 10,
      arbitrary: fc.record({
        type: fc.constant('directory'),
        mode,
        opaque: position === 'above' ? fc.constantFrom(false, false, true) : fc.constant(false),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        type: fc.constant('file'),
        mode,
        chunks: fc.array(chunk, { maxLength: 3 }),
        size: fc.constantFrom(0, 0, 0, 10, 10, 100_000, LARGE_BYTES),
      }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('symlink'), target }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('fifo', 'socket'), mode }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('char', 'block'), mode, rdev: fc.constant(0x105) }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('link'), to: joined(name) }) },
    { weight: position === 'above' ? 4 : 0, arbitrary: fc.record({ type: fc.constant('whiteout') }) },
  ];
  const names =
    limits.prefix === 'trusted.overlay.'
      ? ['user.x', 'trusted.t', 'trusted.overlay.overlay.deep']
      : ['user.x', 'user.y'];
  return fc.record({
    path: joined(name),
    node: fc.oneof(...(nodes as fc.WeightedArbitrary<TreeEntry['node']>[])),
    uid: owner,
    gid: owner,
    mtime: setTime,
    xattrs: fc.oneof(
      { weight: 4, arbitrary: fc.constant({}) },
      { weight: 1, arbitrary: fc.dictionary(fc.constantFrom(...names), xattrValue, { maxKeys: 2 }) },
    ),
  });
}

function layers(limits: Limits): fc.Arbitrary<Layers> {
  const layer = (position: 'bottom' | 'above'): fc.Arbitrary<TreeEntry[]> =>
    fc.array(treeEntry(limits, position), { maxLength: 16, size: 'max' });
  return fc
    .tuple(
      fc.array(layer('above'), { maxLength: 2, size: 'max' }),
      limits.links ? fc.array(linkedFiles(), { maxLength: 2 }) : fc.constant([]),
      layer('bottom'),
    )
    .map(([above, linked, bottom]) => [...above, [...linked.flat(), ...bottom]]);
}

export function testCase(limits: Limits): fc.Arbitrary<Case> {
  const any = operation(limits);
  const sketch: fc.Arbitrary<CaseSketch> = fc.record({
    layers: layers(limits),
    history: fc.oneof(
      { weight: 2, arbitrary: fc.constant<Sketch[]>([]) },
      { weight: 1, arbitrary: fc.array(any, { maxLength: 30, size: 'max' }) },
    ),
    umask: fc.constantFrom(0o022, 0),
    phases: fc.oneof(
      {
        weight: 3,
        arbitrary: fc.array(any, { minLength: 1, maxLength: limits.length, size: 'max' }).map((only) => [only]),
      },
      {
        weight: 1,
        arbitrary: fc.array(fc.array(any, { minLength: 1, maxLength: Math.ceil(limits.length / 2), size: 'max' }), {
          minLength: 2,
          maxLength: 3,
          size: 'max',
        }),
      },
    ),
  });
  return fc
    .tuple(sketch, limits.mounts ? mountedWith : fc.constant({}))
    .map(([drawn, mount]) => ({ ...completed(drawn), mount }));
}
