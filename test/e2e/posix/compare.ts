// Scripts of system calls (calls.c says what they look like) that get the same answers from mounts of ours as from a plain
// directory and from the kernel's overlayfs.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { completeCopies } from '../mount-below.js';
import { OURS, requireWorlds, WORLDS, type World, type WorldOptions, Worlds } from './worlds.js';

export interface Case {
  what: string;
  /** Calls that build the lower layer. */
  lower?: string;
  /** Calls on the merged view. Behind "=>" stands the answer, where it is worth being read. */
  merged: string;
  /** Calls after an unmount and a mount. */
  remounted?: string;
  /** File systems that answer differently or need not be asked, with the reason; their answers are not looked at. */
  differs?: Partial<Record<Exclude<World, 'ovl'>, string>>;
  /** What else has to hold, while mounted: where the parts are, below the case's own directory. */
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
  describe(subject, () => {
    let worlds: Worlds | undefined;
    const place = (index: number): string => `case-${index}`;

    const opened = (): Worlds => {
      if (worlds !== undefined) return worlds;
      worlds = new Worlds(options);
      cases.forEach(({ lower = '' }, index) => {
        for (const world of WORLDS) {
          const dir = join((worlds as Worlds).root(world, 'lower'), place(index));
          mkdirSync(dir);
          answers(worlds as Worlds, steps(lower), dir);
        }
      });
      worlds.mount();
      return worlds;
    };

    const check = (index: number, { differs, also }: Case, script: Step[]): void => {
      const own = opened();
      const seen = new Map<World, string[]>();
      for (const world of WORLDS) {
        if (world !== 'ovl' && differs?.[world] !== undefined) continue;
        seen.set(world, answers(own, script, join(own.root(world, 'merged'), place(index))));
      }
      const ours = seen.get('ovl') as string[];
      const expected = script.map(({ call, answer }, i) => `${call} => ${answer ?? withoutCall(ours[i] as string)}`);
      expect(ours).toEqual(expected);
      for (const world of ['no-open', 'kernel', 'plain'] as const) {
        const theirs = seen.get(world);
        if (theirs !== undefined) expect(ours, `as ${world} answers`).toEqual(theirs);
      }
      for (const world of also === undefined ? [] : OURS) {
        completeCopies(own.root(world, 'merged'));
        also?.({ merged: join(own.root(world, 'merged'), place(index)), upper: join(own.upper(world), place(index)) });
      }
    };

    afterAll(() => worlds?.end());

    test.for(cases.map((each, index) => ({ ...each, index })))('$what', (each, ctx) => {
      requireWorlds(ctx);
      check(each.index, each, steps(each.merged));
    });

    const later = cases.map((each, index) => ({ ...each, index })).filter(({ remounted }) => remounted !== undefined);
    let remounted = false;
    test.for(later)('$what, after a remount', ({ also: _also, ...each }, ctx) => {
      requireWorlds(ctx);
      const own = opened();
      if (!remounted) own.unmount();
      remounted = true;
      own.mount();
      check(each.index, each, steps(each.remounted as string));
    });
  });
}

function answers(worlds: Worlds, script: readonly Step[], cwd: string): string[] {
  const lines = worlds.perform(script.map(({ call }) => `${call}\n`).join(''), cwd);
  return script.map(({ call }, i) => `${call} => ${lines[i]}`);
}

function withoutCall(line: string): string {
  return line.slice(line.indexOf(' => ') + 4);
}
