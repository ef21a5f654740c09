// What is measured, row by row: how much of it, how often, and the bound that each figure shall keep.
import { layersInStack } from './fixtures.mjs';
import { atLeast, atMost } from './targets.mjs';

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
 * @property {number} many
 * @property {number} packages
 * @property {number} sources
 * @property {number} inserts
 *
 * @typedef {{ where: string, fixture: (name: string) => string }} Surroundings
 *
 * @typedef {object} Figure
 * @property {string} label
 * @property {import('./targets.mjs').Bound[]} [target] Any one of them is enough.
 * @property {import('./targets.mjs').Bound[]} [userTarget] Instead, for an ordinary user; empty if there is none for him.
 *
 * @typedef {object} Row
 * @property {string} id What `--only` names.
 * @property {Figure[]} figures One for each pass; the second pass is warm.
 * @property {'s' | 'MB/s' | 'k/s' | 'MB'} unit
 * @property {number} runs
 * @property {string} lower What lies below, of fixtures.mjs.
 * @property {true} [changes] It changes what it sees: where nothing is mounted it gets a copy of its own.
 * @property {true} [bulky] What it leaves is a few large files, not worth keeping.
 * @property {Record<string, string>} [options] More mount options of a system, each after a comma.
 * @property {string} [mode] The row that it differs from by these options alone: the systems without any are measured there.
 * @property {(sizes: Sizes) => (string | number)[]} [work] Arguments of the workload, with the root in the place of `ROOT`.
 * @property {string[]} [besides] More fixtures, which `command` names.
 * @property {(around: Surroundings) => string[]} [command] Any other command; every pass runs it once more.
 * @property {'mount' | 'memory'} [of] What the mount itself takes (footprint.mjs).
 * @property {'root'} [who] Only he can.
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
    many: Math.max(1, Math.round(1000 * scale)) * 1000,
    packages: Math.max(4, Math.round(200 * scale)),
    sources: Math.max(4, Math.round(200 * scale)),
    inserts: Math.max(20, Math.round(10_000 * scale)),
  };
}

const pages = (/** @type {number} */ files) => ({ files, bytes: files * page });
const wholeTree = (/** @type {Sizes} */ { files }) => pages(files);

function stackedFiles(/** @type {Sizes} */ { stacked }) {
  const files = Math.ceil(stacked / layersInStack / 2) * 2 * layersInStack;
  return { files, bytes: files };
}

const kernel = 'kernel';
const fo = 'fuse-overlayfs';
const plain = 'ext4';

/** @type {Row[]} */
export const rows = [
  {
    id: 'stat',
    figures: [{ label: 'stat all, cold', target: [atMost(0.5, fo)] }, { label: 'stat all, warm' }],
    unit: 's',
    runs: 5,
    lower: 'tree',
    work: ({ files }) => ['stat', 'ROOT', files, perDir],
    expect: wholeTree,
  },
  {
    id: 'walk',
    figures: [
      { label: 'walk, cold', target: [atMost(0.4, fo)] },
      { label: 'walk, warm', target: [atMost(1.1, kernel)] },
    ],
    unit: 's',
    runs: 5,
    lower: 'tree',
    work: () => ['walk', 'ROOT'],
    expect: wholeTree,
  },
  {
    id: 'open',
    figures: [
      { label: 'open+read+close, cold', target: [atMost(0.6, fo)] },
      { label: 'open+read+close, warm', target: [atMost(0.7, fo)] },
    ],
    unit: 's',
    runs: 5,
    lower: 'tree',
    work: ({ files }) => ['open', 'ROOT', files, perDir],
    expect: wholeTree,
  },
  {
    id: 'no-open',
    mode: 'open',
    figures: [
      { label: 'open+read+close with no_open, cold' },
      { label: 'open+read+close with no_open, warm', target: [atMost(1, kernel)] },
    ],
    unit: 's',
    runs: 5,
    lower: 'tree',
    options: { ovl: ',no_open' },
    work: ({ files }) => ['open', 'ROOT', files, perDir],
    expect: wholeTree,
  },
  {
    id: 'read',
    figures: [{ label: 'sequential read, cold', target: [], userTarget: [atLeast(1.2, fo)] }],
    unit: 'MB/s',
    runs: 5,
    lower: 'big',
    work: () => ['read', 'ROOT/big'],
    expect: ({ bigBytes }) => ({ files: 1, bytes: bigBytes }),
    amount: ({ bigBytes }) => bigBytes,
  },
  {
    id: 'random',
    figures: [{ label: 'random 4 KiB reads, cold', target: [], userTarget: [atLeast(1.5, fo)] }],
    unit: 'k/s',
    runs: 5,
    lower: 'big',
    work: ({ bigBytes, randomReads }) => ['random', 'ROOT/big', bigBytes, randomReads],
    expect: ({ randomReads }) => ({ files: 1, bytes: randomReads * page }),
    amount: ({ randomReads }) => randomReads,
  },
  {
    id: 'read-all',
    mode: 'read',
    figures: [{ label: 'sequential read, cold, passthrough=all', target: [atLeast(0.9, plain)] }],
    unit: 'MB/s',
    runs: 5,
    lower: 'big',
    who: 'root',
    options: { ovl: ',passthrough=all' },
    work: () => ['read', 'ROOT/big'],
    expect: ({ bigBytes }) => ({ files: 1, bytes: bigBytes }),
    amount: ({ bigBytes }) => bigBytes,
  },
  {
    id: 'random-all',
    mode: 'random',
    figures: [{ label: 'random 4 KiB reads, cold, passthrough=all', target: [atLeast(0.9, kernel)] }],
    unit: 'k/s',
    runs: 5,
    lower: 'big',
    who: 'root',
    options: { ovl: ',passthrough=all' },
    work: ({ bigBytes, randomReads }) => ['random', 'ROOT/big', bigBytes, randomReads],
    expect: ({ randomReads }) => ({ files: 1, bytes: randomReads * page }),
    amount: ({ randomReads }) => randomReads,
  },
  {
    id: 'write',
    figures: [{ label: 'sequential write', target: [atLeast(0.9, kernel)], userTarget: [] }],
    unit: 'MB/s',
    runs: 5,
    lower: 'empty',
    changes: true,
    bulky: true,
    work: ({ writtenBytes }) => ['write', 'ROOT/new', writtenBytes],
    expect: ({ writtenBytes }) => ({ files: 1, bytes: writtenBytes }),
    left: ({ writtenBytes }) => ({ files: 1, bytes: writtenBytes }),
    amount: ({ writtenBytes }) => writtenBytes,
  },
  {
    id: 'durable',
    figures: [{ label: '4 KiB writes, each with fdatasync', target: [atLeast(0.9, kernel)], userTarget: [] }],
    unit: 'k/s',
    runs: 5,
    lower: 'empty',
    changes: true,
    work: ({ durableWrites }) => ['durable', 'ROOT/data', 64 * 2 ** 20, durableWrites],
    expect: ({ durableWrites }) => ({ files: 1, bytes: durableWrites * page }),
    amount: ({ durableWrites }) => durableWrites,
  },
  {
    id: 'create',
    figures: [{ label: 'create 4 KiB files', target: [atMost(0.6, fo), atMost(1.2, kernel)] }],
    unit: 's',
    runs: 5,
    lower: 'empty',
    changes: true,
    work: ({ created }) => ['create', 'ROOT', created, perDir],
    expect: ({ created }) => pages(created),
    left: ({ created }) => pages(created),
  },
  {
    id: 'tar',
    figures: [{ label: 'tar x of the tree', target: [atMost(0.3, fo)] }],
    unit: 's',
    runs: 5,
    lower: 'empty',
    changes: true,
    besides: ['archive'],
    command: ({ where, fixture }) => ['tar', 'xf', `${fixture('archive')}/tree.tar`, '-C', where],
    left: wholeTree,
  },
  {
    id: 'remove',
    figures: [{ label: 'rm -rf of lower files', target: [atMost(0.3, fo)] }],
    unit: 's',
    runs: 5,
    lower: 'tree',
    changes: true,
    work: ({ dirs }) => ['remove', 'ROOT', dirs],
    expect: ({ files }) => ({ files, bytes: 0 }),
    left: () => pages(0),
  },
  {
    id: 'chmod',
    figures: [{ label: 'chmod -R of lower files', target: [atMost(0.6, fo)] }],
    unit: 's',
    runs: 5,
    lower: 'tree',
    changes: true,
    work: ({ changedDirs }) => ['chmod', 'ROOT', changedDirs],
    expect: ({ changedDirs }) => ({ files: changedDirs * perDir, bytes: 0 }),
    left: ({ files, changedDirs }) => ({ ...pages(files), changed: changedDirs * perDir }),
  },
  {
    id: 'chmod-later',
    mode: 'chmod',
    figures: [{ label: 'chmod -R with lazy_copy_up=all' }],
    unit: 's',
    runs: 5,
    lower: 'tree',
    changes: true,
    options: { ovl: ',lazy_copy_up=all' },
    work: ({ changedDirs }) => ['chmod', 'ROOT', changedDirs],
    expect: ({ changedDirs }) => ({ files: changedDirs * perDir, bytes: 0 }),
    left: ({ files, changedDirs }) => ({ ...pages(files), changed: changedDirs * perDir }),
  },
  {
    id: 'touch',
    figures: [
      { label: 'first byte into 1 GiB below', target: [atMost(0.05, kernel)] },
      { label: 'longest wait of others meanwhile', target: [atMost(0.05)] },
    ],
    unit: 's',
    runs: 5,
    lower: 'big',
    changes: true,
    bulky: true,
    work: ({ bigBytes }) => ['touch', 'ROOT', bigBytes],
    expect: () => ({ files: 1, bytes: 1 }),
  },
  {
    id: 'status',
    figures: [{ label: 'git status, cold' }, { label: 'git status, warm', target: [atMost(1.2, kernel)] }],
    unit: 's',
    runs: 9,
    lower: 'repository',
    changes: true,
    command: ({ where }) => ['git', '-c', 'safe.directory=*', '-C', where, 'status', '--short'],
  },
  {
    id: 'clone',
    figures: [{ label: 'git clone --local', target: [atMost(0.7, fo)] }],
    unit: 's',
    runs: 5,
    lower: 'repository',
    changes: true,
    command: ({ where }) => ['git', '-c', 'safe.directory=*', 'clone', '-q', '--local', where, `${where}/clone`],
  },
  {
    id: 'npm',
    figures: [{ label: 'npm ci', target: [atMost(0.7, fo)] }],
    unit: 's',
    runs: 5,
    lower: 'project',
    changes: true,
    besides: ['cache'],
    command: ({ where, fixture }) =>
      `npm ci --offline --no-audit --no-fund --ignore-scripts --loglevel error --cache ${fixture('cache')} --prefix ${where}`.split(
        ' ',
      ),
  },
  {
    id: 'make',
    figures: [{ label: 'make of a C project', target: [atMost(0.7, fo)] }],
    unit: 's',
    runs: 5,
    lower: 'sources',
    changes: true,
    command: ({ where }) => ['make', '-s', '-C', where, 'program'],
  },
  {
    id: 'sqlite',
    figures: [{ label: 'sqlite3 inserts, a transaction each', target: [atLeast(0.9, kernel)] }],
    unit: 'k/s',
    runs: 5,
    lower: 'empty',
    changes: true,
    besides: ['statements'],
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
    figures: [{ label: 'walk, 1 layer, first mount' }, { label: 'walk, 1 layer, later mount' }],
    unit: 's',
    runs: 5,
    lower: 'single',
    remount: true,
    work: () => ['walk', 'ROOT'],
    expect: stackedFiles,
  },
  {
    id: 'stack',
    figures: [
      { label: `walk, ${layersInStack} layers, first mount`, target: [atMost(0.3, fo)] },
      {
        label: `walk, ${layersInStack} layers, later mount`,
        target: [{ ...atMost(1.5), figure: 'walk, 1 layer, later mount', as: '1 layer' }],
      },
    ],
    unit: 's',
    runs: 5,
    lower: 'stack',
    remount: true,
    work: () => ['walk', 'ROOT'],
    expect: stackedFiles,
  },
  {
    id: 'mount',
    figures: [
      { label: 'mount is ready', target: [atMost(0.15)] },
      { label: 'a second one is ready', target: [atMost(0.06)] },
    ],
    unit: 's',
    runs: 9,
    lower: 'tree',
    of: 'mount',
  },
  {
    id: 'memory',
    figures: [
      { label: 'memory, idle', target: [atMost(60)] },
      { label: 'memory, one mount more', target: [atMost(3)] },
      { label: 'memory, 1,000,000 files walked' },
      { label: 'memory, then under pressure', target: [atMost(150)] },
    ],
    unit: 'MB',
    runs: 5,
    lower: 'many',
    of: 'memory',
  },
];
