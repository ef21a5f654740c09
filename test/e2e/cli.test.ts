// The command `ovl` as a user runs it: the built one, a process a call, judged by its exit code, its output and the
// mount table. Whatever looks into a mount is a process of its own with a deadline: a hung mount fails a test.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { detach, type Ended, execute, isGone, mountAt } from '../support/mounts.mjs';
import { withoutForeignMounts } from '../support/namespace.js';
import { requireOrSkip } from '../support/require.js';
import { asNobody, copyOfCommand, ovl } from './command.mjs';

const deadline = 20_000;
const isRoot = process.getuid?.() === 0;
const exit = { failed: 1, usage: 2, directory: 3, busy: 4, unavailable: 5 };

let root: string;
let mountpoints: string[];
const at = (name: string) => join(root, name);

beforeEach((ctx) => {
  requireOrSkip(ctx, existsSync(ovl[1]), 'the built command: `pnpm build`');
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse');
  root = mkdtempSync(join(tmpdir(), 'ovl-cli-'));
  mountpoints = [at('merged'), at('other')];
  for (const name of ['lower/dir', 'upper', 'work', 'merged', 'other']) mkdirSync(at(name), { recursive: true });
  writeFileSync(at('lower/file'), 'below\n');
  writeFileSync(at('lower/dir/inner'), 'inner\n');
});

afterEach(async () => {
  for (const path of mountpoints ?? []) await detach(path);
  if (root) rmSync(root, { recursive: true, force: true });
});

const run = (...args: string[]) => execute([...ovl, ...args], { timeout: deadline, cwd: root });

/** A shell in the temporary directory; its output, or its failure thrown. */
async function shell(script: string): Promise<string> {
  const done = await execute(['bash', '-euo', 'pipefail', '-c', script], { timeout: deadline, cwd: root });
  if (done.code !== 0) throw new Error(`${script}: ${done.timedOut ? 'no end' : done.stderr}`);
  return done.stdout;
}

const layers = 'lowerdir=lower,upperdir=upper,workdir=work';

async function mountQuietly(...args: string[]): Promise<Ended> {
  const done = await run('mount', ...args);
  expect(done).toMatchObject({ code: 0, stdout: '', stderr: '' });
  return done;
}

interface Live {
  mountpoint: string;
  pid: number;
  upper?: string;
  lower: string[];
}

async function live(name = 'merged'): Promise<Live> {
  const { stdout } = await run('ps', '--json');
  const found = (JSON.parse(stdout) as Live[]).find(({ mountpoint }) => mountpoint === at(name));
  if (found === undefined) throw new Error(`${name} is not listed: ${stdout}`);
  return found;
}

async function hasEnded(pid: number): Promise<boolean> {
  for (const end = Date.now() + 5_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 20)))
    if (!existsSync(`/proc/${pid}`)) return true;
  return false;
}

describe.each(['direct', 'libfuse'])('mount, transport=%s', (transport) => {
  const through = ['-o', `transport=${transport}`];
  const mount = (...args: string[]) => mountQuietly(...through, ...args);

  test('with -o, as everybody writes it', async () => {
    await mount('-o', layers, 'merged');
    expect(mountAt(at('merged'))?.type).toBe('fuse.ovl');
    expect(await shell('cat merged/file merged/dir/inner; echo more >> merged/file; cat merged/file')).toBe(
      'below\ninner\nbelow\nmore\n',
    );
    expect(await shell('cat lower/file upper/file')).toBe('below\nbelow\nmore\n');
    expect(await run('umount', 'merged')).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(mountAt(at('merged'))).toBeUndefined();
  });

  test('with long options, several lower layers, topmost first', async () => {
    await shell('mkdir top; echo top > top/file');
    await mount('--lower', 'top', '--lower', 'lower', '--upper', 'upper', '--work', 'work', 'merged');
    expect(await shell('cat merged/file merged/dir/inner')).toBe('top\ninner\n');
    expect((await live()).lower).toEqual([at('top'), at('lower')]);
  });

  test('the work directory is chosen beside the upper', async () => {
    await mount('--lower', 'lower', '--upper', 'upper', 'merged');
    await shell('rm merged/file');
    await run('umount', 'merged');
    expect(readdirSync(root).sort()).toEqual(['.upper.work', 'lower', 'merged', 'other', 'upper', 'work']);
  });

  test('without an upper it is read-only', async () => {
    await mount('--lower', 'lower', 'merged');
    await expect(shell('touch merged/new')).rejects.toThrow('Read-only file system');
    await expect(shell('rm merged/file')).rejects.toThrow('Read-only file system');
    expect(await shell('cat merged/file')).toBe('below\n');
  });

  test('--tmp: the changes vanish', async () => {
    const before = new Set(readdirSync(tmpdir()));
    await mount('--lower', 'lower', '--tmp', 'merged');
    await shell('echo new > merged/new; rm -r merged/dir');
    await run('umount', 'merged');
    expect(readdirSync(at('lower')).sort()).toEqual(['dir', 'file']);
    const left = readdirSync(tmpdir()).filter((name) => !before.has(name) && /^ovl-(tmp|upper)/.test(name));
    expect(left).toEqual([]);
    await mount('--lower', 'lower', '--tmp', 'merged');
    expect(await shell('ls merged')).toBe('dir\nfile\n');
  });

  test('the daemon holds none of the streams of its starter, and outlives it', async () => {
    // `execute` returns at the end of output, so a daemon that kept a stream would run it into the deadline.
    const done = await execute(
      ['bash', '-c', `"${ovl[0]}" "${ovl[1]}" mount -o ${layers} ${through.join(' ')} merged && echo live`],
      {
        timeout: deadline,
        cwd: root,
      },
    );
    expect(done).toMatchObject({ code: 0, stdout: 'live\n', timedOut: false });
    const { pid } = await live();
    for (const fd of [0, 1, 2]) expect(await shell(`readlink /proc/${pid}/fd/${fd}`)).toBe('/dev/null\n');
    expect(await shell('cat merged/file')).toBe('below\n');
  });

  test('-f serves until the signal', async () => {
    const foreground = execute([...ovl, 'mount', '-f', ...through, '-o', layers, 'merged'], {
      timeout: deadline,
      cwd: root,
    });
    while (!mountAt(at('merged'))) await new Promise((resolve) => setTimeout(resolve, 20));
    const { pid } = await live();
    expect(await shell('cat merged/file')).toBe('below\n');
    process.kill(pid, 'SIGINT');
    expect((await foreground).timedOut).toBe(false);
    expect(mountAt(at('merged'))).toBeUndefined();
  });

  test('SIGTERM unmounts', async () => {
    await mount('-o', layers, 'merged');
    const { pid } = await live();
    process.kill(pid, 'SIGTERM');
    expect(await hasEnded(pid)).toBe(true);
    expect(mountAt(at('merged'))).toBeUndefined();
  });

  test('kill -9 of the daemon leaves nothing that hangs, and the upper can be mounted again', async () => {
    await mount('-o', layers, 'merged');
    await shell('echo kept > merged/kept');
    const { pid } = await live();
    process.kill(pid, 'SIGKILL');
    expect(await hasEnded(pid)).toBe(true);
    expect(await isGone(at('merged'), 5_000)).toBe(true);
    await mount('-o', layers, 'merged');
    expect(await shell('cat merged/kept')).toBe('kept\n');
  });

  test('paths with colons, commas, spaces, backslashes and other alphabets', async () => {
    await shell(String.raw`mkdir 'a:b,c d\e' 'ünïcode 文'; echo one > 'a:b,c d\e/one'; echo two > 'ünïcode 文/two'`);
    await mount('-o', String.raw`lowerdir=a\:b\,c d\\e:ünïcode 文`, 'merged');
    expect(await shell('cat merged/one merged/two')).toBe('one\ntwo\n');
  });

  test('a mountpoint inside a layer is served or refused, and never hangs', async () => {
    mountpoints.push(at('lower/dir'));
    const done = await run('mount', ...through, '-o', layers, 'lower/dir');
    expect(done.timedOut).toBe(false);
    if (done.code === 0) {
      expect((await shell('ls lower/dir; find lower/dir > /dev/null')).split('\n')).toContain('file');
      expect((await run('umount', 'lower/dir')).code).toBe(0);
    } else expect(done.stderr).toMatch(/^ovl: .*\n$/);
  });
});

describe('as fuse-overlayfs', () => {
  test('a bare `ovl -o … MERGED`', async () => {
    expect(await run('-o', `${layers},,volatile`, 'merged')).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(await shell('cat merged/file')).toBe('below\n');
    expect((await execute(['umount', at('merged')], { timeout: deadline })).code).toBe(0);
  });

  test('by a link, from a directory and to arguments with spaces; certificates are read where they may be needed', async () => {
    mkdirSync(at('my bin'));
    symlinkSync(ovl[1], at('my bin/a b'));
    mkdirSync(at('two  words'));
    mountpoints.push(at('two  words'));
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: at('none') };
    const linked = (...args: string[]) => execute([at('my bin/a b'), ...args], { timeout: deadline, cwd: root, env });
    expect(await linked('mount', '--lower', 'lower', 'two  words')).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(await shell('cat "two  words/file"')).toBe('below\n');
    expect(await linked('-o', layers, '*')).toMatchObject({
      code: exit.directory,
      stderr: expect.stringMatching(/^ovl: .*'\*'.*\n$/),
    });
    expect(await linked('mount', '')).toMatchObject({ code: exit.usage });
    expect((await linked('ps')).stderr).toMatch(/extra certs/);
  });

  test('--version', async () => {
    const { code, stdout } = await run('--version');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ovl: version \d+\.\d+\.\d+\n/);
    expect(stdout).toMatch(/using FUSE kernel interface version \d+\.\d+\n/);
  });
});

describe('ps and diff', () => {
  test('ps lists live mounts only', async () => {
    await mountQuietly('-o', layers, 'merged');
    const { stdout } = await run('ps');
    expect(stdout.split('\n')[0]).toMatch(/^MOUNTPOINT +PID +SINCE +UPPER +LOWER$/);
    expect(stdout).toContain(`${at('merged')} `);
    expect(await live()).toMatchObject({ upper: at('upper'), lower: [at('lower')] });
    await run('umount', 'merged');
    await expect(live()).rejects.toThrow('is not listed');
  });

  test('ps --stats counts requests, and measures them where the mount was told to', async () => {
    const requests = async (name: string): Promise<Map<string, { count: number; microseconds: number }>> => {
      const { stdout } = await run('ps', '--stats', '--json');
      const found = JSON.parse(stdout).find(({ mountpoint }: Live) => mountpoint === at(name));
      return new Map(found.requests.map(({ request, ...figures }: { request: string }) => [request, figures]));
    };
    await mountQuietly('-o', 'lowerdir=lower', 'merged');
    await mountQuietly('--stats', '-o', 'lowerdir=lower', 'other');
    await shell('cat merged/file; cat merged/dir/inner; cat merged/file; ls merged/absent || true; cat other/file');
    const counted = await requests('merged');
    expect(counted.get('open')).toEqual({ count: 3, microseconds: 0 });
    expect(counted.get('lookup')).toEqual({ count: 4, microseconds: 0 }); // each name once, the absent one too
    const measured = await requests('other');
    expect(measured.get('open')?.count).toBe(1);
    expect(measured.get('open')?.microseconds).toBeGreaterThan(0);
    const { stdout } = await run('ps', '--stats');
    expect(stdout).toMatch(/merged\nREQUEST +COUNT\n(.*\n)*lookup +4\n/);
    expect(stdout).toMatch(/other\nREQUEST +COUNT +µs EACH\n/);
  });

  test('diff of a mount, and of the same layers by -o', async () => {
    await mountQuietly('-o', layers, 'merged');
    await shell('echo more >> merged/file; rm -r merged/dir; mkdir merged/new; printf 12345 > merged/new/five');
    const expected = 'C /file  (6 B → 11 B)\nD /dir/\nA /new/\nA /new/five  (5 B)\n';
    const sorted = (text: string) => text.split('\n').sort();
    expect(sorted((await run('diff', 'merged')).stdout)).toEqual(sorted(expected));
    const asJson = JSON.parse((await run('diff', 'merged', '--json')).stdout) as { path: string }[];
    expect(asJson.find(({ path }) => path === '/file')).toMatchObject({ kind: 'C', size: 11, previousSize: 6 });
    await run('umount', 'merged');
    expect(sorted((await run('diff', '-o', 'lowerdir=lower,upperdir=upper')).stdout)).toEqual(sorted(expected));
    expect(await run('diff', 'merged')).toMatchObject({ code: exit.directory, stdout: '' });
  });

  test('explain of a path in a mount, and of the same layers by -o', async () => {
    await mountQuietly('-o', layers, 'merged');
    await shell('echo more >> merged/file; rm -r merged/dir');
    const file = [
      'shown    upper/file  (file, 11 B)',
      'hidden   lower/file  (file, 6 B, covered by upper/file)',
      '6 B shadowed',
      'copied from lower/file  (changed: content, mtime)',
    ];
    const inner =
      /^hidden +lower\/dir\/inner +\(file, .*, under the whiteout upper\/dir\)\nnothing is shown at \/dir\/inner\n/;
    const local = (text: string): string => text.replaceAll(`${root}/`, '');
    expect(local((await run('explain', 'merged/file')).stdout)).toBe(`${file.join('\n')}\n`);
    expect(local((await run('explain', 'merged/dir/inner')).stdout)).toMatch(inner);
    await shell('mv merged/file merged/moved; touch merged/new');
    expect(local((await run('explain', 'merged/moved')).stdout)).toMatch(
      /\ncopied from lower\/file  \(changed: content, mtime\)\n$/,
    );
    expect(local((await run('explain', 'merged/new')).stdout)).toMatch(/\ncreated here\n$/);
    const { provenance } = JSON.parse((await run('explain', 'merged/moved', '--json')).stdout) as {
      provenance: unknown;
    };
    expect(provenance).toMatchObject({ kind: 'copied', from: [{ layer: 1, path: '/file' }], changed: 'content' });
    await shell('mv merged/moved merged/file');
    const { layers: views, shown } = JSON.parse((await run('explain', 'merged/dir', '--json')).stdout) as {
      layers: { role: string; status: string }[];
      shown?: number;
    };
    expect([views.map(({ role, status }) => `${role} ${status}`), shown]).toEqual([
      ['upper whiteout', 'lower hidden'],
      undefined,
    ]);
    await run('umount', 'merged');
    const named = await run('explain', '-o', 'lowerdir=lower,upperdir=upper', '/file');
    expect(named.stdout).toBe(`${file.join('\n')}\n`);
    expect(await run('explain', 'merged/file')).toMatchObject({ code: exit.directory, stdout: '' });
    expect(await run('explain')).toMatchObject({ code: exit.usage, stdout: '' });
  });
});

describe('bad input: one line, an exit code, no mount', () => {
  const refused = async (args: string[], code: number, message: RegExp, env: NodeJS.ProcessEnv = process.env) => {
    const done = await execute([...ovl, ...args], { timeout: deadline, cwd: root, env });
    expect(done.stderr).toMatch(/^ovl: [^\n]+\n$/);
    expect(done.stderr).toMatch(message);
    expect(done).toMatchObject({ code, stdout: '', timedOut: false });
    expect(mountAt(at('merged'))).toBeUndefined();
  };
  const mountRefused = (options: string, code: number, message: RegExp, mountpoint = 'merged') =>
    refused(['mount', '-o', options, mountpoint], code, message);

  test('a layer that is missing or no directory', async () => {
    await mountRefused('lowerdir=none', exit.directory, /lower directory 'none' does not exist/);
    await mountRefused('lowerdir=lower/file', exit.directory, /'lower\/file' is not a directory/);
    await mountRefused('lowerdir=lower,upperdir=none,workdir=work', exit.directory, /upper directory 'none'/);
    await mountRefused('lowerdir=lower,upperdir=upper,workdir=none', exit.directory, /work directory 'none'/);
  });

  test('upper inside lower, and the reverse', async () => {
    mkdirSync(at('upper/below'));
    await mountRefused('lowerdir=lower,upperdir=lower/dir', exit.directory, /lies inside/);
    await mountRefused('lowerdir=upper/below,upperdir=upper', exit.directory, /lies inside/);
    await mountRefused('lowerdir=lower,upperdir=lower', exit.directory, /is the same as/);
    expect(readdirSync(at('lower')).sort()).toEqual(['dir', 'file']); // no work directory left in it
  });

  test('upper and work on different file systems', async (ctx) => {
    requireOrSkip(ctx, isRoot, 'root, to mount a tmpfs');
    mountpoints.push(at('work'));
    await shell('mount -t tmpfs tmpfs work');
    await mountRefused(layers, exit.directory, /on different file systems/);
  });

  test('upper or work in use by a live mount', async () => {
    await mountQuietly('-o', layers, 'other');
    await mountRefused('lowerdir=lower,upperdir=upper', exit.busy, /another overlay is using this directory/);
    mkdirSync(at('upper2'));
    await mountRefused(
      'lowerdir=lower,upperdir=upper2,workdir=work',
      exit.busy,
      /another overlay is using this directory/,
    );
    expect(await shell('cat other/file')).toBe('below\n');
  });

  test('a mountpoint that is missing, no directory, or a mount of ours', async () => {
    await mountRefused(layers, exit.directory, /mountpoint 'none' does not exist/, 'none');
    await mountRefused(layers, exit.directory, /mountpoint 'lower\/file' is not a directory/, 'lower/file');
    await mountQuietly('-o', layers, 'other');
    await mountRefused('lowerdir=lower', exit.busy, /an ovl mount already/, 'other');
  });

  test('options and commands that there are not', async () => {
    await mountRefused(`${layers},nosuchoption`, exit.usage, /nosuchoption/);
    await mountRefused('upperdir=upper', exit.usage, /no lower directory/);
    await refused(['mount', '--no-such', 'merged'], exit.usage, /--no-such/);
    await refused(['mount', '-o', layers], exit.usage, /no mountpoint/);
    await refused(['mount', '-o', layers, 'merged', 'surplus'], exit.usage, /surplus/);
    await refused(['nosuchcommand'], exit.usage, /nosuchcommand/);
    await refused(['umount', 'merged'], exit.directory, /merged/);
    await refused(['diff', 'merged'], exit.directory, /merged/);
  });

  /** Runs the command where /dev is what `script` makes of it, and nobody else sees. */
  const withDevice = async (script: string, user: readonly string[] = []) => {
    const command = [...user, ...(user.length > 0 ? await readable() : ovl), 'mount', '--lower', 'lower', 'merged'];
    const quoted = command.map((part) => `'${part}'`).join(' ');
    return execute(
      ['unshare', '-m', '--propagation', 'private', 'bash', '-ec', `${withoutForeignMounts}${script}\n${quoted}`],
      {
        timeout: deadline,
        cwd: root,
      },
    );
  };
  const readable = async () => {
    await shell(`chmod 755 . && chown -R 65534:65534 lower upper work merged`);
    return copyOfCommand(root);
  };
  const emptyDev = 'mount -t tmpfs tmpfs other; cp -a /dev/null /dev/urandom other; mount --bind other /dev';

  const devices: [what: string, script: string, user: readonly string[], message: RegExp][] = [
    ['absent', emptyDev, [], /\/dev\/fuse is missing: /],
    ['another device', 'mount --bind /dev/null /dev/fuse', [], /\/dev\/fuse is not the FUSE device: /],
    ['not permitted', `${emptyDev}; mknod -m 600 /dev/fuse c 10 229`, asNobody, /no permission to open \/dev\/fuse: /],
  ];
  for (const [what, script, user, message] of devices)
    test(`/dev/fuse ${what}`, async (ctx) => {
      requireOrSkip(ctx, isRoot, 'root, to change /dev for one process');
      const done = await withDevice(script, user);
      expect(done.stderr).toMatch(/^ovl: [^\n]+\n$/);
      expect(done.stderr).toMatch(message);
      expect(done).toMatchObject({ code: exit.unavailable, stdout: '' });
    });

  test('fuse-native absent', async () => {
    const [node = '', path = ''] = await readable();
    rmSync(at('node_modules/fuse-native'), { recursive: true });
    const command = [node, path, 'mount', '--lower', 'lower', '-o', 'transport=libfuse', 'merged'];
    const env = { ...process.env, NODE_PATH: '' }; // pnpm's would find it in the checkout
    const done = await execute(command, { timeout: deadline, cwd: root, env });
    expect(done.stderr).toMatch(/^ovl: transport=libfuse cannot be used: [^\n]*fuse-native[^\n]*install[^\n]*\n$/);
    expect(done).toMatchObject({ code: exit.unavailable, stdout: '' });
    expect(mountAt(at('merged'))).toBeUndefined();
  });

  test('fusermount3 absent', async (ctx) => {
    requireOrSkip(ctx, isRoot, 'root, to become another user');
    const command = [...(await readable()), 'mount', '--lower', 'lower', 'merged'];
    const setpriv = (await shell('command -v setpriv')).trim();
    const done = await execute([setpriv, ...asNobody.slice(1), ...command], {
      timeout: deadline,
      cwd: root,
      env: { PATH: '/nonexistent' },
    });
    expect(done.stderr).toMatch(/^ovl: fusermount3 is not in PATH: [^\n]*install[^\n]*\n$/);
    expect(done.code).toBe(exit.unavailable);
  });
});

describe('installed from packages', () => {
  test('`npm install` of the packed packages gives a working ovl', { timeout: 180_000 }, async (ctx) => {
    const project = new URL('../..', import.meta.url).pathname;
    mkdirSync(at('packs'));
    mkdirSync(at('prefix'));
    const { packageManager } = JSON.parse(await shell(`cat '${project}package.json'`)) as { packageManager: string };
    for (const name of ['core', 'node', 'cli']) {
      const packed = await execute(['npx', '--yes', packageManager, 'pack', '--pack-destination', at('packs')], {
        timeout: 60_000,
        cwd: `${project}packages/${name}`,
      });
      requireOrSkip(ctx, !/ENOTFOUND|EAI_AGAIN|ECONNREFUSED/.test(packed.stderr), 'the npm registry');
      expect(packed, packed.stderr).toMatchObject({ code: 0 });
    }
    const packs = readdirSync(at('packs')).map((name) => at(`packs/${name}`));
    const install = ['npm', 'install', '--global', '--prefix', at('prefix'), '--no-audit', '--no-fund', ...packs];
    const installed = await execute(install, { timeout: 120_000, cwd: root });
    requireOrSkip(ctx, !/ENOTFOUND|EAI_AGAIN|ECONNREFUSED/.test(installed.stderr), 'the npm registry');
    expect(installed, installed.stderr).toMatchObject({ code: 0 });
    expect(lstatSync(at('prefix/bin/ovl')).isSymbolicLink()).toBe(true);
    symlinkSync(at('prefix/bin/ovl'), at('ovl'));
    expect(
      await shell(`./ovl mount -o ${layers} merged && cat merged/file && rm merged/file && ./ovl diff merged`),
    ).toBe('below\nD /file  (6 B)\n');
    expect(await shell('./ovl umount merged && ./ovl --version')).toMatch(/^ovl: version/);
  });
});
