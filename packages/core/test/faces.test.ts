// The faces over layers that answer later, in a random order: calls at the same time lose nothing and fail with nothing odd.
import { type Layer, memoryLayer, overlay, type Overlay, promisesFs, type UpperLayer } from '@ovl/core';
import { allFunctions, createFs, syncFs } from '@ovl/core/fs';
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
    const fs = syncFs(open(), {}, { readdir: allFunctions.readdir });
    expect(Object.keys(fs)).toEqual(['readdirSync']);
    expect(fs.readdirSync('/src/lib')).toEqual(['c.js']);
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
