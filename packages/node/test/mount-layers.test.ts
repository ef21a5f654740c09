// Mounts over many layers, over layers for data only, and over layers whose files left their data below; what comes of it is
// what the kernel's overlayfs shows of the same directories, where it takes them.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, expect, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { mount, umount2 } from '../src/mount-syscalls.js';
import type { MountOptions } from '../src/options.js';
import { call, mountAt, place, requireFuse, run, shell, unmountAt, type User } from './mount-support.js';

/** Everything that a tree shows, as text. */
function treeOf(path: string, user: User = 'root'): string {
  const script = `cd "$1"
    find . -printf '%P %y %m %U %G %n %T@\\n' | sed -E '/ d /{s/ [0-9]+ [0-9.]+$//}' | LC_ALL=C sort
    find . -type f -exec md5sum {} + | LC_ALL=C sort -k2
    getfattr -R -d -m - -e hex --absolute-names . 2>/dev/null | LC_ALL=C sort`;
  return shell(script, [path], user);
}

function requireKernelOverlay(ctx: Pick<TestContext, 'skip'>): void {
  requireOrSkip(ctx, readFileSync('/proc/filesystems', 'utf8').includes('overlay'), 'overlayfs in the kernel');
  requireOrSkip(ctx, run('getfattr', ['--version']).status === 0, 'getfattr');
}

/** What the kernel shows of the same directories. */
function kernelTree(mountpoint: string, options: string): string {
  mount('overlay', mountpoint, 'overlay', 0, options);
  try {
    return treeOf(mountpoint);
  } finally {
    umount2(mountpoint, 0);
  }
}

function setxattr(path: string, name: string, value: string): void {
  execFileSync('setfattr', value === '' ? ['-n', name, path] : ['-n', name, '-v', value, path]);
}

describe('a thousand lower layers', () => {
  const COUNT = 1000;

  /** Layer n has `own-n`, `d<n mod 10>/in-n`, and `common`; every 50th deletes the `own` of the layer below it. */
  function makeLayers(base: string): string[] {
    return Array.from({ length: COUNT }, (_, n) => {
      const layer = join(base, `l${n}`);
      mkdirSync(join(layer, `d${n % 10}`), { recursive: true });
      writeFileSync(join(layer, `own-${n}`), `${n}`);
      writeFileSync(join(layer, `d${n % 10}`, `in-${n}`), `${n}`);
      writeFileSync(join(layer, 'common'), `${n}`);
      if (n % 50 === 0) execFileSync('mknod', [join(layer, `own-${n + 1}`), 'c', '0', '0']);
      return layer;
    });
  }

  /** The union, computed from what {@link makeLayers} says. */
  function expectedPaths(): string[] {
    const numbers = Array.from({ length: COUNT }, (_, n) => n);
    const paths = ['common', ...Array.from({ length: 10 }, (_, n) => `d${n}`)];
    paths.push(...numbers.filter((n) => n % 50 !== 1).map((n) => `own-${n}`));
    paths.push(...numbers.map((n) => `d${n % 10}/in-${n}`));
    return paths.sort();
  }

  const pathsIn = (path: string): string[] =>
    shell('cd "$1"; find . -mindepth 1 -printf "%P\\n"', [path]).trim().split('\n').sort();

  test('merge, are written over, and take a bounded number of descriptors', { timeout: 60_000 }, (ctx) => {
    requireFuse(ctx, 'root');
    const { base, upper, work, mountpoint } = place();
    const lower = makeLayers(base);
    const { pid } = mountAt({ mountpoint, lower, upper, work });
    expect(pathsIn(mountpoint)).toEqual(expectedPaths());
    expect(shell('cd "$1"; cat common own-0 own-999 d7/in-997; cat d3/* | wc -c', [mountpoint])).toBe('00999997289\n');
    shell('cd "$1"; echo x >> own-500; rm own-999 d9/in-999; mv d3 moved; mkdir d3; mv d5/in-5 d4/', [mountpoint]);
    const changed = expectedPaths()
      .filter((path) => path !== 'own-999' && path !== 'd9/in-999')
      .map((path) => (path === 'd5/in-5' ? 'd4/in-5' : path.replace(/^d3(?=\/|$)/, 'moved')));
    expect(pathsIn(mountpoint)).toEqual([...changed, 'd3'].sort());
    expect(readdirSync(`/proc/${pid}/fd`).length).toBeLessThan(COUNT + 4096 + 100);
    unmountAt(mountpoint);
    mountAt({ mountpoint, lower, upper, work });
    expect(pathsIn(mountpoint), 'in the next mount').toEqual([...changed, 'd3'].sort());
    expect(shell('cat "$1/own-500"', [mountpoint])).toBe('500x\n');
    unmountAt(mountpoint);

    const limited = (limit: number, script: string): ReturnType<typeof run> =>
      run('/bin/sh', ['-c', `ulimit -n ${limit} && ${script}`], 'root', {
        OPTIONS: JSON.stringify({ mountpoint, lower }),
      });
    const dist = new URL('../dist/index.js', import.meta.url).href;
    const mounting = `exec "${process.execPath}" --input-type=module -e 'import { mount } from "${dist}";
      await mount(JSON.parse(process.env.OPTIONS)).catch((error) => { console.log(error.message); });'`;
    expect(limited(COUNT + 20, mounting).stdout).toBe(
      `${COUNT} layers need ${COUNT + 128} open files, and the limit is ${COUNT + 20}: raise it (ulimit -n ${COUNT + 128})\n`,
    );
    expect(limited(COUNT + 200, mounting)).toMatchObject({ status: 0, stdout: '' });
    expect(pathsIn(mountpoint), 'with few descriptors').toEqual(expectedPaths());
    unmountAt(mountpoint);
  });
});

describe('data-only layers', () => {
  /** A tree as composefs makes it: names and attributes in one layer, data by its digest in others. */
  function composefs(base: string, prefix: 'trusted' | 'user'): { image: string; more: string; data: string[] } {
    const [image, more, one, two] = ['image', 'more', 'one', 'two'].map((name) => join(base, name)) as [
      string,
      string,
      string,
      string,
    ];
    for (const path of [`${image}/bin`, `${image}/etc`, `${more}/etc`, `${one}/0a`, `${two}/0a`, `${two}/ff`]) {
      mkdirSync(path, { recursive: true });
    }
    const stub = (path: string, size: number, redirect: string): void => {
      writeFileSync(path, '');
      truncateSync(path, size);
      setxattr(path, `${prefix}.overlay.metacopy`, '');
      setxattr(path, `${prefix}.overlay.redirect`, redirect);
    };
    writeFileSync(`${one}/0a/1`, 'tool\n');
    writeFileSync(`${two}/0a/1`, 'hidden by the first\n');
    writeFileSync(`${two}/ff/2`, 'x'.repeat(100_000));
    stub(`${image}/bin/tool`, 5, '/0a/1');
    stub(`${image}/etc/big`, 100_000, '/ff/2');
    stub(`${image}/etc/tool`, 5, '/0a/1');
    writeFileSync(`${more}/etc/plain`, 'plain\n');
    execFileSync('chown', ['12:34', `${image}/bin/tool`]);
    execFileSync('chmod', ['4755', `${image}/bin/tool`]);
    execFileSync('touch', ['-d', '2001-02-03 04:05:06.789', `${image}/bin/tool`, `${image}/etc/big`]);
    setxattr(`${image}/etc/big`, 'user.k', 'v');
    return { image, more, data: [one, two] };
  }

  test.for(['trusted', 'user'] as const)('read as in the kernel (%s)', (prefix, ctx) => {
    requireFuse(ctx, 'root');
    requireKernelOverlay(ctx);
    const { base, mountpoint } = place();
    const { image, more, data } = composefs(base, prefix);
    const userxattr = prefix === 'user';
    const kernels = `lowerdir=${more}:${image}::${data.join('::')}${userxattr ? ',userxattr' : ''}`;
    const expected = kernelTree(mountpoint, kernels);
    expect(expected).toContain('bin/tool f 4755 12 34');
    const settings: Partial<MountOptions>[] = [{}, { redirectDir: 'nofollow' }, { metacopy: 'off' }];
    for (const setting of settings) {
      mountAt({ mountpoint, lower: [more, image], dataOnly: data, userxattr, ...setting });
      expect(treeOf(mountpoint), JSON.stringify(setting)).toBe(expected);
      expect(readdirSync(mountpoint).sort()).toEqual(['bin', 'etc']);
      unmountAt(mountpoint);
    }
  });

  test('their files change as others do, and the kernel reads what comes of it', (ctx) => {
    requireFuse(ctx, 'root');
    requireKernelOverlay(ctx);
    const { base, upper, work, mountpoint } = place();
    const { image, more, data } = composefs(base, 'trusted');
    mountAt({ mountpoint, lower: [more, image], dataOnly: data, upper, work, metacopy: 'on' });
    shell('cd "$1"; chmod 600 etc/big; mv etc/big etc/larger; echo more >> etc/tool; mv bin sbin; ln sbin/tool t', [
      mountpoint,
    ]);
    const shown = treeOf(mountpoint);
    unmountAt(mountpoint);
    expect(statSync(join(upper, 'etc/larger')).blocks).toBeLessThan(100);
    const kernels = `lowerdir=${more}:${image}::${data.join('::')},upperdir=${upper},workdir=${work},metacopy=on,index=on`;
    expect(kernelTree(mountpoint, kernels)).toBe(shown);
  });

  test('one that is missing is named', (ctx) => {
    requireFuse(ctx, 'root');
    const { base, lower, mountpoint } = place();
    const absent = join(base, 'absent');
    const failure = call<undefined>('mount', [{ mountpoint, lower: [lower], dataOnly: [absent] }]);
    expect(failure).toMatchObject({ exitCode: 3, message: `lower directory '${absent}' does not exist` });
  });

  test('with verity=require, data without a digest is refused', (ctx) => {
    requireFuse(ctx, 'root');
    const { base, upper, work, mountpoint } = place();
    const { image, more, data } = composefs(base, 'trusted');
    mountAt({ mountpoint, lower: [more, image], dataOnly: data, upper, work, metacopy: 'on', verity: 'require' });
    expect(run('cat', [join(mountpoint, 'bin/tool')]).stderr).toContain('Input/output error');
    expect(shell('cat "$1/etc/plain"; chmod 600 "$1/etc/plain"', [mountpoint])).toBe('plain\n');
    unmountAt(mountpoint);
    expect(readFileSync(join(upper, 'etc/plain'), 'utf8'), 'copied up whole').toBe('plain\n');
  });
});

describe('metadata-only copy-up', () => {
  test('leaves a large file below until it is written, in the kernel’s format', (ctx) => {
    requireFuse(ctx, 'root');
    requireKernelOverlay(ctx);
    const { lower, upper, work, mountpoint } = place();
    const size = 50_000_000;
    writeFileSync(join(lower, 'large'), Buffer.alloc(size, 'x'));
    writeFileSync(join(lower, 'written'), 'below\n');
    mkdirSync(join(lower, 'd'));
    writeFileSync(join(lower, 'd/f'), 'f\n');
    mountAt({ mountpoint, lower: [lower], upper, work, metacopy: 'on' });
    const script = `cd "$1"
      head -c 10 large > /dev/null; chmod 640 large; touch -hd '2001-02-03 04:05:06' large; chown 1:2 large
      setfattr -n user.k -v v large; mv large d/larger; chmod 600 written d/f; echo more >> written; mv d e`;
    shell(script, [mountpoint]);
    const shown = treeOf(mountpoint);
    unmountAt(mountpoint);
    expect(statSync(join(upper, 'e/larger'))).toMatchObject({ size, uid: 1, gid: 2 });
    expect(statSync(join(upper, 'e/larger')).blocks * 512).toBeLessThan(10_000);
    expect(readFileSync(join(upper, 'written'), 'utf8')).toBe('below\nmore\n');
    const kernels = `lowerdir=${lower},upperdir=${upper},workdir=${work},metacopy=on,index=on`;
    expect(kernelTree(mountpoint, kernels)).toBe(shown);
  });

  test('those of the kernel are read, and completed', (ctx) => {
    requireFuse(ctx, 'root');
    requireKernelOverlay(ctx);
    const { lower, upper, work, mountpoint } = place();
    for (const name of ['a', 'b', 'empty']) writeFileSync(join(lower, name), name === 'empty' ? '' : `${name}\n`);
    mount(
      'overlay',
      mountpoint,
      'overlay',
      0,
      `lowerdir=${lower},upperdir=${upper},workdir=${work},metacopy=on,index=off`,
    );
    shell('cd "$1"; chmod 600 a b empty; mv b c', [mountpoint]);
    const shown = treeOf(mountpoint);
    umount2(mountpoint, 0);
    mountAt({ mountpoint, lower: [lower], upper, work });
    expect(treeOf(mountpoint)).toBe(shown);
    shell('cd "$1"; for f in a c empty; do echo more >> $f; done', [mountpoint]);
    unmountAt(mountpoint);
    expect(['a', 'c', 'empty'].map((name) => readFileSync(join(upper, name), 'utf8'))).toEqual([
      'a\nmore\n',
      'b\nmore\n',
      'more\n',
    ]);
  });
});

describe('renaming a directory where nothing can be recorded', () => {
  for (const user of ['root', 'nobody'] as const) {
    test(`as ${user}, with userxattr: all of it moves, and the kernel finds it there`, (ctx) => {
      requireFuse(ctx, user);
      requireKernelOverlay(ctx);
      const { lower, upper, work, mountpoint } = place(user);
      const script = `cd "$1"; mkdir -p a/b/c d; echo f > a/f; echo g > a/b/g; ln -s f a/l; ln a/f a/b/f2; mkfifo a/b/p
        truncate -s 1M a/b/sparse; echo end >> a/b/sparse; setfattr -n user.k -v v a/b; chmod 2750 a/b; touch -d 2001-01-01 a/f a/b/c a`;
      shell(script, [lower], user);
      const before = treeOf(lower, user);
      const { pid } = mountAt({ mountpoint, lower: [lower], upper, work, userxattr: true }, user);
      const change = `cd "$1"; exec 9< a/b/g; echo new > a/b/new; rm a/b/p; mv a d/moved; cat <&9; rmdir d/moved/b/c; mv d e
        test ! -e a; test ! -e d; mkdir a`;
      expect(shell(change, [mountpoint], user)).toBe('g\n');
      const shown = treeOf(mountpoint, user);
      expect(shown).toContain('e/moved/b/g f 644');
      unmountAt(mountpoint, user);
      expect(pid).toBeGreaterThan(0);
      expect(statSync(join(upper, 'e/moved/b/sparse')).blocks, 'holes').toBeLessThan(100);
      expect(statSync(join(upper, 'e/moved/f')).ino, 'hard links').toBe(statSync(join(upper, 'e/moved/b/f2')).ino);
      expect(treeOf(lower, user)).toBe(before);
      const options = `lowerdir=${lower},upperdir=${upper},workdir=${work},userxattr,index=on`;
      expect(kernelTree(mountpoint, options)).toBe(shown);
    });
  }

  test('with redirect_dir=off it is refused, as by the kernel', (ctx) => {
    requireFuse(ctx, 'root');
    const { lower, upper, work, mountpoint } = place();
    mkdirSync(join(lower, 'a'));
    mountAt({ mountpoint, lower: [lower], upper, work, redirectDir: 'off' });
    const rename = `import { renameSync } from 'node:fs'; renameSync(process.argv[1] + '/a', process.argv[1] + '/b');`;
    expect(run(process.execPath, ['--input-type=module', '-e', rename, mountpoint]).stderr).toContain('EXDEV');
    unmountAt(mountpoint);
  });
});
