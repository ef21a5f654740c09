// The documentation as pages to read: `pnpm site --help`.
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { serveSources } from '../../test/support/sources.mjs';

const usage = `Usage: pnpm site [--out FOLDER]

Builds the documentation: every page of docs/, the README and its kin, and a reference of what the packages export. What
comes out is read in a browser, from the disk as well as from a server, and needs no network.

Options:
  --out FOLDER  where to (default dist/site); what the folder held before is removed
  --help        print this

Exit codes: 0 built, 1 something is missing or leads nowhere (each in a line; nothing is written), 2 wrong usage`;

function read() {
  try {
    return parseArgs({
      options: { out: { type: 'string' }, help: { type: 'boolean' } },
      args: process.argv.slice(2).filter((argument) => argument !== '--'),
    }).values;
  } catch (error) {
    console.error(`site: ${error.message.split('\n')[0]}; see --help`);
    return process.exit(2);
  }
}

const values = read();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const root = fileURLToPath(new URL('../..', import.meta.url));
const out = values.out === undefined ? join(root, 'dist/site') : resolve(values.out);
const server = await serveSources();
try {
  const { buildSite } = await server.ssrLoadModule('/docs/site/site.ts');
  const count = buildSite({ root, out });
  console.log(`${count} pages: ${pathToFileURL(join(out, 'index.html'))}`);
} catch (error) {
  console.error(error.name === 'SiteError' ? error.message : error);
  process.exitCode = 1;
} finally {
  await server.close();
}
