// How many passed, failed and were skipped, and the one line that says so.

/** @typedef {{ passed: number, failed: number, skipped: number }} Tally */

/**
 * @param {Tally} tally
 * @returns {string}
 */
export function totals({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
