// Layers that are changed from outside while they are mounted. What is true is what the kernel's overlayfs shows of
// the same layers in a mount made afterwards.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import {
  eventually,
  isAlive,
  mountAt,
  type Place,
  place,
  requireFuse,
  run,
  shell,
  unmountAt,
} from './mount-support.js';

const script = fileURLToPath(new URL('live-layers.mjs', import.meta.url));

type Seen = Record<string, { failure?: string; type?: string; content?: string } & Record<string, unknown>>;

function answerOf(...args: string[]): Seen {
  const { status, stdout, stderr } = run(process.execPath, [script, ...args]);
  if (status !== 0) throw new Error(`status ${status}: ${stderr}`);
  return JSON.parse(stdout) as Seen;
}

const view = (root: string): Seen => answerOf('view', root);

interface Layers extends Place {
  base2: string;
  truth: string;
}

function layers(): Layers {
  const at = place();
  const more = { base2: join(at.base, 'lower2'), truth: join(at.base, 'truth') };
  for (const path of Object.values(more)) mkdirSync(path);
  return { ...at, ...more };
}

/** The layers as the kernel's overlayfs shows them now. */
function truth({ upper, lower, base2, truth: mountpoint }: Layers): Seen {
  shell('mount -t overlay overlay -o "ro,lowerdir=$1:$2:$3" "$4"', [upper, lower, base2, mountpoint]);
  const seen = view(mountpoint);
  shell('umount "$1"', [mountpoint]);
  return seen;
}

/** In each of the layers (`top`, `low`, `up`): what is there, and what becomes of it. */
const cases: [what: string, before: string, change: string][] = [
  ['written in place', 'echo old > low/f; echo old > low/g', 'echo new > low/f; echo longer than it was > low/g'],
  ['replaced by a rename', 'echo old > low/f', 'echo renewed > low/.f; mv low/.f low/f'],
  ['removed', 'mkdir low/d; echo old > low/f; echo old > low/d/f', 'rm low/f low/d/f'],
  ['added', 'mkdir low/d', 'echo new > low/f; echo new > low/d/f; mkdir low/e; echo new > low/e/f'],
  ['a file becomes a directory', 'echo old > low/f', 'rm low/f; mkdir low/f; echo new > low/f/g'],
  ['a directory becomes a file', 'mkdir low/d; echo old > low/d/f', 'rm -r low/d; echo new > low/d'],
  ['a directory is removed', 'mkdir -p low/d/e; echo old > low/d/e/f', 'rm -r low/d'],
  ['a directory is another', 'mkdir low/d; echo old > low/d/f', 'mv low/d low/e; mkdir low/d; echo new > low/d/g'],
  ['a link leads elsewhere', 'ln -s old low/l', 'ln -sfn new low/l'],
  ['mode and times', 'echo x > low/f; mkdir low/d', 'chmod 600 low/f; touch -d 2001-02-03 low/f; chmod 711 low/d'],
  ['a directory begins to merge', 'mkdir top/d; echo t > top/d/t', 'mkdir low/d; echo l > low/d/l'],
  ['a directory ceases to merge', 'mkdir top/d low/d; echo t > top/d/t; echo l > low/d/l', 'rm -r low/d'],
  ['the upper layer of two goes', 'mkdir top/d low/d; echo t > top/d/f; echo l > low/d/f', 'rm -r top/d'],
  ['hidden by a file above', 'mkdir low/d; echo l > low/d/l', 'echo t > top/d'],
  ['below a whiteout', 'mknod up/f c 0 0', 'echo l > low/f; echo t > top/f'],
  ['below an object of the upper', 'echo u > up/f; echo l > low/f', 'rm low/f; mkdir low/f; echo t > top/f'],
  [
    'a merged directory of the upper',
    'mkdir up/d top/d; echo u > up/d/u',
    'mkdir low/d; echo l > low/d/l; rm -r top/d',
  ],
  ['upper: removed', 'echo u > up/f; echo l > low/f; echo u > up/g', 'rm up/f up/g'],
  ['upper: replaced', 'echo u > up/f', 'echo anew > up/.f; mv up/.f up/f'],
  ['upper: added', 'mkdir up/d', 'echo u > up/f; echo u > up/d/f; mkdir up/e'],
  ['upper: a directory goes', 'mkdir up/d low/d; echo u > up/d/u; echo l > low/d/l', 'rm -r up/d'],
];

/** Runs each case's script in its own directory of all three layers. */
function apply({ upper, lower, base2 }: Layers, which: 1 | 2): void {
  const lines = cases.map(
    (one, i) =>
      `mkdir -p "$1/${i}" "$2/${i}" "$3/${i}"; mkdir w${i}; cd w${i}; ln -s "$1/${i}" up; ln -s "$2/${i}" top; ln -s "$3/${i}" low; ${one[which]}; cd ..; rm -r w${i}`,
  );
  shell(`cd "$(mktemp -d)"; ${lines.join('; ')}; rmdir "$PWD"`, [upper, lower, base2]);
}

function startAll(at: Layers, timeout: number | undefined): Seen {
  const { lower, base2, upper, work, mountpoint } = at;
  apply(at, 1);
  mountAt({ mountpoint, lower: [lower, base2], upper, work, ...(timeout !== undefined && { timeout }) });
  const before = view(mountpoint);
  expect(before).toEqual(truth(at));
  apply(at, 2);
  return before;
}

/** What differs, named by its case. */
function different(seen: Seen, expected: Seen): unknown[] {
  const names = new Set([...Object.keys(seen), ...Object.keys(expected)]);
  return [...names]
    .filter((name) => JSON.stringify(seen[name]) !== JSON.stringify(expected[name]))
    .map((name) => [cases[Number(name.split('/')[1])]?.[0], name, seen[name], expected[name]]);
}

test('timeout=0: every change shows at once', (ctx) => {
  requireFuse(ctx, 'root');
  const at = layers();
  startAll(at, 0);
  expect(different(view(at.mountpoint), truth(at))).toEqual([]);
  unmountAt(at.mountpoint);
});

test('timeout=1: every change shows in time', async (ctx) => {
  requireFuse(ctx, 'root');
  const at = layers();
  startAll(at, 1);
  const expected = truth(at);
  await eventually(() => different(view(at.mountpoint), expected).length === 0, 'the view follows its layers');
  unmountAt(at.mountpoint);
});

test('without a timeout: everything is as it was or as it is, and nothing fails in other ways', (ctx) => {
  requireFuse(ctx, 'root');
  const at = layers();
  const before = startAll(at, undefined);
  const after = truth(at);
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  for (const drop of ['keep', 'drop']) {
    if (drop === 'drop') shell('echo 2 > /proc/sys/vm/drop_caches', []); // the kernel forgets names and attributes
    const seen = answerOf('look', at.mountpoint, JSON.stringify(names));
    for (const [name, { failure, content, ...metadata }] of Object.entries(seen)) {
      const about = `${cases[Number(name.split('/')[1])]?.[0]}: ${name}`;
      if (failure !== undefined) expect(['ENOENT', 'ENOTDIR', 'ESTALE'], about).toContain(failure);
      const of = (one: Seen[string] | undefined): object => {
        const { failure: _, content: __, ...rest } = one ?? {};
        return rest;
      };
      if (failure === undefined) expect([of(before[name]), of(after[name])], about).toContainEqual(metadata);
      expect(['EIO', 'EUCLEAN'], about).not.toContain(content);
    }
  }
  unmountAt(at.mountpoint);
});

/** Two processes work in the mount while `directories` are changed from outside. */
async function changedInUse(mountpoint: string, directories: string[], count: number): Promise<void> {
  const users = [1, 2].map(() => {
    const child = spawn(process.execPath, [script, 'use', mountpoint], { stdio: ['pipe', 'pipe', 'inherit'] });
    const said = new Promise<string>((resolve) => {
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (part) => (text += part));
      child.on('close', () => resolve(text));
    });
    return { child, said };
  });
  try {
    expect(run(process.execPath, [script, 'churn', JSON.stringify(directories), String(count)]).status).toBe(0);
  } finally {
    for (const { child } of users) child.stdin.end();
  }
  for (const { said } of users) {
    expect(await said, 'ended in order').toMatch(/^\[.*\]\n$/);
    expect((JSON.parse(await said) as string[]).filter((code) => !acceptable.has(code))).toEqual([]);
  }
}

/** What comes of a name that stands for something else by now. */
const acceptable = new Set([
  'EEXIST',
  'EINVAL',
  'EISDIR',
  'ELOOP',
  'ENOENT',
  'ENOTDIR',
  'ENOTEMPTY',
  'ENOTSUP',
  'ESTALE',
]);

test.for([0, undefined])(
  'changed all the time, timeout=%s: no crash, no hang, no other failure',
  async (timeout, ctx) => {
    requireFuse(ctx, 'root');
    const at = layers();
    const { lower, base2, upper, work, mountpoint } = at;
    for (const dir of [lower, base2])
      shell('mkdir -p "$1/d/e"; for f in x y d/x d/e/x; do echo "$1" > "$1/$f"; done', [dir]);
    const options = { mountpoint, lower: [lower, base2], upper, work };
    const { pid } = mountAt(timeout === undefined ? options : { ...options, timeout });
    await changedInUse(mountpoint, [lower, base2], 4000);
    if (timeout === 0) expect(different(view(mountpoint), truth(at))).toEqual([]);
    await changedInUse(mountpoint, [upper], 1000); // nobody should: but that too is survived
    expect(isAlive(pid)).toBe(true);
    unmountAt(mountpoint);
  },
);
