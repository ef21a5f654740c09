// One system with one number of layers, in a process of its own: `node --expose-gc process.mjs ORDER`, which prints what it measured as
// JSON. The first run checks every outcome, warms V8 up and does not count.
import { cases } from './cases.mjs';
import { Breach, columns, firstByte } from './columns.mjs';
import { bigLowers, contentOf, lowersOf, scattered, treeOf } from './stack.mjs';
import { systems } from './systems.mjs';

/** A column ends here, and counts what was done by then: some take minutes. */
const longestMs = 500;

const { system: name, layers, runs, scale, only } = JSON.parse(process.argv[2]);
const { module } = systems.find((each) => each.name === name);
const { open } = await import(module);
const tree = treeOf(scale);
const scatteredFiles = scattered(tree.files);
const scatteredDirectories = scattered(tree.directories);
const names = new Map(tree.directories.map((dir) => [dir, []]));
for (const { path } of tree.files)
  names.get(path.slice(0, path.lastIndexOf('/'))).push(path.slice(path.lastIndexOf('/') + 1));
for (const all of names.values()) all.sort();
const surroundings = { layers, inDirectory: (dir) => names.get(dir) };

/** @type {Record<string, { seconds: number[], failure?: string, breach?: string }>} */
const cells = {};
// What memory is measured with: what was looked at is known.
const asked = columns.filter(({ id }) => only.includes(id) || (id === 'stat' && only.includes('memory')));
for (let run = 0; run <= runs; run++) {
  if (asked.length > 0) await wholeTree(run === 0);
  if (only.includes('touch')) await bigFile(run === 0);
  if (only.includes('cases')) await correctness(run === 0);
}
process.stdout.write(JSON.stringify(cells));

/** @param {boolean} isCheck */
async function wholeTree(isCheck) {
  await new Promise((resolve) => setImmediate(resolve)); // nothing holds what was before
  const before = inUse();
  const opened = await open(lowersOf(tree, layers));
  try {
    for (const column of asked) {
      await guarded(column.id, isCheck, async () => {
        const items = column.items(scatteredFiles, scatteredDirectories);
        const { seconds, answers } = await timed(opened.face, column.act, items, isCheck);
        if (!isCheck) return [seconds];
        for (const [i, answer] of answers.entries()) await column.check(opened, items[i], surroundings, answer);
      });
      if (column.id === 'stat') memory(isCheck, before);
    }
  } finally {
    opened.close?.();
  }
}

/** What the stack takes, once everything in it was looked at, beside what the files hold. */
function memory(isCheck, before) {
  if (isCheck || !only.includes('memory')) return;
  const content = tree.files.length * contentOf(0).length;
  cell('memory').seconds.push((inUse() - before - content) / 1e6);
}

async function bigFile(isCheck) {
  const opened = await open(bigLowers(layers));
  try {
    await guarded('touch', isCheck, async () => {
      const before = ofData();
      const start = performance.now();
      const answer = firstByte.act(opened.face);
      if (answer) await answer;
      const seconds = (performance.now() - start) / 1000;
      const stored = ofData() - before;
      if (!isCheck) return [seconds, stored / 1e6];
      await firstByte.check(opened, layers);
    });
  } finally {
    opened.close?.();
  }
}

async function correctness(isCheck) {
  if (isCheck) return;
  const wrong = [];
  for (const { title, lowers, act } of cases) {
    const opened = await open(lowers);
    try {
      await act(opened.face, opened.below);
    } catch (error) {
      wrong.push(`${title}: ${error.message.split('\n')[0]}`);
    } finally {
      opened.close?.();
    }
  }
  cell('cases').seconds.push(wrong.length);
  cell('cases').wrong = wrong;
}

/** A column that failed once is not measured. Its further figures have cells named after it, with their number. */
async function guarded(id, isCheck, act) {
  const mine = cell(id);
  if (mine.failure !== undefined) return;
  try {
    const figures = await act();
    for (const [i, value] of figures?.entries() ?? []) cell(i === 0 ? id : `${id}${i}`).seconds.push(value);
  } catch (error) {
    if (isCheck && error instanceof Breach) mine.breach = error.message;
    else mine.failure = error.message.split('\n')[0];
  }
}

function cell(id) {
  return (cells[id] ??= { seconds: [] });
}

/** Seconds an operation; the answers, where they are wanted. */
async function timed(face, act, items, wanted) {
  const answers = [];
  globalThis.gc();
  const start = performance.now();
  let done = 0;
  for (; done < items.length; done++) {
    if ((done & 15) === 0 && performance.now() - start > longestMs) break;
    const answer = act(face, items[done]);
    const value = typeof answer?.then === 'function' ? await answer : answer;
    if (wanted) answers.push(value);
  }
  return { seconds: (performance.now() - start) / 1000 / done, answers };
}

/** Bytes that are reachable. What was let go of in the first collection may free more in the next. */
function inUse() {
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Of that, what all the systems keep data in: outside the heap, whose size changes by itself by more than a chunk. */
function ofData() {
  inUse();
  return process.memoryUsage().external;
}
