/** How faces are made: each function of a group, bound to its context and driven as the face waits. */
import type { Operation } from '../run.js';
import type { Context } from './context.js';

/** Functions of node:fs, each written once as an operation. */
export type Group = Readonly<Record<string, (fs: Context, ...args: never[]) => Operation<unknown>>>;

type Bound = (...args: unknown[]) => unknown;

/** An object with each function under its name and `suffix`, as `bind` makes it. */
export function faceOf(
  fs: Context,
  group: Group,
  suffix: string,
  bind: (operation: (...args: unknown[]) => Operation<unknown>, name: string, arity: number) => Bound,
): Record<string, Bound> {
  const face: Record<string, Bound> = {};
  for (const [name, operation] of Object.entries(group)) {
    const of = operation as (fs: Context, ...args: unknown[]) => Operation<unknown>;
    const started = (...args: unknown[]): Operation<unknown> =>
      fs.kind === 'sync' ? of(fs, ...args) : fs.call((call) => of(call, ...args));
    const bound = bind(started, name, operation.length - 1);
    face[name + suffix] = Object.defineProperty(bound, 'name', { value: name + suffix });
  }
  return face;
}
