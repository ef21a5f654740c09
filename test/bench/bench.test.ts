// The benchmark itself, small: a run on a disk of its own that leaves nothing, its outputs, how targets are judged.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execute } from '../support/mounts.mjs';
import { requireOrSkip } from '../support/require.js';
import { atLeast, atMost, keeps, spell } from './targets.mjs';

const program = fileURLToPath(new URL('index.mjs', import.meta.url));
const isRoot = process.getuid?.() === 0;
const marks = (who: string): string => `before\n<!-- bench ${who} -->\nold\n<!-- /bench ${who} -->\nafter\n`;

let dir = '';

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'bench-test-'));
  chmodSync(dir, 0o755); // another user works in it, too
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

const bench = (...args: string[]): ReturnType<typeof execute> =>
  execute([process.execPath, program, 'mount', '--dir', dir, ...args], { timeout: 120_000 });

function nothingLeft(...kept: string[]): void {
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(dir);
  expect(readdirSync(dir).toSorted()).toEqual(kept);
}

function requireTools(ctx: Parameters<typeof requireOrSkip>[0]): void {
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse');
  requireOrSkip(ctx, existsSync('/usr/bin/gcc'), 'gcc');
  requireOrSkip(ctx, existsSync(new URL('../../packages/node/dist/index.js', import.meta.url)), 'a build');
}

describe('a run', () => {
  it('measures, judges, draws, writes into a document, and leaves nothing', async (ctx) => {
    requireTools(ctx);
    const who = isRoot ? 'root' : 'user';
    const document = join(dir, 'document.md');
    const picture = join(dir, 'picture.svg');
    writeFileSync(document, marks(who));
    const only = 'stat,read,create,touch,status,single,stack,mount,memory';
    const outputs = ['--json', '--svg', picture, '--document', document];
    const { code, stdout, stderr } = await bench('--scale', '0.002', '--runs', '1', '--only', only, ...outputs);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    nothingLeft('document.md', 'picture.svg');

    const summary = JSON.parse(stdout);
    expect(summary.who).toBe(who);
    expect([...new Set(summary.rows.map(({ row }: { row: string }) => row))]).toEqual(only.split(','));
    for (const { label, systems } of summary.rows) {
      const { median, unavailable } = systems.ovl;
      if (!(label === 'memory, then under pressure' && unavailable)) expect(median, label).toEqual(expect.any(Number));
    }
    const [mountReady, idle] = ['mount is ready', 'memory, idle'].map((wanted) =>
      summary.rows.find(({ label }: { label: string }) => label === wanted),
    );
    expect(mountReady.target).toMatchObject({ text: '≤ 0.15 s', met: mountReady.systems.ovl.median <= 0.15 });
    expect(idle.systems.ovl.median).toBeGreaterThan(5); // a Node process, not none

    const written = readFileSync(document, 'utf8');
    expect(written).toMatch(
      /^before\n<!-- bench \w+ -->\n\n\|  \|.*\| target \| met \|\n[^]*\n\n<!-- \/bench \w+ -->\nafter\n$/,
    );
    expect(written).toContain('| stat all, cold, s |');
    expect(readFileSync(picture, 'utf8')).toMatch(/^<svg [^]*stat all, cold[^]*<\/svg>\n$/);
  });

  it('as another user on a disk of root’s', async (ctx) => {
    requireTools(ctx);
    requireOrSkip(ctx, isRoot, 'root');
    const { code, stdout, stderr } = await bench(
      '--scale',
      '0.002',
      '--runs',
      '1',
      '--only',
      'walk',
      '--as',
      'nobody',
      '--json',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ who: 'user', complete: true });
    nothingLeft();
  });

  it('ends at a signal with what there is', async (ctx) => {
    requireTools(ctx);
    const args = ['--dir', dir, '--scale', '0.002', '--only', 'stat,walk', '--runs', '10000', '--json'];
    const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    while (!isMeasuring()) await new Promise((resolve) => setTimeout(resolve, 50));
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
    const { notes, rows } = JSON.parse(stdout);
    expect(notes).toContain('Stopped before its end.');
    expect(rows.map(({ row }: { row: string }) => row)).toEqual(['stat', 'stat']);
    nothingLeft();

    function isMeasuring(): boolean {
      const found = readdirSync(dir, { recursive: true, withFileTypes: true });
      return found.some(({ name }) => name.startsWith('turn-'));
    }
  });

  it.each([
    [['--only', 'nothing'], 'no nothing; there are stat'],
    [['--runs', '1.5'], "--runs needs a number, not '1.5'"],
    [['--scale', '0'], "--scale needs a number above 0, not '0'"],
    [['--wrong'], "Unknown option '--wrong'"],
    [['--document', '/dev/null'], '/dev/null has no <!-- bench'],
  ])('refuses %j before it begins', async (args, message) => {
    const { code, stderr } = await bench(...args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    nothingLeft();
  });
});

describe('targets', () => {
  const medians = {
    of: (system: string) => ({ kernel: 2, 'fuse-overlayfs': 10 })[system],
    figure: (label: string) => (label === 'one' ? 4 : undefined),
  };
  it.each([
    [[atMost(0.5, 'fuse-overlayfs')], 5, true],
    [[atMost(0.5, 'fuse-overlayfs')], 5.1, false],
    [[atLeast(0.9, 'kernel')], 2.2, true],
    [[atLeast(0.9, 'kernel')], 2.3, false],
    [[atMost(0.1, 'fuse-overlayfs'), atMost(1.2, 'kernel')], 2.4, true],
    [[atMost(0.1, 'fuse-overlayfs'), atMost(1.2, 'kernel')], 2.5, false],
    [[atMost(0.1, 'ext4'), atMost(1.2, 'kernel')], 2.5, undefined],
    [[{ ...atMost(1.5), figure: 'one' }], 6, true],
    [[{ ...atMost(1.5), figure: 'two' }], 6, undefined],
    [[atMost(60)], 61, false],
    [[atMost(60)], undefined, undefined],
    [[], 1, undefined],
  ])('%j of %s', (bounds, ours, answer) => {
    expect(keeps(bounds, ours, medians)).toBe(answer);
  });

  it('are spelled as people say them', () => {
    expect(spell([atMost(0.6, 'fuse-overlayfs'), atMost(1.2, 'kernel')], 's')).toBe('≤ 0.6 fo or ≤ 1.2 k');
    expect(spell([atLeast(0.9, 'ext4')], 'MB/s')).toBe('≥ 0.9 ext4');
    expect(spell([atMost(60)], 'MB')).toBe('≤ 60 MB');
  });
});
