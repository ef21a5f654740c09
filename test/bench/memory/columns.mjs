// What is measured, in the order in which it is done, on one stack; each column is checked in a first run that does not count.
import { isDeepStrictEqual } from 'node:util';
import { bigBytes, contentOf, layerOf } from './stack.mjs';

/** What one operation has in hand.
 * @typedef {{ path: string, number: number }} File
 *
 * @typedef {object} Opened
 * @property {import('./node-face.mjs').Face} face
 * @property {(index: number, look: (lower: import('./node-face.mjs').Face) => any) => any} below
 * @property {() => void} [close]
 *
 * @typedef {object} Column
 * @property {string} id
 * @property {(files: File[], directories: string[]) => any[]} items What it is done to, one after another.
 * @property {(face: Opened['face'], item: any) => any} act
 * @property {(opened: Opened, item: any, tree: Surroundings, answer: any) => any} check Throws `Error` where the outcome is wrong. Looks at
 *   every item, after all were done; a change to a layer below is a {@link Breach}.
 *
 * @typedef {{ layers: number, inDirectory: (dir: string) => string[] }} Surroundings
 */

/** The right answer, had by changing what belongs to others. */
export class Breach extends Error {}

const addition = new Uint8Array(100).fill(33);
const newContent = contentOf(123_456_789);
const newPath = (/** @type {File} */ { path }) => `${path}.new`;
const even = (/** @type {File[]} */ files) => files.filter(({ number }) => number % 2 === 0);
const odd = (/** @type {File[]} */ files) => files.filter(({ number }) => number % 2 === 1);

/** @type {Column[]} */
export const columns = [
  {
    id: 'stat',
    items: (files) => files,
    act: (face, { path }) => face.stat(path),
    check: (_opened, _file, _tree, { size }) => demand(size === contentOf(0).length, `a size of ${size}`),
  },
  {
    id: 'read',
    items: (files) => files,
    act: (face, { path }) => face.read(path),
    check: (_opened, { number }, _tree, bytes) => demand(equal(bytes, contentOf(number)), 'other content'),
  },
  {
    id: 'readdir',
    items: (_files, directories) => Array.from({ length: 10 }, () => directories).flat(),
    act: (face, dir) => face.readdir(dir),
    check: (_opened, dir, { inDirectory }, names) =>
      demand(isDeepStrictEqual([...names].sort(), inDirectory(dir)), `other names: ${names}`),
  },
  {
    id: 'write',
    items: (files) => files,
    act: (face, file) => face.write(newPath(file), newContent),
    check: async ({ face, below }, file, { layers }) => {
      demand(equal(await face.read(newPath(file)), newContent), 'other content');
      const lower = await below(layerOf(file.number, layers), (each) => isThere(each, newPath(file)));
      if (lower) throw new Breach('it wrote into a lower layer');
    },
  },
  {
    id: 'append',
    items: even,
    act: (face, { path }) => face.append(path, addition),
    check: async ({ face, below }, { path, number }, { layers }) => {
      const before = contentOf(number);
      const after = await face.read(path);
      demand(after.length === before.length + addition.length, `a length of ${after.length}`);
      demand(equal(after.subarray(0, before.length), before), 'other content');
      const lower = await below(layerOf(number, layers), (each) => each.read(path));
      if (!equal(lower, before)) throw new Breach('it wrote into a lower layer');
    },
  },
  {
    id: 'unlink',
    items: odd,
    act: (face, { path }) => face.unlink(path),
    check: async ({ face, below }, { path, number }, { layers }) => {
      demand(!(await isThere(face, path)), 'it is still there');
      const dir = path.slice(0, path.lastIndexOf('/'));
      demand(!(await face.readdir(dir)).includes(path.slice(dir.length + 1)), 'it is still listed');
      if (!(await below(layerOf(number, layers), (each) => isThere(each, path))))
        throw new Breach('it removed from a lower layer');
    },
  },
];

async function isThere(/** @type {Opened['face']} */ face, /** @type {string} */ path) {
  try {
    await face.stat(path);
    return true;
  } catch {
    return false;
  }
}

/** The first byte of a large file. */
export const firstByte = {
  act: (/** @type {Opened['face']} */ face) => face.writeAt('/big', 5, new Uint8Array([65])),
  async check(/** @type {Opened} */ { face, below }, /** @type {number} */ layers) {
    const after = await face.read('/big');
    demand(after.length === bigBytes && after[5] === 65, 'the byte is not there');
    demand(after[4] === 7 && after[6] === 7 && after.at(-1) === 7, 'other content');
    const lower = await below(layers - 2, (each) => each.read('/big'));
    if (lower[5] !== 7) throw new Breach('it wrote into a lower layer');
  },
};

function equal(/** @type {Uint8Array} */ a, /** @type {Uint8Array} */ b) {
  return Buffer.compare(a, b) === 0;
}

function demand(/** @type {boolean} */ kept, /** @type {string} */ otherwise) {
  if (!kept) throw new Error(otherwise);
}
