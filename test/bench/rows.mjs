// What is measured, row by row, and how much of it: FACTS.md's tree is 20,000 files of 4 KiB in 500 directories.
import { layersInStack } from './fixtures.mjs';

const page = 4096;
const perDir = 40;

/**
 * @typedef {object} Sizes
 * @property {number} dirs
 * @property {number} files
 * @property {number} bigBytes
 * @property {number} writtenBytes
 * @property {number} randomReads
 * @property {number} durableWrites
 * @property {number} created
 * @property {number} changedDirs
 * @property {number} stacked
 * @property {number} sources
 * @property {number} inserts
 *
 * @typedef {{ where: string, fixture: (name: string) => string }} Surroundings
 *
 * @typedef {object} Row
 * @property {string} id What `--only` names.
 * @property {string[]} labels One for each pass; the second pass is warm.
 * @property {'s' | 'MB/s' | 'k/s' | 'MB'} unit
 * @property {number} runs
 * @property {string} lower What lies below, of fixtures.mjs.
 * @property {true} [changes] It changes what it sees: where nothing is mounted it gets a copy of its own.
 * @property {(sizes: Sizes) => (string | number)[]} [work] Arguments of the workload, with the root in the place of `ROOT`.
 * @property {(around: Surroundings) => string[]} [command] Any other command; every pass runs it once more.
 * @property {'mount' | 'memory'} [of] What the mount itself takes (footprint.mjs).
 * @property {true} [remount] Each pass has a mount of its own, on the same layers.
 * @property {(sizes: Sizes) => { files: number, bytes: number }} [expect]
 * @property {(sizes: Sizes) => { files: number, bytes: number, changed?: number }} [left] What the tree must hold afterwards.
 * @property {(sizes: Sizes) => number} [amount] Bytes or operations, where the unit is a rate.
 */

/** @param {number} scale */
export function sizesAt(scale) {
  const mebibytes = (/** @type {number} */ count) => Math.max(1, Math.round(count * scale)) * 2 ** 20;
  const dirs = Math.max(4, Math.round(500 * scale));
  return {
    dirs,
    files: dirs * perDir,
    bigBytes: mebibytes(1024),
    writtenBytes: mebibytes(512),
    randomReads: Math.max(100, Math.round(200_000 * scale)),
    durableWrites: Math.max(20, Math.round(2000 * scale)),
    created: Math.max(4, Math.round(250 * scale)) * perDir,
    changedDirs: Math.max(1, Math.round(125 * scale)),
    stacked: Math.max(200, Math.round(10_000 * scale)),
    sources: Math.max(4, Math.round(120 * scale)),
    inserts: Math.max(20, Math.round(10_000 * scale)),
  };
}

const pages = (/** @type {number} */ files) => ({ files, bytes: files * page });
const wholeTree = (/** @type {Sizes} */ { files }) => pages(files);

function stackedFiles(/** @type {Sizes} */ { stacked }) {
  const files = Math.ceil(stacked / layersInStack / 2) * 2 * layersInStack;
  return { files, bytes: files };
}

/** @type {Row[]} */
export const rows = [
  {
    id: 'stat',
    labels: ['stat all, cold', 'stat all, warm'],
    unit: 's',
    runs: 5,
    lower: 'tree',
    work: ({ files }) => ['stat', 'ROOT', files, perDir],
    expect: wholeTree,
  },
  {
    id: 'walk',
    labels: ['walk, cold', 'walk, warm'],
    unit: 's',
    runs: 5,
    lower: 'tree',
    work: () => ['walk', 'ROOT'],
    expect: wholeTree,
  },
  {
    id: 'open',
    labels: ['open+read+close, cold', 'open+read+close, warm'],
    unit: 's',
    runs: 5,
    lower: 'tree',
    work: ({ files }) => ['open', 'ROOT', files, perDir],
    expect: wholeTree,
  },
  {
    id: 'read',
    labels: ['sequential read, cold'],
    unit: 'MB/s',
    runs: 3,
    lower: 'big',
    work: () => ['read', 'ROOT/big'],
    expect: ({ bigBytes }) => ({ files: 1, bytes: bigBytes }),
    amount: ({ bigBytes }) => bigBytes,
  },
  {
    id: 'random',
    labels: ['random 4 KiB reads, cold'],
    unit: 'k/s',
    runs: 3,
    lower: 'big',
    work: ({ bigBytes, randomReads }) => ['random', 'ROOT/big', bigBytes, randomReads],
    expect: ({ randomReads }) => ({ files: 1, bytes: randomReads * page }),
    amount: ({ randomReads }) => randomReads,
  },
  {
    id: 'write',
    changes: true,
    labels: ['sequential write'],
    unit: 'MB/s',
    runs: 3,
    lower: 'empty',
    work: ({ writtenBytes }) => ['write', 'ROOT/new', writtenBytes],
    expect: ({ writtenBytes }) => ({ files: 1, bytes: writtenBytes }),
    left: ({ writtenBytes }) => ({ files: 1, bytes: writtenBytes }),
    amount: ({ writtenBytes }) => writtenBytes,
  },
  {
    id: 'create',
    changes: true,
    labels: ['create 4 KiB files'],
    unit: 's',
    runs: 3,
    lower: 'empty',
    work: ({ created }) => ['create', 'ROOT', created, perDir],
    expect: ({ created }) => pages(created),
    left: ({ created }) => pages(created),
  },
  {
    id: 'remove',
    labels: ['rm -rf of lower files'],
    unit: 's',
    runs: 3,
    lower: 'tree',
    changes: true,
    work: ({ changedDirs }) => ['remove', 'ROOT', changedDirs],
    expect: ({ changedDirs }) => ({ files: changedDirs * perDir, bytes: 0 }),
    left: ({ files, changedDirs }) => pages(files - changedDirs * perDir),
  },
  {
    id: 'chmod',
    labels: ['chmod -R of lower files'],
    unit: 's',
    runs: 3,
    lower: 'tree',
    changes: true,
    work: ({ changedDirs }) => ['chmod', 'ROOT', changedDirs],
    expect: ({ changedDirs }) => ({ files: changedDirs * perDir, bytes: 0 }),
    left: ({ files, changedDirs }) => ({ ...pages(files), changed: changedDirs * perDir }),
  },
  {
    id: 'durable',
    labels: ['4 KiB writes, each with fdatasync'],
    unit: 'k/s',
    runs: 5,
    lower: 'empty',
    changes: true,
    work: ({ durableWrites }) => ['durable', 'ROOT/data', 64 * 2 ** 20, durableWrites],
    expect: ({ durableWrites }) => ({ files: 1, bytes: durableWrites * page }),
    amount: ({ durableWrites }) => durableWrites,
  },
  {
    id: 'touch',
    labels: ['first byte into 1 GiB below', 'longest wait of others'],
    unit: 's',
    runs: 5,
    lower: 'big',
    changes: true,
    work: ({ bigBytes }) => ['touch', 'ROOT', bigBytes],
    expect: () => ({ files: 1, bytes: 1 }),
  },
  {
    id: 'tar',
    labels: ['tar x of the tree'],
    unit: 's',
    runs: 5,
    lower: 'empty',
    changes: true,
    command: ({ where, fixture }) => ['tar', 'xf', `${fixture('archive')}/tree.tar`, '-C', where],
    left: wholeTree,
  },
  {
    id: 'status',
    labels: ['git status, cold', 'git status, warm'],
    unit: 's',
    runs: 5,
    lower: 'repository',
    changes: true,
    command: ({ where }) => ['git', '-c', 'safe.directory=*', '-C', where, 'status', '--short'],
  },
  {
    id: 'clone',
    labels: ['git clone --local'],
    unit: 's',
    runs: 5,
    lower: 'repository',
    changes: true,
    command: ({ where }) => ['git', '-c', 'safe.directory=*', 'clone', '-q', '--local', where, `${where}/clone`],
  },
  {
    id: 'npm',
    labels: ['npm ci'],
    unit: 's',
    runs: 5,
    lower: 'project',
    changes: true,
    command: ({ where, fixture }) =>
      `npm ci --offline --no-audit --no-fund --ignore-scripts --loglevel error --cache ${fixture('project')}-cache --prefix ${where}`.split(
        ' ',
      ),
  },
  {
    id: 'make',
    labels: ['make of a C project'],
    unit: 's',
    runs: 5,
    lower: 'sources',
    changes: true,
    command: ({ where }) => ['make', '-s', '-C', where, 'program'],
  },
  {
    id: 'sqlite',
    labels: ['sqlite3 inserts, a transaction each'],
    unit: 'k/s',
    runs: 5,
    lower: 'empty',
    changes: true,
    command: ({ where, fixture }) => [
      'sqlite3',
      '-bail',
      `${where}/data.db`,
      `.read ${fixture('statements')}/inserts.sql`,
    ],
    amount: ({ inserts }) => inserts,
  },
  {
    id: 'single',
    labels: ['walk, 1 layer, first mount', 'walk, 1 layer, later mount'],
    unit: 's',
    runs: 5,
    lower: 'single',
    remount: true,
    work: () => ['walk', 'ROOT'],
    expect: stackedFiles,
  },
  {
    id: 'stack',
    labels: [`walk, ${layersInStack} layers, first mount`, `walk, ${layersInStack} layers, later mount`],
    unit: 's',
    runs: 5,
    lower: 'stack',
    remount: true,
    work: () => ['walk', 'ROOT'],
    expect: stackedFiles,
  },
  {
    id: 'mount',
    labels: ['mount is ready', 'a second one is ready'],
    unit: 's',
    runs: 9,
    lower: 'tree',
    of: 'mount',
  },
  {
    id: 'memory',
    labels: ['memory, idle', 'of one mount more', 'after a walk', 'the same under memory pressure'],
    unit: 'MB',
    runs: 3,
    lower: 'tree',
    of: 'memory',
  },
];
