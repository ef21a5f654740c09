// vitest as the runner of the published suites.
import type { TestRunner } from '@ovl/core/testing';
import { describe, it } from 'vitest';

export const runner: TestRunner = {
  describe,
  it,
  skip: (name, reason) => it(name, (context) => context.skip(reason)),
};
