// A build in three layers: the sources on disk, files generated from them, and the bundle. Each step sees one tree and writes
// into a layer of its own, so that `src` stays as it was committed and nothing generated has to be ignored or cleaned.
import { join } from 'node:path';
import { memoryLayer, overlay } from '@ovl/core';
import { createFs, hostLayer } from '@ovl/node';
import { rollup, type RollupFsModule } from 'rollup';

const sources = hostLayer(join(import.meta.dirname, 'src'));
const generated = memoryLayer();
const bundled = memoryLayer();

// What `src/main.js` imports and nobody wrote: a route for each page, and a number.
const generate = createFs(overlay({ lower: [sources], upper: generated }), { cwd: '/' });
const pages = generate.readdirSync('/pages').toSorted();
generate.writeFileSync(
  '/routes.js',
  `${pages.map((page, i) => `import page${i} from './pages/${page}';`).join('\n')}\n` +
    `export const routes = [${pages.map((page, i) => `{ path: '/${page.replace(/(index)?\.js$/, '')}', page: page${i} }`).join(', ')}];\n`,
);
generate.writeFileSync(
  '/build-info.js',
  `export const builtFrom = ${generate.readdirSync('/', { recursive: true }).filter((name) => String(name).endsWith('.js')).length};\n`,
);

// The bundler reads all of it as one tree, and writes into the layer on top.
const build = createFs(overlay({ lower: [generated, sources], upper: bundled }), { cwd: '/' });
// (rollup's type of `mkdir` is narrower than Node's, whose own functions would need the `as` too.)
const bundle = await rollup({ input: '/main.js', fs: build.promises as RollupFsModule });
await bundle.write({ file: '/bundle.js', format: 'es' });
await bundle.close();

const names = (layer: typeof generated | typeof sources): string =>
  layer
    .readdir(layer.root)
    .map(({ name }) => name)
    .toSorted()
    .join(' ');
console.log(`src:       ${names(sources)}`);
console.log(`generated: ${names(generated)}`);
console.log(`bundled:   ${names(bundled)}\n`);

// And the bundle runs.
await import(`data:text/javascript,${encodeURIComponent(build.readFileSync('/bundle.js', 'utf8'))}`);
