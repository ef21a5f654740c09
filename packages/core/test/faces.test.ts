// The faces over layers that answer later, in a random order: calls at the same time lose nothing and fail with nothing odd.
import {
  type Layer,
  memoryLayer,
  overlay,
  type Overlay,
  promisesFs,
  runAsync,
  syncFs,
  type UpperLayer,
} from '@ovl/core';
import { allFunctions, createFs, syncFs as syncFsOf } from '@ovl/core/fs';
import * as functions from '@ovl/core/functions';
import { snapshotOverlay } from '@ovl/core/snapshots';
import { asyncLayer, Scheduler } from '@ovl/core/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parameters } from './worlds.js';

const text = (bytes: Uint8Array | string): string =>
  typeof bytes === 'string' ? bytes : new TextDecoder().decode(bytes);

async function openAsync(seed: number): Promise<Overlay> {
  const scheduler = new Scheduler(seed);
  const lower = memoryLayer({ from: { log: 'start', deep: { er: { file: 'x' } } } });
  const layers = {
    lower: [asyncLayer<Layer>(lower, scheduler) as Layer<'async'>],
    upper: asyncLayer<UpperLayer>(memoryLayer(), scheduler) as UpperLayer<'async'>,
  };
  return overlay(layers);
}

describe('faces over asynchronous layers', () => {
  it('lose no append', async () => {
    const fs = promisesFs(await openAsync(1));
    await Promise.all(Array.from({ length: 20 }, (_, i) => fs.appendFile('/log', ` ${i}`)));
    expect(
      text(await fs.readFile('/log'))
        .split(' ')
        .toSorted(),
    ).toEqual(['start', ...Array.from({ length: 20 }, (_, i) => `${i}`)].toSorted());
  });

  it('keep what one call has found while others go on', async () => {
    const property = fc.asyncProperty(fc.nat(), async (seed) => {
      const fs = createFs(await openAsync(seed)).promises;
      const made = Array.from({ length: 12 }, (_, i) => `/deep/er/n${i}`);
      await Promise.all([
        ...made.map((path) => fs.writeFile(path, path)),
        ...made.map(() => fs.readdir('/deep/er')),
        ...made.map((_, i) => fs.mkdir(`/deep/er/d/${i}/x`, { recursive: true })),
        fs.rm('/log'),
      ]);
      expect((await fs.readdir('/deep/er')).length).toBe(14);
      expect((await fs.readdir('/deep/er', { recursive: true })).length).toBe(14 + 24);
      await Promise.all(
        [fs.rm('/deep', { recursive: true }), fs.rm('/deep', { recursive: true, force: true })].map((each) =>
          each.catch(() => 0),
        ),
      );
      expect(await fs.readdir('/')).toEqual([]);
    });
    await fc.assert(property, parameters(20));
  });

  it('answer at once to nobody who cannot wait', async () => {
    const fs = syncFs((await openAsync(3)) as Overlay<'sync'>);
    expect(() => fs.statSync('/log')).toThrow('an asynchronous layer answered under the synchronous face');
  });
});

describe('faces of @ovl/core', () => {
  const open = (): Overlay<'sync'> =>
    overlay({
      lower: [memoryLayer({ from: { src: { 'a.js': '', 'b.ts': '', lib: { 'c.js': '' }, '.hidden.js': '' } } })],
      upper: memoryLayer(),
    });

  it('are made of what they are given', () => {
    const fs = syncFsOf(open(), {}, { readdir: functions.readdir });
    expect(Object.keys(fs)).toEqual(['readdirSync']);
    expect(fs.readdirSync('/src/lib')).toEqual(['c.js']);
  });

  it('refuse wrong arguments with the code and the class that Node has', () => {
    const fs = syncFs(open());
    const wrong: [call: () => unknown, code: string, of: new (message: string) => Error][] = [
      [() => fs.statSync(5 as never), 'ERR_INVALID_ARG_TYPE', TypeError],
      [() => fs.readFileSync('/src\0'), 'ERR_INVALID_ARG_VALUE', TypeError],
      [() => fs.readFileSync('/src/a.js', 'klingon' as 'utf8'), 'ERR_INVALID_ARG_VALUE', TypeError],
      [() => fs.readFileSync('/src/a.js', { flag: 'rx' }), 'ERR_INVALID_ARG_VALUE', TypeError],
      [() => fs.writeFileSync('/new', 5 as never), 'ERR_INVALID_ARG_TYPE', TypeError],
      [() => fs.chmodSync('/src', '9'), 'ERR_INVALID_ARG_VALUE', TypeError],
      [() => fs.chownSync('/src', -2, 0), 'ERR_OUT_OF_RANGE', RangeError],
      [() => fs.truncateSync('/src/a.js', 1.5), 'ERR_OUT_OF_RANGE', RangeError],
      [() => fs.utimesSync('/src', 'soon', 0), 'ERR_INVALID_ARG_TYPE', TypeError],
      [() => fs.mkdirSync('/new', { recursive: 'yes' as never }), 'ERR_INVALID_ARG_TYPE', TypeError],
    ];
    for (const [call, code, of] of wrong) {
      expect(call).toThrow(of);
      expect(call).toThrow(expect.objectContaining({ code }) as Error);
    }
    expect(fs.readdirSync('/')).toEqual(['src']);
  });

  it('have numbers alone by path, and bigints with the function that knows them', () => {
    const { statSync } = syncFs(open());
    expect(() => statSync('/src', { bigint: true })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }) as Error,
    );
    const { statSync: big } = syncFsOf(open(), {}, { stat: functions.stat });
    expect(big('/src', { bigint: true }).size).toBe(0n);
    expect(big('/src').isDirectory() && statSync('/src').isDirectory()).toBe(true);
  });

  it('open with every word that Node knows for it, and no other', () => {
    const fs = createFs(open());
    const made = ['w', 'wx', 'xw', 'w+', 'wx+', 'xw+', 'a', 'ax', 'xa', 'as', 'sa', 'a+', 'ax+', 'xa+', 'as+', 'sa+'];
    for (const [i, word] of made.entries()) fs.closeSync(fs.openSync(`/f${i}`, word));
    for (const word of ['r', 'rs', 'sr', 'r+', 'rs+', 'sr+']) fs.closeSync(fs.openSync('/f0', word));
    for (const word of ['', 'rx', 'ws', 'x', '+', 'rw', 'r++', 'toString'])
      expect(() => fs.openSync('/f0', word)).toThrow(TypeError);
    expect(fs.readdirSync('/').length).toBe(1 + made.length);
  });

  it('have each function by itself, too', () => {
    expect({ ...functions }).toEqual({ ...allFunctions });
  });

  it('find by pattern', () => {
    const { globSync } = createFs(open());
    expect(globSync('src/**/*.js').toSorted()).toEqual(['src/a.js', 'src/lib/c.js']);
    expect(globSync('/src/{a,b}.?s')).toEqual(['/src/a.js', '/src/b.ts']);
    expect(globSync(['**/[!a].*'], { cwd: '/src', exclude: ['lib'] })).toEqual(['b.ts']);
    expect(globSync('**', { cwd: '/src', exclude: (path: string) => path.endsWith('.js') }).toSorted()).toEqual([
      'b.ts',
      'lib',
    ]);
  });

  it('write what comes in pieces, and read as a web stream', async () => {
    const { promises } = createFs(open());
    await promises.writeFile('/made', ['one ', new TextEncoder().encode('two')]);
    const handle = await promises.open('/made', 'a+');
    await handle.appendFile(
      (async function* () {
        yield ' three';
      })(),
    );
    const chunks = [];
    const again = await promises.open('/made');
    for await (const chunk of again.readableWebStream()) chunks.push(text(chunk));
    expect(chunks.join('')).toBe('one two three');
    await Promise.all([handle.close(), again.close()]);
  });

  it('tell subscribers of every change, by name', () => {
    const layers = open();
    const fs = createFs(layers);
    const told: string[] = [];
    const stop = layers.subscribe(({ type, name }) => told.push(`${type} ${name}`));
    fs.mkdirSync('/new');
    fs.writeFileSync('/src/a.js', 'x');
    fs.chmodSync('/src/b.ts', 0o600);
    fs.renameSync('/src/b.ts', '/new/b');
    fs.rmSync('/src/lib', { recursive: true });
    stop();
    fs.unlinkSync('/new/b');
    expect(told).toEqual([
      'rename new',
      'change a.js',
      'change a.js',
      'change b.ts',
      'rename b.ts',
      'rename b',
      'rename c.js',
      'rename lib',
    ]);
  });
});

it('takes layers that answer at once together with ones that answer later, as one that answers later', async () => {
  const lower = asyncLayer<Layer>(memoryLayer({ from: { a: 'below' } }), new Scheduler(1)) as Layer<'async'>;
  const merged = await overlay({ lower: [lower], upper: memoryLayer() });
  await promisesFs(merged).appendFile('/a', ' and above');
  const view = await snapshotOverlay({ lower: [lower], upper: memoryLayer() });
  await promisesFs(view).writeFile('/a', 'other');
  const kept = await runAsync(view.checkpoint(memoryLayer()));
  await promisesFs(view).unlink('/a');
  await runAsync(view.rollback(memoryLayer(), kept));
  expect([await promisesFs(merged).readFile('/a', 'utf8'), await promisesFs(view).readFile('/a', 'utf8')]).toEqual([
    'below and above',
    'other',
  ]);
});
