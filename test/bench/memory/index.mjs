// `pnpm bench memory`: our synchronous face over memory layers next to other overlays for JavaScript, each in processes of its own.
import { accessSync, constants, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { chosen, fail, orFail } from '../arguments.mjs';
import { openDocument } from '../document.mjs';
import { draw } from '../picture.mjs';
import { markdown, print } from '../table.mjs';
import { bench } from './bench.mjs';
import { columnNames, layerCounts } from './rows.mjs';
import { installPeers, systems } from './systems.mjs';

const usage = `pnpm bench memory [options]: our overlay in memory and other overlays for JavaScript side by side

  --only COLUMNS   of: ${columnNames.join(', ')}
  --systems NAMES  of: ${systems.map(({ name }) => name).join(', ')}
  --layers COUNTS  of: ${layerCounts.join(', ')}
  --runs N         runs of each column (5), after one that checks and does not count
  --scale F        part of 10,000 files, 1 by default
  --json           for programs
  --svg FILE       draws the ratios, too
  --document FILE  writes the table between its marks "<!-- bench memory -->" and "<!-- /bench memory -->", too

Installs the peers beside itself, from npm; without network only ours is measured. SIGINT (Ctrl-C) ends it after the present
process, SIGTERM and SIGHUP in the middle of it, with a table of what there is. Exit code 1: something of ours failed; 2: wrong usage.`;

const values = options();
const names = systems.map(({ name }) => name);
const order = {
  only: chosen(values.only, columnNames) ?? columnNames,
  systems: chosen(values.systems, names) ?? names,
  layers: chosen(values.layers, layerCounts.map(String))?.map(Number) ?? layerCounts,
  runs: Number(values.runs),
  scale: Number(values.scale),
  notes: [],
};
if (!(order.scale > 0)) fail(`--scale needs a number above 0, not '${values.scale}'`);
if (!(Number.isInteger(order.runs) && order.runs > 0)) fail(`--runs needs a number, not '${values.runs}'`);
// What would fail after the measuring had better fail before it.
const document = orFail(() => (values.document ? openDocument(values.document, 'memory') : undefined));
if (values.svg) orFail(() => accessSync(dirname(resolve(values.svg)), constants.W_OK));

if (order.systems.some((name) => name !== 'ovl')) {
  const whyNot = installPeers();
  if (whyNot !== undefined) {
    order.systems = order.systems.filter((name) => name === 'ovl');
    order.notes.push(whyNot);
    console.error(`bench: ${whyNot}`);
  }
}
const summary = await bench(order).catch((error) => {
  console.error(`bench: ${error.message}`);
  process.exit(1);
});
if (values.json) console.log(JSON.stringify(summary, undefined, 2));
else print(summary);
const series = [{ key: 'us/best', of: 'best', class: 'fo', name: 'what ovl takes ÷ what the best peer takes' }];
if (values.svg) writeFileSync(values.svg, draw(summary, { series, units: ['k/s', 'ms', 'MB'] }));
document?.write(markdown(summary));
process.exit(summary.complete ? 0 : 1); // a signal's handler would hold it open

function options() {
  try {
    const { values: given } = parseArgs({
      options: {
        only: { type: 'string' },
        systems: { type: 'string' },
        layers: { type: 'string' },
        runs: { type: 'string', default: '5' },
        scale: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
        svg: { type: 'string' },
        document: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (given.help) {
      console.log(usage);
      process.exit(0);
    }
    return given;
  } catch (error) {
    return fail(error.message);
  }
}
