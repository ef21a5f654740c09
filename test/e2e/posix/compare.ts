// Scripts of system calls (calls.c says what they look like) that get the same answers from mounts of ours as from a plain
// directory and from the kernel's overlayfs; and once more from those of an ordinary user, where they need no other one.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { User } from '../../../packages/node/test/mount-support.js';
import { completeCopies } from '../mount-below.js';
import { requireWorlds, type World, type WorldOptions, Worlds } from './worlds.js';

export interface Case {
  what: string;
  /** Calls that build the lower layer. */
  lower?: string;
  /** Calls on the merged view. Behind "=>" stands root's answer, where it is worth being read. */
  merged: string;
  /** Calls after an unmount and a mount. */
  remounted?: string;
  /**
   * File systems that answer differently or need not be asked, with the reason; their answers are not looked at. "user": all
   * those of an ordinary user.
   */
  differs?: Partial<Record<Exclude<World, 'ovl'> | 'user', string>>;
  /** What else has to hold on root's mounts, while mounted: where the parts are, below the case's own directory. */
  also?: (parts: { merged: string; upper: string }) => void;
}

interface Step {
  call: string;
  answer: string | undefined;
}

function steps(script: string): Step[] {
  const lines = script.split('\n').map((line) => line.trim());
  return lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [call = '', answer] = line.split(' => ');
      return { call, answer };
    });
}

/** One test a case, and a second one after a remount for those that have something to ask then. */
export function compare(subject: string, cases: readonly Case[], options: WorldOptions = {}): void {
  describe(subject, () => compareAs('root', cases, options));
  const ordinary = cases.filter((each) => isForUsers(each));
  if (ordinary.length > 0) describe(`${subject}, an ordinary user`, () => compareAs('nobody', ordinary, options));
}

/** Whether an ordinary user can play it, and there is something to compare the answers with. */
function isForUsers({ lower = '', merged, remounted = '', differs }: Case): boolean {
  if (differs?.user !== undefined || (differs?.plain !== undefined && differs.kernel !== undefined)) return false;
  return !/^\s*process \w+ \d/m.test(`${lower}\n${merged}\n${remounted}`);
}

function compareAs(user: User, cases: readonly Case[], options: WorldOptions): void {
  let worlds: Worlds | undefined;
  const place = (index: number): string => `case-${index}`;

  const opened = (): Worlds => {
    if (worlds !== undefined) return worlds;
    const made = new Worlds({ ...options, user });
    worlds = made;
    cases.forEach(({ lower = '' }, index) => {
      for (const world of made.all) {
        const dir = join(made.root(world, 'lower'), place(index));
        mkdirSync(dir);
        made.own(dir);
        answers(made, steps(lower), dir);
      }
    });
    made.mount();
    return made;
  };

  const check = (index: number, { differs, also }: Case, script: Step[]): void => {
    const own = opened();
    const seen = new Map<World, string[]>();
    for (const world of own.all) {
      if (world !== 'ovl' && differs?.[world] !== undefined) continue;
      seen.set(world, answers(own, script, join(own.root(world, 'merged'), place(index))));
    }
    const ours = seen.get('ovl') as string[];
    if (user === 'root') {
      expect(ours).toEqual(
        script.map(({ call, answer }, i) => `${call} => ${answer ?? withoutCall(ours[i] as string)}`),
      );
    }
    seen.delete('ovl');
    for (const [world, theirs] of seen) expect(ours, `as ${world} answers`).toEqual(theirs);
    if (also === undefined || user !== 'root') return;
    for (const world of own.ours) {
      completeCopies(own.root(world, 'merged'));
      also({ merged: join(own.root(world, 'merged'), place(index)), upper: join(own.upper(world), place(index)) });
    }
  };

  afterAll(() => worlds?.end());

  test.for(cases.map((each, index) => ({ ...each, index })))('$what', (each, ctx) => {
    requireWorlds(ctx, user);
    check(each.index, each, steps(each.merged));
  });

  const later = cases.map((each, index) => ({ ...each, index })).filter(({ remounted }) => remounted !== undefined);
  let remounted = false;
  test.for(later)('$what, after a remount', ({ also: _also, ...each }, ctx) => {
    requireWorlds(ctx, user);
    const own = opened();
    if (!remounted) own.unmount();
    remounted = true;
    own.mount();
    check(each.index, each, steps(each.remounted as string));
  });
}

function answers(worlds: Worlds, script: readonly Step[], cwd: string): string[] {
  const lines = worlds.perform(script.map(({ call }) => `${call}\n`).join(''), cwd);
  return script.map(({ call }, i) => `${call} => ${lines[i]}`);
}

function withoutCall(line: string): string {
  return line.slice(line.indexOf(' => ') + 4);
}
