// What lies below, the same for all systems: a tree of small files, dealt out to the lower layers like cards, or one large file.

const perDir = 20;
const fileBytes = 4096;
export const bigBytes = 64 * 2 ** 20;

/** Makes the content of one layer anew each time, directories before what is in them, so that nobody else keeps it in memory.
 * @typedef {() => Iterable<[path: string, content: Uint8Array | 'directory']>} Lower */

/** @param {number} scale Of 10,000 files. */
export function treeOf(scale) {
  const directories = Array.from({ length: Math.max(4, Math.round(500 * scale)) }, (_, i) => `/p${i % 50}/d${i}`);
  const files = directories.flatMap((dir, d) =>
    Array.from({ length: perDir }, (_, f) => ({ path: `${dir}/f${f}.txt`, number: d * perDir + f })),
  );
  return { directories, files };
}

/** Different for each file. */
export function contentOf(/** @type {number} */ number) {
  const bytes = new Uint8Array(fileBytes).fill(number & 255);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

/** The number of the lower layer that holds a file, 0 being the topmost. */
export const layerOf = (/** @type {number} */ number, /** @type {number} */ layers) => number % (layers - 1);

/**
 * The lower layers of a stack with so many in all, topmost first.
 * @param {ReturnType<typeof treeOf>} tree
 * @returns {Lower[]}
 */
export function lowersOf({ files }, layers) {
  return Array.from(
    { length: layers - 1 },
    (_, layer) =>
      function* () {
        const made = new Set();
        for (const { path, number } of files) {
          if (layerOf(number, layers) !== layer) continue;
          for (let cut = path.indexOf('/', 1); cut > 0; cut = path.indexOf('/', cut + 1)) {
            const dir = path.slice(0, cut);
            if (!made.has(dir)) yield [dir, 'directory'];
            made.add(dir);
          }
          yield [path, contentOf(number)];
        }
      },
  );
}

/** Empty layers, and the large file in the lowest. */
export function bigLowers(/** @type {number} */ layers) {
  const empty = function* () {};
  const lowest = function* () {
    yield ['/big', new Uint8Array(bigBytes).fill(7)];
  };
  return [...Array.from({ length: layers - 2 }, () => empty), lowest];
}

/** The same in an order that leaves no directory twice in a row: neither walks nor caches of one directory are favoured. */
export function scattered(/** @type {any[]} */ all) {
  const step = 7919; // a prime, so that each has its turn
  return all.map((_, i) => all[(i * step) % all.length]);
}
