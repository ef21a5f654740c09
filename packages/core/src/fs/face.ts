/** How faces are made: each function of a group, bound to its context and driven as the face waits. */
import type { Operation } from '../run.js';
import type { Context } from './context.js';

/** Functions of node:fs, each written once as an operation. */
export type Group = Readonly<Record<string, (fs: Context, ...args: never[]) => Operation<unknown>>>;

type Bound = (...args: unknown[]) => unknown;

/** A function as the faces call it. */
export type FaceFunction = (fs: Context, ...args: unknown[]) => Operation<unknown>;

/** An object with each function under its name and `suffix`, as `bind` makes it. */
export function faceOf(
  group: Group,
  suffix: string,
  bind: (operation: FaceFunction, name: string) => Bound,
): Record<string, Bound> {
  const face: Record<string, Bound> = {};
  for (const [name, operation] of Object.entries(group)) {
    const bound = bind(operation as FaceFunction, name);
    face[name + suffix] = Object.defineProperty(bound, 'name', { value: name + suffix });
  }
  return face;
}
