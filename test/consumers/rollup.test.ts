// rollup reads its modules from layers and writes the bundle into them, by its `fs` option (rollup 4.43 and later).
import { type InputOptions, rollup, type RollupFsModule } from 'rollup';
import { describe, expect, test } from 'vitest';
import { BASES, type Files, stacked } from './layers.js';

const sources: Files = {
  '/src/main.js':
    "import { greet } from './greet.js';\nimport { name } from './names/index.js';\nconsole.log(greet(name));\n",
  '/src/greet.js': 'export const greet = (name) => `hello ${name}`;\n',
  '/src/names/index.js': "export { name } from './name.js';\n",
  '/src/names/name.js': "export const name = 'lower';\n",
};

describe.each(BASES)('rollup over layers on %s', (base) => {
  test('bundles what the layers show, and writes the bundle into the upper', async () => {
    const { fs } = stacked(base, sources, (below) =>
      below.writeFileSync('/src/names/name.js', "export const name = 'upper';\n"),
    );
    const bundle = await rollup(options(fs));
    const { output } = await bundle.write({ dir: '/dist', format: 'es', sourcemap: true });
    expect(bundle.watchFiles.toSorted()).toEqual(Object.keys(sources).toSorted());
    expect(output.map(({ fileName }) => fileName)).toEqual(['main.js', 'main.js.map']);
    expect(fs.readdirSync('/dist')).toEqual(['main.js', 'main.js.map']);
    const code = fs.readFileSync('/dist/main.js', 'utf8');
    expect(code).toContain("const name = 'upper';");
    expect(code).toContain('hello ${name}');
    expect(JSON.parse(fs.readFileSync('/dist/main.js.map', 'utf8')).sources).toEqual([
      '../src/greet.js',
      '../src/names/name.js',
      '../src/main.js',
    ]);
  });

  test('says which import a whiteout broke', async () => {
    const { fs } = stacked(base, sources, (below) => below.rmSync('/src/names/name.js'));
    await expect(rollup(options(fs))).rejects.toMatchObject({
      code: 'UNRESOLVED_IMPORT',
      exporter: './name.js',
      id: '/src/names/index.js',
      message: expect.stringMatching(/^Could not resolve "\.\/name\.js" from ".*src\/names\/index\.js"$/),
    });
  });

  test('does not find the modules of a directory that was replaced', async () => {
    const { fs } = stacked(base, sources, (below) => {
      below.rmSync('/src/names', { recursive: true });
      below.mkdirSync('/src/names');
      below.writeFileSync('/src/names/index.js', "export { name } from './name.js';\n");
    });
    await expect(rollup(options(fs))).rejects.toMatchObject({ code: 'UNRESOLVED_IMPORT', id: '/src/names/index.js' });
  });

  test('knows a module by the file that its link leads to, unless told not to', async () => {
    const { fs } = stacked(base, sources, (below) => {
      below.mkdirSync('/store');
      below.renameSync('/src/names/name.js', '/store/name.js');
      below.symlinkSync('../../store/name.js', '/src/names/name.js');
    });
    const modules = async (preserveSymlinks: boolean): Promise<string[]> => {
      const bundle = await rollup({ ...options(fs), preserveSymlinks });
      return bundle.watchFiles.filter((file) => file.endsWith('name.js'));
    };
    expect(await modules(false)).toEqual(['/store/name.js']);
    expect(await modules(true)).toEqual(['/src/names/name.js']);
  });
});

function options(fs: ReturnType<typeof stacked>['fs']): InputOptions {
  // An import that leads nowhere is an error here, as it is in most configurations.
  const onLog: InputOptions['onLog'] = (level, log, handle) => handle(level === 'warn' ? 'error' : level, log);
  return { input: '/src/main.js', fs: fs.promises as unknown as RollupFsModule, onLog };
}
