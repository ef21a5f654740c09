// The published suites and nothing else: what a runtime that knows only JavaScript can run. Bundled from what is built.
import { memoryLayer, Overlay, promisesFs, runAsync, runSync, syncFs } from '@ovl/core';
import { kvLayer, mapStore } from '@ovl/core/kv';
import {
  ALL_CAPABILITIES,
  asyncLayer,
  equal,
  type LayerCapabilities,
  layerSuite,
  overlaySuite,
  populate,
  Scheduler,
  type TestRunner,
  type TreeSpec,
  upperSuite,
} from '@ovl/core/testing';

export interface Outcome {
  passed: number;
  skipped: number;
  /** Name and error of each. */
  failed: string[];
}

/** "at-once": over layers that answer at once, of one kind: enough for an engine that takes a minute for the others. */
export type Selection = 'at-once' | 'all';

interface Test {
  name: string;
  body: () => Promise<void>;
}

const capabilities: LayerCapabilities = { ...ALL_CAPABILITIES, holes: 'the memory layer reports one run of data' };

export async function runSuites(selection: Selection): Promise<Outcome> {
  const outcome: Outcome = { passed: 0, skipped: 0, failed: [] };
  for (const { name, body } of collect(selection, () => outcome.skipped++)) {
    try {
      await body();
      outcome.passed++;
    } catch (error) {
      outcome.failed.push(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
  }
  return outcome;
}

function collect(selection: Selection, skipped: () => void): Test[] {
  const tests: Test[] = [];
  const path: string[] = [];
  const runner: TestRunner = {
    describe(name, body) {
      path.push(name);
      body();
      path.pop();
    },
    it: (name, body) => tests.push({ name: [...path, name].join(' › '), body }),
    skip: skipped,
  };
  onMemory(runner, 'memory', (layer) => layer);
  faces(runner);
  if (selection === 'at-once') return tests;
  onStore(runner);
  onMemory(runner, 'memory, answering later', (layer) => asyncLayer(layer, new Scheduler(7)));
  return tests;
}

type Memory = ReturnType<typeof memoryLayer>;

function onMemory(runner: TestRunner, name: string, wrap: (layer: Memory) => Memory): void {
  layerSuite({
    name,
    runner,
    capabilities,
    layer(tree: TreeSpec) {
      const layer = memoryLayer();
      runSync(populate(layer, tree));
      return wrap(layer);
    },
  });
  overlaySuite({ name, runner, capabilities, layer: () => wrap(memoryLayer()) });
  upperSuite({ name, runner, capabilities, upper: () => wrap(memoryLayer()) });
}

function onStore(runner: TestRunner): void {
  const layer = () => kvLayer(mapStore());
  overlaySuite({ name: 'keys and values', runner, capabilities: ALL_CAPABILITIES, layer });
  upperSuite({ name: 'keys and values', runner, capabilities: ALL_CAPABILITIES, upper: layer });
}

function faces(runner: TestRunner): void {
  const layers = () => ({
    lower: [memoryLayer({ from: { 'a.txt': 'grüße, 世界', dir: { b: '1' } } })],
    upper: memoryLayer(),
  });
  runner.describe('faces', () => {
    runner.it('functions that answer at once', async () => {
      const fs = syncFs(runSync(Overlay.open<'sync'>(layers())));
      fs.appendFileSync('/a.txt', ' 🌍');
      fs.renameSync('/dir', '/moved');
      fs.writeFileSync('/moved/c', '2');
      fs.unlinkSync('/moved/b');
      equal(fs.readFileSync('/a.txt', 'utf8'), 'grüße, 世界 🌍');
      equal(fs.readdirSync('/moved'), ['c']);
      equal(fs.existsSync('/dir/b'), false);
    });
    runner.it('promises', async () => {
      const fs = promisesFs(await runAsync(Overlay.open(layers())));
      await Promise.all(Array.from({ length: 20 }, (_, i) => fs.appendFile('/a.txt', `,${i}`)));
      const text = String(await fs.readFile('/a.txt', 'utf8'));
      equal(text.split(',').length, 22);
    });
  });
}
