// What the table shows: each column of a process, for each number of layers, with the bound that it shall keep.
import { atMost } from '../targets.mjs';

export const layerCounts = [2, 10, 100];

/**
 * @typedef {object} Measured
 * @property {string} id What `--only` names.
 * @property {{ label: string, unit: 'k/s' | 'ms' | 'MB' | '' }[]} figures As many as the process gives.
 * @property {true} [alone] Only with two layers: it has nothing to do with their number.
 * @property {number} [ofBest] What ours may take of the best peer; 0.5 where nothing is said.
 */

/** @type {Measured[]} */
const all = [
  { id: 'stat', figures: [{ label: 'stat', unit: 'k/s' }] },
  { id: 'read', figures: [{ label: 'read 4 KiB', unit: 'k/s' }] },
  { id: 'readdir', figures: [{ label: 'readdir', unit: 'k/s' }] },
  { id: 'write', figures: [{ label: 'write a new file', unit: 'k/s' }] },
  { id: 'append', figures: [{ label: 'append with copy-up', unit: 'k/s' }] },
  { id: 'unlink', figures: [{ label: 'unlink', unit: 'k/s' }] },
  {
    id: 'touch',
    figures: [
      { label: 'first byte into 64 MiB', unit: 'ms' },
      { label: 'stored for it', unit: 'MB' },
    ],
  },
  { id: 'memory', figures: [{ label: 'memory beside the content', unit: 'MB' }], ofBest: 1 },
  { id: 'cases', figures: [{ label: 'overlay cases wrong', unit: '' }], alone: true },
];

export const columnNames = all.map(({ id }) => id);

/** In the form of table.mjs, with the cell of a process that each figure comes from. */
export function rowsOf(/** @type {string[]} */ only) {
  const asked = all.filter(({ id }) => only.includes(id));
  return asked.flatMap(({ id, figures, alone, ofBest = 0.5 }) =>
    figures.flatMap(({ label, unit }, i) =>
      (alone ? [2] : layerCounts).map((layers) => {
        const named = (count) => (alone ? label : `${label}, ${count} layers`);
        // Their figures are not to be multiplied: what the first byte stores is next to nothing with any number of layers.
        const ofTwo = { ...atMost(1.3), figure: named(2), as: 'with 2 layers' };
        const target = layers === 2 || unit === 'MB' ? [atMost(ofBest, 'best')] : [ofTwo];
        const row = { id, unit, amount: unit === 'k/s' ? () => 1 : undefined };
        return { row, figure: { label: named(layers), target }, layers, cell: i === 0 ? id : `${id}${i}` };
      }),
    ),
  );
}
