/**
 * What layers without a file system below them number and date their objects by: the time, finer than ECMAScript tells it,
 * and device numbers.
 */
import type { Time } from './attributes.js';

let lastNow = 0;
let tick = 0;
let nextDev = 1;

/** Milliseconds are all that ECMAScript offers; the rest counts calls, so that times never stand still or go back. */
export function now(): Time {
  const ms = Math.max(Date.now(), lastNow);
  tick = ms === lastNow ? Math.min(tick + 1, 999_999) : 0;
  lastNow = ms;
  return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1_000_000 + tick };
}

/** A device number that no other layer of this process got here. */
export function newDev(): number {
  return nextDev++;
}
