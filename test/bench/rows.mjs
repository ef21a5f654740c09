// What is measured, row by row, and how much of it: FACTS.md's tree is 20,000 files of 4 KiB in 500 directories.
const page = 4096;
const perDir = 40;

/**
 * @typedef {object} Sizes
 * @property {number} dirs
 * @property {number} files
 * @property {number} bigBytes
 * @property {number} writtenBytes
 * @property {number} randomReads
 * @property {number} created
 * @property {number} changedDirs
 *
 * @typedef {object} Row
 * @property {string} id What `--only` names.
 * @property {[string] | [string, string]} labels One for each pass; the second pass is warm.
 * @property {'s' | 'MB/s' | 'k/s'} unit
 * @property {number} runs
 * @property {'tree' | 'copy' | 'big' | 'empty'} lower What lies below; a `copy` is one's own to destroy where nothing is mounted.
 * @property {(sizes: Sizes) => (string | number)[]} work Arguments of the workload, with the root in the place of `ROOT`.
 * @property {(sizes: Sizes) => { files: number, bytes: number }} expect
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
    created: Math.max(4, Math.round(250 * scale)) * perDir,
    changedDirs: Math.max(1, Math.round(125 * scale)),
  };
}

const pages = (/** @type {number} */ files) => ({ files, bytes: files * page });
const wholeTree = (/** @type {Sizes} */ { files }) => pages(files);

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
    lower: 'copy',
    work: ({ changedDirs }) => ['remove', 'ROOT', changedDirs],
    expect: ({ changedDirs }) => ({ files: changedDirs * perDir, bytes: 0 }),
    left: ({ files, changedDirs }) => pages(files - changedDirs * perDir),
  },
  {
    id: 'chmod',
    labels: ['chmod -R of lower files'],
    unit: 's',
    runs: 3,
    lower: 'copy',
    work: ({ changedDirs }) => ['chmod', 'ROOT', changedDirs],
    expect: ({ changedDirs }) => ({ files: changedDirs * perDir, bytes: 0 }),
    left: ({ files, changedDirs }) => ({ ...pages(files), changed: changedDirs * perDir }),
  },
];
