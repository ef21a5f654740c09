// Bundles the JavaScript of every package; `tsc -b` writes the declarations beside it.
// An entry `./x` in a package's exports is built from src/x/index.ts. Entries that are started (a command, a daemon, a
// worker) and never imported are listed here. They are CommonJS with what they use of the other packages in them, because
// that starts sooner: 8 ms for Node's module loader, and some more for every file.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import esbuild from 'rollup-plugin-esbuild';

const started = { node: ['daemon', 'serve'], cli: ['quick'] };
/** Started as well, and needs fuse-native, which is loaded as a module. */
const startedModules = { node: ['libfuse/serve'] };

const packages = join(import.meta.dirname, 'packages');
const plugins = [esbuild({ target: 'es2023', tsconfig: false })];
// No hashes and no folders: a file replaces its last build, and `new URL('./serve.cjs', import.meta.url)` holds.
const chunks = (extension) => `shared-[name].${extension}`;

function onwarn(warning, warn) {
  if (warning.code !== 'EMPTY_BUNDLE') warn(warning);
}

/** `@ovl/node/start` → packages/node/src/start/index.ts */
const fromSource = {
  name: 'from-source',
  resolveId(id) {
    const [, name, entry] = /^@ovl\/([a-z]+)(\/[a-z]+)?$/.exec(id) ?? [];
    return name && join(packages, name, 'src', entry ?? '', 'index.ts');
  },
};

const modules = ['core', 'node', 'browser', 'cli'].map((name) => {
  const root = join(packages, name);
  const { exports, dependencies = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const outputs = Object.values(exports)
    .map((entry) => entry.default)
    .filter(Boolean)
    .concat((startedModules[name] ?? []).map((file) => `./dist/${file}.js`));
  const input = {};
  for (const output of outputs) {
    const entry = output.slice('./dist/'.length, -'.js'.length);
    const source = join(root, 'src', `${entry}.ts`);
    if (existsSync(source)) input[entry] = source;
  }
  return {
    input,
    output: { dir: join(root, 'dist'), format: 'es', sourcemap: true, chunkFileNames: chunks('js') },
    external: (id) =>
      id.startsWith('node:') || Object.keys(dependencies).some((dep) => id === dep || id.startsWith(`${dep}/`)),
    plugins,
    onwarn,
  };
});

const programs = Object.entries(started).map(([name, files]) => {
  const root = join(packages, name);
  return {
    input: Object.fromEntries(files.map((file) => [file, join(root, 'src', `${file}.ts`)])),
    output: {
      dir: join(root, 'dist'),
      format: 'cjs',
      entryFileNames: '[name].cjs',
      chunkFileNames: chunks('cjs'),
      sourcemap: true,
      // What the command may need besides stays a module.
      paths: { [join(root, 'src/index.js')]: './index.js' },
    },
    external: (id, importer) =>
      id.startsWith('node:') ||
      id === 'koffi' ||
      (name === 'cli' && (id === '@ovl/node' || (id === './index.js' && importer?.endsWith('quick.ts')))),
    treeshake: { moduleSideEffects: (id) => files.some((file) => id.endsWith(`/src/${file}.ts`)) },
    plugins: [fromSource, ...plugins],
    onwarn,
  };
});

export default [...modules, ...programs];
