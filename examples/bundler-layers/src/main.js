import { routes } from './routes.js';
import { builtFrom } from './build-info.js';

console.log(`${routes.length} pages, built from ${builtFrom} files`);
for (const { path, page } of routes) console.log(`${path}: ${page()}`);
