// The benchmark itself, small: a run on a disk of its own that leaves nothing, its outputs, how targets are judged.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
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

const inMemory = (args: string[], env = process.env): ReturnType<typeof execute> =>
  execute([process.execPath, program, 'memory', '--scale', '0.01', '--runs', '1', ...args], { timeout: 120_000, env });

const bench = (...args: string[]): ReturnType<typeof execute> =>
  execute([process.execPath, program, 'mount', '--dir', dir, ...args], { timeout: 120_000 });

function nothingLeft(...kept: string[]): void {
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(dir);
  expect(readdirSync(dir).toSorted()).toEqual(kept);
}

/** Command lines of processes that name this directory, except the benchmark's own and its child's. */
function commandsWith(path: string): string[] {
  const commands = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return ''; // gone meanwhile
      }
    });
  return commands.filter((command) => command.includes(path) && !command.includes(program));
}

function loopDevicesOf(path: string): string[] {
  return readdirSync('/sys/block').filter((name) => {
    const file = `/sys/block/${name}/loop/backing_file`;
    return existsSync(file) && readFileSync(file, 'utf8').includes(path);
  });
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
    child.kill('SIGINT');
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

  it.for([
    { who: [], signals: ['SIGTERM'] },
    { who: [], signals: ['SIGTERM', 'SIGTERM'] },
    { who: ['--as', 'nobody'], signals: ['SIGTERM'] },
    { who: ['--as', 'nobody'], signals: ['SIGTERM', 'SIGHUP'] },
  ] as const)('leaves nothing when it is ended in the middle of a turn, %j', async ({ who, signals }, ctx) => {
    requireTools(ctx);
    if (who.length > 0) requireOrSkip(ctx, isRoot, 'root');
    // 64 MiB and a hundred thousand syncs: nobody waits for their end
    const args = ['--dir', dir, '--scale', '50', '--no-image', '--systems', 'fuse-overlayfs,ovl', '--only', 'durable'];
    const child = spawn(process.execPath, [program, ...args, ...who], { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = new Promise((resolve) => child.on('close', resolve));
    while (!isAtWork()) await new Promise((resolve) => setTimeout(resolve, 50));
    for (const signal of signals) {
      child.kill(signal);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await ended;
    nothingLeft();
    await vi.waitFor(() => expect(commandsWith(dir)).toEqual([]), 5_000);

    function isAtWork(): boolean {
      return commandsWith(dir).some((command) => command.includes(' durable ') && command.includes('/merged/'));
    }
  });

  it('leaves no loop device when it is ended in the middle of a turn', async (ctx) => {
    requireTools(ctx);
    requireOrSkip(ctx, isRoot, 'root');
    const args = ['--dir', dir, '--scale', '0.05', '--only', 'durable,create', '--runs', '10000', '--as', 'nobody'];
    const child = spawn(process.execPath, [program, ...args], { stdio: 'ignore' });
    const ended = new Promise((resolve) => child.on('close', resolve));
    await vi.waitFor(() => expect(readFileSync('/proc/self/mountinfo', 'utf8')).toContain(`${dir}/`), 30_000);
    await vi.waitFor(
      () => expect(commandsWith(`${dir}/`).some((text) => text.includes(' durable '))).toBe(true),
      30_000,
    );
    child.kill('SIGTERM');
    await ended;
    nothingLeft();
    expect(loopDevicesOf(dir)).toEqual([]);
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

describe('a run in memory', () => {
  it('measures every column with each number of layers, and writes into a document', async (ctx) => {
    requireOrSkip(ctx, existsSync(new URL('../../packages/core/dist/index.js', import.meta.url)), 'a build');
    const document = join(dir, 'document.md');
    const picture = join(dir, 'picture.svg');
    writeFileSync(document, marks('memory'));
    const outputs = ['--json', '--svg', picture, '--document', document];
    const { code, stdout, stderr } = await inMemory(['--systems', 'ovl', ...outputs]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });

    const { rows } = JSON.parse(stdout) as { rows: { label: string; systems: Record<string, { median: number }> }[] };
    const labels = rows.map(({ label }) => label);
    for (const column of ['stat', 'read 4 KiB', 'unlink', 'stored for it', 'memory beside the content'])
      for (const layers of [2, 10, 100]) expect(labels).toContain(`${column}, ${layers} layers`);
    for (const { label, systems } of rows) expect(systems.ovl?.median, label).toEqual(expect.any(Number));
    const stored = rows.find(({ label }) => label === 'stored for it, 2 layers');
    expect(stored?.systems.ovl?.median).toBeLessThan(1); // of 64 MiB
    const wrong = rows.find(({ label }) => label === 'overlay cases wrong');
    expect(wrong?.systems.ovl).toMatchObject({ median: 0, wrong: [] });

    expect(readFileSync(document, 'utf8')).toContain('| stat, 100 layers, k/s |');
    expect(readFileSync(picture, 'utf8')).toMatch(/^<svg [^]*<\/svg>\n$/);
  });

  it('says in one line that the peers cannot be had, and goes on without them', async (ctx) => {
    requireOrSkip(ctx, existsSync(new URL('../../packages/core/dist/index.js', import.meta.url)), 'a build');
    const { code, stdout, stderr } = await inMemory(['--only', 'stat', '--layers', '2'], { ...process.env, PATH: dir });
    expect(code).toBe(0);
    expect(stderr).toMatch(/^bench: the peers could not be installed[^\n]*\n$/);
    expect(stdout).toMatch(/^ +ovl +target +met\nstat, 2 layers, k\/s /);
  });

  it.each([
    [['--only', 'nothing'], 'no nothing; there are stat'],
    [['--layers', '3'], 'no 3; there are 2, 10, 100'],
    [['--runs', '0'], "--runs needs a number, not '0'"],
    [['--document', '/dev/null'], '/dev/null has no <!-- bench memory'],
  ])('refuses %j before it begins', async (args, message) => {
    const { code, stderr } = await inMemory(args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
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
    [[{ ...atMost(1.5), figure: 'one', as: '1 layer' }], 6, true],
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
    expect(spell([{ ...atMost(1.5), figure: 'walk, 1 layer', as: '1 layer' }], 's')).toBe('≤ 1.5 1 layer');
    expect(spell([atMost(0.5, 'best')], '')).toBe('≤ 0.5 best');
  });
});
