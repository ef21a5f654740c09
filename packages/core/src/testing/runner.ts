/** What the suites need of a test runner, and assertions that need none. */
import type { ErrorCode } from '../errors.js';

/** Given by the caller: vitest, node:test, or a loop over callbacks. */
export interface TestRunner {
  describe(name: string, body: () => void): void;
  it(name: string, body: () => Promise<void>): void;
  /** Reports a test that does not apply, and why. */
  skip(name: string, reason: string): void;
}

/** Whether something is supported: yes, or why not. */
export type Support = true | string;

/** Defines a test, or a skip with its reason where a capability that it needs is not there. */
export function itIf(runner: TestRunner, support: Support, name: string, body: () => Promise<void>): void {
  if (support === true) runner.it(name, body);
  else runner.skip(name, support);
}

/** Throws unless both print alike; the order of an object's members does not count. */
export function equal(actual: unknown, expected: unknown, what = 'value'): void {
  const [got, wanted] = [print(actual), print(expected)];
  if (got !== wanted) throw new Error(`${what}\n  is       ${got}\n  should be ${wanted}`);
}

/** Throws unless `condition` holds. */
export function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** Throws unless `action` fails with one of the codes. */
export async function fails(
  codes: ErrorCode | readonly ErrorCode[],
  action: () => unknown,
  what = 'call',
): Promise<void> {
  const wanted: readonly string[] = typeof codes === 'string' ? [codes] : codes;
  let code: unknown;
  try {
    await action();
  } catch (error) {
    code = (error as { code?: unknown }).code;
    if (code === undefined) throw error;
  }
  if (!wanted.includes(code as string)) {
    throw new Error(
      `${what} should fail with ${wanted.join(' or ')} and ${code === undefined ? 'does not' : `fails with ${String(code)}`}`,
    );
  }
}

function print(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (member instanceof Uint8Array) return [...member];
    if (member instanceof Map) return [...member];
    if (typeof member !== 'object' || member === null || Array.isArray(member)) return member;
    return Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
