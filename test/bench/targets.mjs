// Bounds that a figure shall keep, and whether it does. All compare times (or memory): a rate is judged as its inverse.

/**
 * @typedef {object} Bound
 * @property {'atMost' | 'atLeast'} kind `atLeast` says it as people say it of speed.
 * @property {number} value
 * @property {string} [of] A system: its median at the same figure is the unit.
 * @property {string} [figure] Another figure's label: our own median there is the unit. With neither, the row's unit.
 * @property {string} [as] What that other figure is called for short.
 */

/** @type {(value: number, of?: string) => Bound} */
export const atMost = (value, of) => ({ kind: 'atMost', value, of });
/** @type {(value: number, of: string) => Bound} */
export const atLeast = (value, of) => ({ kind: 'atLeast', value, of });

const short = { 'fuse-overlayfs': 'fo', kernel: 'k', ext4: 'ext4' };

/** @param {Bound[]} bounds @param {string} unit */
export function spell(bounds, unit) {
  return bounds
    .map(({ kind, value, of, as }) => {
      const peer = of ? (short[of] ?? of) : (as ?? unit);
      return `${kind === 'atMost' ? '≤' : '≥'} ${value} ${peer}`.trimEnd();
    })
    .join(' or ');
}

/**
 * Whether any of the bounds is kept; undefined where what they refer to was not measured.
 * @param {Bound[]} bounds
 * @param {number | undefined} ours Median, as time or memory.
 * @param {{ of: (system: string) => number | undefined, figure: (label: string) => number | undefined }} medians
 */
export function keeps(bounds, ours, medians) {
  const answers = bounds.map(({ kind, value, of, figure }) => {
    const unit = of ? medians.of(of) : figure ? medians.figure(figure) : 1;
    if (ours === undefined || unit === undefined) return undefined;
    return kind === 'atMost' ? ours <= value * unit : unit >= value * ours;
  });
  if (answers.includes(true)) return true;
  return answers.length === 0 || answers.includes(undefined) ? undefined : false;
}
