// node:fs on a temporary directory is the oracle: the same random calls, through each face, give the same answers, the same
// errors and the same tree over an overlay.
import * as host from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memoryLayer, MemoryObject, overlay } from '@ovl/core';
import { createFs, type NodeFs } from '@ovl/node';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seedOfRun } from '../../../test/support/seed.js';

type Face = 'sync' | 'callback' | 'promises';
interface Call {
  name: string;
  args: readonly unknown[];
}

/** A path of the tree under test, spelled from its top. */
class Path {
  constructor(readonly text: string) {}
}

const PATHS = [
  '/a',
  '/dir',
  '/dir/b',
  '/dir/sub',
  '/dir/sub/c',
  '/link',
  '/dirlink',
  '/dirlink/b',
  '/dangling',
  '/loop',
  '/new',
  '/dir/new',
  '/missing/x',
  '/a/x',
  '/dir/',
  '/dir/../a',
  '/dir/.',
  '/dir/sub/..',
];
const path = fc.constantFrom(...PATHS).map((text) => new Path(text));
const wrong = fc.constantFrom<unknown>(undefined, null, 5, -1, true, {}, [], 'a\0b', Symbol.iterator, 1.5, Number.NaN);
/** Mostly what is right. */
const or = <T>(right: fc.Arbitrary<T>, weight = 12): fc.Arbitrary<unknown> =>
  fc.oneof({ weight, arbitrary: right }, { weight: 1, arbitrary: wrong });
const of = <T = unknown>(...values: unknown[]): fc.Arbitrary<T> => fc.constantFrom(...(values as T[]));
const text = of('', 'short', 'ünï', Buffer.from([0, 255, 128]), new Uint16Array([1, 2]));
const mode = of<unknown>(0o644, 0o600, '755', 0o4755, undefined);
const flag = of(
  'r',
  'r+',
  'w',
  'wx',
  'a',
  'a+',
  'w+',
  'ax',
  'rs+',
  'x',
  0,
  host.constants.O_RDWR | host.constants.O_CREAT,
);
const time = of<unknown>(0, 1.5, '100.25', new Date(1e12), new Date(1234));
/** Not the wrong ones of which Node 20 makes the present. */
const when = fc.oneof(
  { weight: 12, arbitrary: time },
  { weight: 1, arbitrary: of(undefined, null, true, {}, 'x', Number.NaN) },
);
const opt = <T extends Record<string, unknown>>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<unknown> =>
  fc.oneof(fc.constant(undefined), fc.record(shape, { requiredKeys: [] }));
const bool = fc.boolean();

/** Without types, Node's goes on into directories behind symbolic links, where ours does not. */
const deep = of({ recursive: true, withFileTypes: true });

/** Arguments of each function; the last ones of a list may be missing in the call. */
const ARGUMENTS: Record<string, fc.Arbitrary<unknown>[]> = {
  access: [path, fc.nat(7)],
  appendFile: [path, text, opt({ encoding: of('utf8', 'latin1', 'zz'), flag, mode })],
  chmod: [path, of(0o644, 0o755, '600', '9')],
  copyFile: [path, path, of(0, 1, 2, 8)],
  link: [path, path],
  lstat: [path, opt({ bigint: bool })],
  lutimes: [path, when, when],
  mkdir: [path, fc.oneof(mode, opt({ recursive: bool, mode }))],
  readFile: [path, fc.oneof(of<unknown>('utf8', 'hex', 'nope'), opt({ encoding: of('base64', null), flag }))],
  readdir: [path, fc.oneof(opt({ withFileTypes: bool, encoding: of('buffer', 'utf8', 'hex') }), deep)],
  readlink: [path, of<unknown>('utf8', 'buffer', 'latin1')],
  rename: [path, path],
  rm: [path, opt({ recursive: bool, force: bool, maxRetries: of(1) })],
  rmdir: [path],
  stat: [path, opt({ bigint: bool })],
  symlink: [of('a', 'dir', 'dir/sub/../b', 'nowhere', 'x'.repeat(300)), path, of<unknown>(undefined, 'file', 'zz')],
  truncate: [path, of(0, 3, 5000, -2)],
  unlink: [path],
  utimes: [path, when, when],
  writeFile: [path, text, opt({ encoding: of('utf8', 'hex'), flag, mode, flush: bool })],
};

/** How many arguments a function cannot do without, where that is more than one. */
const NEEDED: Record<string, number> = {
  appendFile: 2,
  chmod: 2,
  copyFile: 2,
  fchmod: 2,
  futimes: 3,
  link: 2,
  lutimes: 3,
  rename: 2,
  symlink: 2,
  utimes: 3,
  writeFile: 2,
};

const call: fc.Arbitrary<Call> = fc.constantFrom(...Object.keys(ARGUMENTS)).chain((name) =>
  fc.tuple(fc.tuple(...(ARGUMENTS[name] as fc.Arbitrary<unknown>[])), fc.nat(3)).map(([args, cut]) => ({
    name,
    args: args.slice(0, Math.max(NEEDED[name] ?? 1, args.length - Math.max(0, cut - 1))),
  })),
);

/** What is done to one open file. */
const step = fc.oneof(
  fc.record({
    name: of('read'),
    args: fc.tuple(fc.integer({ min: 1, max: 12 }), or(fc.nat(8), 20), of(null, 0, 2, -1, 5n, true)),
  }),
  fc.record({
    name: of('write'),
    args: fc.tuple(of(Buffer.from('bytes!')), or(of(0, 1, 7), 20), of(2, 9), of(null, 4)),
  }),
  fc.record({ name: of('write'), args: fc.tuple(of('text', 'ünï'), of(undefined, null, 0, 3)) }),
  fc.record({ name: of('ftruncate'), args: fc.tuple(or(of(0, 3, 100))) }),
  fc.record({ name: of('fstat'), args: fc.tuple() }),
  fc.record({ name: of('fchmod'), args: fc.tuple(or(of(0o600, '644'))) }),
  fc.record({ name: of('futimes'), args: fc.tuple(when, when) }),
  fc.record({
    name: of('writev'),
    args: fc.tuple(of<unknown>([Buffer.from('x'), Buffer.from('yz')], [], 'no'), of<unknown>(null, 1)),
  }),
  fc.record({ name: of('readv'), args: fc.tuple(of<number[]>([2, 3], [9]), of<unknown>(null, 1)) }),
  fc.record({ name: of('fsync', 'fdatasync'), args: fc.tuple() }),
) as fc.Arbitrary<Call>;

function buildHost(): string {
  const root = host.mkdtempSync(join(tmpdir(), 'ovl-fs-'));
  host.writeFileSync(join(root, 'a'), 'content of a');
  host.mkdirSync(join(root, 'dir/sub'), { recursive: true });
  host.writeFileSync(join(root, 'dir/b'), 'bee');
  host.writeFileSync(join(root, 'dir/sub/c'), 'sea');
  const links = { link: 'a', dirlink: 'dir', dangling: 'nowhere', loop: 'loop' };
  for (const [name, target] of Object.entries(links)) host.symlinkSync(target, join(root, name));
  return root;
}

function buildOverlay(): NodeFs {
  const link = (target: string): MemoryObject => new MemoryObject(target, { mode: 0o120777, ...owner });
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const base = memoryLayer({ from: { dir: { b: 'bee', sub: {} }, link: link('a'), dirlink: link('dir'), a: 'below' } });
  const top = memoryLayer({
    from: { a: 'content of a', dir: { sub: { c: 'sea' } }, dangling: link('nowhere'), loop: link('loop') },
  });
  return createFs(overlay({ lower: [top, base], upper: memoryLayer() }), { cwd: '/' });
}

/** The call, with paths under `root`; the outcome without it. */
async function outcome(fs: NodeFs, face: Face, { name, args }: Call, root: string): Promise<unknown> {
  const real = args.map((arg) => (arg instanceof Path ? root + arg.text : arg));
  const least = NEEDED[name] ?? 1;
  while (real.length > least && real.at(-1) === undefined) real.pop(); // as nobody writes them in front of a callback
  try {
    return shape(await invoke(fs, face, name, real), root);
  } catch (error) {
    return { thrown: shape(error, root) };
  }
}

function invoke(fs: NodeFs, face: Face, name: string, args: unknown[]): unknown {
  const functions = fs as unknown as Record<string, (...args: unknown[]) => unknown>;
  if (face === 'sync') return functions[`${name}Sync`]?.(...args);
  if (face === 'promises') {
    return (fs.promises as unknown as typeof functions)[name]?.(...args);
  }
  return new Promise((resolve, reject) => {
    const done = (error: unknown, ...answer: unknown[]): void => {
      if (error) reject(error);
      else resolve(answer.length > 1 ? answer : answer[0]);
    };
    functions[name]?.(...args, done);
  });
}

/** What is compared: everything that does not depend on the place, the clock or the file system's own numbers. */
function shape(value: unknown, root: string): unknown {
  if (typeof value === 'string') return value.replaceAll(root, '');
  if (typeof value === 'bigint' || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((each) => shape(each, root)).toSorted(byPlace);
  if (ArrayBuffer.isView(value))
    return { [value.constructor.name]: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex') };
  if ('isDirectory' in value && 'nlink' in value) return statShape(value as host.Stats);
  if ('isDirectory' in value) {
    const entry = value as host.Dirent;
    return { name: shape(entry.name, root), parent: shape(entry.parentPath, root), kind: kindOf(entry) };
  }
  if (value instanceof Error) {
    const { name, message, code, errno, syscall, path, dest } = value as NodeJS.ErrnoException & { dest?: string };
    // Of wrong arguments the kind alone: which of several is named, and how it is shown, changes with Node's versions.
    if (code?.startsWith('ERR_') === true && !code.startsWith('ERR_FS_')) return { name, code };
    return shape({ name, message, code, errno, syscall, path, dest }, root);
  }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shape(each, root)]));
}

/** Entries of several directories in an order of their own; everything else as it is. */
function byPlace(a: unknown, b: unknown): number {
  const place = (entry: unknown): string => {
    const { parent, name } = (entry ?? {}) as { parent?: string; name?: string };
    return parent === undefined ? '' : `${parent}/${String(name)}`;
  };
  return place(a) < place(b) ? -1 : place(a) > place(b) ? 1 : 0;
}

const KINDS = [
  'isFile',
  'isDirectory',
  'isSymbolicLink',
  'isFIFO',
  'isSocket',
  'isBlockDevice',
  'isCharacterDevice',
] as const;

function kindOf(entry: host.Stats | host.Dirent): string[] {
  return KINDS.filter((kind) => entry[kind]());
}

function statShape(stats: host.Stats): object {
  const { mode, nlink, size, uid, gid } = stats;
  const isDirectory = stats.isDirectory(); // sizes and link counts of directories are each file system's own
  const set = Math.abs(Number(stats.mtimeMs) - Date.now()) > 60_000 ? stats.mtimeMs : 'now';
  const own = { keys: Object.keys(stats).toSorted(), kinds: kindOf(stats), mode, uid, gid, mtime: set };
  if (isDirectory) return own;
  return stats.isSymbolicLink() ? { ...own, nlink } : { ...own, nlink, size }; // a target may hold the place
}

function tree(fs: NodeFs, root: string): unknown {
  return fs
    .readdirSync(root || '/', { recursive: true, withFileTypes: true })
    .map((entry) => {
      const at = `${entry.parentPath}/${entry.name}`.replace('//', '/');
      const stats = fs.lstatSync(at);
      const content = stats.isFile()
        ? fs.readFileSync(at, 'hex')
        : stats.isSymbolicLink()
          ? shape(fs.readlinkSync(at), root)
          : '';
      return { at: at.slice(root.length), content, ...statShape(stats) };
    })
    .toSorted((a, b) => (a.at < b.at ? -1 : 1));
}

/** Where the two differ for a reason of their own; see docs/node-fs.md. */
function isExcused({ name, args }: Call, root: string): boolean {
  const ends = args.some((arg) => arg instanceof Path && /\/(\.|\.\.)$/.test(arg.text));
  // Node resolves these by text before it asks the system; errors then name other paths.
  if (['rm', 'mkdir', 'readdir'].includes(name) && ends) return true;
  // libuv removes what was at the destination when it finds that the source is a directory.
  return name === 'copyFile' && args[0] instanceof Path && isDirectoryAt(root + args[0].text);
}

function isDirectoryAt(path: string): boolean {
  try {
    return host.statSync(path).isDirectory();
  } catch {
    return false;
  }
}

const runs = { numRuns: 150 * Number(process.env.OVL_RUNS ?? 1), seed: seedOfRun() };

describe.each<Face>(['sync', 'callback', 'promises'])('%s', (face) => {
  test('the same calls by path, the same answers and the same tree', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 12 }), async (calls) => {
        const root = buildHost();
        const fs = buildOverlay();
        try {
          for (const each of calls) {
            if (isExcused(each, root)) continue;
            const expected = await outcome(host as NodeFs, face, each, root);
            expect({ ...each, outcome: await outcome(fs, face, each, '') }).toEqual({ ...each, outcome: expected });
          }
          expect(tree(fs, '')).toEqual(tree(host as NodeFs, root));
        } finally {
          host.rmSync(root, { recursive: true });
        }
      }),
      runs,
    );
  });

  if (face === 'promises') return; // no descriptors there
  test('the same on an open file', async () => {
    await fc.assert(
      fc.asyncProperty(flag, fc.array(step, { maxLength: 10 }), async (how, steps) => {
        const root = buildHost();
        const fs = buildOverlay();
        const fds = [host as NodeFs, fs].map((one, i) => {
          try {
            return one.openSync(`${i === 0 ? root : ''}/dir/b`, how as string);
          } catch (error) {
            return shape(error, root);
          }
        });
        try {
          if (typeof fds[0] !== 'number') {
            expect(fds[1]).toEqual(fds[0]);
            return;
          }
          for (const one of steps) {
            const both = await Promise.all(
              [host as NodeFs, fs].map((side, i) => {
                const args =
                  one.name === 'read' && typeof one.args[0] === 'number' && one.args[0] >= 0
                    ? [Buffer.alloc(one.args[0]), 0, one.args[1], one.args[2]]
                    : one.name === 'readv'
                      ? [(one.args[0] as number[]).map((size) => Buffer.alloc(size)), one.args[1]]
                      : one.args;
                return outcome(side, face, { name: one.name, args: [fds[i], ...args] }, root);
              }),
            );
            expect({ one, outcome: both[1] }).toEqual({ one, outcome: both[0] });
          }
          expect(fs.readFileSync('/dir/b')).toEqual(host.readFileSync(join(root, 'dir/b')));
        } finally {
          if (typeof fds[0] === 'number') host.closeSync(fds[0]);
          host.rmSync(root, { recursive: true });
        }
      }),
      runs,
    );
  });
});
