// The demo: the main job on an example of its own. Makes a small project, mounts a writable view of it with the real
// command, works in the view, and shows what was changed and where the bytes went. Where FUSE is missing it says
// what to install, and shows the same in process.
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { detach, execute } from '../support/mounts.mjs';
import { inProcess } from './in-process.mjs';
import { project } from './project.mjs';
import { heading, note, say, shown } from './say.mjs';

const ovl = fileURLToPath(new URL('../../packages/cli/bin/ovl.js', import.meta.url));
const stepSeconds = 20;
const unavailable = 5;

const work = [
  ['echo "Now with an overlay below it." >> merged/README.md', 'change a file: it is copied up first'],
  ['mkdir merged/dist && tr a-z A-Z < merged/src/greet.txt > merged/dist/greet.txt', 'create files'],
  ['rm merged/debug.log', 'delete a file'],
  ['mv merged/LICENSE.txt merged/COPYING', 'rename a file'],
];

const root = mkdtempSync(join(tmpdir(), 'ovl-demo-'));
const merged = join(root, 'merged');
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => cleanUp().then(() => process.exit(130)));
try {
  await demo();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await cleanUp();
}

async function demo() {
  say('ovl: read-only directories below, one writable directory on top, one merged view.');
  heading('A small project, to be the lower layer');
  for (const [path, content] of Object.entries(project)) {
    mkdirSync(dirname(join(root, 'base', path)), { recursive: true });
    writeFileSync(join(root, 'base', path), content);
    shown(`base/${path}`, bytes(Buffer.byteLength(content)));
  }
  for (const name of ['changes', 'merged']) mkdirSync(join(root, name));
  const before = hashOf(join(root, 'base'));

  heading('A writable view of it');
  const mounted = await command('ovl mount --lower base --upper changes merged');
  if (mounted.code !== 0) {
    say(mounted.stderr.trim());
    if (mounted.code !== unavailable && process.platform === 'linux') throw new Error('the mount failed');
    say('So no mount on this machine yet; what follows runs in this process, over layers in memory.');
    await inProcess();
    return;
  }
  await run('ls -p merged');

  heading('Work in it');
  for (const [line, what] of work) {
    note(what);
    await run(line);
  }
  await run('ls -p merged');

  heading('What was changed');
  await run('ovl diff merged');
  const { stdout } = await ovlCommand(['diff', 'merged', '--json']);
  heading('Where the bytes went');
  const after = hashOf(join(root, 'base'));
  if (after !== before) throw new Error('the lower layer was changed: this is a bug');
  shown('base', `as it was: sha256 ${after.slice(0, 12)}… before and after`);
  const deleted = JSON.parse(stdout).filter(({ kind }) => kind === 'D');
  listUpper(join(root, 'changes'), new Set(deleted.map(({ path }) => path)));

  heading('The end');
  await run('ovl umount merged');
  say('All changes are in `changes`; mounted again, also by Linux’s own overlayfs, they show the same view.');
}

/** Prints what the upper layer holds. */
function listUpper(upper, deleted) {
  const files = readdirSync(upper, { recursive: true, withFileTypes: true });
  for (const path of files.map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort()) {
    const name = relative(upper, path);
    const found = lstatSync(path);
    if (found.isDirectory()) shown(`changes/${name}/`, 'directory');
    else if (deleted.has(`/${name}`)) shown(`changes/${name}`, `whiteout: hides base/${name}, holds no bytes`);
    else shown(`changes/${name}`, bytes(found.size));
  }
}

/** Shows a command as one would type it, runs it, shows what it prints. */
async function run(line) {
  const { code, stdout, stderr } = await command(line);
  if (stdout) say(stdout.trimEnd());
  if (code !== 0) throw new Error(`${line}: ${stderr.trim() || `exit code ${code}`}`);
}

async function command(line) {
  say(`$ ${line}`, 'command');
  const [program, ...args] = line.split(' ');
  return await (program === 'ovl' ? ovlCommand(args) : execute(['sh', '-ec', line], limits()));
}

function ovlCommand(args) {
  return execute([process.execPath, ovl, ...args], limits());
}

/** A mount that hangs must not hang the demo: what waits for it is freed. */
function limits() {
  return { cwd: root, timeout: stepSeconds * 1000, onTimeout: () => void detach(merged) };
}

function hashOf(directory) {
  const hash = createHash('sha256');
  for (const name of readdirSync(directory, { recursive: true }).map(String).sort()) {
    const { mode, mtimeMs } = lstatSync(join(directory, name));
    hash.update(`${name} ${mode} ${mtimeMs}\n`);
    if (lstatSync(join(directory, name)).isFile()) hash.update(readFileSync(join(directory, name)));
  }
  return hash.digest('hex');
}

function bytes(count) {
  return `${count} bytes`;
}

async function cleanUp() {
  if (process.platform === 'linux') await detach(merged);
  rmSync(root, { recursive: true, force: true });
}
