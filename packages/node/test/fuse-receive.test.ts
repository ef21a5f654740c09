// When the serving thread looks for the next request before it sleeps: as long as that mostly finds one.
import { expect, test } from 'vitest';
import { LookAhead } from '../src/fuse/receive.js';

/** How many requests are received asleep until looking is tried again. */
function asleepUntilNextTry(lookAhead: LookAhead): number {
  let count = 0;
  for (; !lookAhead.worthwhile; count++) lookAhead.slept();
  return count;
}

test('looks at first, and as long as it finds requests', () => {
  const lookAhead = new LookAhead();
  for (let i = 0; i < 100; i++) {
    expect(lookAhead.worthwhile).toBe(true);
    lookAhead.found();
  }
  lookAhead.foundNothing(0.05); // one pause in a run of requests changes nothing
  expect(lookAhead.worthwhile).toBe(true);
});

test('gives up when it finds nothing, and tries again ever more rarely', () => {
  const lookAhead = new LookAhead();
  const pauses: number[] = [];
  for (let i = 0; i < 12; i++) {
    while (lookAhead.worthwhile) lookAhead.foundNothing(0.05);
    pauses.push(asleepUntilNextTry(lookAhead));
  }
  expect(pauses[0]).toBeGreaterThanOrEqual(32);
  pauses.reduce((before, pause) => (expect(pause).toBeGreaterThanOrEqual(before), pause));
  expect(pauses.at(-1)).toBe(pauses.at(-2)); // but does not forget it
});

test('gives up at once where somebody else needs the processor', () => {
  const lookAhead = new LookAhead();
  for (let i = 0; i < 100; i++) lookAhead.found();
  lookAhead.foundNothing(3);
  expect(lookAhead.worthwhile).toBe(false);
});
