// Says why each skipped test was skipped, and ends a run with one line of totals. Under
// test/run.mjs the totals go to a file instead, for the other checks are added to them.
import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node';
import { type Tally, totals } from './tally.mjs';

export default class TallyReporter implements Reporter {
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const tally: Tally = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const skips: string[] = [];
    const chosen = this.#vitest?.config.testNamePattern;
    for (const module of modules) {
      // An import or a hook that throws fails no test, yet something failed.
      if (module.errors().length > 0) tally.failed++;
      for (const suite of module.children.allSuites()) if (suite.errors().length > 0) tally.failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') tally.passed++;
        else if (state === 'failed') tally.failed++;
        else if (!chosen || chosen.test(test.fullName.replaceAll(' > ', ' '))) {
          tally.skipped++;
          skips.push(`  ${module.relativeModuleId} > ${test.fullName}: ${whySkipped(test)}`);
        }
      }
    }
    if (skips.length > 0) console.log(`\nSkipped:\n${skips.join('\n')}`);
    if (process.env.OVL_TALLY) writeFileSync(process.env.OVL_TALLY, JSON.stringify(tally));
    else console.log(`\n${totals(tally)}`);
  }
}

function whySkipped(test: TestCase): string {
  const result = test.result();
  if (result.state === 'skipped' && result.note) return result.note;
  if (test.options.mode === 'todo') return 'not written yet';
  return test.options.mode === 'run' ? 'never started' : 'no reason given';
}
