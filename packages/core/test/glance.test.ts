// The synchronous face answers some questions at a glance (glance.ts). The promise face never does: over one overlay both must see the
// same, whatever was done before.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type FsError, memoryLayer, metacopies, overlay, promisesFs, syncFs } from '../src/index.js';
import { extents, sparseMemoryLayer } from '../src/extents/index.js';
import { parameters, TIMEOUT } from './worlds.js';

const stacks = {
  plain: () => overlay({ lower: [lower(), below()], upper: memoryLayer() }),
  'data may stay below': () =>
    overlay({ lower: [lower(), below()], upper: memoryLayer(), metacopy: metacopies('make') }),
  'chunks may stay below': () =>
    overlay({ lower: [lower(), below()], upper: sparseMemoryLayer(), metacopy: extents({ chunk: 4 }) }),
  'read-only': () => overlay({ lower: [lower(), below()] }),
};

const lower = (): ReturnType<typeof memoryLayer> => memoryLayer({ from: { a: 'first', d: { x: 'long enough' } } });
const below = (): ReturnType<typeof memoryLayer> => memoryLayer({ from: { b: 'second', d: { x: 'hidden', y: '' } } });
const paths = [
  '/a',
  '/b',
  '/d',
  '/d/x',
  '/d/y',
  '/e',
  '/e/x',
  '/d/',
  '/d/x/',
  '/a/x',
  '/d/../a',
  '//d//x',
  '/l',
  '/l/x',
  'd/x',
];

const change = fc.record({
  what: fc.constantFrom(
    'write',
    'append',
    'chmod',
    'unlink',
    'rename',
    'mkdir',
    'rmdir',
    'symlink',
    'link',
    'truncate',
  ),
  path: fc.constantFrom(...paths),
  other: fc.constantFrom(...paths),
});

describe.each(Object.entries(stacks))('at a glance as in full: %s', (_name, open) => {
  test('attributes and contents', TIMEOUT, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
        const stack = open();
        const fs = syncFs(stack);
        const full = promisesFs(stack);
        const acts = {
          write: (path: string) => fs.writeFileSync(path, 'new'),
          append: (path: string) => fs.appendFileSync(path, '+'),
          chmod: (path: string) => fs.chmodSync(path, 0o700),
          unlink: (path: string) => fs.unlinkSync(path),
          rename: (path: string, to: string) => fs.renameSync(path, to),
          mkdir: (path: string) => fs.mkdirSync(path),
          rmdir: (path: string) => fs.rmdirSync(path),
          symlink: (path: string, at: string) => fs.symlinkSync(path, at),
          link: (path: string, at: string) => fs.linkSync(path, at),
          truncate: (path: string) => fs.truncateSync(path, 2),
        };
        for (const { what, path, other } of [{ what: 'chmod', path: '/none', other: '' } as const, ...changes]) {
          await outcome(async () => acts[what](path, other));
          for (const each of paths) {
            const seen = [() => fs.statSync(each), () => fs.lstatSync(each), () => fs.readFileSync(each)];
            const whole = [() => full.stat(each), () => full.lstat(each), () => full.readFile(each)];
            for (const [i, look] of seen.entries())
              expect(await outcome(async () => look()), `${what} ${path}: ${each}`).toEqual(
                await outcome(whole[i] as () => Promise<unknown>),
              );
          }
        }
      }),
      parameters(20),
    );
  });
});

test('what was only looked at is not kept', () => {
  const stack = stacks.plain();
  const fs = syncFs(stack);
  fs.readdirSync('/d');
  fs.statSync('/d/x');
  const before = stack.inodeCount;
  fs.statSync('/d/x');
  expect(fs.readFileSync('/d/x', 'utf8')).toBe('long enough');
  expect(stack.inodeCount).toBe(before);
});

test('the bytes that are read belong to the caller', () => {
  const fs = syncFs(stacks.plain());
  for (let i = 0; i < 2; i++) {
    const bytes = fs.readFileSync('/d/x') as Uint8Array;
    expect(new TextDecoder().decode(bytes)).toBe('long enough');
    bytes.fill(0);
  }
});

async function outcome(act: () => Promise<unknown>): Promise<unknown> {
  try {
    return await act();
  } catch (error) {
    const { code, syscall, path } = error as FsError;
    return { code, syscall, path };
  }
}
