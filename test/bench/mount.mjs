// `pnpm bench [mount]`: our mount next to fuse-overlayfs, the kernel's overlayfs and the plain directory. What a workload saw
// is compared with what is there: a broken mount has no time to show.
import { accessSync, constants, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { chosen, fail, orFail } from './arguments.mjs';
import { benchAs } from './as-user.mjs';
import { bench } from './bench.mjs';
import { directoryDisk, imageDisk } from './disk.mjs';
import { openDocument } from './document.mjs';
import { draw, ofMounts } from './picture.mjs';
import { rows, sizesAt } from './rows.mjs';
import { cutShort, followSignals } from './stop.mjs';
import { systems } from './systems.mjs';
import { markdown, print } from './table.mjs';

const usage = `pnpm bench [mount] [options]: our mount, fuse-overlayfs, the kernel's overlayfs and the plain directory side by side

  --only ROWS      of: ${rows.map(({ id }) => id).join(', ')}
  --systems NAMES  of: ${systems.map(({ name }) => name).join(', ')} ("ovl,ovl-libfuse" compares the transports)
  --runs N         runs of each row (its own number by default, at least 5)
  --scale F        part of the full size, 1 by default
  --as USER        as root: lays out the disk, then does everything as this user
  --dir DIR        where to work (${tmpdir()}): root makes a file system of 10 GB there, in a sparse file
  --no-image       as root: works in the directory itself
  --json           for programs
  --svg FILE       draws the ratios, too
  --document FILE  writes the table between its marks "<!-- bench root -->" and "<!-- /bench root -->" (or "user"), too

Run as root or as an ordinary user. SIGINT (Ctrl-C) ends it after the present turn, SIGTERM and SIGHUP in the middle of it, with a
table of what there is; one more at once. Nothing is left either way. Exit code 1: something failed; 2: wrong usage.`;

const isRoot = process.getuid?.() === 0;
const values = options();
const scale = Number(values.scale);
const order = {
  rows: chosen(
    values.only,
    rows.map(({ id }) => id),
  ),
  systems: chosen(
    values.systems,
    systems.map(({ name }) => name),
  ),
  runs: values.runs === undefined ? undefined : Number(values.runs),
  scale,
};
if (!(scale > 0)) fail(`--scale needs a number above 0, not '${values.scale}'`);
if (order.runs !== undefined && !(Number.isInteger(order.runs) && order.runs > 0))
  fail(`--runs needs a number, not '${values.runs}'`);
if (values.as !== undefined && !isRoot) fail('--as is for root');
// What would fail after the measuring had better fail before it.
const who = isRoot && values.as === undefined ? 'root' : 'user';
const document = orFail(() => (values.document ? openDocument(values.document, who) : undefined));
if (values.svg) orFail(() => accessSync(dirname(resolve(values.svg)), constants.W_OK));

followSignals();
const disk = orFail(openDisk);
process.on('exit', () => {
  cutShort();
  disk.release();
});
try {
  const { dir, note, forgetsDeleted } = disk;
  const whole = { ...order, disk: { dir, note, forgetsDeleted } };
  const summary = await (values.as === undefined ? bench(whole) : benchAs(values.as, whole));
  if (values.json) console.log(JSON.stringify(summary, undefined, 2));
  else print(summary);
  if (values.svg) writeFileSync(values.svg, draw(summary, ofMounts));
  document?.write(markdown(summary));
  process.exitCode = summary.complete ? 0 : 1;
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
process.exit(); // a user's part, or a signal's handler, would hold it open

function options() {
  try {
    const { values: given, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        only: { type: 'string' },
        systems: { type: 'string' },
        runs: { type: 'string' },
        scale: { type: 'string', default: '1' },
        as: { type: 'string' },
        dir: { type: 'string', default: tmpdir() },
        'no-image': { type: 'boolean', default: false },
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
    if (positionals.some((name) => name !== 'mount')) fail(`no such benchmark: ${positionals.join(' ')}`);
    return given;
  } catch (error) {
    return fail(error.message);
  }
}

/** Root's own file system, or why it is a directory after all. */
function openDisk() {
  if (!isRoot || values['no-image']) return directoryDisk(values.dir);
  try {
    return imageDisk(values.dir, imageSize());
  } catch (error) {
    const plain = directoryDisk(values.dir);
    return { ...plain, note: `${plain.note} (no file system of its own: ${error.message})` };
  }
}

/** One run's worth, all systems', beside what lies below; of the files, the million that memory is measured with are most. */
function imageSize() {
  const { many, files } = sizesAt(scale);
  return { bytes: Math.ceil(1e9 + 9e9 * scale), inodes: many + 20 * files + 100_000 };
}
