// Operations that run at the same time over layers that answer later, in an order that a seed decides: nothing is lost, nothing
// is torn, and all of them end. Through the overlay's operations and through the face with promises; files copied up whole
// and in part.
import {
  isFsError,
  type Layer,
  memoryLayer,
  type MemoryLayer,
  type MemoryTree,
  Overlay,
  type OverlayOptions,
  promisesFs,
  type PromisesFs,
  runAsync,
  type UpperLayer,
} from '@ovl/core';
import { extents, sparseMemoryLayer } from '@ovl/core/extents';
import { asyncLayer, Scheduler } from '@ovl/core/testing';
import { describe, expect, it } from 'vitest';
import { seedOfRun } from '../../../test/support/seed.js';
import { TIMEOUT } from './worlds.js';

const RUNS = Math.ceil(20 * Number(process.env.OVL_RUNS ?? 1));
const WAYS: readonly { way: string; upper: () => MemoryLayer; options: () => Partial<OverlayOptions> }[] = [
  { way: 'copied whole', upper: memoryLayer, options: () => ({}) },
  { way: 'copied in part', upper: sparseMemoryLayer, options: () => ({ metacopy: extents({ chunk: 8 }) }) },
];
const APPEND = { read: true, write: true, append: true, truncate: false };
const READ_WRITE = { ...APPEND, append: false };
const READ = { ...READ_WRITE, write: false };

/** Counts what is asked, so that a deadlock shows: operations that wait while nothing is asked any more. */
class CountingScheduler extends Scheduler {
  asked = 0;

  override later<T>(work: () => T | PromiseLike<T>): Promise<T> {
    this.asked++;
    return super.later(work);
  }
}

class Late {
  readonly overlay: Overlay;
  readonly fs: PromisesFs;
  readonly #scheduler: CountingScheduler;
  readonly #reopen: () => Promise<Late>;

  private constructor(overlay: Overlay, scheduler: CountingScheduler, reopen: () => Promise<Late>) {
    this.overlay = overlay;
    this.fs = promisesFs(overlay);
    this.#scheduler = scheduler;
    this.#reopen = reopen;
  }

  static async open(seed: number, upper: MemoryLayer, lower: MemoryLayer, options: () => object): Promise<Late> {
    const scheduler = new CountingScheduler(seed);
    const opening = Overlay.open({
      upper: asyncLayer<UpperLayer>(upper, scheduler),
      lower: [asyncLayer<Layer>(lower, scheduler)],
      ...options(),
    });
    return new Late(await runAsync(opening), scheduler, () => Late.open(seed, upper, lower, options));
  }

  /** The same layers in a new overlay. */
  reopened(): Promise<Late> {
    return this.#reopen();
  }

  /** What all of them come to; fails if they wait for each other. */
  async together<T>(...operations: readonly Promise<T>[]): Promise<PromiseSettledResult<T>[]> {
    let results: PromiseSettledResult<T>[] | undefined;
    void Promise.allSettled(operations).then((all) => (results = all));
    for (let asked = -1, idle = 0; results === undefined; ) {
      await new Promise((resolve) => setImmediate(resolve));
      idle = asked === this.#scheduler.asked ? idle + 1 : 0;
      asked = this.#scheduler.asked;
      if (idle > 200) throw new Error('deadlock: operations wait, and nothing is asked of the layers');
    }
    return results;
  }

  async find(path: string): Promise<Overlay['root']> {
    let inode = this.overlay.root;
    for (const name of path.split('/').filter(Boolean)) {
      const entry = await runAsync(this.overlay.lookup(inode, name));
      if (entry === undefined) throw new Error(`no ${path}`);
      inode = entry.inode;
    }
    return inode;
  }
}

function each(what: string, tree: () => MemoryTree, run: (late: Late) => Promise<void>): void {
  for (const { way, upper, options } of WAYS) {
    it(`${what} (${way})`, TIMEOUT, async () => {
      const first = seedOfRun();
      for (let seed = first; seed < first + RUNS; seed++) {
        try {
          await run(await Late.open(seed, upper(), memoryLayer({ from: tree() }), options));
        } catch (error) {
          throw new Error(`with OVL_SEED=${seed}: ${(error as Error).message}`, { cause: error });
        }
      }
    });
  }
}

function fulfilled<T>(results: readonly PromiseSettledResult<T>[]): T[] {
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

function codes(results: readonly PromiseSettledResult<unknown>[]): string[] {
  return results.map((result) => {
    if (result.status === 'fulfilled') return 'ok';
    const { code } = result.reason as { code?: string };
    if (code === undefined) throw result.reason;
    return code;
  });
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const LOWER = 'what the lower layer has|';
const WORDS = Array.from({ length: 20 }, (_, i) => `word ${String(i).padStart(2, '0')}`);

function expectWords(content: string): void {
  expect(content.startsWith(LOWER)).toBe(true);
  expect(content.slice(LOWER.length).split('|').slice(0, -1).sort()).toEqual(WORDS);
}

describe('at the same time, over layers that answer in any order', () => {
  each(
    '20 appends by path',
    () => ({ log: LOWER }),
    async (late) => {
      fulfilled(await late.together(...WORDS.map((word) => late.fs.appendFile('/log', `${word}|`))));
      expectWords(await late.fs.readFile('/log', 'utf8'));
      expectWords(await (await late.reopened()).fs.readFile('/log', 'utf8'));
    },
  );

  each(
    '20 appends by handles',
    () => ({ log: LOWER }),
    async (late) => {
      const { overlay } = late;
      const inode = await late.find('log');
      const append = async (word: string): Promise<void> => {
        const handle = await runAsync(overlay.open(inode, APPEND));
        expect(await runAsync(overlay.write(handle, bytes(`${word}|`), 0))).toBe(word.length + 1);
        await runAsync(overlay.release(handle));
      };
      fulfilled(await late.together(...WORDS.map(append)));
      expectWords(await late.fs.readFile('/log', 'utf8'));
    },
  );

  each(
    'one of ten creates a file, and has all of it',
    () => ({}),
    async (late) => {
      const write = (word: string): Promise<void> => late.fs.writeFile('/new', word, { flag: 'wx' });
      const answers = codes(await late.together(...WORDS.slice(0, 10).map(write)));
      expect(answers.filter((code) => code !== 'ok')).toEqual(Array(9).fill('EEXIST'));
      expect(await late.fs.readFile('/new', 'utf8')).toBe(WORDS[answers.indexOf('ok')]);
    },
  );

  each(
    'one of ten makes a directory, where a lower one was removed',
    () => ({ d: { f: 'f' } }),
    async (late) => {
      await late.fs.unlink('/d/f');
      await late.fs.rmdir('/d');
      const answers = codes(await late.together(...WORDS.slice(0, 10).map(() => late.fs.mkdir('/d'))));
      expect(answers.filter((code) => code === 'ok')).toHaveLength(1);
      expect(new Set(answers)).toEqual(new Set(['ok', 'EEXIST']));
      expect(await late.fs.readdir('/d')).toEqual([]);
    },
  );

  each(
    'directories renamed into each other: no loop, and nothing lost',
    () => ({ a: { 1: 'one', b: { 2: 'two' } }, c: { 3: 'three', d: { 4: 'four' } }, e: { 5: 'five' } }),
    async (late) => {
      const moves = [
        '/a /c/a',
        '/c /a/c',
        '/a/b /e/b',
        '/c/d /a/b/d',
        '/e /a/b/e',
        '/a/b /c/d/b',
        '/e /c/e',
        '/c/d /e/d',
      ];
      const move = (pair: string): Promise<void> => late.fs.rename(...(pair.split(' ') as [string, string]));
      const answers = codes(await late.together(...moves.map(move)));
      expect(['ENOENT', 'EINVAL', 'ENOTEMPTY', 'ok']).toEqual(expect.arrayContaining([...new Set(answers)]));
      for (const fs of [late.fs, (await late.reopened()).fs]) {
        const contents: string[] = [];
        const visit = async (path: string, depth: number): Promise<void> => {
          expect(depth).toBeLessThan(8);
          for (const name of await fs.readdir(path === '' ? '/' : path)) {
            const at = `${path}/${name}`;
            if ((await fs.stat(at)).isDirectory()) await visit(at, depth + 1);
            else contents.push(await fs.readFile(at, 'utf8'));
          }
        };
        await visit('', 0);
        expect(contents.sort()).toEqual(['five', 'four', 'one', 'three', 'two']);
      }
    },
  );

  each(
    'files renamed over each other: none is there twice, and one is left',
    () => ({ a: 'a', b: 'b', c: 'c' }),
    async (late) => {
      const pairs = ['ab', 'bc', 'ca', 'ba', 'cb', 'ac'];
      const answers = codes(await late.together(...pairs.map(([from, to]) => late.fs.rename(`/${from}`, `/${to}`))));
      expect(['ENOENT', 'ok']).toEqual(expect.arrayContaining([...new Set(answers)]));
      const names = await late.fs.readdir('/');
      expect(names.length).toBeGreaterThan(0);
      const contents = await Promise.all(names.map((name) => late.fs.readFile(`/${name}`, 'utf8')));
      expect(new Set(contents).size).toBe(names.length);
    },
  );

  each(
    'readers see a write as a whole or not at all',
    () => ({ f: 'a'.repeat(50) }),
    async (late) => {
      const { overlay } = late;
      const inode = await late.find('f');
      const write = async (): Promise<void> => {
        const handle = await runAsync(overlay.open(inode, READ_WRITE));
        for (const letter of 'bcd') await runAsync(overlay.write(handle, bytes(letter.repeat(40)), 5));
        await runAsync(overlay.release(handle));
      };
      const readers = Array.from({ length: 6 }, async () => {
        const handle = await runAsync(overlay.open(inode, READ));
        let last = 'a';
        for (let i = 0; i < 8; i++) {
          const buffer = new Uint8Array(60);
          const length = await runAsync(overlay.read(handle, buffer, 0));
          const text = new TextDecoder().decode(buffer.subarray(0, length));
          const letter = text.charAt(20);
          expect(text).toBe(`aaaaa${letter.repeat(40)}aaaaa`);
          expect(letter >= last).toBe(true);
          last = letter;
        }
        await runAsync(overlay.release(handle));
      });
      fulfilled(await late.together(write(), ...readers));
      expect(await late.fs.readFile('/f', 'utf8')).toBe(`aaaaa${'d'.repeat(40)}aaaaa`);
    },
  );

  each(
    'a file that is unlinked while others append to it',
    () => ({ log: LOWER }),
    async (late) => {
      const { overlay } = late;
      const inode = await late.find('log');
      const kept = await runAsync(overlay.open(inode, READ));
      const append = async (word: string): Promise<void> => {
        const handle = await runAsync(overlay.open(inode, APPEND));
        await runAsync(overlay.write(handle, bytes(`${word}|`), 0));
        await runAsync(overlay.release(handle));
      };
      fulfilled(await late.together(...WORDS.map(append), late.fs.unlink('/log')));
      expect(await late.fs.readdir('/')).toEqual([]);
      const buffer = new Uint8Array(1000);
      const length = await runAsync(overlay.read(kept, buffer, 0));
      expectWords(new TextDecoder().decode(buffer.subarray(0, length)));
      await runAsync(overlay.release(kept));
      expect(await (await late.reopened()).fs.readdir('/')).toEqual([]);
    },
  );

  each(
    'names and attributes of a file that is being copied up',
    () => ({ d: { f: LOWER }, e: {} }),
    async (late) => {
      const { fs } = late;
      const append = fs.appendFile('/d/f', 'more').catch((error: unknown) => {
        if (!isFsError(error) && (error as { code?: string }).code !== 'ENOENT') throw error;
        return 'late';
      });
      const [appended, ...others] = await late.together<unknown>(
        append,
        fs.link('/d/f', '/e/linked').catch(ignoreAbsence),
        fs.rename('/d/f', '/e/f'),
        fs.chmod('/d/f', 0o600).catch(ignoreAbsence),
      );
      fulfilled(others);
      const isMore = appended?.status === 'fulfilled' && appended.value !== 'late';
      for (const now of [fs, (await late.reopened()).fs]) {
        // Appending to a name that has gone makes a new file of that name.
        const old = await now.readFile('/d/f', 'utf8').catch(ignoreAbsence);
        const content = await now.readFile('/e/f', 'utf8');
        expect([old, content]).toEqual(
          old === undefined ? [undefined, isMore ? `${LOWER}more` : LOWER] : ['more', LOWER],
        );
        const linked = await now.readFile('/e/linked', 'utf8').catch(ignoreAbsence);
        if (linked !== undefined && linked !== 'more') {
          expect(linked).toBe(content);
          expect((await now.stat('/e/linked')).ino).toBe((await now.stat('/e/f')).ino);
        }
      }
    },
  );
});

function ignoreAbsence(error: unknown): undefined {
  if ((error as { code?: string }).code !== 'ENOENT') throw error;
  return undefined;
}
