// kill -9 of the daemon, many times: `pnpm crash --help`.
import { parseArgs } from 'node:util';
import { serveSources } from '../support/sources.mjs';

const usage = `Usage: pnpm crash [--runs N] [--seed N] [--only WORLD] [--power]

Kills the daemon of a real mount at random moments of a random workload, mounts the same directories again, and checks
that everything answered is there and nothing is half done; then that the kernel's overlayfs shows the same. Needs root,
/dev/fuse and a build.

Options:
  --runs N      how many kills (default 200)
  --seed N      where the randomness starts (default: another one each time; it is printed)
  --only WORLD  only the layers and operations of this number, again and again: what a failure names
  --power       with the daemon, the file system under the upper ends (an ext4 on a loop device), losing what had not
                reached the disk: what fsync has answered for must be there, and no copy may be partial
  --help        print this

Exit codes: 0 all is well, 1 something was lost or half done, 2 wrong usage`;

const options = {
  runs: { type: 'string' },
  seed: { type: 'string' },
  only: { type: 'string' },
  power: { type: 'boolean' },
  help: { type: 'boolean' },
};

function fail(message) {
  console.error(`crash: ${message}; see --help`);
  process.exit(2);
}

function read() {
  try {
    return parseArgs({ options, args: process.argv.slice(2).filter((arg) => arg !== '--') }).values;
  } catch (error) {
    return fail(error.message.split('\n')[0]);
  }
}

function number(name, text, fallback) {
  if (text === undefined) return fallback;
  return /^\d{1,9}$/.test(text) ? Number(text) : fail(`--${name} takes a number, not '${text}'`);
}

const values = read();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
if (process.getuid?.() !== 0) fail('this takes root');
const kills = number('runs', values.runs, 200);
const seed = number('seed', values.seed, Math.floor(Math.random() * 1e9));
const only = number('only', values.only, undefined);

const server = await serveSources();
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort());
try {
  const { campaign } = await server.ssrLoadModule('/test/crash/campaign.ts');
  console.log(`${kills} kills, seed ${seed}`);
  const started = performance.now();
  const loss = values.power ? 'power' : 'kill';
  await campaign({ kills, seed, loss, only, signal: stop.signal, log: (line) => console.log(line) });
  console.log(`all is well, in ${((performance.now() - started) / 1000).toFixed(0)} s`);
} catch (error) {
  console.error(
    stop.signal.aborted ? 'interrupted' : error.constructor.name === 'CrashFailure' ? error.message : error,
  );
  process.exitCode = 1;
} finally {
  await server.close();
}
