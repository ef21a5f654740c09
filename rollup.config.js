// Bundles the JavaScript of every package; `tsc -b` writes the declarations beside it.
// An entry `./x` in a package's exports is built from src/x/index.ts; entries that are
// started (a daemon, a worker) and never imported are listed here.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import esbuild from 'rollup-plugin-esbuild';

const started = { node: ['daemon', 'serve', 'libfuse/serve'] };

export default ['core', 'node', 'browser', 'cli'].map((name) => {
  const root = join(import.meta.dirname, 'packages', name);
  const { exports, dependencies = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const outputs = Object.values(exports)
    .map((entry) => entry.default)
    .filter(Boolean)
    .concat((started[name] ?? []).map((file) => `./dist/${file}.js`));
  const input = {};
  for (const output of outputs) {
    const entry = output.slice('./dist/'.length, -'.js'.length);
    const source = join(root, 'src', `${entry}.ts`);
    if (existsSync(source)) input[entry] = source;
  }
  return {
    input,
    output: {
      dir: join(root, 'dist'),
      format: 'es',
      sourcemap: true,
      // No hashes and no folders: a file replaces its last build, and `new URL('./serve.js', import.meta.url)` holds.
      chunkFileNames: 'shared-[name].js',
    },
    external: (id) =>
      id.startsWith('node:') || Object.keys(dependencies).some((dep) => id === dep || id.startsWith(`${dep}/`)),
    plugins: [esbuild({ target: 'es2023', tsconfig: false })],
    onwarn(warning, warn) {
      if (warning.code !== 'EMPTY_BUNDLE') warn(warning);
    },
  };
});
