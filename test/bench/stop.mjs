// Ending before the end. SIGINT: after the present turn. SIGTERM and SIGHUP, which are followed by SIGKILL where nobody obeys, and
// a second SIGINT: what is being done is killed, and its turn cleans up. Either way with a table of what there is. One more
// signal: at once.
import { constants } from 'node:os';

const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
const work = new AbortController();
let asked = false;

/** Whether no further turn shall begin. */
export const stopped = () => asked;
/** Aborted when the present turn shall not go on. */
export const cut = work.signal;

/** Kills what is being done. */
export const cutShort = () => work.abort();

/** From now on; before anything is made that has to be taken away. */
export function followSignals() {
  for (const signal of signals) process.on(signal, stop);
}

/** Somebody else ends the work: he gets the signals, and is waited for. */
export function passSignals(/** @type {(signal: NodeJS.Signals) => void} */ to) {
  for (const signal of signals) process.off(signal, stop).on(signal, to);
}

function stop(/** @type {NodeJS.Signals} */ signal) {
  if (cut.aborted) process.exit(128 + constants.signals[signal]);
  if (asked || signal !== 'SIGINT') cutShort();
  asked = true;
}
